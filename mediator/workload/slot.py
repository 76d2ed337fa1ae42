"""Slots: where the shadows of a vGPU's contexts lie in its slab.

Each engine has `SLOTS`, and a slot is the shadow context, the shadow ring and room for batches, in
this order. The sizes differ: on the blitter user batches run from copies too
(`batch_shadow.py`), so its slots have the room that the others can spare.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mediator.gen9.engines import ENGINES
from mediator.physical.partition import PAGE, SLAB_GGTT
from mediator.workload.ring_copy import RingCopy

if TYPE_CHECKING:
    from mediator.gen9.engines import EngineFacts
    from mediator.physical.memory import Slab
    from mediator.workload.batch_shadow import BatchShadow

SLOTS: Final = 4
"""Shadows of one engine: two elements that run, two that are pending."""
STATE_PAGE: Final = 1
"""Page of the register state page, in slot and context."""
_RING_PAGE: Final = 32
_BATCH_PAGE: Final = 544
_ROOM_PAGES: Final = {"RCS": 288, "BCS": 1056, "VCS": 288, "VECS": 288}
"""Pages of room for batches, by engine class."""
_CONTEXT_ID: Final = 0x100
"""Hardware context ids of shadows: this and the slot's number."""


@dataclass
class Slot:
    """One shadow: where it lies and whose context it is."""

    number: int
    base: int
    """Byte of the slab at which it begins."""
    ggtt: int
    """GGTT address of the same."""
    room_size: int
    """Bytes of room for batches."""
    lrca: int = 0
    """The guest's own, as ``pml4`` and ``page``."""
    pml4: int = 0
    page: array[int] = field(default_factory=lambda: array("I"))
    """The guest's register state page as it was read, or written back."""
    warm: bool = False
    """The shadow and ``page`` are what the hardware saved last: it can be run again."""
    given: bool = False
    """The hardware has been given the shadow since it was made, or made ready to go on."""
    copy: RingCopy = field(default_factory=RingCopy)
    """What is in the shadow ring."""
    batches: BatchShadow | None = None
    room_used: int = 0
    """Bytes of room that are in use."""
    entries: bytes = b""
    """GGTT entries of the shadow context, as the hardware has them."""

    @property
    def state(self) -> int:
        """Byte of the slab at which the register state page is."""
        return self.base + STATE_PAGE * PAGE

    @property
    def ring(self) -> int:
        """Byte of the slab at which the shadow ring begins."""
        return self.base + _RING_PAGE * PAGE

    @property
    def hardware_ring(self) -> int:
        """GGTT address of the shadow ring."""
        return self.ggtt + _RING_PAGE * PAGE

    @property
    def context_id(self) -> int:
        """What the hardware's status entries call it."""
        return _CONTEXT_ID + self.number

    def take_room(self, size: int, align: int) -> int | None:
        """Byte of the slot at which ``size`` bytes of room begin, a multiple of ``align``.

        They are in use from now on. None: so much is not left.
        """
        start = -(-self.room_used // align) * align
        if start + size > self.room_size:
            return None
        self.room_used = start + size
        return _BATCH_PAGE * PAGE + start


def slot_pages(facts: EngineFacts) -> int:
    """Pages of the slab that one slot of an engine takes."""
    return _BATCH_PAGE + _ROOM_PAGES[facts.engine_class]


def first_page(engine: EngineFacts) -> int:
    """Page of the slab at which the engine's slots begin."""
    before = ENGINES[: ENGINES.index(engine)]
    return sum(SLOTS * slot_pages(facts) for facts in before)


def make_slots(slab: Slab, facts: EngineFacts) -> list[Slot]:
    """The slots of one engine in ``slab``, unused."""
    pages, first = slot_pages(facts), first_page(facts)
    bases = [(first + number * pages) * PAGE for number in range(SLOTS)]
    room = _ROOM_PAGES[facts.engine_class] * PAGE
    return [Slot(number, base, slab.ggtt + base, room) for number, base in enumerate(bases)]


assert sum(SLOTS * slot_pages(facts) for facts in ENGINES) * PAGE <= SLAB_GGTT, "the slots fit"
