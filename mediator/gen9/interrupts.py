"""Facts of the Gen9 interrupt tree: the master register, the banks, an engine's event bits.

Source: PRM SKL vol 2c, "Master Interrupt Control" and "GT Interrupt n Definition"; the same bits
stand in Linux i915 i915_reg.h (GEN8_MASTER_IRQ, GEN8_GT_*) and gt/intel_gt_irq.c.
Offsets are BAR0 offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MASTER_IRQ = 0x44200
MASTER_ENABLE = 1 << 31

MASTER_RCS = 1 << 0
MASTER_BCS = 1 << 1
MASTER_VCS0 = 1 << 2
MASTER_VCS1 = 1 << 3
MASTER_PM = 1 << 4
MASTER_GUC = 1 << 5
MASTER_VECS = 1 << 6
MASTER_DE_PORT = 1 << 20
MASTER_DE_MISC = 1 << 22
MASTER_PCH = 1 << 23
MASTER_PCU = 1 << 30

_LOW = 0x0000_FFFF
_HIGH = 0xFFFF_0000
_ALL = 0xFFFF_FFFF


class EngineInterrupt(IntEnum):
    """Event bits of one engine, within its 16 bits of a bank and in RING_IMR."""

    USER = 0
    MASTER_ERROR = 3
    PIPE_CONTROL_NOTIFY = 4
    """FLUSH_DW notify on the engines that have no PIPE_CONTROL."""
    CONTEXT_SWITCH = 8
    WAIT_SEMAPHORE = 11


@dataclass(frozen=True, slots=True)
class Bank:
    """Four registers, ISR IMR IIR IER, 4 bytes apart from ``offset``.

    ``sources`` says which bits of the bank raise which bit of the master register.
    """

    name: str
    offset: int
    sources: tuple[tuple[int, int], ...]

    @property
    def isr(self) -> int:
        """Offset of the live status, not latched, not masked."""
        return self.offset

    @property
    def imr(self) -> int:
        """Offset of the mask: a 1 keeps an event out of IIR."""
        return self.offset + 4

    @property
    def iir(self) -> int:
        """Offset of the latched events; write 1 to clear."""
        return self.offset + 8

    @property
    def ier(self) -> int:
        """Offset of the enables: IIR and IER raise the bank's master bit."""
        return self.offset + 12


GT0 = Bank("GT0", 0x44300, ((_LOW, MASTER_RCS), (_HIGH, MASTER_BCS)))
GT1 = Bank("GT1", 0x44310, ((_LOW, MASTER_VCS0), (_HIGH, MASTER_VCS1)))
GT2 = Bank("GT2", 0x44320, ((_LOW, MASTER_PM), (_HIGH, MASTER_GUC)))
"""Power management events in bits 15:0, GuC events in bits 31:16."""
GT3 = Bank("GT3", 0x44330, ((_LOW, MASTER_VECS),))
DE_PORT = Bank("DE_PORT", 0x44440, ((_ALL, MASTER_DE_PORT),))
DE_MISC = Bank("DE_MISC", 0x44460, ((_ALL, MASTER_DE_MISC),))
PCU = Bank("PCU", 0x444E0, ((_ALL, MASTER_PCU),))
SDE = Bank("SDE", 0xC4000, ((_ALL, MASTER_PCH),))

BANKS: tuple[Bank, ...] = (GT0, GT1, GT2, GT3, DE_PORT, DE_MISC, PCU, SDE)
"""Every bank of a GPU whose pipes are fused off."""
