"""Guest memory against a dictionary of pages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import EEXIST, EINVAL, ENOENT

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mmio_trap.guest_memory import PAGE_SIZE, GuestAddressError, GuestMemory

PAGES = 24
FILE_PAGES = 16

page_numbers = st.integers(0, PAGES - 1)
counts = st.integers(1, 6)


class GuestMemoryMachine(RuleBasedStateMachine):
    """The model: guest page -> (range, file, page in file, readable, writable), and file bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = GuestMemory()
        self.fds = [os.memfd_create("model", os.MFD_ALLOW_SEALING) for _ in range(2)]
        for fd in self.fds:
            os.ftruncate(fd, FILE_PAGES * PAGE_SIZE)
        self.files = [bytearray(FILE_PAGES * PAGE_SIZE) for _ in self.fds]
        self.pages: dict[int, tuple[int, int | None, int, bool, bool]] = {}
        self.ranges: dict[int, int] = {}
        self.dirty: set[int] = set()
        self.memory.start_recording()
        self.memory.set_watcher(self)
        self.watched: dict[int, int] = {}

    def mapped(
        self, address: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        self.watched[address // PAGE_SIZE] = size // PAGE_SIZE

    def unmapped(self, ranges: Sequence[tuple[int, int]]) -> None:
        assert list(ranges) == sorted(ranges)
        for address, size in ranges:
            assert self.watched.pop(address // PAGE_SIZE) == size // PAGE_SIZE

    def teardown(self) -> None:
        self.memory.close()
        for fd in self.fds:
            os.close(fd)

    @rule(
        page=page_numbers,
        count=counts,
        file=st.sampled_from([0, 1, None]),
        at=st.integers(0, FILE_PAGES - 1),
        readable=st.booleans(),
        writable=st.booleans(),
    )
    def map(
        self, page: int, count: int, file: int | None, at: int, readable: bool, writable: bool
    ) -> None:
        expected = 0
        if any(other in self.pages for other in range(page, page + count)):
            expected = EEXIST
        elif file is not None and at + count > FILE_PAGES:
            expected = EINVAL
        fd = None if file is None else self.fds[file]
        place = (page * PAGE_SIZE, count * PAGE_SIZE, fd, at * PAGE_SIZE, readable, writable)
        if expected:
            with pytest.raises(OSError, match=r".") as caught:
                self.memory.map(*place)
            assert caught.value.errno == expected
            return
        self.memory.map(*place)
        self.ranges[page] = count
        for i in range(count):
            self.pages[page + i] = (page, file, at + i, readable, writable)

    @rule(page=page_numbers, count=st.integers(1, PAGES))
    def unmap(self, page: int, count: int) -> None:
        touched = {
            start
            for start, length in self.ranges.items()
            if start < page + count and page < start + length
        }
        cut = any(start < page or start + self.ranges[start] > page + count for start in touched)
        if cut or not touched:
            with pytest.raises(OSError, match=r".") as caught:
                self.memory.unmap(page * PAGE_SIZE, count * PAGE_SIZE)
            assert caught.value.errno == (EINVAL if cut else ENOENT)
            return
        self.memory.unmap(page * PAGE_SIZE, count * PAGE_SIZE)
        for start in touched:
            for i in range(self.ranges.pop(start)):
                del self.pages[start + i]
                self.dirty.discard(start + i)
        # A page written and unmapped may show again once it is mapped again: forget both.
        self.memory.start_recording()
        for kept in self.dirty:
            assert self.memory.dirty_bytes is not None
            self.memory.dirty_bytes[kept] = 1

    @rule(data=st.data())
    def unmap_each(self, data: st.DataObject) -> None:
        """Some ranges at once; one that is not there, or is of another size, refuses them all."""
        chosen = data.draw(st.sets(page_numbers, min_size=1))
        sizes = {page: self.ranges.get(page, 1) for page in chosen}
        if data.draw(st.booleans()):
            sizes = {page: size for page, size in sizes.items() if page in self.ranges}
        if data.draw(st.integers(0, 9)) == 0 and sizes:
            sizes[min(sizes)] += 1
        asked = [(page * PAGE_SIZE, size * PAGE_SIZE) for page, size in sorted(sizes.items())]
        if any(self.ranges.get(page) != size for page, size in sizes.items()):
            with pytest.raises(OSError, match=r".") as caught:
                self.memory.unmap_each(asked)
            assert caught.value.errno == ENOENT
            return
        self.memory.unmap_each(asked)
        for start in sizes:
            for i in range(self.ranges.pop(start)):
                del self.pages[start + i]
                self.dirty.discard(start + i)
        self.memory.start_recording()
        for kept in self.dirty:
            assert self.memory.dirty_bytes is not None
            self.memory.dirty_bytes[kept] = 1

    @rule()
    def unmap_all(self) -> None:
        self.memory.unmap_all()
        self.pages.clear()
        self.ranges.clear()
        self.dirty.clear()
        self.memory.start_recording()

    @rule(address=st.integers(0, PAGES * PAGE_SIZE), length=st.integers(1, 3 * PAGE_SIZE))
    def read(self, address: int, length: int) -> None:
        places = self.places(address, length, write=False)
        if places is None:
            with pytest.raises(GuestAddressError):
                self.memory.read(address, length)
            return
        expected = bytes(self.files[file][at] for file, at in places)
        assert self.memory.read(address, length) == expected

    @rule(
        address=st.integers(0, PAGES * PAGE_SIZE),
        length=st.integers(1, 2 * PAGE_SIZE + 9),
        fill=st.integers(0, 255),
    )
    def write(self, address: int, length: int, fill: int) -> None:
        data = bytes((fill + i) & 0xFF for i in range(length))
        places = self.places(address, length, write=True)
        if places is None:
            with pytest.raises(GuestAddressError):
                self.memory.write(address, data)
            return
        self.memory.write(address, data)
        for (file, at), byte in zip(places, data, strict=True):
            self.files[file][at] = byte
        self.dirty.update(range(address // PAGE_SIZE, (address + length - 1) // PAGE_SIZE + 1))

    @rule(word=st.integers(0, PAGES * PAGE_SIZE // 4 - 1), value=st.integers(0, (1 << 32) - 1))
    def words(self, word: int, value: int) -> None:
        if self.places(4 * word, 4, write=True) is None:
            with pytest.raises(GuestAddressError):
                self.memory.write_u32(4 * word, value)
        else:
            self.memory.write_u32(4 * word, value)
            for (file, at), byte in zip(
                self.places(4 * word, 4, write=True) or [], value.to_bytes(4, "little"), strict=True
            ):
                self.files[file][at] = byte
            self.dirty.add(4 * word // PAGE_SIZE)
        if self.places(4 * word, 4, write=False) is None:
            with pytest.raises(GuestAddressError):
                self.memory.read_u32(4 * word)
        else:
            self.memory.read_u32(4 * word)

    @rule()
    def take_dirty(self) -> None:
        assert self.memory.take_dirty() == sorted(self.dirty)
        self.dirty.clear()

    @invariant()
    def table_is_the_map(self) -> None:
        table = self.memory.table.tolist()
        rows = [(table[i] // PAGE_SIZE, table[i + 1] // PAGE_SIZE) for i in range(0, len(table), 4)]
        assert rows == [(start, start + self.ranges[start]) for start in sorted(self.ranges)]

    @invariant()
    def watched_are_those_with_a_file(self) -> None:
        backed = {start: n for start, n in self.ranges.items() if self.pages[start][1] is not None}
        assert self.watched == backed

    def places(self, address: int, length: int, *, write: bool) -> list[tuple[int, int]] | None:
        """(file, offset) of each byte, None when one is refused."""
        found: list[tuple[int, int]] = []
        for at in range(address, address + length):
            page = self.pages.get(at // PAGE_SIZE)
            if page is None:
                return None
            _, file, file_page, readable, writable = page
            if file is None or not (writable if write else readable):
                return None
            found.append((file, file_page * PAGE_SIZE + at % PAGE_SIZE))
        return found


TestGuestMemory = GuestMemoryMachine.TestCase
TestGuestMemory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
