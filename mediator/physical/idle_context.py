"""The register state pages that the mediator makes for contexts of its own. Pure functions.

`first_image` is what a driver writes before a context's first run, `golden` what of the saved
page may go into any other context, `idle_image` the golden values over a ring of the mediator.
Source: `gen9/context_image.py`; the order of things follows Linux i915 gt/intel_lrc.c.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import (
    BATCH_BUFFER_END,
    LAYOUTS,
    STATE_DWORDS,
    ContextControl,
    ImageIndex,
)
from mediator.gen9.engines import EngineFacts

_MASK_SHIFT = 16
_DRIVER_BLOCKS = 4
"""A driver builds the blocks up to `ImageIndex.MI_MODE`'s itself; hardware adds the others."""

_RING_FIELDS = (
    ImageIndex.RING_HEAD,
    ImageIndex.RING_TAIL,
    ImageIndex.RING_START,
    ImageIndex.RING_CTL,
    ImageIndex.BB_ADDR_UDW,
    ImageIndex.BB_ADDR,
    ImageIndex.BB_STATE,
    ImageIndex.SBB_ADDR_UDW,
    ImageIndex.SBB_ADDR,
    ImageIndex.SBB_STATE,
    ImageIndex.BB_PER_CTX_PTR,
    ImageIndex.INDIRECT_CTX,
    ImageIndex.INDIRECT_CTX_OFFSET,
    ImageIndex.CTX_TIMESTAMP,
    ImageIndex.PDP3_UDW,
    ImageIndex.PDP3_LDW,
    ImageIndex.PDP2_UDW,
    ImageIndex.PDP2_LDW,
    ImageIndex.PDP1_UDW,
    ImageIndex.PDP1_LDW,
    ImageIndex.PDP0_UDW,
    ImageIndex.PDP0_LDW,
    ImageIndex.TIMESTAMP,
    ImageIndex.BB_OFFSET,
    ImageIndex.IPEHR,
)
"""What belongs to one context alone: where it stands, its time and its page tables."""


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring of the mediator: GGTT address, bytes (a multiple of 4096), tail (bytes)."""

    start: int
    size: int
    tail: int
    root: int
    """I/O virtual address of the PML4 that its context gets."""


def control(flags: int) -> int:
    """CONTEXT_CONTROL as it stands in an image: every flag is written, those of ``flags`` set."""
    everything = (
        ContextControl.RESTORE_INHIBIT
        | ContextControl.SAVE_INHIBIT
        | ContextControl.INHIBIT_SYNC_SWITCH
    )
    return everything << _MASK_SHIFT | flags


def first_image(facts: EngineFacts, ring: Ring) -> array[int]:
    """The page for a context's first run, which restores its ring and nothing else."""
    page = array("I", bytes(4 * STATE_DWORDS))
    blocks = LAYOUTS[facts.engine_class].blocks[:_DRIVER_BLOCKS]
    for block in blocks:
        page[block.index] = block.header
        for register in block.registers:
            page[register.index - 1] = register.address(facts.mmio_base)
    page[blocks[-1].registers[-1].index + 1] = BATCH_BUFFER_END
    _set_ring(page, ring)
    page[ImageIndex.CONTEXT_CONTROL] = control(
        ContextControl.RESTORE_INHIBIT | ContextControl.INHIBIT_SYNC_SWITCH
    )
    return page


def golden(saved: array[int]) -> array[int]:
    """The page ``saved`` by hardware without what belongs to the context that ran."""
    page = saved[:]
    for index in _RING_FIELDS:
        page[index] = 0
    return page


def idle_image(golden_page: array[int], ring: Ring) -> array[int]:
    """A page that restores every register to its golden value, then runs ``ring`` from 0."""
    page = golden_page[:]
    _set_ring(page, ring)
    page[ImageIndex.CONTEXT_CONTROL] = control(ContextControl.INHIBIT_SYNC_SWITCH)
    return page


def _set_ring(page: array[int], ring: Ring) -> None:
    page[ImageIndex.RING_HEAD] = 0
    page[ImageIndex.RING_TAIL] = ring.tail
    page[ImageIndex.RING_START] = ring.start
    page[ImageIndex.RING_CTL] = ring.size - 0x1000 | reg.RING_CTL_VALID
    page[ImageIndex.PDP0_UDW] = ring.root >> 32
    page[ImageIndex.PDP0_LDW] = ring.root & 0xFFFF_FFFF
