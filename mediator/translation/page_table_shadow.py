"""A guest's PPGTT tables, shadowed for a GPU that sees guest memory through a window.

The guest's tables lie in RAM that cannot be write-protected from outside QEMU, so nothing is known
of its edits: each submission compares the tables it uses with their last copy (relaxed shadowing;
the loop is `mediator/hotpath/shadow.c`, its rules are told in `reference_shadow.py`).
"""

from __future__ import annotations

import mmap
import secrets
from array import array
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mediator import hotpath
from mediator.errors import GuestError, Reason, Unfinished
from mediator.gen9.pte import ENTRY_SIZE, PAGE_SIZE
from mediator.hotpath.interface import (
    PageFault,
    ShadowCount,
    ShadowNode,
    ShadowTables,
    TablesFull,
)
from mediator.physical.memory import Slab
from mediator.physical.partition import DMA_SIZE, Window
from mmio_trap.guest_memory import GuestMemory

STEP = 1024
"""Tables that are new which one call brings up to date: 4 GiB of 4K pages, and some 20 ms."""


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """What shadowing has done so far."""

    passes: int
    visited: int
    """Tables of the guest compared."""
    translated: int
    """Entries translated."""
    refused: int
    """Entries for a page past the window or beyond 39 bits; the GPU finds nothing there."""


class PageTableShadow:
    """The shadow tables of one vGPU, in ``slab`` after its GGTT part.

    ``rescan`` translates every entry on every pass, for benchmarks. Not thread-safe: the vGPU's
    lock guards it.
    """

    def __init__(
        self, slab: Slab, window: Window, memory: GuestMemory, *, rescan: bool = False
    ) -> None:
        if window.base + window.size > DMA_SIZE:
            raise ValueError(f"{window} reaches past the DMA space of {DMA_SIZE:#x} bytes")
        self._slab = slab
        self._window = window
        self._memory = memory
        self._rescan = rescan
        self.in_use: Callable[[], Collection[int]] = tuple
        """Asked when room is short: PML4s whose tables the GPU uses. Their shadows stay."""
        self._counts = array("Q", [0] * ShadowCount.WORDS)
        self._shadow: ShadowTables | None = None
        self._prepared: dict[int, int] = {}
        """What `sync` has to give by PML4, as `prepare` found it."""
        self._made_room = False
        """Room was made for what is being prepared, or for one `sync`: once is all that helps."""

    @property
    def figures(self) -> ShadowFigures:
        """Counters; they only grow."""
        counts = self._counts
        return ShadowFigures(
            counts[ShadowCount.EPOCH],
            counts[ShadowCount.VISITED],
            counts[ShadowCount.TRANSLATED],
            counts[ShadowCount.REFUSED],
        )

    @property
    def pages(self) -> int:
        """Pages of tables that have taken memory."""
        return self._counts[ShadowCount.USED]

    def prepare(self, pml4s: Iterable[int]) -> None:
        """Do what `sync` of these would do: until the next call it gives what this one found.

        Raises Unfinished where more than `STEP` tables are new, whose memory must be found first:
        so many are done, and it is to be called again. That has an end: of those that do not fit
        together the first are done, and the others are for `sync` to refuse.
        """
        self._prepared.clear()
        for pml4 in dict.fromkeys(pml4s):
            with suppress(GuestError):  # for `sync` to say
                self._prepared[pml4] = self._advance(pml4)
        self._made_room = False

    def sync(self, pml4: int) -> int:
        """I/O virtual address of a PML4 that says now what the guest's at ``pml4`` says.

        ``pml4`` is a guest physical address; bits 11:0 are ignored. The caller is inside
        ``memory.using()`` or is the thread that changes the memory map. Raises GuestError:
        PAGE_TABLE when the PML4 is not in guest memory, TOO_LARGE when the tables in use and
        these do not fit together, or when more than `STEP` tables are new that were not prepared.
        """
        found = self._prepared.get(pml4)
        if found is not None:
            return found
        self._made_room = False
        try:
            with suppress(Unfinished):
                return self._advance(pml4)
            if self._made_room:
                with suppress(Unfinished):
                    return self._advance(pml4)
        finally:
            self._made_room = False
        text = f"the page tables under {pml4:#x} have grown since they were submitted"
        raise GuestError(Reason.TOO_LARGE, text)

    def _advance(self, pml4: int) -> int:
        """Bring tables up to date. Raises Unfinished where there is more to do, and GuestError."""
        used, room = self._counts[ShadowCount.USED], self._room
        limit = min(room, used + STEP)
        try:
            return self._sync(pml4, limit)
        except TablesFull:
            if limit == room:
                if self._made_room:
                    raise GuestError(
                        Reason.TOO_LARGE,
                        f"the page tables under {pml4:#x} need more than {room} pages",
                    ) from None
                self._make_room()
                self._made_room = True
            raise Unfinished from None

    @property
    def _room(self) -> int:
        """Pages that tables may take."""
        return (self._slab.size - self._slab.ggtt_size) // PAGE_SIZE

    def forget(self) -> None:
        """Drop every copy and scrub every table; the GPU uses none of them."""
        self._prepared.clear()
        if self._shadow is not None:
            self._shadow = None
            for row in (ShadowCount.USED, *range(ShadowCount.FREE, ShadowCount.WORDS)):
                self._counts[row] = 0
            self._scrub()

    def _scrub(self) -> None:
        self._slab.scrub(self._slab.ggtt_size, self._slab.size - self._slab.ggtt_size)

    def _sync(self, pml4: int, limit: int) -> int:
        """A pass that uses the first ``limit`` slots. Raises TablesFull and GuestError."""
        shadow = self._shadow
        if shadow is None:
            shadow = self._shadow = self._empty()
        shadow.limit = limit
        try:
            slot = hotpath.shadow_sync(self._memory, shadow, pml4)
        except PageFault as fault:
            text = f"page directory pointer {pml4:#x}: {fault.reason}"
            raise GuestError(Reason.PAGE_TABLE, text) from None
        return shadow.iova + slot * PAGE_SIZE

    def _make_room(self) -> None:
        """Give up every table that is not in use."""
        self._prepared.clear()
        kept = self.in_use()
        if kept and self._shadow is not None:
            hotpath.shadow_keep(self._shadow, kept)
        else:
            self.forget()

    def _empty(self) -> ShadowTables:
        """No tables yet. Memory is taken where it is touched."""
        slab = self._slab
        self._scrub()  # slots never taken must be zero, whoever had the slab before
        slots = self._room
        first = slab.ggtt_size // ENTRY_SIZE
        index_size = 2 << (slots - 1).bit_length()
        return ShadowTables(
            tables=slab.u64[first:],
            copies=_zeros(slots * PAGE_SIZE).cast("Q"),
            nodes=_zeros(slots * ShadowNode.WORDS * ENTRY_SIZE).cast("Q"),
            index=_zeros(4 * index_size).cast("I"),
            counts=self._counts,
            iova=slab.iova + slab.ggtt_size,
            window_base=self._window.base,
            window_size=self._window.size,
            multiplier=secrets.randbits(64) | 1,
            rescan=self._rescan,
        )


def _zeros(size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, size))
