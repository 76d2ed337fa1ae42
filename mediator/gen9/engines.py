"""Facts of the four engines of a Gen9 GT2 GPU.

Source: PRM SKL vol 2c (GDRST, GT Interrupt n Definition, engine register ranges, fault register
engine id), vol 7 (size of the logical ring context); Linux i915 gt/intel_engine_cs.c, which
names the same numbers for graphics version 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mediator.gen9 import interrupts as irq
from mediator.gen9 import registers as reg

EngineClass = Literal["RCS", "BCS", "VCS", "VECS"]

RENDER_CONTEXT_PAGES = 22
OTHER_CONTEXT_PAGES = 2


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What tells one engine from another. Offsets are BAR0 offsets in bytes."""

    name: str
    engine_class: EngineClass
    mmio_base: int
    """RING_* offsets of `registers.py` are relative to it."""
    reset_bit: int
    """The engine's domain in GDRST."""
    interrupt_bank: irq.Bank
    interrupt_shift: int
    """Event bit n of the engine is bit n + shift of its bank."""
    master_bit: int
    tlb_register: int
    """A 1 in bit 0 drops the engine's cached translations; the bit clears when that is done."""
    fault_id: int
    """Source id in the ring fault register, bits 14:12."""
    context_pages: int
    """4 KiB pages of a logical ring context, the status page included."""
    mocs_base: int
    """First of 64 memory object control dwords."""


RCS0 = EngineFacts(
    name="rcs0",
    engine_class="RCS",
    mmio_base=0x2000,
    reset_bit=reg.GDRST_RENDER,
    interrupt_bank=irq.GT0,
    interrupt_shift=0,
    master_bit=irq.MASTER_RCS,
    tlb_register=reg.GEN8_RTCR,
    fault_id=0,
    context_pages=RENDER_CONTEXT_PAGES,
    mocs_base=0xC800,
)
BCS0 = EngineFacts(
    name="bcs0",
    engine_class="BCS",
    mmio_base=0x22000,
    reset_bit=reg.GDRST_BLIT,
    interrupt_bank=irq.GT0,
    interrupt_shift=16,
    master_bit=irq.MASTER_BCS,
    tlb_register=reg.GEN8_BTCR,
    fault_id=4,
    context_pages=OTHER_CONTEXT_PAGES,
    mocs_base=0xCC00,
)
VCS0 = EngineFacts(
    name="vcs0",
    engine_class="VCS",
    mmio_base=0x12000,
    reset_bit=reg.GDRST_MEDIA,
    interrupt_bank=irq.GT1,
    interrupt_shift=0,
    master_bit=irq.MASTER_VCS0,
    tlb_register=reg.GEN8_M1TCR,
    fault_id=1,
    context_pages=OTHER_CONTEXT_PAGES,
    mocs_base=0xC900,
)
VECS0 = EngineFacts(
    name="vecs0",
    engine_class="VECS",
    mmio_base=0x1A000,
    reset_bit=reg.GDRST_VIDEO_ENHANCE,
    interrupt_bank=irq.GT3,
    interrupt_shift=0,
    master_bit=irq.MASTER_VECS,
    tlb_register=reg.GEN8_VTCR,
    fault_id=3,
    context_pages=OTHER_CONTEXT_PAGES,
    mocs_base=0xCB00,
)

ENGINES: tuple[EngineFacts, ...] = (RCS0, BCS0, VCS0, VECS0)
"""In the order i915 sets them up."""
