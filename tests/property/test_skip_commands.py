"""Passing over commands: C against Python, and both against one command at a time."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.hotpath.interface import HEADERS, pack_entry, unpack_entry

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

KEYS = (0x0001, 0x1000, 0x5143, 0xFFFF)
"""Header bits 31:16 that have entries."""
_entry = st.tuples(
    st.sampled_from([0, 1, 0x3F, 0xFF, 0xFFFF]),
    st.integers(0, 3),
    st.integers(0, 6),
    st.sampled_from([1, 2, 5, 64, 1 << 17, (1 << 20) - 1]),
)
_header = st.tuples(
    st.sampled_from([*KEYS, *KEYS, 0x2000]), st.one_of(st.integers(0, 5), st.integers(0, 0xFFFF))
).map(lambda parts: parts[0] << 16 | parts[1])
_dwords = st.lists(st.one_of(st.just(0), _header, st.integers(0, 0xFFFF_FFFF)), max_size=60)


@settings(max_examples=400, deadline=None)
@given(
    entries=st.lists(_entry, min_size=len(KEYS), max_size=len(KEYS)), dwords=_dwords, data=st.data()
)
def test_c_and_python_pass_the_same(
    entries: list[tuple[int, int, int, int]], dwords: list[int], data: st.DataObject
) -> None:
    table = array("Q", bytes(8 * HEADERS))
    for key, entry in zip(KEYS, entries, strict=True):
        table[key] = pack_entry(*entry)
    at = data.draw(st.integers(0, len(dwords)))
    answers = []
    for side in (native, reference):
        begins = bytearray(len(dwords))
        answers.append((side.skip_commands(array("I", dwords), at, table, begins), begins))
    assert answers[0] == answers[1]
    (end, passed), begins = answers[0]
    known = dict(zip(KEYS, entries, strict=True))
    expected, count = at, 0
    marks = bytearray(len(dwords))
    while expected < len(dwords):
        header = dwords[expected]
        length = 1
        if header:
            mask, bias, fewest, most = known.get(header >> 16, (0, 0, 1, 0))
            length = (header & mask) + bias
            if not max(fewest, 1) <= length <= min(most, len(dwords) - expected):
                break
            count += 1
        marks[expected] = 1
        expected += length
    assert (end, passed, begins) == (expected, count, marks)


@given(
    st.tuples(
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFF),
        st.integers(0, (1 << 20) - 1),
        st.integers(0, (1 << 20) - 1),
    )
)
def test_an_entry_comes_back(parts: tuple[int, int, int, int]) -> None:
    assert unpack_entry(pack_entry(*parts)) == parts


@pytest.mark.parametrize("place", range(4))
def test_a_part_that_does_not_fit_makes_no_entry(place: int) -> None:
    parts = [0, 1, 1, 1]
    parts[place] = 1 << 20
    with pytest.raises(OverflowError):
        pack_entry(*parts)
