"""Ternary raster operations (ROP3): any of the 256 boolean functions of three operands.

Bit ``pattern << 2 | source << 1 | destination`` of the code is the result for those three bits
(PRM SKL vol 11, "BR13 - BLT Raster OP"): 0xF0 writes the pattern, 0xCC the source, 0xAA nothing.
"""

from __future__ import annotations

PATTERN_COPY = 0xF0
SOURCE_COPY = 0xCC


def uses_pattern(rop: int) -> bool:
    """Whether the result of ``rop`` (8 bits) depends on the pattern."""
    return (rop >> 4) != (rop & 0x0F)


def uses_source(rop: int) -> bool:
    """Whether the result of ``rop`` (8 bits) depends on the source."""
    return ((rop >> 2) & 0x33) != (rop & 0x33)


def uses_destination(rop: int) -> bool:
    """Whether the result of ``rop`` (8 bits) depends on the destination."""
    return ((rop >> 1) & 0x55) != (rop & 0x55)


def combine(rop: int, pattern: int, source: int, destination: int, ones: int) -> int:
    """The result of ``rop`` on three equally wide bit strings; ``ones`` has all their bits set."""
    result = 0
    for index in range(8):
        if rop >> index & 1:
            term = pattern if index & 4 else pattern ^ ones
            term &= source if index & 2 else source ^ ones
            term &= destination if index & 1 else destination ^ ones
            result |= term
    return result
