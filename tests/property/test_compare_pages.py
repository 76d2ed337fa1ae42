"""Comparing pages: C against Python, and both against what is known of the pages."""

from __future__ import annotations

import os
import random
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mmio_trap.guest_memory import GuestMemory
from tests.guest_ram import PAGE, GuestRam

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

PAGES = 6
NOTHING = [0, (1 << 64) - PAGE, 1 << 45]
"""Addresses at which no guest memory is."""


@settings(max_examples=150, deadline=None)
@given(
    order=st.lists(st.integers(-len(NOTHING), PAGES - 1), max_size=12),
    changes=st.lists(st.tuples(st.integers(0, 11), st.integers(0, PAGE - 1)), max_size=4),
    seed=st.integers(0, 1 << 32),
)
def test_c_and_python_find_the_same_differences(
    order: list[int], changes: list[tuple[int, int]], seed: int
) -> None:
    ram = GuestRam(PAGES)
    ram.memory.write(ram.start, random.Random(seed).randbytes(PAGES * PAGE))
    pages = array("Q", [ram.start + n * PAGE if n >= 0 else NOTHING[n] for n in order])
    copy = bytearray()
    for n in order:
        copy += ram.memory.read(ram.start + n * PAGE, PAGE) if n >= 0 else bytes(PAGE)
    expected = bytearray(n < 0 for n in order)
    for page, byte in dict.fromkeys(changes):
        if page < len(order):
            copy[page * PAGE + byte] ^= 0xFF
            expected[page] = 1
    with memoryview(copy) as view:
        found = [side.compare_pages(ram.memory, pages, view) for side in (native, reference)]
    assert found == [bytes(expected)] * 2


@pytest.mark.parametrize("readable", [False, True])
def test_memory_that_cannot_be_read_differs(readable: bool) -> None:
    memory = GuestMemory()
    fd = os.memfd_create("guest-ram")
    os.ftruncate(fd, 2 * PAGE)
    memory.map(PAGE, 2 * PAGE, fd, 0, readable, True)
    os.close(fd)
    for side in (native, reference):
        with memoryview(bytes(2 * PAGE)) as view:
            found = side.compare_pages(memory, array("Q", [PAGE, 2 * PAGE]), view)
        assert found == (bytes(2) if readable else b"\1\1")
