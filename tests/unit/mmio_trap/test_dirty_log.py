"""The dirty log: which writes to guest memory are recorded, and from when on."""

from __future__ import annotations

import threading

import pytest

from mmio_trap.guest_memory import LOGGED_PAGES, PAGE_SIZE, GuestAddressError, GuestMemory
from tests.unit.mmio_trap.guest_file import SIZE


def test_every_way_to_write_is_recorded(memory: GuestMemory, fd: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    memory.write(0x1000, b"before")
    assert memory.dirty_bytes is None
    memory.start_recording()
    assert memory.take_dirty() == []
    memory.write(0x2FFE, b"abcd")
    memory.write_u32(0x5000, 1)
    memory.write_u64(0x7FF8, 1)
    memory.write(0x9000, b"")
    assert memory.take_dirty() == [2, 3, 5, 7]
    assert memory.take_dirty() == []
    assert memory.dirty_bytes is not None
    memory.dirty_bytes[9] = 1  # as C does
    assert memory.take_dirty() == [9]
    memory.stop_recording()
    memory.write(0x1000, b"after")
    assert memory.take_dirty() == []


def test_reads_and_refused_writes_are_not_recorded(memory: GuestMemory, fd: int) -> None:
    memory.map(0, PAGE_SIZE, fd, 0, True, False)
    memory.start_recording()
    memory.read(0, 4)
    with pytest.raises(GuestAddressError):
        memory.write(0, b"x")
    assert memory.take_dirty() == []


def test_pages_above_the_log_are_recorded(memory: GuestMemory, fd: int) -> None:
    high = LOGGED_PAGES * PAGE_SIZE
    memory.map(high - PAGE_SIZE, 2 * PAGE_SIZE, fd, 0, True, True)
    memory.start_recording()
    memory.write(high - 1, b"xy")
    assert memory.take_dirty() == [LOGGED_PAGES - 1, LOGGED_PAGES]
    assert memory.take_dirty() == []


def test_recording_begins_while_nobody_works(memory: GuestMemory) -> None:
    """Who is inside may have found out how to write a page without asking: it comes out first."""
    starter = threading.Thread(target=memory.start_recording)
    with memory.using():
        starter.start()
        while not memory.change_waiting:
            pass
        assert memory.dirty_bytes is None
    starter.join(30)
    assert memory.dirty_bytes is not None
