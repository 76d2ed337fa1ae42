"""Page-table translation of one submission: relaxed shadowing, full rescan, and none (direct).

One address space laid out as i915 does: a scratch table for each level, page tables of 4K or 64K
pages for 1 MiB to 8 GiB. Before each submission a part of all entries, evenly spread, gets another
page; then each side makes the root it would put into the context, the first of them in turn. What
is timed is the whole call from Python, and the median of the rounds counts. Direct does the same
work for every size; what grows there is what the other sides left of the processor's caches.

Run ``python -m tests.bench.address_spaces``; aim: below 30 µs for an unchanged space of 50 tables.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median

from mediator.errors import Unfinished
from mediator.physical.memory import Slab
from mediator.physical.partition import GIB, MIB, SLAB_GGTT, SLAB_SIZE, Window
from mediator.translation.direct import DirectAddressing
from mediator.translation.page_table_shadow import PageTableShadow
from mmio_trap.guest_memory import GuestMemory

SIZES = [MIB, 16 * MIB, 100 * MIB, GIB, 8 * GIB]
RATES = [0, 1, 10, 100]
"""Per cent of the entries that change between submissions."""
_PAGE = 4096
_WINDOW = Window(64 * GIB, 64 * GIB)
_SLAB_IOVA = 400 * GIB
_ENTRIES = 512
_PRESENT = 3
_PAGES_64K = 1 << 11
_TABLE_REACH = 2 * MIB
_OTHER_PAGE = 16 * GIB
_SECONDS = 0.3
_ROUNDS = 200
_FEWEST = 6


class _NoSpace:
    """A DMA space without a GPU: translation asks nothing of it."""

    def map(
        self, iova: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        """Nothing."""

    def unmap(self, iova: int, size: int) -> None:
        """Nothing."""

    def unmap_each(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Nothing."""

    def trim(self) -> None:
        """Nothing."""

    def start_recording(self) -> None:
        """Nothing."""

    def take_dirty(self) -> list[int]:
        """Nothing."""
        return []

    def stop_recording(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class _Guest:
    """A guest's tables that map ``size`` bytes; its page tables lie one after another."""

    def __init__(self, size: int, *, pages_64k: bool) -> None:
        self.tables = -(-size // _TABLE_REACH)
        directories = -(-self.tables // _ENTRIES)
        first = 6 + directories
        pages = first + self.tables
        self.fd = os.memfd_create("bench-tables")
        os.ftruncate(self.fd, pages * _PAGE)
        self.memory = GuestMemory()
        self.memory.map(0, pages * _PAGE, self.fd, 0, True, True)
        self._bytes = memoryview(mmap.mmap(self.fd, pages * _PAGE)).cast("Q")
        scratch_page, *scratch = range(4)
        self._fill(scratch[0], scratch_page)
        self._fill(scratch[1], scratch[0])
        self._fill(scratch[2], scratch[1])
        pml4, pdp = 4, 5
        self.pml4 = pml4 * _PAGE
        self._fill(pml4, scratch[2])
        self._fill(pdp, scratch[1])
        self._bytes[pml4 * _ENTRIES] = _entry(pdp)
        for n in range(directories):
            self._fill(6 + n, scratch[0])
            self._bytes[pdp * _ENTRIES + n] = _entry(6 + n)
        flags = _PAGES_64K if pages_64k else 0
        for n in range(self.tables):
            self._bytes[6 * _ENTRIES + n] = _entry(first + n) | flags
        self._step = 16 if pages_64k else 1
        count = size // _PAGE
        self._entries = self._bytes[first * _ENTRIES : first * _ENTRIES + count]
        self._entries[:] = memoryview(array("Q", (_entry(n) for n in range(count))))
        self._other = False

    def _fill(self, table: int, target: int) -> None:
        start = table * _ENTRIES
        self._bytes[start : start + _ENTRIES] = memoryview(array("Q", [_entry(target)] * _ENTRIES))

    def edits(self, rate: int) -> Callable[[], None]:
        """What changes ``rate`` per cent of the entries at each call, there and back."""
        if not rate:
            return lambda: None
        every = self._step * (100 // rate)
        place = self._entries[::every]
        here = array("Q", place.tolist())
        there = array("Q", [entry + _OTHER_PAGE for entry in here])

        def edit() -> None:
            self._other = not self._other
            place[:] = memoryview(there if self._other else here)

        return edit

    def close(self) -> None:
        """Give its memory back."""
        self.memory.close()
        os.close(self.fd)


def _entry(page: int) -> int:
    return page * _PAGE | _PRESENT


def _compare(edit: Callable[[], None], sides: list[Callable[[], object]]) -> list[float]:
    """Median microseconds of each side's call."""
    took: list[list[float]] = [[] for _ in sides]
    began = time.perf_counter()
    for done in range(_ROUNDS):
        if done >= _FEWEST and time.perf_counter() - began > _SECONDS:
            break
        edit()
        for turn in range(len(sides)):
            side = (done + turn) % len(sides)
            start = time.perf_counter()
            sides[side]()
            took[side].append(time.perf_counter() - start)
    return [median(times) * 1e6 for times in took]


def _name(size: int) -> str:
    return f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"


def _make_tables(shadow: PageTableShadow, pml4: int) -> None:
    ready = False
    while not ready:
        with suppress(Unfinished):
            shadow.prepare([pml4])
            ready = True
    shadow.prepare([])  # what comes is not answered from that


def _measure_size(size: int, *, pages_64k: bool) -> dict[str, dict[str, float]]:
    guest = _Guest(size, pages_64k=pages_64k)
    slabs = [Slab(SLAB_SIZE, _SLAB_IOVA, 0, SLAB_GGTT) for _ in range(3)]
    relaxed = PageTableShadow(slabs[0], _WINDOW, guest.memory)
    rescan = PageTableShadow(slabs[1], _WINDOW, guest.memory, rescan=True)
    direct = DirectAddressing(_NoSpace(), slabs[2], guest.memory, lambda: None)
    sides: list[Callable[[], object]] = [
        lambda: relaxed.sync(guest.pml4),
        lambda: rescan.sync(guest.pml4),
        lambda: direct.root(guest.pml4),
    ]
    rows = {}
    for shadow in (relaxed, rescan):  # tables are made once, memory touched
        _make_tables(shadow, guest.pml4)
    for rate in RATES:
        figures = _compare(guest.edits(rate), sides)
        rows[f"{_name(size)} of {'64K' if pages_64k else '4K'}, {rate} % edited"] = {
            "tables": guest.tables,
            "relaxed_us": round(figures[0], 2),
            "rescan_us": round(figures[1], 2),
            "direct_us": round(figures[2], 2),
            "relaxed_over_rescan": round(figures[0] / figures[1], 4),
            "direct_over_relaxed": round(figures[2] / figures[0], 4),
        }
    relaxed.forget()
    rescan.forget()
    for slab in slabs:
        slab.close()
    guest.close()
    return rows


def measure() -> dict[str, dict[str, float]]:
    """For each size, kind of page and edit rate: microseconds of each side, and their ratios."""
    rows: dict[str, dict[str, float]] = {}
    for pages_64k in (False, True):
        for size in SIZES:
            rows.update(_measure_size(size, pages_64k=pages_64k))
    return rows


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
