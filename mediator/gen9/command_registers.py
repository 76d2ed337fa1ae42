"""Registers that commands read and write by themselves. Facts only.

Source: PRM SKL vol 2c; Linux i915 intel_engine_regs.h. The first group is relative to the
engine's base, the second counts from BAR0.
"""

from __future__ import annotations

from typing import Final

NOPID: Final = 0x94
"""Target of an MI_NOOP with bit 22."""
MI_PREDICATE_RESULT_2: Final = 0x3BC
"""Gates the commands after MI_SET_PREDICATE."""
MI_PREDICATE_SRC0: Final = 0x400
MI_PREDICATE_SRC1: Final = 0x408
MI_PREDICATE_DATA: Final = 0x410
MI_PREDICATE_RESULT: Final = 0x418
"""Bit 0 is the predicate state bit."""
MI_PREDICATE_RESULT_1: Final = 0x41C
"""Gates a predicated MI_BATCH_BUFFER_START."""
CS_GPR: Final = 0x600
CS_GPR_COUNT: Final = 16
CS_GPR_BYTES: Final = 8

PS_DEPTH_COUNT: Final = 0x22D8
"""64 bits: pixels that passed the depth test."""
BCS_SWCTRL: Final = 0x22200
"""Low half: the blitter reads (bit 0) or writes (bit 1) tiled surfaces as Y-tiled."""

REGISTER_MASK: Final = 0x7FFFFC
"""Bits of a command's register operand."""
