"""GPU address spaces: the GGTT and the PPGTT, translated page by page into guest memory.

Implements PRM SKL vol 5 "Memory Views". Translations are cached like in a TLB: a PPGTT edit shows
after `flush` (PIPE_CONTROL, MI_FLUSH_DW and the TLB registers end there), a GGTT edit at once, a
change of the guest's memory map at once. Absent pages are never cached. A space that is `stale`
keeps to old translations as long as hardware may: a GGTT edit shows after `Ggtt.publish`, and a
PPGTT's upper levels are cached too.

Writes through a read-only PPGTT page are discarded without a fault, as Gen8 and Gen9 do; i915's
selftests and IGT's userptr tests rely on it.

The caller is inside ``memory.using()``, or is the thread that changes the memory map.
"""

from __future__ import annotations

import mmap
import threading
from abc import ABC, abstractmethod
from contextlib import suppress

from mediator import hotpath
from mediator.gen9.pte import (
    ENTRY_SIZE,
    GGTT_ADDRESS_BITS,
    PAGE_SHIFT,
    PAGE_SIZE,
    PPGTT_ADDRESS_BITS,
)
from mediator.hotpath.interface import FAULT_REASONS, FaultKind, PageFault
from mediator.hotpath.reference import UpperLevels, walk_ggtt, walk_ppgtt
from mediator.softgpu.atomic import OPERATION_MASK, AtomicOp, apply
from mmio_trap.guest_memory import GuestAddressError, GuestMemory

__all__ = ["AddressSpace", "Ggtt", "PageFault", "Ppgtt"]

_OFFSET_MASK = PAGE_SIZE - 1
MOST_TRANSLATIONS = 1 << 14
"""That are cached: a table may name itself, so that a guest has as many pages as addresses."""
_MANY_EDITS = 32
"""An edit of more GGTT entries drops every cached translation rather than theirs alone."""
_OUTSIDE = FAULT_REASONS[FaultKind.PAGE_NOT_IN_MEMORY]


class AddressSpace(ABC):
    """What the GPU's engines address. Addresses are in bytes and wrap at the space's end.

    Every access raises PageFault where a page is absent or is not memory of the guest; bytes
    before the faulting page have then been written.
    """

    def __init__(self, memory: GuestMemory | None, address_bits: int, *, stale: bool) -> None:
        self.stale = stale
        """Walk the tables no more often than hardware has to: not for each blit either."""
        self.memory = memory if memory is not None else GuestMemory()
        self.mask = (1 << address_bits) - 1
        self.discarded_writes = 0
        """Writes dropped because their page is read-only."""
        self._generation = self.memory.generation
        self._edits = 0
        self._walks: dict[int, tuple[int, bool]] = {}
        self._pages: dict[int, memoryview] = {}

    @property
    def entries(self) -> memoryview | None:
        """The GGTT's entries as qwords; None for a PPGTT."""
        return None

    @property
    def root(self) -> int:
        """Guest physical address of the PML4; 0 for the GGTT."""
        return 0

    @property
    def cached(self) -> int:
        """How many translations are cached, `MOST_TRANSLATIONS` at most."""
        return len(self._walks)

    def attach(self, memory: GuestMemory) -> None:
        """Reach ``memory`` from now on. Nobody uses the space meanwhile."""
        self.memory = memory
        self.flush()

    def flush(self) -> None:
        """Forget every cached translation. Any thread may call it."""
        generation = self.memory.generation
        self._walks = {}
        self._pages = {}
        self._generation = generation  # last: until then nobody trusts what is cached

    def translate(self, address: int, *, write: bool) -> tuple[int, bool]:
        """(guest physical address, writable) of ``address``. Raises PageFault.

        ``write`` only names the access in the fault.
        """
        address &= self.mask
        if self.memory.generation != self._generation:
            self.flush()
        found = self._walks.get(address >> PAGE_SHIFT)
        if found is None:
            found = self._fill(address, write)
        return found[0] | (address & _OFFSET_MASK), found[1]

    def page(self, address: int) -> memoryview:
        """The live 4 KiB page that holds ``address``, as 1024 dwords, for reading only."""
        number = (address & self.mask) >> PAGE_SHIFT
        if self.memory.generation == self._generation:
            view = self._pages.get(number)
            if view is not None:
                return view
        return self._open(number << PAGE_SHIFT)

    def read_pages(self, address: int, count: int) -> bytes:
        """``count`` whole pages from ``address`` (a multiple of 4096) on."""
        first = (address & self.mask) >> PAGE_SHIFT
        if self.memory.generation == self._generation:
            with suppress(KeyError):  # one of them was not used before
                return b"".join([self._pages[n] for n in range(first, first + count)])
        return b"".join([self.page(address + n * PAGE_SIZE) for n in range(count)])

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes from ``address`` on."""
        if (address & _OFFSET_MASK) + length <= PAGE_SIZE:
            return self._read(address, length)
        pieces = []
        end = address + length
        while address < end:
            count = min(end - address, PAGE_SIZE - (address & _OFFSET_MASK))
            pieces.append(self._read(address, count))
            address += count
        return b"".join(pieces)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write ``data`` (bytes) from ``address`` on."""
        if (address & _OFFSET_MASK) + len(data) <= PAGE_SIZE:
            self._write(address, data)
            return
        source = memoryview(data)
        while source:
            count = min(len(source), PAGE_SIZE - (address & _OFFSET_MASK))
            self._write(address, source[:count])
            address += count
            source = source[count:]

    def read_u32(self, address: int) -> int:
        """The dword at ``address``; bits 1:0 are ignored."""
        dword: int = self.page(address)[(address & _OFFSET_MASK) >> 2]
        return dword

    def read_u64(self, address: int) -> int:
        """The qword at ``address``; bits 1:0 are ignored. Read at once if it is qword-aligned."""
        address &= ~3
        if address & 4:
            return int.from_bytes(self.read(address, 8), "little")
        physical, _writable = self.translate(address, write=False)
        try:
            return self.memory.read_u64(physical)
        except GuestAddressError:
            raise PageFault(address & self.mask, False, _OUTSIDE) from None

    def write_u32(self, address: int, value: int) -> None:
        """Write a dword (32 bits) at ``address``; bits 1:0 are ignored."""
        address &= ~3
        physical, writable = self.translate(address, write=True)
        if not writable:
            self.discarded_writes += 1
            return
        try:
            self.memory.write_u32(physical, value)
        except GuestAddressError:
            raise PageFault(address & self.mask, True, _OUTSIDE) from None

    def write_u64(self, address: int, value: int) -> None:
        """Write a qword (64 bits) at ``address``; at once if it is qword-aligned.

        Bits 1:0 of ``address`` are ignored.
        """
        address &= ~3
        if address & 4:
            self.write(address, value.to_bytes(8, "little"))
            return
        physical, writable = self.translate(address, write=True)
        if not writable:
            self.discarded_writes += 1
            return
        try:
            self.memory.write_u64(physical, value)
        except GuestAddressError:
            raise PageFault(address & self.mask, True, _OUTSIDE) from None

    def atomic(
        self, address: int, size: int, op_code: int, operand1: int, operand2: int
    ) -> tuple[int, int]:
        """MI_ATOMIC on ``size`` (4, 8 or 16) bytes at ``address``: (old value, new value).

        ``address`` is aligned down to ``size``. ``op_code`` must be one that
        `atomic.operation` knows (ValueError). Atomic against the guest's processors when the C
        hot path is there.
        """
        op = AtomicOp(op_code & OPERATION_MASK)
        address &= self.mask & -size
        physical, writable = self.translate(address, write=True)
        try:
            old = int.from_bytes(self.memory.read(physical, size), "little")
            while True:
                new = apply(op, size, old, operand1, operand2)
                if not writable:
                    self.discarded_writes += 1
                    return old, new
                found = hotpath.compare_exchange(self.memory, physical, size, old, new)
                if found == old:
                    return old, new
                old = found
        except GuestAddressError:
            raise PageFault(address, True, _OUTSIDE) from None

    def store_run(self, commands: memoryview, header: int, address: int) -> int:
        """Carry out the MI_STORE_DATA_IMM commands that stand first in ``commands``.

        Those of ``header`` that write the page of ``address``, in a row. Returns the number done;
        0 also where the page cannot be written: the command on its own says why.
        """
        page = address & self.mask & ~_OFFSET_MASK
        try:
            physical, writable = self.translate(page, write=True)
            if not writable:
                return 0
            return self.memory.change_page(
                physical,
                lambda target: hotpath.store_run(commands, header, self.mask, page, target),
            )
        except (PageFault, GuestAddressError):
            return 0

    @abstractmethod
    def _walk(self, address: int) -> tuple[int, bool]:
        """(guest physical address, writable) by the tables. Raises PageFault."""

    def _fill(self, address: int, write: bool) -> tuple[int, bool]:
        """Walk the tables for the page of ``address`` and cache what they say."""
        if len(self._walks) >= MOST_TRANSLATIONS:
            self.flush()
        walks = self._walks
        edits = self._edits
        number = address >> PAGE_SHIFT
        try:
            found = self._walk(address & ~_OFFSET_MASK)
        except PageFault as fault:
            raise PageFault(address, write, fault.reason) from None
        walks[number] = found
        if edits != self._edits:  # another thread edited the table meanwhile
            walks.pop(number, None)
        return found

    def _open(self, address: int) -> memoryview:
        edits = self._edits
        physical, _writable = self.translate(address, write=False)
        pages = self._pages
        number = address >> PAGE_SHIFT
        try:
            view = self.memory.page_u32(physical)
        except GuestAddressError:
            raise PageFault(address, False, _OUTSIDE) from None
        pages[number] = view
        if edits != self._edits:
            pages.pop(number, None)
        return view

    def _read(self, address: int, length: int) -> bytes:
        if not length:
            return b""
        physical, _writable = self.translate(address, write=False)
        try:
            return self.memory.read(physical, length)
        except GuestAddressError:
            raise PageFault(address & self.mask, False, _OUTSIDE) from None

    def _write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        if not data:
            return
        physical, writable = self.translate(address, write=True)
        if not writable:
            self.discarded_writes += 1
            return
        try:
            self.memory.write(physical, data)
        except GuestAddressError:
            raise PageFault(address & self.mask, True, _OUTSIDE) from None


class Ggtt(AddressSpace):
    """The global GTT: 32-bit addresses, one table on the device that the guest writes by BAR0."""

    def __init__(
        self, memory: GuestMemory | None, size_bytes: int = 1 << 32, *, stale: bool = False
    ) -> None:
        super().__init__(memory, GGTT_ADDRESS_BITS, stale=stale)
        self.table_bytes = (size_bytes >> PAGE_SHIFT) * ENTRY_SIZE
        # Anonymous pages rather than an array: memory only where the guest has written.
        self._bytes = memoryview(mmap.mmap(-1, self.table_bytes))
        self._entries = self._bytes.cast("Q")
        self._written = memoryview(mmap.mmap(-1, self.table_bytes)) if stale else self._bytes
        """What was written, of which `_entries` shows what was published."""
        self._unpublished: list[slice[int, int, None]] = []
        """Bytes of the table."""
        self._editing = threading.Lock()

    @property
    def entries(self) -> memoryview:
        """The table as qwords, one for each page; change it by `write_entry` only."""
        return self._entries

    def entry(self, index: int) -> int:
        """Entry of page ``index``. Raises IndexError past the table."""
        value: int = self._entries[index]
        return value

    def read_entry(self, offset: int, count: int) -> bytes:
        """``count`` bytes at byte ``offset`` of the table as written; zero past its end."""
        found = bytes(self._written[offset : offset + count])
        return found.ljust(count, b"\0")

    def write_entry(self, offset: int, data: bytes | memoryview) -> None:
        """Write ``data`` (bytes) at byte ``offset`` of the table, of any size and alignment.

        The new translation holds at once, or in a stale table once it is published; what lies
        past the table's end is dropped.
        """
        data = data[: max(0, self.table_bytes - offset)]
        first = offset // ENTRY_SIZE
        last = (offset + len(data) - 1) // ENTRY_SIZE
        with self._editing:
            if self.stale:
                self._written[offset : offset + len(data)] = data
                self._unpublished.append(slice(offset, offset + len(data)))
                return
            if len(data) == ENTRY_SIZE and not offset % ENTRY_SIZE:
                self._entries[first] = int.from_bytes(data, "little")
            else:
                self._bytes[offset : offset + len(data)] = data
            self._edits += 1
            if last - first > _MANY_EDITS:
                self.flush()
                return
            for number in range(first, last + 1):
                self._walks.pop(number, None)
                self._pages.pop(number, None)

    def publish(self) -> None:
        """Entries written before this are in force after it, and no older ones."""
        with self._editing:
            for part in self._unpublished:
                self._bytes[part] = self._written[part]
            self._unpublished = []
            self._edits += 1
            self.flush()

    def clear(self) -> None:
        """Make every entry absent: what a device reset leaves."""
        with self._editing:
            # A new table, not an emptied one: an engine may be walking the old one.
            self._bytes = memoryview(mmap.mmap(-1, self.table_bytes))
            self._entries = self._bytes.cast("Q")
            self._written = (
                memoryview(mmap.mmap(-1, self.table_bytes)) if self.stale else self._bytes
            )
            self._unpublished = []
            self._edits += 1
            self.flush()

    def _walk(self, address: int) -> tuple[int, bool]:
        return walk_ggtt(self._entries, address)


class Ppgtt(AddressSpace):
    """A context's 48-bit space, four levels of tables in guest memory; pages of 4K to 1G."""

    def __init__(self, memory: GuestMemory | None, *, stale: bool = False) -> None:
        super().__init__(memory, PPGTT_ADDRESS_BITS, stale=stale)
        self._root = 0
        self._upper: UpperLevels = {}

    @property
    def root(self) -> int:
        """Guest physical address of the PML4, as the context image has it."""
        return self._root

    def load(self, pml4_address: int) -> None:
        """Use the tables under ``pml4_address`` (guest physical) from now on."""
        self._root = pml4_address
        self.flush()

    def flush(self) -> None:
        """Forget every cached translation, of all levels. Any thread may call it."""
        self._upper = {}
        super().flush()

    def _walk(self, address: int) -> tuple[int, bool]:
        return walk_ppgtt(self.memory, self._root, address, self._upper if self.stale else None)
