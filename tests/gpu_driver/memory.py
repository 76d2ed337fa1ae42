"""A driver's memory: guest RAM, the GGTT's address ranges, a context's page tables."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

PAGE = 4096
PAGE_64K = 1 << 16
PRESENT_RW = 3
IPS_64K = 1 << 11
PAGE_SIZE = 1 << 7
"""PS of a page directory (2 MiB) or page directory pointer (1 GiB) entry."""
LOWEST = 1 << 20
"""Below, the driver binds nothing: an address of 0 is always a mistake."""
APERTURE = 256 << 20
GGTT_END = 1 << 31
"""What a vGPU shows at most; a native GPU has more, which nobody here needs."""


class Ram:
    """Guest RAM as the driver uses it: a page allocator over a writable buffer."""

    def __init__(self, buffer: memoryview, base: int = 0) -> None:
        self.buffer = buffer
        self.base = base
        self._next = PAGE

    def allocate(self, pages: int = 1, align: int = PAGE) -> int:
        """Guest physical address of ``pages`` zeroed pages in a row, at a multiple of ``align``."""
        at = -(-(self.base + self._next) // align) * align - self.base
        self._next = at + pages * PAGE
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


@dataclass
class GgttParts:
    """GGTT addresses that the driver may use, low part (the aperture) and high part."""

    low: range = range(LOWEST, APERTURE)
    high: range = range(APERTURE, GGTT_END)
    _used: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})

    def take(self, pages: int, *, high: bool = False) -> int:
        """Address of ``pages`` pages in a row that nobody uses."""
        part = self.high if high else self.low
        address = part.start + self._used[high]
        self._used[high] += pages * PAGE
        assert address + pages * PAGE <= part.stop, "out of GGTT"
        return address

    def owns(self, address: int) -> bool:
        return address in self.low or address in self.high


class PageTables:
    """A 48-bit PPGTT in guest RAM."""

    def __init__(self, ram: Ram) -> None:
        self.ram = ram
        self.root = ram.allocate()

    def slot(self, address: int, level: int = 3) -> int:
        """Guest address of the entry for GPU ``address``: level 0 PML4, 1 PDP, 2 PD, 3 PT.

        Tables above it are made as needed.
        """
        table = self.root
        for shift in (39, 30, 21)[:level]:
            entry = table + 8 * (address >> shift & 0x1FF)
            value = self.ram.read_u64(entry)
            if not value & 1:
                value = self.ram.allocate() | PRESENT_RW
                self.ram.write_u64(entry, value)
            table = value & ~0xFFF
        return table + 8 * (address >> (39, 30, 21, 12)[level] & 0x1FF)

    def map(self, address: int, physical: int, pages: int = 1, flags: int = PRESENT_RW) -> None:
        """Map ``pages`` pages of 4 KiB."""
        for page in range(pages):
            slot = self.slot(address + page * PAGE)
            self.ram.write_u64(slot, physical + page * PAGE | flags)

    def map_64k(self, address: int, physical: int, count: int = 1) -> None:
        """Map ``count`` pages of 64 KiB; the 2 MiB around are described in that size alone."""
        for page in range(count):
            at = address + page * PAGE_64K
            slot = self.slot(at)
            directory = self.slot(at, 2)
            self.ram.write_u64(directory, self.ram.read_u64(directory) | IPS_64K)
            self.ram.write_u64(slot, physical + page * PAGE_64K | PRESENT_RW)

    def place(self, address: int, dwords: Sequence[int]) -> int:
        """Map a new page that begins with ``dwords``; its guest physical address."""
        pages = max(1, -(-4 * len(dwords) // PAGE))
        physical = self.ram.allocate(pages)
        self.ram.write_u32(physical, *dwords)
        self.map(address, physical, pages)
        return physical
