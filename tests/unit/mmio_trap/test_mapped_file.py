"""Stretches of files: which one serves a range, who uses it, and when it is gone."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from errno import EACCES, EBADF

import pytest

from mmio_trap import mapped_file
from mmio_trap.guest_memory import PAGE_SIZE, GuestMemory
from mmio_trap.mapped_file import UNIT, MemoryFile, Stretch, Stretches, around, memory_file
from tests.unit.mmio_trap.guest_file import SIZE, mappings


@pytest.fixture
def file(fd: int) -> MemoryFile:
    return memory_file(fd, require_seal=True)


@pytest.fixture
def stretches() -> Stretches:
    return Stretches()


@pytest.fixture
def reader(fd: int) -> Iterator[MemoryFile]:
    """The same file, for reading."""
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    yield memory_file(again, require_seal=False)
    os.close(again)


@pytest.mark.parametrize(
    ("start", "end", "size", "expected"),
    [
        (0, 1, 10, (0, 10)),
        (0, UNIT, 3 * UNIT, (0, UNIT)),
        (0, UNIT + 1, 3 * UNIT, (0, 2 * UNIT)),
        (UNIT - 1, UNIT, 3 * UNIT, (0, UNIT)),
        (UNIT, UNIT + 1, UNIT + 9, (UNIT, UNIT + 9)),
        (2 * UNIT + 5, 2 * UNIT + 6, 9 * UNIT, (2 * UNIT, 3 * UNIT)),
    ],
)
def test_whole_units_around_a_range(
    start: int, end: int, size: int, expected: tuple[int, int]
) -> None:
    assert around(start, end, size) == expected


def test_a_file_is_as_long_as_its_whole_pages(fd: int) -> None:
    os.ftruncate(fd, SIZE + PAGE_SIZE - 1)
    found = memory_file(fd, require_seal=False)
    status = os.fstat(fd)
    assert found == MemoryFile(fd, (status.st_dev, status.st_ino), SIZE)


def test_a_stretch_shows_its_part_of_the_file(file: MemoryFile, fd: int) -> None:
    made = Stretch(file, PAGE_SIZE, 3 * PAGE_SIZE)
    os.pwrite(fd, bytes(range(1, 9)), PAGE_SIZE)
    assert (made.size, made.users, made.writable) == (2 * PAGE_SIZE, 1, True)
    assert made.bytes[0:4] == b"\1\2\3\4"
    assert (made.u32[1], made.u64[0]) == (0x0807_0605, 0x0807_0605_0403_0201)
    made.view[2 * PAGE_SIZE - 1] = 9
    assert os.pread(fd, 1, 3 * PAGE_SIZE - 1) == b"\x09"
    made.close()


@pytest.mark.parametrize(
    ("start", "end", "held"),
    [(1, 3, True), (1, 2, True), (2, 3, True), (0, 2, False), (2, 4, False)],
)
def test_it_holds_what_lies_inside(file: MemoryFile, start: int, end: int, held: bool) -> None:
    made = Stretch(file, PAGE_SIZE, 3 * PAGE_SIZE)
    for writable in (False, True):
        assert made.holds(start * PAGE_SIZE, end * PAGE_SIZE, writable=writable) is held
    made.close()


def test_of_a_file_for_reading_nothing_is_written(
    stretches: Stretches, reader: MemoryFile, fd: int
) -> None:
    with pytest.raises(OSError, match="needs a file that can be written") as caught:
        stretches.add(reader, 0, PAGE_SIZE, writable=True)
    assert caught.value.errno == EACCES
    made = stretches.add(reader, 0, PAGE_SIZE, writable=False)
    assert not made.writable
    assert made.holds(0, PAGE_SIZE, writable=False)
    assert not made.holds(0, PAGE_SIZE, writable=True)
    with pytest.raises(TypeError, match="read-only"):
        made.view[0] = 1
    os.pwrite(fd, b"live", 0)
    assert made.bytes[0:4] == b"live"
    assert stretches.find(reader, 0, PAGE_SIZE, writable=True) is None
    assert stretches.find(reader, 0, PAGE_SIZE, writable=False) is made
    for _ in range(2):
        stretches.leave(made)


def test_who_finds_it_uses_it_until_all_have_left(stretches: Stretches) -> None:
    fd = os.memfd_create("found", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SIZE)
    file = memory_file(fd, require_seal=False)
    made = stretches.add(file, 0, PAGE_SIZE, writable=True)
    assert stretches.find(file, 0, PAGE_SIZE, writable=True) is made
    assert stretches.find(file, 0, 2 * PAGE_SIZE, writable=True) is None
    other = file._replace(key=(1, 2))
    assert stretches.find(other, 0, PAGE_SIZE, writable=True) is None
    stretches.leave(made)
    assert (made.users, mappings("found")) == (1, 1)
    stretches.leave(made)
    assert (made.users, mappings("found")) == (0, 0)
    assert stretches.find(file, 0, PAGE_SIZE, writable=True) is None, "it is here, but closed"
    del made
    gc.collect()
    assert stretches.find(file, 0, PAGE_SIZE, writable=True) is None
    assert stretches._by_file == {}, "nothing is remembered of files that are gone"
    os.close(fd)


def test_of_several_of_a_file_the_others_stay_known(stretches: Stretches, file: MemoryFile) -> None:
    first = stretches.add(file, 0, PAGE_SIZE, writable=True)
    second = stretches.add(file, PAGE_SIZE, 2 * PAGE_SIZE, writable=True)
    stretches.leave(first)
    del first
    gc.collect()
    assert stretches.find(file, PAGE_SIZE, 2 * PAGE_SIZE, writable=True) is second
    for _ in range(2):
        stretches.leave(second)


def test_what_the_kernel_does_not_map_is_said() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        mapped_file._map(-1, 0, PAGE_SIZE, 1, 1)
    assert caught.value.errno == EBADF


def test_of_those_kept_for_later_the_oldest_goes_first(memory: GuestMemory) -> None:
    names = ("aaaa", "bbbb", "cccc")
    for name in names:
        fd = os.memfd_create(name, os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SIZE)
        memory.map(0, SIZE, fd, 0, True, True)
        memory.unmap(0, SIZE)
        os.close(fd)
    assert [mappings(name) for name in names] == [0, 1, 1]
