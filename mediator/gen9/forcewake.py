"""Which registers sleep with which power domain. Facts only.

Source: PRM SKL vol 2c; Linux i915 intel_uncore.c (__gen9_fw_ranges, gen8_shadowed_regs). A register
of a domain that is not held awake may read 0 and lose what is written. Registers from 0x40000 on
never sleep.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from mediator.gen9 import registers as reg

GT, RENDER, MEDIA = 1, 2, 4
"""The domains, as bits."""

DOMAINS: Final = (
    (GT, reg.FORCEWAKE_GT, reg.FORCEWAKE_ACK_GT),
    (RENDER, reg.FORCEWAKE_RENDER, reg.FORCEWAKE_ACK_RENDER),
    (MEDIA, reg.FORCEWAKE_MEDIA, reg.FORCEWAKE_ACK_MEDIA),
)
"""Each with the registers that ask for it and that tell of it."""

_RANGES: Final = (
    (0x00000, GT),
    (0x00B00, 0),
    (0x02000, RENDER),
    (0x02700, GT),
    (0x03000, RENDER),
    (0x04000, GT),
    (0x05200, RENDER),
    (0x08000, GT),
    (0x08130, MEDIA),
    (0x08140, RENDER),
    (0x08160, GT),
    (0x08300, RENDER),
    (0x08500, GT),
    (0x08800, MEDIA),
    (0x08A00, GT),
    (0x08C00, RENDER),
    (0x08D00, GT),
    (0x09400, RENDER | MEDIA),
    (0x09800, GT),
    (0x0B000, RENDER),
    (0x0B480, GT),
    (0x0D000, MEDIA),
    (0x0D800, GT),
    (0x0E000, RENDER),
    (0x0E900, GT),
    (0x12000, MEDIA),
    (0x14000, GT),
    (0x1A000, MEDIA),
    (0x1EA00, GT),
    (0x24400, RENDER),
    (0x24800, GT),
    (0x30000, MEDIA),
    (0x40000, 0),
)
"""First register and domains of each range."""
_STARTS: Final = tuple(start for start, _ in _RANGES)

_ALWAYS: Final = frozenset(offset for _, *offsets in DOMAINS for offset in offsets)
_SHADOWED: Final = frozenset(
    {0x02030, 0x12030, 0x1A030, 0x22030, reg.GEN6_RPNSWREQ, reg.GEN6_RPNSWREQ + 4}
)
"""Writes of these are kept until the domain is awake: ring tails, frequency requests."""


def domains(offset: int, *, write: bool) -> int:
    """The domains that must be awake for an access to the register at BAR0 ``offset``."""
    if offset in _ALWAYS or (write and offset in _SHADOWED):
        return 0
    return _RANGES[bisect_right(_STARTS, offset) - 1][1]
