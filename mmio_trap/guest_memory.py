"""Guest memory: the ranges a client offered by DMA_MAP, and the one door for writes into them.

Addresses are I/O virtual addresses in bytes (guest physical addresses without a guest IOMMU).
Ranges are cheap, mappings are not: QEMU sends a new fd number for the same memfd with every
DMA_MAP, and a guest IOMMU maps single pages by the ten thousand (vfio-user specification,
VFIO_USER_DMA_MAP). So a range lies in a stretch of its file that others may lie in too
(:mod:`mmio_trap.mapped_file`), and both are counted against a budget.

Truncation: touching a mapped page that the peer has cut off its file raises SIGBUS. A memfd is
therefore sealed against shrinking when it is mapped, unless its owner forbade sealing. A file that
cannot be sealed (``/dev/shm``, a memfd without MFD_ALLOW_SEALING), or whose pages can be taken
away all the same (huge pages), is trusted to keep them, or refused with ``require_seal=True``.

Words are read and written in host byte order, which on the machines of this project is the
guest's: little-endian.
"""

from __future__ import annotations

import mmap
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EEXIST, EINVAL, ENOENT
from threading import Lock
from typing import Protocol

from mmio_trap.gate import Gate
from mmio_trap.mapped_file import PAGE_SIZE as PAGE_SIZE
from mmio_trap.mapped_file import Stretch, memory_file
from mmio_trap.memory_budget import UNLIMITED, MemoryBudget
from mmio_trap.memory_holding import MemoryHolding

PAGE_SHIFT = 12
assert PAGE_SIZE == 1 << PAGE_SHIFT

LOGGED_PAGES = 1 << (39 - PAGE_SHIFT)
"""Pages the dirty log's byte array covers; the few that may lie above are kept in a set."""

_ADDRESS_LIMIT = 1 << 64
_READABLE = 1
_WRITABLE = 2


class GuestAddressError(LookupError):
    """An access to an address that is not mapped, or not mapped for this kind of access."""

    def __init__(self, address: int, length: int, *, write: bool) -> None:
        kind = "write" if write else "read"
        super().__init__(f"{kind} of {length} bytes at {address:#x}: no such guest memory")
        self.address = address
        self.length = length
        self.write = write


class MemoryWatcher(Protocol):
    """Who follows a map, so that a device behind an IOMMU reaches what the guest offers.

    Called while the map changes and nobody is inside `using`; it must not change the map itself.
    Only ranges with a file behind them are told. Addresses and sizes are bytes, multiples of 4096.
    """

    def mapped(
        self, address: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        """A range is about to be added; ``fd`` is open for the length of the call.

        An OSError refuses it: the map stays as it was and its caller gets the error.
        """

    def unmapped(self, ranges: Sequence[tuple[int, int]]) -> None:
        """These (address, size) were mapped like this and are about to be removed; ascending.

        Between the first and the last there is no other. Raises nothing.
        """


class _Range:
    """``start <= address < end``; byte ``address + shift`` of ``file`` holds the guest's byte.

    ``file`` is a stretch of one, ``offset`` is within the whole.
    """

    __slots__ = ("end", "file", "readable", "shift", "start", "writable")

    def __init__(self, start: int, end: int, file: Stretch | None, offset: int, flags: int) -> None:
        self.start = start
        self.end = end
        self.file = file
        self.shift = offset - start - (0 if file is None else file.start)
        self.readable = file is not None and bool(flags & _READABLE)
        self.writable = file is not None and bool(flags & _WRITABLE)

    def row(self) -> array[int]:
        """This range as a row of :attr:`GuestMemory.table`."""
        if self.file is None:
            return array("Q", (self.start, self.end, 0, 0))
        host = self.file.address + self.shift + self.start
        flags = self.readable * _READABLE | self.writable * _WRITABLE
        return array("Q", (self.start, self.end, host, flags))


_NOWHERE = _Range(1, 0, None, 0, 0)


class GuestMemory:
    """The guest's memory as one client mapped it.

    Any thread may read and write while it is inside :meth:`using`; :meth:`map` and the unmaps wait
    until nobody is. The thread that maps and unmaps may read and write without it.
    """

    def __init__(self, *, require_seal: bool = False, budget: MemoryBudget = UNLIMITED) -> None:
        self._require_seal = require_seal
        self._budget = budget
        self._starts: list[int] = []
        self._ranges: list[_Range] = []
        self._holding = MemoryHolding(budget)
        self._holding_lock = Lock()
        self._last = _NOWHERE
        self._gate = Gate()
        self._watcher: MemoryWatcher | None = None
        self._dirty_high: set[int] = set()
        self.generation = 0
        """Grows by one whenever the map changes."""
        self.table: array[int] = array("Q")
        """Rows of (start, end, host address, flags 1 = readable | 2 = writable), sorted by start.

        For C; flags 0 and host address 0 where there is no file behind. Valid inside ``using``.
        """
        self.dirty_bytes: mmap.mmap | None = None
        """While recording: one byte per page from address 0, non-zero = written; else None.

        ``LOGGED_PAGES`` long and zero on demand. Who writes guest memory by ``table`` sets the
        page's byte to 1 after its write.
        """

    def set_watcher(self, watcher: MemoryWatcher | None) -> None:
        """Tell ``watcher`` of every change from now on; ranges already mapped are not repeated."""
        with self._gate.change():
            self._watcher = watcher

    # Changing the map

    def map(
        self,
        address: int,
        size: int,
        fd: int | None,
        fd_offset: int,
        readable: bool,
        writable: bool,
    ) -> None:
        """Add ``size`` bytes at ``address``, backed by ``fd`` from ``fd_offset`` on.

        All three are multiples of 4096. ``fd`` stays the caller's; None makes a range that is
        accepted and cannot be accessed. Raises OSError: EINVAL (zero, unaligned, wrapping, past
        the file's end, no file in memory), EEXIST (overlap), EACCES (writable range of a read-only
        file), ENOSPC (beyond the budget), EPERM (not sealed), what mmap says, or what the watcher
        says.
        """
        end = address + size
        if address < 0 or size <= 0 or fd_offset < 0 or (address | size | fd_offset) % PAGE_SIZE:
            raise OSError(EINVAL, f"range {address:#x}+{size:#x} is empty or not page-aligned")
        if end >= _ADDRESS_LIMIT or fd_offset + size >= _ADDRESS_LIMIT:  # an end is 64 bits too
            raise OSError(EINVAL, f"range {address:#x}+{size:#x} wraps")
        self._place(address, end)
        # Before users are kept out: whose file it is may keep this call waiting (its inode's lock).
        file = None if fd is None else self._take(fd, fd_offset, size, writable)
        try:
            with self._gate.change():
                index = self._place(address, end)  # others may have mapped here meanwhile
                if fd is not None and self._watcher is not None:
                    self._watcher.mapped(address, size, fd, fd_offset, readable, writable)
                flags = readable * _READABLE | writable * _WRITABLE
                added = _Range(address, end, file, fd_offset, flags)
                self._starts.insert(index, address)
                self._ranges.insert(index, added)
                self._splice_table(index, index, added.row())
                self.generation += 1
        except OSError:
            if file is not None:
                with self._accounts() as holding:
                    holding.release([file])
            raise

    def _place(self, address: int, end: int) -> int:
        """The row where a range would stand. Raises OSError EEXIST, or ENOSPC for one too many."""
        self._budget.check_ranges(len(self._ranges) + 1)
        index = bisect_right(self._starts, address)
        for each in self._ranges[max(index - 1, 0) : index + 1]:
            if each.start < end and address < each.end:
                where = "before" if each.start < address else "after"
                text = f"range {address:#x}+{end - address:#x} overlaps one {where} it"
                raise OSError(EEXIST, text)
        return index

    def unmap(self, address: int, size: int) -> None:
        """Remove every range within ``size`` bytes at ``address``; none may be cut by its ends.

        Returns when nobody uses them any more. Raises OSError: EINVAL (zero size, wrap, a range
        lies across an end), ENOENT (nothing is mapped there).
        """
        end = address + size
        if address < 0 or size <= 0 or end > _ADDRESS_LIMIT:
            raise OSError(EINVAL, f"range {address:#x}+{size:#x} is empty or wraps")
        with self._gate.change():
            first = bisect_left(self._starts, address)
            last = bisect_left(self._starts, end)
            cut_before = first > 0 and self._ranges[first - 1].end > address
            cut_after = last > first and self._ranges[last - 1].end > end
            if cut_before or cut_after:
                raise OSError(EINVAL, f"range {address:#x}+{size:#x} cuts a mapped range")
            if first == last:
                raise OSError(ENOENT, f"nothing is mapped in {address:#x}+{size:#x}")
            removed = self._remove(first, last)
        self._release(removed)

    def unmap_each(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Remove these (address, size), ascending, in one change; what is between them stays.

        Returns when nobody uses them any more. Raises OSError ENOENT, and removes none, when one
        is not mapped like that.
        """
        if not ranges:
            return
        starts = [address for address, _ in ranges]
        ends = array("Q", [address + size for address, size in ranges])
        with self._gate.change():  # users wait: loops in C alone, as a rule
            first = bisect_left(self._starts, starts[0])
            last = bisect_right(self._starts, starts[-1])
            kept: list[_Range] = []
            if (
                self._starts[first:last] != starts
                or self.table[4 * first + 1 : 4 * last : 4] != ends
            ):
                kept = self._others(first, last, dict(zip(starts, ends, strict=True)))
            removed = self._remove(first, last, kept)
        self._release(removed)

    def _others(self, first: int, last: int, ends: dict[int, int]) -> list[_Range]:
        """Rows that are not among ``ends`` (by start). Raises OSError ENOENT when one is absent."""
        inside = self._ranges[first:last]
        kept = [each for each in inside if ends.get(each.start) != each.end]
        if len(inside) - len(kept) != len(ends):
            raise OSError(ENOENT, f"not all of {len(ends)} ranges are mapped")
        return kept

    def unmap_all(self) -> None:
        """Remove every range; returns when nobody uses them any more."""
        with self._gate.change():
            removed = self._remove(0, len(self._ranges))
        self._release(removed)

    def close(self) -> None:
        """Remove every range and let go of every file; the object stays usable and empty."""
        self.unmap_all()
        self.trim()

    def trim(self) -> None:
        """Let go of files without a range, which are kept for a while: they take memory."""
        with self._accounts() as holding:
            holding.trim()

    def using(self) -> Gate:
        """While inside, the map does not change and what it names stays mapped."""
        return self._gate

    @property
    def change_waiting(self) -> bool:
        """A map or unmap waits for those inside `using`: long work there should pause."""
        return self._gate.changing

    def _remove(self, first: int, last: int, kept: Sequence[_Range] = ()) -> list[_Range]:
        """Take ranges off the map but for some, all at once; those that are gone."""
        removed = self._ranges[first:last]
        if kept:
            staying = set(kept)
            removed = [each for each in removed if each not in staying]
        if self._watcher is not None:
            backed = [
                (each.start, each.end - each.start) for each in removed if each.file is not None
            ]
            if backed:
                self._watcher.unmapped(backed)
        self._starts[first:last] = [each.start for each in kept]
        self._ranges[first:last] = kept
        rows = array("Q")
        for each in kept:
            rows += each.row()
        self._splice_table(first, last, rows)
        self._last = _NOWHERE
        self.generation += 1
        return removed

    def _take(self, fd: int, fd_offset: int, size: int, writable: bool) -> Stretch:
        """Where ``size`` bytes of ``fd``'s file are mapped."""
        file = memory_file(fd, require_seal=self._require_seal)
        end = fd_offset + size
        if end > file.size:
            raise OSError(EINVAL, f"range ends at {end:#x}, its file at {file.size:#x}")
        with self._accounts() as holding:
            return holding.take(file, fd_offset, end, writable=writable)

    def _release(self, gone: Sequence[_Range]) -> None:
        """Give back what ranges lay in that are off the map; their users are let in again."""
        with self._accounts() as holding:
            holding.release(each.file for each in gone if each.file is not None)

    @contextmanager
    def _accounts(self) -> Iterator[MemoryHolding]:
        """What is held, for this thread alone. What is let go of is unmapped after that.

        To unmap the last of a large file frees all of it, which takes seconds.
        """
        left: list[Stretch] = []
        try:
            with self._holding_lock:
                try:
                    yield self._holding
                finally:
                    left = self._holding.take_left()
        finally:
            for stretch in left:
                self._holding.shared.leave(stretch)

    def _splice_table(self, first: int, last: int, rows: array[int]) -> None:
        try:
            self.table[4 * first : 4 * last] = rows
        except BufferError:  # somebody still holds the old table's buffer: leave it to them
            self.table = self.table[: 4 * first] + rows + self.table[4 * last :]

    # Access

    def _find(self, address: int, length: int, *, write: bool) -> _Range:
        """The range that holds ``address``."""
        found = self._last
        if found.start <= address < found.end:
            return found
        index = bisect_right(self._starts, address) - 1
        if index >= 0:
            found = self._ranges[index]
            if address < found.end:
                self._last = found
                return found
        raise GuestAddressError(address, length, write=write)

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at ``address``; may span ranges that touch. Raises GuestAddressError."""
        found = self._find(address, length, write=False)
        if found.readable and address + length <= found.end:
            assert found.file is not None
            at = address + found.shift
            return found.file.bytes[at : at + length]
        return b"".join(
            file.bytes[at : at + count]
            for file, at, count in self._pieces(address, length, write=False)
        )

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write ``data`` (bytes) at ``address``: all or, when any byte is refused, none of it.

        Raises GuestAddressError for bytes that are not mapped or not writable.
        """
        found = self._find(address, len(data), write=True)
        end = address + len(data)
        if found.writable and end <= found.end and self.dirty_bytes is None:
            assert found.file is not None
            found.file.view[address + found.shift : end + found.shift] = data
            return
        done = 0
        source = memoryview(data)
        for file, at, count in self._pieces(address, len(source), write=True):
            file.view[at : at + count] = source[done : done + count]
            done += count
        if self.dirty_bytes is not None:
            self._record(address, len(source))

    def _pieces(self, address: int, length: int, *, write: bool) -> list[tuple[Stretch, int, int]]:
        """(file, offset in it, bytes) of each range in turn."""
        pieces: list[tuple[Stretch, int, int]] = []
        end = address + length
        while address < end:
            found = self._find(address, end - address, write=write)
            if found.file is None or not (found.writable if write else found.readable):
                raise GuestAddressError(address, end - address, write=write)
            count = min(end, found.end) - address
            pieces.append((found.file, address + found.shift, count))
            address += count
        return pieces

    def read_u32(self, address: int) -> int:
        """The dword at ``address`` (a multiple of 4), read at once. Raises GuestAddressError."""
        found = self._find(address, 4, write=False)
        if not found.readable or address & 3:
            raise GuestAddressError(address, 4, write=False)
        assert found.file is not None
        return found.file.u32[(address + found.shift) >> 2]

    def read_u64(self, address: int) -> int:
        """The qword at ``address`` (a multiple of 8), read at once. Raises GuestAddressError."""
        found = self._find(address, 8, write=False)
        if not found.readable or address & 7:
            raise GuestAddressError(address, 8, write=False)
        assert found.file is not None
        return found.file.u64[(address + found.shift) >> 3]

    def write_u32(self, address: int, value: int) -> None:
        """Write the dword at ``address`` (a multiple of 4) at once. Raises GuestAddressError."""
        found = self._find(address, 4, write=True)
        if not found.writable or address & 3:
            raise GuestAddressError(address, 4, write=True)
        assert found.file is not None
        found.file.u32[(address + found.shift) >> 2] = value
        if self.dirty_bytes is not None:
            self._record(address, 4)

    def write_u64(self, address: int, value: int) -> None:
        """Write the qword at ``address`` (a multiple of 8) at once. Raises GuestAddressError."""
        found = self._find(address, 8, write=True)
        if not found.writable or address & 7:
            raise GuestAddressError(address, 8, write=True)
        assert found.file is not None
        found.file.u64[(address + found.shift) >> 3] = value
        if self.dirty_bytes is not None:
            self._record(address, 8)

    def page_u32(self, page_address: int) -> memoryview:
        """The live page at ``page_address`` (a multiple of 4096) as 1024 dwords, for reading.

        Valid while ``generation`` stays the same. Raises GuestAddressError.
        """
        found = self._find(page_address, PAGE_SIZE, write=False)
        if not found.readable or page_address & (PAGE_SIZE - 1):
            raise GuestAddressError(page_address, PAGE_SIZE, write=False)
        assert found.file is not None
        at = (page_address + found.shift) >> 2
        return found.file.u32[at : at + PAGE_SIZE // 4]

    def change_page(self, page_address: int, change: Callable[[memoryview], int]) -> int:
        """Let ``change`` write the page at ``page_address``; what it returns.

        It gets the live page as 1024 dwords, for the length of the call. The door for who writes
        many dwords of one page. Raises GuestAddressError.
        """
        found = self._find(page_address, PAGE_SIZE, write=True)
        if not found.writable or page_address & (PAGE_SIZE - 1):
            raise GuestAddressError(page_address, PAGE_SIZE, write=True)
        assert found.file is not None
        at = (page_address + found.shift) >> 2
        with found.file.u32[at : at + PAGE_SIZE // 4] as page:
            result: int = change(page)
        if self.dirty_bytes is not None:
            self._record(page_address, PAGE_SIZE)
        return result

    # Recording what is written

    def start_recording(self) -> None:
        """Begin to record the pages written, with an empty log, once nobody is inside `using`."""
        log = mmap.mmap(-1, LOGGED_PAGES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with self._gate.change():  # who works may have found out how to write without asking
            self._dirty_high.clear()
            self.dirty_bytes = log

    def take_dirty(self) -> list[int]:
        """The pages (address >> 12, ascending) written since the last call, which it forgets.

        A write that races with the call shows in this call's list or in the next one's. Pages that
        were written and unmapped since are left out. Empty when not recording.
        """
        log = self.dirty_bytes
        pages: list[int] = []
        if log is None:
            return pages
        for found in list(self._ranges):
            at, end = found.start >> PAGE_SHIFT, found.end >> PAGE_SHIFT
            while (at := log.find(b"\1", at, end)) >= 0:
                log[at] = 0
                pages.append(at)
        while self._dirty_high:
            pages.append(self._dirty_high.pop())
        return sorted(pages)

    def stop_recording(self) -> None:
        """Record no longer; the log is dropped."""
        self.dirty_bytes = None
        self._dirty_high.clear()

    def _record(self, address: int, length: int) -> None:
        log = self.dirty_bytes
        if log is None or not length:
            return
        for page in range(address >> PAGE_SHIFT, ((address + length - 1) >> PAGE_SHIFT) + 1):
            if page < LOGGED_PAGES:
                log[page] = 1
            else:
                self._dirty_high.add(page)
