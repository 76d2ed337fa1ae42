"""Guest memory: ranges, access, sealing, and what tens of thousands of ranges cost."""

from __future__ import annotations

import ctypes
import fcntl
import os
import threading
from bisect import bisect_right
from errno import EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM
from pathlib import Path

import pytest

from mmio_trap.guest_memory import PAGE_SIZE, GuestAddressError, GuestMemory
from mmio_trap.memory_budget import MemoryBudget
from mmio_trap.memory_holding import IDLE_STRETCHES
from tests.open_files import open_fds
from tests.unit.mmio_trap.guest_file import SIZE, mappings


def test_bytes_are_the_files(memory: GuestMemory, fd: int) -> None:
    memory.map(0x100000, 4 * PAGE_SIZE, fd, 8 * PAGE_SIZE, True, True)
    os.pwrite(fd, b"hello", 8 * PAGE_SIZE + 3)
    assert memory.read(0x100003, 5) == b"hello"
    memory.write(0x103FFF, b"!")
    assert os.pread(fd, 1, 12 * PAGE_SIZE - 1) == b"!"


def test_words(memory: GuestMemory, fd: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    memory.write_u32(4, 0x11223344)
    memory.write_u64(8, 0x1122334455667788)
    assert memory.read(4, 12) == bytes.fromhex("44332211 8877665544332211")
    assert memory.read_u32(4) == 0x11223344
    assert memory.read_u64(8) == 0x1122334455667788


@pytest.mark.parametrize("address", [1, 2, 3])
def test_unaligned_words_are_refused(memory: GuestMemory, fd: int, address: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    for access in (
        lambda: memory.read_u32(address),
        lambda: memory.read_u64(address + 3),
        lambda: memory.write_u32(address, 0),
        lambda: memory.write_u64(address + 3, 0),
        lambda: memory.page_u32(address * 4),
    ):
        with pytest.raises(GuestAddressError):
            access()


def test_page_is_live(memory: GuestMemory, fd: int) -> None:
    memory.map(0x10000, SIZE, fd, 0, True, True)
    page = memory.page_u32(0x11000)
    assert len(page) == 1024
    os.pwrite(fd, b"\1\2\0\0", PAGE_SIZE + 8)
    assert page[2] == 0x201


def test_access_spans_ranges_that_touch(memory: GuestMemory, fd: int) -> None:
    memory.map(0x2000, PAGE_SIZE, fd, 0, True, True)
    memory.map(0x1000, PAGE_SIZE, fd, 7 * PAGE_SIZE, True, True)
    memory.write(0x1FFE, b"abcd")
    assert memory.read(0x1FFE, 4) == b"abcd"
    assert os.pread(fd, 2, 8 * PAGE_SIZE - 2) + os.pread(fd, 2, 0) == b"abcd"


def test_write_that_is_refused_in_part_writes_nothing(memory: GuestMemory, fd: int) -> None:
    memory.map(0x1000, PAGE_SIZE, fd, 0, True, True)
    memory.map(0x2000, PAGE_SIZE, fd, PAGE_SIZE, True, False)
    for data in (bytes([255]) * 3, bytes([255]) * (2 * PAGE_SIZE)):
        with pytest.raises(GuestAddressError) as caught:
            memory.write(0x1FFE, data)
        assert caught.value.write
    assert memory.read(0x1FFE, 2) == b"\0\0"


@pytest.mark.parametrize("address", [0, 0xFFF, 0x2000, 1 << 63, (1 << 64) - 1])
def test_absent_addresses(memory: GuestMemory, fd: int, address: int) -> None:
    memory.map(0x1000, PAGE_SIZE, fd, 0, True, True)
    with pytest.raises(GuestAddressError) as caught:
        memory.read(address, 1)
    assert (caught.value.address, caught.value.length, caught.value.write) == (address, 1, False)
    with pytest.raises(GuestAddressError):
        memory.write(address, b"x")
    with pytest.raises(GuestAddressError):
        memory.read(0x1FFF, 2)


def test_permissions(memory: GuestMemory, fd: int) -> None:
    memory.map(0x1000, PAGE_SIZE, fd, 0, True, False)
    memory.map(0x2000, PAGE_SIZE, fd, 0, False, True)
    memory.map(0x3000, PAGE_SIZE, None, 0, True, True)
    assert memory.read_u32(0x1000) == 0
    memory.write_u32(0x2000, 1)
    for refused in (
        lambda: memory.write_u32(0x1000, 1),
        lambda: memory.write(0x1000, b"x"),
        lambda: memory.read_u32(0x2000),
        lambda: memory.read(0x2000, 1),
        lambda: memory.page_u32(0x2000),
        lambda: memory.read_u64(0x3000),
        lambda: memory.write_u64(0x3000, 1),
    ):
        with pytest.raises(GuestAddressError):
            refused()


def test_table_is_in_step_with_the_map(memory: GuestMemory, fd: int) -> None:
    memory.map(0x3000, PAGE_SIZE, fd, PAGE_SIZE, True, False)
    memory.map(0x8000, PAGE_SIZE, None, 0, True, True)
    memory.map(0x1000, PAGE_SIZE, fd, 2 * PAGE_SIZE, True, True)
    rows = [tuple(memory.table[i : i + 4]) for i in range(0, len(memory.table), 4)]
    assert [(start, end, flags) for start, end, _, flags in rows] == [
        (0x1000, 0x2000, 3),
        (0x3000, 0x4000, 1),
        (0x8000, 0x9000, 0),
    ]
    os.pwrite(fd, b"\x2a", 2 * PAGE_SIZE + 5)
    assert ctypes.c_uint8.from_address(rows[0][2] + 5).value == 0x2A
    assert rows[0][2] - rows[1][2] == PAGE_SIZE
    memory.unmap(0x3000, PAGE_SIZE)
    assert memory.table.tolist() == [*rows[0], *rows[2]]


def test_table_may_change_under_a_holder_of_the_old_one(memory: GuestMemory, fd: int) -> None:
    memory.map(0x1000, PAGE_SIZE, fd, 0, True, True)
    held = memoryview(memory.table)
    memory.map(0x3000, PAGE_SIZE, fd, 0, True, True)
    assert len(held) == 4
    assert len(memory.table) == 8


def test_generation_counts_changes(memory: GuestMemory, fd: int) -> None:
    seen = [memory.generation]
    memory.map(0x1000, PAGE_SIZE, fd, 0, True, True)
    seen.append(memory.generation)
    with pytest.raises(OSError, match="overlaps"):
        memory.map(0x1000, PAGE_SIZE, fd, 0, True, True)
    assert memory.generation == seen[-1]
    memory.unmap(0x1000, PAGE_SIZE)
    seen.append(memory.generation)
    memory.unmap_all()
    assert seen == sorted(set(seen))


# Changing the map


@pytest.mark.parametrize(
    ("address", "size", "offset", "errno"),
    [
        (0x1000, 0, 0, EINVAL),
        (0x1000, -PAGE_SIZE, 0, EINVAL),
        (0x1001, PAGE_SIZE, 0, EINVAL),
        (0x1000, PAGE_SIZE + 1, 0, EINVAL),
        (0x1000, PAGE_SIZE, 1, EINVAL),
        (0x1000, PAGE_SIZE, -PAGE_SIZE, EINVAL),
        (0x100000, SIZE + PAGE_SIZE, 0, EINVAL),
        (0x100000, PAGE_SIZE, SIZE, EINVAL),
        ((1 << 64) - PAGE_SIZE, PAGE_SIZE, 0, EINVAL),
        ((1 << 64) - PAGE_SIZE, 2 * PAGE_SIZE, 0, EINVAL),
        (0x1000, PAGE_SIZE, (1 << 64) - PAGE_SIZE, EINVAL),
        (0x20000, PAGE_SIZE, 0, EEXIST),
        (0x1F000, 4 * PAGE_SIZE, 0, EEXIST),
    ],
)
def test_bad_ranges(
    memory: GuestMemory, fd: int, address: int, size: int, offset: int, errno: int
) -> None:
    memory.map(0x20000, PAGE_SIZE, fd, 0, True, True)
    with pytest.raises(OSError, match=r".") as caught:
        memory.map(address, size, fd, offset, True, True)
    assert caught.value.errno == errno


def test_highest_range(memory: GuestMemory, fd: int) -> None:
    memory.map((1 << 64) - 2 * PAGE_SIZE, PAGE_SIZE, fd, 0, True, True)
    assert memory.read((1 << 64) - PAGE_SIZE - 4, 4) == bytes(4)
    memory.unmap(0, 1 << 64)


@pytest.mark.parametrize(
    ("address", "size", "errno"),
    [(0x1000, 0, EINVAL), (0x1000, 0x1000, EINVAL), (0x1800, 0x1000, EINVAL), (0, 4096, ENOENT)],
)
def test_bad_unmaps(memory: GuestMemory, fd: int, address: int, size: int, errno: int) -> None:
    memory.map(0x1000, 2 * PAGE_SIZE, fd, 0, True, True)
    with pytest.raises(OSError, match=r".") as caught:
        memory.unmap(address, size)
    assert caught.value.errno == errno
    assert memory.read(0x2000, 1) == b"\0"


def test_limit_of_ranges() -> None:
    memory = GuestMemory(budget=MemoryBudget(ranges=3))
    for page in range(3):
        memory.map(page * PAGE_SIZE, PAGE_SIZE, None, 0, True, True)
    with pytest.raises(OSError, match="more than 3 ranges") as caught:
        memory.map(0x10000, PAGE_SIZE, None, 0, True, True)
    assert caught.value.errno == ENOSPC


def test_read_only_file(memory: GuestMemory, fd: int) -> None:
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    with pytest.raises(OSError, match="needs a file that can be written") as caught:
        memory.map(0, PAGE_SIZE, reader, 0, True, True)
    assert caught.value.errno == EACCES
    memory.map(0, PAGE_SIZE, reader, 0, True, False)
    os.close(reader)
    os.pwrite(fd, b"live", 0)
    assert memory.read(0, 4) == b"live"
    memory.map(0x1000, PAGE_SIZE, fd, 0, True, True)
    memory.write(0x1000, b"both")
    assert memory.read(0, 4) == b"both"


def test_file_that_grew(memory: GuestMemory, fd: int) -> None:
    memory.map(0, PAGE_SIZE, fd, 0, True, True)
    os.ftruncate(fd, 2 * SIZE)
    memory.map(0x10000, PAGE_SIZE, fd, SIZE, True, True)
    memory.write(0x10000, b"grown")
    memory.write(0, b"first")
    assert os.pread(fd, 5, SIZE) == b"grown"
    assert os.pread(fd, 5, 0) == b"first"


@pytest.mark.parametrize("kind", ["pipe", "directory", "empty"])
def test_what_is_no_memory(memory: GuestMemory, kind: str, tmp_path: Path) -> None:
    if kind == "pipe":
        reader, writer = os.pipe()
        os.close(writer)
    elif kind == "directory":
        reader = os.open(tmp_path, os.O_RDONLY)
    else:
        reader = os.memfd_create("empty")
    with pytest.raises(OSError, match=r".") as caught:
        memory.map(0, PAGE_SIZE, reader, 0, True, False)
    assert caught.value.errno == EINVAL
    os.close(reader)


# Files


def test_memfd_is_sealed_against_shrinking(memory: GuestMemory, fd: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    with pytest.raises(PermissionError):
        os.ftruncate(fd, PAGE_SIZE)


def test_unsealable_file_can_be_refused() -> None:
    memory = GuestMemory(require_seal=True)
    fd = os.memfd_create("unsealable")
    os.ftruncate(fd, SIZE)
    with pytest.raises(OSError, match="cannot be sealed") as caught:
        memory.map(0, SIZE, fd, 0, True, True)
    assert caught.value.errno == EPERM
    GuestMemory().map(0, SIZE, fd, 0, True, True)
    os.close(fd)


def test_huge_pages_can_be_refused() -> None:
    """Sealed or not, their owner punches holes, and an empty pool cannot fill them: SIGBUS."""
    fd = os.memfd_create("huge", os.MFD_HUGETLB | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 2 << 20)
    with pytest.raises(OSError, match="huge pages") as caught:
        GuestMemory(require_seal=True).map(0, SIZE, fd, 0, True, True)
    assert caught.value.errno == EPERM
    os.close(fd)


def test_memory_that_is_only_a_file(memory: GuestMemory, tmp_path: Path) -> None:
    """A page fault on it could wait for whoever serves the file, or find it cut off."""
    path = tmp_path / "memory"
    path.write_bytes(bytes(SIZE))
    fd = os.open(path, os.O_RDWR)
    with pytest.raises(OSError, match=f"not that of a file in memory but {path}") as caught:
        memory.map(0, SIZE, fd, 0, True, True)
    assert caught.value.errno == EINVAL
    os.close(fd)


def test_one_mapping_for_one_file_whatever_the_descriptor(memory: GuestMemory, fd: int) -> None:
    before = open_fds()
    for page in range(32):
        again = os.dup(fd)
        memory.map(page * 2 * PAGE_SIZE, PAGE_SIZE, again, page * PAGE_SIZE, True, True)
        os.close(again)
    assert open_fds() <= before
    hosts = memory.table[2::4]
    assert [host - hosts[0] for host in hosts] == [page * PAGE_SIZE for page in range(32)]


def test_mapping_survives_firmware_that_unmaps_and_maps_again(memory: GuestMemory, fd: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    host = memory.table[2]
    memory.unmap(0, SIZE)
    memory.map(0, PAGE_SIZE, fd, 0, True, True)
    assert memory.table[2] == host


def test_files_without_ranges_are_let_go(memory: GuestMemory) -> None:
    before = open_fds(), mappings("short-lived")
    for _ in range(20):
        fd = os.memfd_create("short-lived", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SIZE)
        memory.map(0, SIZE, fd, 0, True, True)
        memory.unmap(0, SIZE)
        os.close(fd)
    assert before == (open_fds(), 0)
    assert 0 < mappings("short-lived") <= IDLE_STRETCHES
    memory.trim()
    assert mappings("short-lived") == 0
    memory.close()


def test_view_outlives_close(fd: int) -> None:
    memory = GuestMemory()
    memory.map(0, SIZE, fd, 0, True, True)
    page = memory.page_u32(0)
    memory.close()
    os.pwrite(fd, b"\7\0\0\0", 0)
    assert page[0] == 7
    assert mappings("guest") == 1
    page.release()
    del page
    assert mappings("guest") == 0


# Users and the map


def test_unmap_waits_for_users(memory: GuestMemory, fd: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    done: list[str] = []

    def unmap() -> None:
        memory.unmap(0, SIZE)
        done.append("unmapped")

    thread = threading.Thread(target=unmap)
    with memory.using():
        thread.start()
        thread.join(0.05)
        assert memory.read(0, 1) == b"\0"
        done.append("used")
    thread.join(10)
    assert done == ["used", "unmapped"]


def test_user_waits_for_a_change_that_waits(memory: GuestMemory, fd: int) -> None:
    """Users that come and go without a pause do not keep a change out."""
    memory.map(0, SIZE, fd, 0, True, True)
    stop = threading.Event()

    def use() -> None:
        while not stop.is_set():
            with memory.using():
                memory.table.tolist()

    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    for _ in range(50):
        memory.unmap(0, SIZE)
        memory.map(0, SIZE, fd, 0, True, True)
    stop.set()
    for user in users:
        user.join(10)
        assert not user.is_alive()


# The dirty log


# Size


class _Probe(int):
    """An address that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        _Probe.compared += 1
        return int(self) < int(other)


def test_fifty_thousand_pages(memory: GuestMemory) -> None:
    """A look-up among 50,000 page ranges is a bisection; one in the last range is none."""
    count = 50_000
    fd = os.memfd_create("pages", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, count * PAGE_SIZE)
    before = open_fds()
    for page in range(count):
        memory.map(
            (page * 7919 % count) * 2 * PAGE_SIZE, PAGE_SIZE, fd, page * PAGE_SIZE, True, True
        )
    assert open_fds() <= before
    assert len(memory.table) == 4 * count
    starts = memory.table[0::4].tolist()
    assert starts == sorted(starts)
    assert starts == memory._starts
    _Probe.compared = 0
    bisect_right(memory._starts, _Probe(12345 * 2 * PAGE_SIZE))
    assert _Probe.compared <= 17
    page = 31_337
    memory.write_u32((page * 7919 % count) * 2 * PAGE_SIZE, page)
    assert os.pread(fd, 4, page * PAGE_SIZE) == page.to_bytes(4, "little")
    found = memory._last
    memory.read_u32(found.start + 4)
    assert memory._last is found
    memory.unmap_all()
    assert len(memory.table) == 0
    os.close(fd)


def test_users_go_on_while_a_file_keeps_its_map_waiting(
    memory: GuestMemory, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To seal a file takes the lock of its inode, which its owner can hold for long."""
    memory.map(0, PAGE_SIZE, fd, 0, True, True)
    other = os.memfd_create("locked", os.MFD_ALLOW_SEALING)
    os.ftruncate(other, SIZE)
    sealing, go_on = threading.Event(), threading.Event()
    seal = fcntl.fcntl

    def slow(which: int, command: int, value: int = 0) -> int:
        if which == other and command == fcntl.F_ADD_SEALS:
            sealing.set()
            assert go_on.wait(30)
        return seal(which, command, value)

    monkeypatch.setattr("mmio_trap.mapped_file.fcntl.fcntl", slow)
    thread = threading.Thread(
        target=memory.map, args=(0x10000, PAGE_SIZE, other, 0, True, True), daemon=True
    )
    thread.start()
    assert sealing.wait(30)
    used = threading.Thread(target=lambda: _use(memory), daemon=True)
    used.start()
    used.join(30)
    assert not used.is_alive()
    go_on.set()
    thread.join(30)
    assert memory.read(0x10000, 1) == b"\0"
    os.close(other)


def _use(memory: GuestMemory) -> None:
    with memory.using():
        memory.read(0, 1)
