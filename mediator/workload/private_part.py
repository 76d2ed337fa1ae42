"""The private part of a shadow context: what its hardware saves and restores behind the registers.

A context image is page 0 (the status page of the context: memory that commands write, never
restored), page 1 (register loads, then private state) and pages of private state up to its end.
Of a shadow, page 0 is the guest's own; all others are the mediator's, since the hardware carries
out what stands there as commands with privilege. The invariant:

    what is restored from the private part, the hardware has saved before,
    for a context of this vGPU on this engine

A context that comes back with the state page that was saved last has the shadow's private part,
which was saved with it: the guest's is not looked at then.

Source: PRM SKL vol 7 "Logical Ring Context Format"; Linux i915 gt/intel_lrc.c, gt/intel_context.h.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediator import hotpath
from mediator.errors import Reason
from mediator.physical.partition import PAGE
from mediator.vgpu.ggtt import GgttFault
from mediator.workload.saved_images import digest
from mediator.workload.shadow_context import inhibited, plan, save_inhibited

if TYPE_CHECKING:
    from mediator.gen9.engines import EngineFacts
    from mediator.vgpu.vgpu import Vgpu
    from mediator.workload.slot import Slot

_FIRST_PAGE = 2
"""Before it the status page and the register state page, whose tail is private too."""


@dataclass(slots=True)
class _Place:
    """Where the guest has the private pages of a context."""

    lrca: int = 0
    entries: bytes = b""
    """GGTT entries that said so."""
    pages: array[int] = field(default_factory=lambda: array("Q"))
    """Guest physical addresses."""


class PrivatePart:
    """The private parts of one engine's shadows."""

    def __init__(self, vgpu: Vgpu, facts: EngineFacts) -> None:
        self._vgpu = vgpu
        self._facts = facts
        self._end = plan(facts.name).end
        self._count = facts.context_pages - _FIRST_PAGE
        self._places: dict[int, _Place] = {}
        """By the slot's number."""

    def lay(self, slot: Slot, page: array[int]) -> array[int]:
        """Put the private pages of a context whose state page is ``page`` into its shadow.

        Returns the dwords that belong behind the register loads. A context that has never run
        gets those of a cold engine; one with a part that hardware never saved gets them too, which
        is counted: nothing of what the guest wrote there can reach the hardware.
        """
        tail, pages = page[self._end :], b""
        known = False
        if not inhibited(page):
            try:
                pages = self._read(slot.lrca)
                images = self._vgpu.saved_images[self._facts.name]
                known = images.knows(slot.lrca, digest(tail.tobytes(), pages))
                why = "private state that no hardware saved"
            except GgttFault as fault:
                why = f"private state: {fault}"
            if not known:
                self._vgpu.reject(Reason.CONTEXT, f"{slot.lrca:#x}: {why}: replaced")
        if not known:
            tail = array("I", self._vgpu.golden(self._facts.name)[self._end :])
            pages = self._vgpu.golden_pages(self._facts.name)
        with self._shadow(slot) as shadow:
            shadow[:] = pages
        return tail

    def copy(self, slot: Slot) -> bytes:
        """The private pages of the shadow as they are now."""
        with self._shadow(slot) as pages:
            return bytes(pages)

    def carry_back(self, slot: Slot, saved: array[int], copied: bytes | None = None) -> None:
        """Give the guest the private pages that the hardware saved, and remember them.

        ``saved`` is the shadow's state page, ``slot.page`` still the guest's, ``copied`` the
        private pages where those of the shadow may be others by now. A context that inhibits its
        save gets nothing. Raises GuestAddressError where the guest's pages are no memory any more.
        """
        if save_inhibited(slot.page):
            return
        with self._shadow(slot) if copied is None else memoryview(copied) as pages:
            differs = self._differing(slot, pages)
            tail = saved[self._end :]
            if tail == slot.page[self._end :] and not any(differs):
                return
            made = digest(tail.tobytes(), pages)
            images = self._vgpu.saved_images[self._facts.name]
            images.note(slot.lrca, made, first=inhibited(slot.page))
            physical = self._place(slot).pages
            for number, differing in enumerate(differs):
                if differing:
                    at = number * PAGE
                    self._vgpu.memory.write(physical[number], pages[at : at + PAGE])

    def _read(self, lrca: int) -> bytes:
        if not self._count:
            return b""
        return self._vgpu.ggtt.read(lrca + _FIRST_PAGE * PAGE, self._count * PAGE)

    def _shadow(self, slot: Slot) -> memoryview:
        """The private pages of the shadow."""
        start = slot.base + _FIRST_PAGE * PAGE
        return memoryview(self._vgpu.addressing.slab.bytes)[start : start + self._count * PAGE]

    def _differing(self, slot: Slot, shadow: memoryview) -> bytes:
        """A byte for each private page: 1 where the guest has something else, or nothing."""
        if not self._count:
            return b""
        return hotpath.compare_pages(self._vgpu.memory, self._place(slot).pages, shadow)

    def _place(self, slot: Slot) -> _Place:
        """Where the guest has them now. Raises nothing: an absent page is at no address."""
        ggtt, first = self._vgpu.ggtt, slot.lrca // PAGE + _FIRST_PAGE
        place = self._places.setdefault(slot.number, _Place())
        entries = ggtt.guest_entries(first, self._count)
        if place.lrca != slot.lrca or place.entries != entries:
            physical = (ggtt.physical(page * PAGE) for page in range(first, first + self._count))
            place.pages = array("Q", (NOWHERE if at is None else at for at in physical))
            place.lrca, place.entries = slot.lrca, entries
        return place


NOWHERE = (1 << 64) - PAGE
"""No guest memory is there."""
