"""Guest memory and GPU pages that are all edges, drawn for the properties of the hot path.

Two ranges of RAM follow each other without a gap and are two files; behind them ranges that can
only be read, only be written, neither, and nothing at all. GPU pages name them so that runs form
and break: the next page, the same again, one at a range's edge; rights that change while the
addresses go on.
"""

from __future__ import annotations

import mmap
import os
from array import array
from dataclasses import dataclass, field

from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.hotpath.interface import PageFault
from mmio_trap.guest_memory import GuestMemory

PAGE = 4096
RAM = 0x40_0000
TABLES = 0x10_0000
TABLE_PAGES = 12
PRESENT, WRITABLE, IPS, BEYOND = 1, 2, 1 << 11, 1 << 39
SPACE_PAGES = 16
MIDDLE, TOP = 504, (1 << 36) - 8
"""The first GPU page: eight before the end of a page table, or of 48 bits."""

# Pages from RAM on: (how many, readable, writable); a file each.
RANGES = ((16, True, True), (16, True, True), (2, True, False), (2, False, True), (2, False, False))
ALL_PAGES = sum(pages for pages, _, _ in RANGES)
_EDGES = (0, 1, 14, 15, 16, 17, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38)


@dataclass
class Ram:
    """The ranges, mapped; use `close`."""

    memory: GuestMemory = field(default_factory=GuestMemory)

    def __post_init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self.tables = self._add(TABLES, TABLE_PAGES, True, True)
        at = RAM
        self.parts = []
        for pages, readable, writable in RANGES:
            self.parts.append(self._add(at, pages, readable, writable))
            at += pages * PAGE
        self.fill()

    def _add(self, address: int, pages: int, readable: bool, writable: bool) -> mmap.mmap:
        fd = os.memfd_create("edges")
        os.ftruncate(fd, pages * PAGE)
        self.memory.map(address, pages * PAGE, fd, 0, readable, writable)
        made = mmap.mmap(fd, pages * PAGE)
        os.close(fd)
        self._maps.append(made)
        return made

    def fill(self) -> None:
        """The same noise as ever in all pages."""
        for part, noise in zip(self.parts, _NOISE, strict=True):
            part[:] = noise

    def content(self) -> list[bytes]:
        """What is in all pages, also in those that nobody may reach."""
        return [part[:] for part in self.parts]

    def close(self) -> None:
        """Let go of everything."""
        self.memory.close()
        for made in self._maps:
            made.close()


def _noise(pages: int, seed: int) -> bytes:
    # Each byte another than its neighbours and than those a page, a row or a line further.
    values = array("I", [0])
    for number in range(1, pages * PAGE // 4):
        values.append((values[-1] * 1_664_525 + 1_013_904_223 + seed + number) & 0xFFFF_FFFF)
    return values.tobytes()


_NOISE = [_noise(pages, seed) for seed, (pages, _, _) in enumerate(RANGES)]


@dataclass
class PlainSpace:
    """A `Space` without a cache: what the twins walk, as it is."""

    memory: GuestMemory
    mask: int
    entries: memoryview | None = None
    root: int = 0
    stale: bool = False

    def translate(self, address: int, *, write: bool) -> tuple[int, bool]:
        """A fresh walk in Python."""
        try:
            return reference.translate(self, address)
        except PageFault as fault:
            raise PageFault(fault.address, write, fault.reason) from None


@dataclass(frozen=True)
class Pages:
    """What the GPU's pages are: `SPACE_PAGES` entries from page ``first`` on."""

    entries: tuple[int, ...]
    kind: str
    """"ggtt", "ppgtt", or "64k": of the PPGTT, each table of pages of 64 KiB."""
    first: int
    parent_flags: int = PRESENT | WRITABLE
    second_flags: int = PRESENT | WRITABLE
    """Of the entries that name the page tables: the first's, and those after it."""

    @property
    def base(self) -> int:
        """GPU address of the first page."""
        return self.first * PAGE

    @property
    def mask(self) -> int:
        """Bits of an address that count."""
        return 2 * SPACE_PAGES * PAGE - 1 if self.kind == "ggtt" else (1 << 48) - 1

    def space(self, ram: Ram) -> PlainSpace:
        """The space, its tables written into ``ram``."""
        if self.kind == "ggtt":
            return self._ggtt(ram)
        ram.tables[:] = bytes(TABLE_PAGES * PAGE)
        made: dict[tuple[int, ...], int] = {(): TABLES}
        for number, entry in enumerate(self.entries):
            page = (self.first + number) % (1 << 36)
            path = tuple(page >> shift & 511 for shift in (27, 18, 9))
            for depth in range(3):
                key = path[: depth + 1]
                if key not in made:
                    made[key] = TABLES + len(made) * PAGE
                    flags = PRESENT | WRITABLE
                    if depth == 2:
                        flags = self.second_flags if page & 511 == 0 else self.parent_flags
                        flags |= IPS if self.kind == "64k" else 0
                    self._store(ram, made[path[:depth]] + 8 * path[depth], made[key] | flags)
            self._store(ram, made[path] + 8 * (page & 511), entry)
            if self.kind == "64k" and number in (0, 8):
                self._store(ram, made[path] + 8 * (page & 511 & -16), entry)
        return PlainSpace(ram.memory, self.mask, root=TABLES)

    def _ggtt(self, ram: Ram) -> PlainSpace:
        """Of as many entries as there are; good ones follow that are not the table's."""
        entries = array("Q", self.entries + (RAM | PRESENT,) * 8)
        table = memoryview(entries)[:SPACE_PAGES]
        return PlainSpace(ram.memory, self.mask, table)

    @staticmethod
    def _store(ram: Ram, address: int, entry: int) -> None:
        at = address - TABLES
        ram.tables[at : at + 8] = entry.to_bytes(8, "little")


@st.composite
def pages(draw: st.DrawFn) -> Pages:
    """GPU pages in runs that join and break."""
    kind = draw(st.sampled_from(["ppgtt", "ppgtt", "ppgtt", "ggtt", "64k"]))
    entries: list[int] = []
    frame = draw(st.sampled_from([0, 6, 8, 12, *_EDGES]))
    usual = draw(st.sampled_from([PRESENT | WRITABLE] * 5 + [PRESENT]))
    places = st.integers(0, SPACE_PAGES - 1)
    direction = draw(st.sampled_from([1, 1, 1, 1, 1, -1]))
    breaks = draw(st.dictionaries(places, st.sampled_from("sseewwaob"), max_size=3))
    for number in range(SPACE_PAGES):
        flags = usual
        match breaks.get(number):
            case "s":  # the same page again
                frame -= 1
            case "e":  # a range's edge
                frame = draw(st.sampled_from(_EDGES))
            case "w":  # goes on with other rights
                flags ^= WRITABLE
            case "a":
                flags = 0
            case "o":  # goes on in other rights for good
                usual ^= WRITABLE
                flags = usual
            case "b":
                flags |= BEYOND
            case _:
                pass
        entries.append(RAM + frame * PAGE | flags)
        frame = (frame + direction) % (ALL_PAGES + 2)
    whole = PRESENT | WRITABLE
    parent = draw(st.sampled_from([whole] * 7 + [PRESENT]))
    second = draw(st.sampled_from([parent] * 4 + [whole, PRESENT, 0, PRESENT | BEYOND]))
    first = 0 if kind == "ggtt" else draw(st.sampled_from([MIDDLE, TOP]))
    return Pages(tuple(entries), kind, first, parent, second)
