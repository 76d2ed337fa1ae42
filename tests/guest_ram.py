"""Guest RAM and page tables for tests: one memfd behind a GuestMemory, filled by hand."""

from __future__ import annotations

import os

from mediator.softgpu.address_space import Ggtt, Ppgtt
from mmio_trap.guest_memory import GuestMemory

PAGE = 4096
PRESENT = 1
WRITABLE = 2


class GuestRam:
    """``pages`` pages of RAM at guest physical ``start``; pages are handed out in order."""

    def __init__(self, pages: int, start: int = 0x10_0000) -> None:
        self.start = start
        self.size = pages * PAGE
        self.memory = GuestMemory()
        fd = os.memfd_create("guest-ram")
        os.ftruncate(fd, self.size)
        self.memory.map(start, self.size, fd, 0, True, True)
        os.close(fd)
        self._next = start

    def page(self) -> int:
        """Guest physical address of a page nobody uses."""
        taken = self._next
        self._next += PAGE
        assert self._next <= self.start + self.size, "the test's RAM is used up"
        return taken

    def content(self) -> bytes:
        """All of the RAM."""
        return self.memory.read(self.start, self.size)

    def fill(self, content: bytes) -> None:
        """Replace all of the RAM."""
        self.memory.write(self.start, content)

    def ggtt(self, pages: dict[int, int]) -> Ggtt:
        """A GGTT in which page number -> guest physical address."""
        ggtt = Ggtt(self.memory)
        for number, physical in pages.items():
            ggtt.write_entry(8 * number, (physical | PRESENT).to_bytes(8, "little"))
        return ggtt


class Tables:
    """A PPGTT's tables in ``ram``, built one entry at a time."""

    def __init__(self, ram: GuestRam) -> None:
        self.ram = ram
        self.root = ram.page()
        self._tables: dict[tuple[int, ...], int] = {(): self.root}

    def put(self, address: int, entry: int, level: int = 3, flags: int = PRESENT | WRITABLE) -> int:
        """Set the raw ``entry`` for ``address`` at ``level`` (0 PML4 .. 3 PT); where it lies.

        Tables above that are missing are made with ``flags``.
        """
        indexes = tuple((address >> shift) & 511 for shift in (39, 30, 21, 12))
        for depth in range(level):
            path = indexes[: depth + 1]
            if path not in self._tables:
                table = self.ram.page()
                self._tables[path] = table
                at = self._tables[path[:-1]] + 8 * path[-1]
                self.ram.memory.write_u64(at, table | flags)
        at = self._tables[indexes[:level]] + 8 * indexes[level]
        self.ram.memory.write_u64(at, entry)
        return at

    def map(self, address: int, physical: int, flags: int = PRESENT | WRITABLE) -> int:
        """Map one 4 KiB page; guest physical address of its entry."""
        return self.put(address, physical | flags)

    def space(self) -> Ppgtt:
        """A PPGTT that uses the tables."""
        ppgtt = Ppgtt(self.ram.memory)
        ppgtt.load(self.root)
        return ppgtt
