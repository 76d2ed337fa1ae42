"""The watcher of guest memory: told of each range, and able to refuse one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import ENOSPC

import pytest

from mmio_trap.guest_memory import PAGE_SIZE, GuestAddressError, GuestMemory
from tests.open_files import open_fds
from tests.unit.mmio_trap.guest_file import SIZE


class Watcher:
    """Notes what it is told, and refuses when asked to."""

    def __init__(self, memory: GuestMemory) -> None:
        self.memory = memory
        self.told: list[tuple[object, ...]] = []
        self.refuses = False

    def mapped(
        self, address: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        if self.refuses:
            raise OSError(ENOSPC, "not here")
        os.fstat(fd)
        self.told.append(("mapped", address, size, fd_offset, readable, writable))

    def unmapped(self, ranges: Sequence[tuple[int, int]]) -> None:
        for address, size in ranges:
            self.memory.read(address, size)  # still there
        self.told.append(("unmapped", *ranges))


@pytest.fixture
def watcher(memory: GuestMemory) -> Watcher:
    made = Watcher(memory)
    memory.set_watcher(made)
    return made


def test_a_watcher_is_told_of_every_range(memory: GuestMemory, fd: int, watcher: Watcher) -> None:
    memory.map(0x1000, PAGE_SIZE, fd, PAGE_SIZE, True, False)
    memory.map(0x4000, 2 * PAGE_SIZE, fd, 0, True, True)
    memory.map(0x8000, PAGE_SIZE, fd, 0, True, True)
    assert watcher.told == [
        ("mapped", 0x1000, PAGE_SIZE, PAGE_SIZE, True, False),
        ("mapped", 0x4000, 2 * PAGE_SIZE, 0, True, True),
        ("mapped", 0x8000, PAGE_SIZE, 0, True, True),
    ]
    watcher.told.clear()
    memory.unmap(0, 0x6000)
    assert watcher.told == [("unmapped", (0x1000, PAGE_SIZE), (0x4000, 2 * PAGE_SIZE))]
    watcher.told.clear()
    memory.close()
    assert watcher.told == [("unmapped", (0x8000, PAGE_SIZE))]


def test_a_watcher_is_not_told_of_what_has_no_file(memory: GuestMemory, watcher: Watcher) -> None:
    memory.map(0x1000, PAGE_SIZE, None, 0, True, True)
    memory.unmap_all()
    assert watcher.told == []


def test_a_watcher_is_not_told_of_what_is_refused(
    memory: GuestMemory, fd: int, watcher: Watcher
) -> None:
    memory.map(0, PAGE_SIZE, fd, 0, True, True)
    watcher.told.clear()
    for address, size, offset in ((0, PAGE_SIZE, 0), (PAGE_SIZE, SIZE, PAGE_SIZE)):
        with pytest.raises(OSError, match=r"overlaps|ends at"):
            memory.map(address, size, fd, offset, True, True)
    with pytest.raises(OSError, match=r"cuts|nothing"):
        memory.unmap(PAGE_SIZE, PAGE_SIZE)
    assert watcher.told == []


def test_a_watcher_that_refuses_undoes_the_map(
    memory: GuestMemory, fd: int, watcher: Watcher
) -> None:
    before = open_fds()
    watcher.refuses = True
    generation = memory.generation
    for _ in range(3):
        with pytest.raises(OSError, match="not here") as caught:
            memory.map(0, PAGE_SIZE, fd, 0, True, True)
        assert caught.value.errno == ENOSPC
    assert (memory.generation, len(memory.table)) == (generation, 0)
    with pytest.raises(GuestAddressError):
        memory.read(0, 1)
    watcher.refuses = False
    memory.map(0, PAGE_SIZE, fd, 0, True, True)
    watcher.refuses = True
    with pytest.raises(OSError, match="not here"):
        memory.map(PAGE_SIZE, PAGE_SIZE, fd, PAGE_SIZE, True, True)
    memory.write(0, b"x")
    assert os.pread(fd, 1, 0) == b"x"
    memory.close()
    assert open_fds() <= before


def test_no_watcher_any_more(memory: GuestMemory, fd: int, watcher: Watcher) -> None:
    memory.map(0, PAGE_SIZE, fd, 0, True, True)
    watcher.told.clear()
    memory.set_watcher(None)
    memory.unmap_all()
    assert watcher.told == []
