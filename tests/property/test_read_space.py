"""Copying GPU memory: C against Python, and both against what is mapped."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

FIRST = (1 << 48) - 2 * PAGE
"""The pages of the test go round the end of the address space."""
PAGES = 6
OUTSIDE = 1 << 34
"""A guest physical address without memory."""


@settings(max_examples=200, deadline=None)
@given(
    frames=st.lists(
        st.one_of(st.integers(0, 7), st.sampled_from([None, OUTSIDE])),
        min_size=PAGES,
        max_size=PAGES,
    ),
    start=st.one_of(st.integers(0, PAGES * PAGE - 1), st.integers(0, PAGES - 1).map(PAGE.__mul__)),
    size=st.one_of(st.integers(0, PAGES * PAGE), st.sampled_from([PAGE, 4, 2 * PAGE + 8])),
    seed=st.integers(0, 1 << 32),
)
def test_c_and_python_copy_as_far_as_memory_is_mapped(
    frames: list[int | None], start: int, size: int, seed: int
) -> None:
    ram = GuestRam(64)
    data = [ram.page() for _ in range(8)]
    for number, at in enumerate(data):
        ram.memory.write(at, random.Random(seed + number).randbytes(PAGE))
    tables = Tables(ram)
    expected = bytearray()
    for number, frame in enumerate(frames):
        at = (FIRST + number * PAGE) % (1 << 48)
        if frame is not None:
            physical = frame if frame == OUTSIDE else data[frame]
            tables.map(at, physical, PRESENT | (WRITABLE if number % 2 else 0))
    for offset in range(start, start + size):
        frame = frames[offset // PAGE] if offset // PAGE < PAGES else None
        if frame is None or frame == OUTSIDE:
            break
        expected += ram.memory.read(data[frame] + offset % PAGE, 1)
    answers = []
    for side in (native, reference):
        copy = bytearray(b"\x5a" * size)
        with memoryview(copy) as view:
            answers.append((side.read_space(tables.space(), FIRST + start, view), bytes(copy)))
    done = len(expected)
    assert answers == [(done, bytes(expected) + b"\x5a" * (size - done))] * 2
