"""Page walks: C against Python, and Python against a model that is a plain dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.hotpath.interface import PageFault, Space
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

_MASK48 = (1 << 48) - 1


def _answer(translate: object, space: Space, address: int) -> object:
    assert callable(translate)
    try:
        return translate(space, address)
    except PageFault as fault:
        return fault.address, fault.write, fault.reason


_entry = st.one_of(
    st.integers(0, 2**64 - 1),
    st.builds(
        lambda page, flags, high: page * PAGE | flags | high,
        st.integers(0x100, 0x140),
        st.sampled_from([0, 1, 2, 3, 3, 3, 3 | 1 << 7, 3 | 1 << 11, 1 | 1 << 11, 0x1B]),
        st.sampled_from([0, 0, 0, 1 << 39, 1 << 45, 1 << 46, 1 << 63]),
    ),
)
_address = st.one_of(
    st.integers(0, 2**64 - 1),
    st.builds(
        lambda a, b, c, d, o: a << 39 | b << 30 | c << 21 | d << 12 | o,
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(0, 40),
        st.integers(0, 4095),
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(_address, st.integers(0, 3), _entry), max_size=12),
    asked=st.lists(_address, min_size=1, max_size=12),
)
def test_c_and_python_walk_the_same(rows: list[tuple[int, int, int]], asked: list[int]) -> None:
    tables = Tables(GuestRam(64))
    for address, level, entry in rows:
        tables.put(address & _MASK48, entry, level)
    space = tables.space()
    for address in asked + [row[0] for row in rows]:
        assert _answer(native.translate, space, address) == _answer(
            reference.translate, space, address
        )


@settings(max_examples=100, deadline=None)
@given(
    pages=st.dictionaries(
        st.integers(0, 2**36 - 1), st.tuples(st.integers(0, 2**27 - 1), st.booleans()), max_size=8
    ),
    offset=st.integers(0, PAGE - 1),
    other=st.integers(0, 2**36 - 1),
)
def test_a_walk_finds_what_was_mapped(
    pages: dict[int, tuple[int, bool]], offset: int, other: int
) -> None:
    tables = Tables(GuestRam(64))
    for number, (frame, writable) in pages.items():
        tables.map(number * PAGE, frame * PAGE, PRESENT | (WRITABLE if writable else 0))
    space = tables.space()
    for number in [*pages, other]:
        for walk in (native.translate, reference.translate):
            answer = _answer(walk, space, number * PAGE + offset)
            if number in pages:
                frame, writable = pages[number]
                assert answer == (frame * PAGE + offset, writable)
            else:
                assert answer == (number * PAGE + offset, False, "page not present")


@settings(max_examples=100, deadline=None)
@given(
    entries=st.dictionaries(st.integers(0, 31), _entry, max_size=16),
    asked=st.lists(st.integers(0, 2**33), min_size=1, max_size=8),
)
def test_c_and_python_read_the_same_ggtt(entries: dict[int, int], asked: list[int]) -> None:
    ggtt = GuestRam(1).ggtt({})
    for number, entry in entries.items():
        ggtt.write_entry(8 * number, entry.to_bytes(8, "little"))
    for address in asked + [number * PAGE + 5 for number in entries]:
        assert _answer(native.translate, ggtt, address) == _answer(
            reference.translate, ggtt, address
        )
