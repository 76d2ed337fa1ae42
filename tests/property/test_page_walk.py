"""Page walks: C against Python, and Python against a model that is a plain dictionary."""

from __future__ import annotations

import os
from array import array
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.hotpath.interface import PageFault, Space
from mmio_trap.guest_memory import GuestMemory
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables
from tests.property.page_world import PlainSpace

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


NOT_THERE = "page not present"
NO_TABLE = "page table outside guest memory"


def _both(space: Space, address: int) -> object:
    """What both twins say, which is one thing."""
    ours, theirs = (_answer(twin.translate, space, address) for twin in (native, reference))
    assert ours == theirs
    return ours


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_ggtt_ends_with_its_last_entry(count: int) -> None:
    """Behind the table stand entries that would do."""
    entries = memoryview(array("Q", [n * PAGE | PRESENT for n in range(1, 17)]))[:count]
    space = PlainSpace(GuestMemory(), (1 << 32) - 1, entries)
    for number in range(count):
        assert _both(space, number * PAGE + 5) == ((number + 1) * PAGE + 5, True)
    for address in (count * PAGE, count * PAGE + PAGE - 1, (count + 1) * PAGE, 0xFFFF_F000):
        assert _both(space, address) == (address, False, NOT_THERE)


def _memory(*ranges: tuple[int, int, bool]) -> GuestMemory:
    """Ranges (first page, pages, readable), a file each; each qword says where it is."""
    memory = GuestMemory()
    for first, count, readable in ranges:
        fd = os.memfd_create("range")
        places = array("Q", range(first * PAGE, (first + count) * PAGE, 8))
        os.pwrite(fd, array("Q", [place & -PAGE | 3 for place in places]).tobytes(), 0)
        memory.map(first * PAGE, count * PAGE, fd, 0, readable, True)
        os.close(fd)
    return memory


@pytest.mark.parametrize("count", range(1, 10))
def test_every_range_is_found_from_its_first_byte_to_its_last(count: int) -> None:
    """Ranges that touch and ranges with a page between; tables that name themselves."""
    ranges = [(4 + 3 * n + n // 2, 3, True) for n in range(count)]
    memory = _memory(*ranges)
    pages = {page for first, size, _ in ranges for page in range(first, first + size)}
    for page in range(max(pages) + 3):
        space = PlainSpace(memory, _MASK48, root=page * PAGE)
        expected = (page * PAGE + 7, True) if page in pages else (7, False, NO_TABLE)
        assert _both(space, 7) == expected


def test_a_table_that_cannot_be_read_is_none() -> None:
    memory = _memory((4, 1, True), (5, 1, False), (6, 1, True))
    answers = [_both(PlainSpace(memory, _MASK48, root=n * PAGE), 0) for n in (4, 5, 6)]
    assert answers == [(4 * PAGE, True), (0, False, NO_TABLE), (6 * PAGE, True)]


def test_no_range_is_looked_at_where_there_is_none() -> None:
    """Behind the empty table of ranges stands a row that would do."""
    memory = _memory((4, 1, True))
    with memory.using():
        empty = SimpleNamespace(table=memoryview(memory.table)[:0], dirty_bytes=None)
        space = PlainSpace(cast("GuestMemory", empty), _MASK48, root=4 * PAGE)
        assert _answer(native.translate, space, 0) == (0, False, NO_TABLE)
