"""The virtual GGTT: a guest's entries as it wrote them, and what the hardware gets for them.

A guest sees 2 GiB of GGTT, of which its part is its own: two slices of a ballooned GGTT, or all of
a private one. An entry of the part that points into the guest's memory goes to the hardware
translated; any other goes there as "not present". Guest addresses are hardware addresses.
Source: PRM SKL vol 5 "Memory Views", GGTT page table entry; facts in `gen9/pte.py`.

Offsets are bytes into the guest's GGTT entries (BAR0 from 8 MiB on), addresses are GGTT addresses
in bytes. Not locked: callers hold the vGPU's lock. Those of `read` and `write` are inside
``memory.using()`` as well, or are the thread that changes the memory map.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mediator.errors import Reason
from mediator.gen9.pte import ADDRESS, ADDRESS_BEYOND, ENTRY_SIZE, PAGE_SHIFT, PAGE_SIZE, PRESENT
from mediator.physical.partition import GUEST_GGTT_SIZE
from mmio_trap.guest_memory import GuestAddressError, GuestMemory

CHUNK_ENTRIES = 512
"""Entries that are kept, saved and switched together: 2 MiB of GGTT."""
CHUNK_SIZE = CHUNK_ENTRIES * ENTRY_SIZE
ENTRIES_SIZE = GUEST_GGTT_SIZE // PAGE_SIZE * ENTRY_SIZE
"""Bytes of entries that a guest has. What lies beyond reads 0 and ignores writes."""

_ADDRESS_MASK = ADDRESS.mask | ADDRESS_BEYOND.mask
_OFFSET_MASK = PAGE_SIZE - 1
_EMPTY_CHUNK = bytes(CHUNK_SIZE)


class GgttFault(LookupError):
    """No memory of this guest stands behind a GGTT address."""

    def __init__(self, address: int) -> None:
        super().__init__(f"GGTT address {address:#x} has no memory of the guest behind it")
        self.address = address


@dataclass
class GgttState:
    """What a virtual GGTT must remember. Plain data."""

    chunks: dict[int, bytes] = field(default_factory=dict)
    """Guest entries by chunk number, 4096 bytes each; chunks never written are left out."""


class VirtualGgtt:
    """The GGTT of one vGPU, whose own are the addresses in ``part``.

    ``translate`` gives the address at which the GPU finds a guest physical page, None for one it
    never can. ``install`` is told the number of a page and the hardware entries from there on,
    after each write of the guest. ``reject`` hears of entries that were not taken, and how many.
    """

    def __init__(
        self,
        part: tuple[range, ...],
        memory: GuestMemory,
        translate: Callable[[int], int | None],
        install: Callable[[int, bytes], None],
        reject: Callable[[Reason, str, int], None],
    ) -> None:
        self._part = _join(part)
        self._pages = tuple(
            range(own.start >> PAGE_SHIFT, own.stop >> PAGE_SHIFT) for own in self._part
        )
        self._memory = memory
        self._translate = translate
        self._install = install
        self._reject = reject
        # Two sparse arrays of qwords: a page of them takes memory once an entry is written.
        self._guest = mmap.mmap(-1, ENTRIES_SIZE)
        self._entries = memoryview(self._guest).cast("Q")
        self._shadow = mmap.mmap(-1, ENTRIES_SIZE)
        self._hardware = memoryview(self._shadow).cast("Q")
        self._touched: set[int] = set()

    @property
    def touched(self) -> frozenset[int]:
        """Numbers of the chunks that the guest has written."""
        return frozenset(self._touched)

    # The guest's side: the entries in BAR0

    def read_entry(self, offset: int, count: int) -> bytes:
        """``count`` bytes of entries, any alignment: as written; 0 outside the part."""
        return self._guest[offset : offset + count].ljust(count, b"\0")

    def write_entry(self, offset: int, data: bytes) -> None:
        """Write entries or pieces of them, any size and alignment."""
        count = min(len(data), ENTRIES_SIZE - offset)
        if count <= 0:
            return
        if (offset | count) % ENTRY_SIZE == 0:
            whole = bytearray(data[:count])
        else:
            first, end = offset & -ENTRY_SIZE, (offset + count + ENTRY_SIZE - 1) & -ENTRY_SIZE
            whole = bytearray(self._guest[first:end])
            whole[offset - first : offset - first + count] = data[:count]
        self._write_entries(offset // ENTRY_SIZE, memoryview(whole).cast("Q"))

    def _write_entries(self, page: int, entries: memoryview) -> None:
        """Write entries from that of ``page`` on: those of the part, and count the others."""
        taken = 0
        for own in self._pages:
            first = max(page, own.start)
            inside = entries[first - page : max(own.stop - page, 0)]
            if inside:
                taken += sum(map(PRESENT.__and__, inside))
                self._write_own(first, inside)
        refused = sum(map(PRESENT.__and__, entries)) - taken
        if refused:
            text = f"{_named(page, len(entries))}: not the vGPU's"
            self._reject(Reason.GGTT_ENTRY, text, refused)

    def _write_own(self, page: int, entries: memoryview) -> None:
        """Write entries of the part."""
        end = page + len(entries)
        translated = self._translated(page, entries)
        self._entries[page:end] = entries
        self._hardware[page:end] = memoryview(translated)
        self._touched.update(range(page // CHUNK_ENTRIES, (end - 1) // CHUNK_ENTRIES + 1))
        self._install(page, translated.tobytes())

    def _translated(self, page: int, entries: Sequence[int] | memoryview) -> array[int]:
        """The hardware's entries for the guest's."""
        translate, refused, made = self._translate, 0, array("Q")
        for entry in entries:
            if not entry & PRESENT:
                made.append(0)
                continue
            found = translate(entry & _ADDRESS_MASK)
            if found is None:
                refused += 1
                made.append(0)
            else:
                made.append(found | PRESENT)
        if refused:
            text = f"{_named(page, len(made))}: points at no memory"
            self._reject(Reason.GGTT_ENTRY, text, refused)
        return made

    # The mediator's side

    def owns(self, address: int, length: int) -> bool:
        """Whether the vGPU's part holds all ``length`` bytes from ``address`` on."""
        return any(own.start <= address and address + length <= own.stop for own in self._part)

    def physical(self, address: int) -> int | None:
        """Guest physical address behind ``address``; None without a present entry of the part."""
        page = address >> PAGE_SHIFT
        if not any(page in own for own in self._pages):
            return None
        entry = self._entries[page]
        return entry & _ADDRESS_MASK | address & _OFFSET_MASK if entry & PRESENT else None

    def hardware_chunk(self, n: int) -> bytes:
        """The 512 entries that the hardware should have for chunk ``n``."""
        return self._shadow[n * CHUNK_SIZE : (n + 1) * CHUNK_SIZE]

    def hardware_entries(self, page: int, count: int) -> bytes:
        """The entries that the hardware should have for ``count`` pages from ``page`` on."""
        return self._shadow[page * ENTRY_SIZE : (page + count) * ENTRY_SIZE]

    def guest_entries(self, page: int, count: int) -> bytes:
        """The entries of ``count`` pages from ``page`` on, as the guest wrote them."""
        return self._guest[page * ENTRY_SIZE : (page + count) * ENTRY_SIZE]

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes of GGTT space. Raises GgttFault."""
        if (address & _OFFSET_MASK) + length <= PAGE_SIZE:
            return self._read(address, length)
        return b"".join(self._read(*piece) for piece in _pieces(address, length))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write ``data``. Raises GgttFault; what lies before the faulting page is written then."""
        source = memoryview(data)
        at = 0
        for start, count in _pieces(address, len(source)):
            try:
                self._memory.write(self._find(start), source[at : at + count])
            except GuestAddressError:
                raise GgttFault(start) from None
            at += count

    def read_u32(self, address: int) -> int:
        """The dword at ``address``; bits 1:0 are ignored. Raises GgttFault."""
        try:
            return self._memory.read_u32(self._find(address & ~3))
        except GuestAddressError:
            raise GgttFault(address) from None

    def write_u32(self, address: int, value: int) -> None:
        """Write a dword at once; bits 1:0 of ``address`` are ignored. Raises GgttFault."""
        try:
            self._memory.write_u32(self._find(address & ~3), value)
        except GuestAddressError:
            raise GgttFault(address) from None

    def _read(self, address: int, count: int) -> bytes:
        try:
            return self._memory.read(self._find(address), count)
        except GuestAddressError:
            raise GgttFault(address) from None

    def _find(self, address: int) -> int:
        found = self.physical(address)
        if found is None:
            raise GgttFault(address)
        return found

    # Life

    def close(self) -> None:
        """Give its memory back. It is not used any more."""
        for view, memory in ((self._entries, self._guest), (self._hardware, self._shadow)):
            view.release()
            memory.close()

    def clear(self) -> None:
        """Forget every entry, those for the hardware too. Installs nothing."""
        for n in self._touched:
            self._guest[n * CHUNK_SIZE : (n + 1) * CHUNK_SIZE] = _EMPTY_CHUNK
            self._shadow[n * CHUNK_SIZE : (n + 1) * CHUNK_SIZE] = _EMPTY_CHUNK
        self._touched.clear()

    def state(self) -> GgttState:
        """What must be saved."""
        return GgttState(
            {n: self._guest[n * CHUNK_SIZE : (n + 1) * CHUNK_SIZE] for n in sorted(self._touched)}
        )

    def load(self, state: GgttState) -> None:
        """Take over what `state` gave; entries outside the part are left out.

        Installs nothing: what the hardware should have stands in `hardware_chunk`. Raises
        ValueError for chunks that a GGTT does not have.
        """
        for n, chunk in state.chunks.items():
            if not 0 <= n < ENTRIES_SIZE // CHUNK_SIZE or len(chunk) != CHUNK_SIZE:
                raise ValueError(f"chunk {n} of {len(chunk)} bytes is not one of a GGTT")
        self.clear()
        for n, chunk in state.chunks.items():
            self._touched.add(n)
            entries, first = memoryview(chunk).cast("Q"), n * CHUNK_ENTRIES
            for own in self._pages:
                page = max(first, own.start)
                inside = entries[page - first : max(own.stop - first, 0)]
                if inside:
                    self._entries[page : page + len(inside)] = inside
                    translated = self._translated(page, inside)
                    self._hardware[page : page + len(inside)] = memoryview(translated)


def _named(page: int, count: int) -> str:
    return (
        f"entry of page {page:#x}" if count == 1 else f"of {count} entries from page {page:#x} on"
    )


def _join(part: Iterable[range]) -> tuple[range, ...]:
    """The ranges in order, those that touch made one."""
    joined: list[range] = []
    for own in sorted((own for own in part if own), key=lambda own: own.start):
        if joined and own.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, own.stop))
        else:
            joined.append(own)
    return tuple(joined)


def _pieces(address: int, length: int) -> Iterator[tuple[int, int]]:
    """An access cut at page boundaries: address and length of each piece."""
    end = address + length
    while True:
        count = min(end - address, PAGE_SIZE - (address & _OFFSET_MASK))
        yield address, count
        address += count
        if address >= end:
            return
