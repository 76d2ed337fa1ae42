"""Commands of the pcode mailbox (GT_DRIVER_MAILBOX) that a Gen9 driver sends, and sane answers.

Source: PRM SKL vol 2c GT_DRIVER_MAILBOX; Linux i915 intel_pcode.c, i915_reg.h. Facts only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class PcodeCommand(IntEnum):
    """Bits 7:0 of the mailbox."""

    WRITE_RC6_VIDS = 0x04
    READ_RC6_VIDS = 0x05
    READ_MEMORY_LATENCY = 0x06
    CDCLK_CONTROL = 0x07
    WRITE_MIN_FREQUENCY_TABLE = 0x08
    READ_MIN_FREQUENCY_TABLE = 0x09
    READ_OVERCLOCK_PARAMETERS = 0x0C
    DYNAMIC_DUTY_CYCLE = 0x1A
    SAGV_CONTROL = 0x21


PCODE_ILLEGAL_COMMAND: Final = 0x1
CDCLK_READY: Final = 0x1
SAGV_DISABLED: Final = 0x1
MEMORY_LATENCY: Final = (0x1E1A_1100, 0x6151_4B3D)
"""Microseconds for watermark levels 0..3 and 4..7, one byte each."""
IA_FREQUENCY_100MHZ: Final = 0x2A
