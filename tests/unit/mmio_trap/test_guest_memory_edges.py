"""Guest memory at its edges: what each refusal says, and that nothing was touched for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EEXIST, EINVAL

import pytest

from mmio_trap.guest_memory import LOGGED_PAGES, PAGE_SIZE, GuestAddressError, GuestMemory
from tests.unit.mmio_trap.guest_file import SIZE

AT = 2 * PAGE_SIZE
END = 1 << 64
Access = Callable[[GuestMemory, int], object]
READS: dict[str, tuple[Access, int]] = {
    "read": (lambda memory, at: memory.read(at, 3), 3),
    "read_u32": (lambda memory, at: memory.read_u32(at), 4),
    "read_u64": (lambda memory, at: memory.read_u64(at), 8),
    "page_u32": (lambda memory, at: memory.page_u32(at), PAGE_SIZE),
}
WRITES: dict[str, tuple[Access, int]] = {
    "write": (lambda memory, at: memory.write(at, b"abc"), 3),
    "write_u32": (lambda memory, at: memory.write_u32(at, 1), 4),
    "write_u64": (lambda memory, at: memory.write_u64(at, 1), 8),
    "change_page": (lambda memory, at: memory.change_page(at, lambda _page: 0), PAGE_SIZE),
}
ACCESSES = {**READS, **WRITES}
"""Each with the bytes that it is about."""


@pytest.mark.parametrize("name", ACCESSES)
@pytest.mark.parametrize("why", ["absent", "no file", "no right", "past the end", "before"])
def test_a_refusal_says_what_was_tried(memory: GuestMemory, fd: int, name: str, why: str) -> None:
    access, length = ACCESSES[name]
    write = name in WRITES
    at = AT
    if why == "no file":
        memory.map(AT, PAGE_SIZE, None, 0, True, True)
    elif why == "no right":
        memory.map(AT, PAGE_SIZE, fd, 0, readable=write, writable=not write)
    elif why == "past the end":
        memory.map(0, AT, fd, 0, True, True)
    elif why == "before":
        memory.map(AT + PAGE_SIZE, PAGE_SIZE, fd, 0, True, True)
    with pytest.raises(GuestAddressError) as caught:
        access(memory, at)
    assert (caught.value.address, caught.value.length, caught.value.write) == (at, length, write)
    assert os.pread(fd, SIZE, 0) == bytes(SIZE)


@pytest.mark.parametrize("size", [4, 8, PAGE_SIZE])
def test_words_and_pages_have_their_places(memory: GuestMemory, fd: int, size: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    for access in (access for access, length in ACCESSES.values() if length == size):
        access(memory, size)
        for step in (1, size // 2, size - 1):
            with pytest.raises(GuestAddressError):
                access(memory, size + step)


@pytest.mark.parametrize("write", [False, True])
def test_of_bytes_over_ranges_the_refused_part_is_named(
    memory: GuestMemory, fd: int, write: bool
) -> None:
    memory.map(0, PAGE_SIZE, fd, 0, True, True)
    memory.map(PAGE_SIZE, PAGE_SIZE, fd, 0, not write, write)
    memory.map(2 * PAGE_SIZE, PAGE_SIZE, fd, 0, write, not write)
    accesses: dict[bool, Access] = {
        False: lambda memory, at: memory.read(at, PAGE_SIZE + 12),
        True: lambda memory, at: memory.write(at, bytes(PAGE_SIZE + 12)),
    }
    with pytest.raises(GuestAddressError) as caught:
        accesses[write](memory, PAGE_SIZE - 4)
    assert (caught.value.address, caught.value.length) == (2 * PAGE_SIZE, 8)
    assert caught.value.write is write


def test_what_overlaps_is_refused_before_its_file_is_looked_at(
    memory: GuestMemory, fd: int
) -> None:
    """Whose file it is may keep us waiting."""
    reader, writer = os.pipe()
    memory.map(AT, PAGE_SIZE, fd, 0, True, True)
    for address, size, where in (
        (AT - PAGE_SIZE, AT, "after"),
        (AT, PAGE_SIZE, "after"),
        (AT - PAGE_SIZE, 4 * PAGE_SIZE, "after"),
    ):
        with pytest.raises(OSError, match=f"overlaps one {where} it") as caught:
            memory.map(address, size, reader, 0, True, False)
        assert caught.value.errno == EEXIST
    memory.map(8 * PAGE_SIZE, 2 * PAGE_SIZE, fd, 0, True, True)
    with pytest.raises(OSError, match="overlaps one before it"):
        memory.map(9 * PAGE_SIZE, PAGE_SIZE, reader, 0, True, False)
    with pytest.raises(OSError, match="not that of a file in memory"):
        memory.map(10 * PAGE_SIZE, PAGE_SIZE, reader, 0, True, False)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("address", "size", "offset"),
    [(END - PAGE_SIZE, PAGE_SIZE, 0), (0, PAGE_SIZE, END - PAGE_SIZE), (-PAGE_SIZE, PAGE_SIZE, 0)],
)
def test_what_ends_at_2_to_the_64_has_no_end(
    memory: GuestMemory, address: int, size: int, offset: int
) -> None:
    with pytest.raises(OSError, match=r"wraps|not page-aligned") as caught:
        memory.map(address, size, None, offset, True, True)
    assert caught.value.errno == EINVAL
    assert len(memory.table) == 0


def test_the_last_page_and_the_last_offset_that_have_one(memory: GuestMemory) -> None:
    memory.map(END - 2 * PAGE_SIZE, PAGE_SIZE, None, END - 2 * PAGE_SIZE, True, True)
    assert memory.table.tolist()[:2] == [END - 2 * PAGE_SIZE, END - PAGE_SIZE]


@pytest.mark.parametrize(
    ("address", "size"), [(-PAGE_SIZE, AT), (END - PAGE_SIZE, AT), (0, -1), (AT, 0), (0, END + 1)]
)
def test_an_unmap_that_is_no_range(memory: GuestMemory, address: int, size: int) -> None:
    memory.map(0, PAGE_SIZE, None, 0, True, True)
    with pytest.raises(OSError, match="is empty or wraps") as caught:
        memory.unmap(address, size)
    assert caught.value.errno == EINVAL
    assert len(memory.table) == 4


def test_recording_anew_forgets_what_was_written(memory: GuestMemory, fd: int) -> None:
    high = LOGGED_PAGES * PAGE_SIZE
    memory.map(high - PAGE_SIZE, 2 * PAGE_SIZE, fd, 0, True, True)
    memory.start_recording()
    memory.write(high - 1, b"xy")
    memory.start_recording()
    assert memory.take_dirty() == []
    memory.write(high - 1, b"xy")
    memory.stop_recording()
    assert memory._dirty_high == set()
    memory.start_recording()
    assert memory.take_dirty() == []


def test_a_page_is_changed_and_recorded(memory: GuestMemory, fd: int) -> None:
    memory.map(0, SIZE, fd, 0, True, True)
    memory.start_recording()

    def change(page: memoryview) -> int:
        assert len(page) == PAGE_SIZE // 4
        page[-1] = 0x0403_0201
        return 77

    assert memory.change_page(AT, change) == 77
    assert memory.take_dirty() == [2]
    assert os.pread(fd, 5, AT + PAGE_SIZE - 4) == b"\1\2\3\4\0"


def test_a_page_is_changed_where_its_file_has_it(memory: GuestMemory, fd: int) -> None:
    memory.map(5 * PAGE_SIZE, PAGE_SIZE, fd, PAGE_SIZE, True, True)

    def change(page: memoryview) -> int:
        page[3] = 0x0403_0201
        return len(page)

    assert memory.change_page(5 * PAGE_SIZE, change) == PAGE_SIZE // 4
    assert os.pread(fd, 4, PAGE_SIZE + 12) == b"\1\2\3\4"
