"""A small driver for a Gen9 GPU behind register accesses: GGTT, page tables, contexts, requests.

Does what i915 does, in its simplest form, through any pair of BAR0 accessors and a stretch of
guest RAM: tests use it on a `SoftGpu` in the same process or over a vfio-user socket.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

PAGE = 4096
GSM = 8 << 20
ENGINE_BASES = {"rcs0": 0x2000, "bcs0": 0x22000, "vcs0": 0x12000, "vecs0": 0x1A000}
PRESENT_RW = 3
RING_PAGES = 4
SEQNO_OFFSET = 0x100
"""Bytes into the status page at which requests write their sequence number."""

MI_NOOP = 0
MI_USER_INTERRUPT = 0x02 << 23
MI_ARB_CHECK = 0x05 << 23
MI_ARB_ON = 0x08 << 23 | 1
MI_ARB_OFF = 0x08 << 23
MI_BATCH_BUFFER_END = 0x0A << 23
MI_BATCH_BUFFER_START_PPGTT = 0x31 << 23 | 1 << 8 | 1
MI_STORE_DATA_IMM = 0x20 << 23 | 2
MI_STORE_DATA_IMM_GGTT = 0x20 << 23 | 1 << 22 | 2
MI_FLUSH_DW_POST_SYNC = 0x26 << 23 | 1 << 14 | 2
MI_SEMAPHORE_WAIT_GGTT_POLL_EQ = 0x1C << 23 | 1 << 22 | 1 << 15 | 4 << 12 | 2


class Ram:
    """Guest RAM as the driver uses it: a page allocator over a writable buffer."""

    def __init__(self, buffer: memoryview, base: int = 0) -> None:
        self.buffer = buffer
        self.base = base
        self._next = PAGE

    def allocate(self, pages: int = 1) -> int:
        """Guest physical address of ``pages`` zeroed pages in a row."""
        at = self._next
        self._next += pages * PAGE
        assert self._next <= len(self.buffer), "out of guest RAM"
        self.buffer[at : at + pages * PAGE] = bytes(pages * PAGE)
        return self.base + at

    def write(self, address: int, data: bytes) -> None:
        at = address - self.base
        self.buffer[at : at + len(data)] = data

    def read(self, address: int, count: int) -> bytes:
        at = address - self.base
        return bytes(self.buffer[at : at + count])

    def read_u32(self, address: int) -> int:
        return int(struct.unpack("<I", self.read(address, 4))[0])

    def write_u32(self, address: int, *values: int) -> None:
        self.write(address, struct.pack(f"<{len(values)}I", *values))

    def read_u64(self, address: int) -> int:
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def write_u64(self, address: int, value: int) -> None:
        self.write(address, struct.pack("<Q", value))


class PageTables:
    """A 48-bit PPGTT in guest RAM."""

    def __init__(self, ram: Ram) -> None:
        self.ram = ram
        self.root = ram.allocate()

    def slot(self, address: int) -> int:
        """Guest address of the entry that maps GPU ``address``; tables are made as needed."""
        table = self.root
        for shift in (39, 30, 21):
            entry = table + 8 * (address >> shift & 0x1FF)
            value = self.ram.read_u64(entry)
            if not value & 1:
                value = self.ram.allocate() | PRESENT_RW
                self.ram.write_u64(entry, value)
            table = value & ~0xFFF
        return table + 8 * (address >> 12 & 0x1FF)

    def map(self, address: int, physical: int, pages: int = 1, flags: int = PRESENT_RW) -> None:
        for page in range(pages):
            slot = self.slot(address + page * PAGE)
            self.ram.write_u64(slot, physical + page * PAGE | flags)


@dataclass
class Context:
    """A logical ring context with its ring and page tables."""

    engine: str
    identity: int
    lrca: int
    image: int
    """Guest address of the register state page."""
    ring: int
    """Guest address of the ring."""
    tables: PageTables
    tail: int = 0

    @property
    def descriptor(self) -> int:
        valid_legacy_64b = 1 | 3 << 3 | 1 << 8
        return self.identity << 37 | self.lrca | valid_legacy_64b


@dataclass
class GpuDriver:
    """Drives one GPU. ``write`` and ``read`` access BAR0; ``ram`` is memory the GPU can reach."""

    write: Callable[[int, bytes], None]
    read: Callable[[int, int], bytes]
    ram: Ram
    status_pages: dict[str, int] = field(default_factory=dict)
    _next_ggtt: int = 0x100000
    _next_identity: int = 1

    def write32(self, offset: int, value: int) -> None:
        self.write(offset, struct.pack("<I", value))

    def read32(self, offset: int) -> int:
        return int(struct.unpack("<I", self.read(offset, 4))[0])

    def ggtt_map(self, physical: int, pages: int = 1) -> int:
        """Bind guest pages into the GGTT; returns their GPU address."""
        address = self._next_ggtt
        self._next_ggtt += pages * PAGE
        for page in range(pages):
            entry = struct.pack("<Q", physical + page * PAGE | 1)
            self.write(GSM + 8 * ((address >> 12) + page), entry)
        self.write32(0x101008, 1)
        return address

    def initialise(self) -> None:
        """Status pages, execution list mode and interrupts of every engine."""
        for name, base in ENGINE_BASES.items():
            page = self.ram.allocate()
            self.status_pages[name] = page
            self.write32(base + 0x80, self.ggtt_map(page))
            self.write32(base + 0x29C, 1 << 31 | 1 << 15)
            self.write32(base + 0xA8, 0)
            self.write32(base + 0xB4, 0)
        for bank in (0x44300, 0x44310, 0x44330):
            self.write32(bank + 4, 0)
            self.write32(bank + 0xC, 0xFFFFFFFF)
        self.write32(0x44200, 1 << 31)

    def create_context(self, engine: str, tables: PageTables | None = None) -> Context:
        """A context whose first run inhibits the restore of engine state, as i915 makes them."""
        pages = 22 if engine == "rcs0" else 2
        physical = self.ram.allocate(pages)
        ring = self.ram.allocate(RING_PAGES)
        context = Context(
            engine,
            self._next_identity,
            self.ggtt_map(physical, pages),
            physical + PAGE,
            ring,
            tables or PageTables(self.ram),
        )
        self._next_identity += 1
        state = {
            0x03: 0x00090009,
            0x05: 0,
            0x07: 0,
            0x09: self.ggtt_map(ring, RING_PAGES),
            0x0B: (RING_PAGES - 1) << 12 | 1,
            0x31: context.tables.root >> 32,
            0x33: context.tables.root & 0xFFFFFFFF,
        }
        for index, value in state.items():
            self.ram.write_u32(context.image + 4 * index, value)
        return context

    def emit(self, context: Context, dwords: Sequence[int]) -> None:
        """Append commands to the ring (padded to a qword) and move the tail in the image."""
        padded = [*dwords, MI_NOOP] if len(dwords) % 2 else list(dwords)
        for dword in padded:
            self.ram.write_u32(context.ring + context.tail, dword)
            context.tail = (context.tail + 4) % (RING_PAGES * PAGE)
        self.ram.write_u32(context.image + 4 * 0x07, context.tail)

    def submit(self, first: Context, second: Context | None = None) -> None:
        """Write the execution list submission port."""
        port = ENGINE_BASES[first.engine] + 0x230
        low, high = (second.descriptor if second else 0), first.descriptor
        for value in (low >> 32, low & 0xFFFFFFFF, high >> 32, high & 0xFFFFFFFF):
            self.write32(port, value)

    def breadcrumb(self, engine: str, value: int) -> list[int]:
        """Commands that write ``value`` to the engine's status page and interrupt."""
        base = ENGINE_BASES[engine]
        address = self.read32(base + 0x80) + SEQNO_OFFSET
        return [MI_STORE_DATA_IMM_GGTT, address, 0, value, MI_USER_INTERRUPT, MI_NOOP]

    def seqno(self, engine: str) -> int:
        return self.ram.read_u32(self.status_pages[engine] + SEQNO_OFFSET)

    def events(self, engine: str, since: int = 5) -> list[tuple[int, int]]:
        """Status buffer entries after entry ``since``, oldest first."""
        page = self.status_pages[engine]
        pointer = self.ram.read_u32(page + 0x7C)
        found = []
        while since != pointer:
            since = (since + 1) % 6
            at = page + 0x40 + 8 * since
            found.append((self.ram.read_u32(at), self.ram.read_u32(at + 4)))
        return found
