"""Words by which memory that got out, or in, is recognised.

The upper halves are reserved: nothing that the attacker makes up has them, so that a dword with one
in the attacker's hands has come from the neighbour, and the other way round.
"""

from __future__ import annotations

import struct

SECRET_HALF = 0xD15E
"""Upper half of what the neighbour has planted all over its memory."""
MARK_HALF = 0xBAD0
"""Upper half of what the attacker writes where it should not."""
_RESERVED = {SECRET_HALF, MARK_HALF}


def secret_word(number: int) -> int:
    """The neighbour's dword, with a low half of its own for each run."""
    return SECRET_HALF << 16 | number & 0xFFFF


def mark_word(number: int) -> int:
    """The attacker's dword."""
    return MARK_HALF << 16 | number & 0xFFFF


def unreserved(data: bytes) -> bytes:
    """``data`` without reserved halves, at any place a dword could begin."""
    for half in _RESERVED:
        data = data.replace(struct.pack("<H", half), b"\0\0")
    return data


def unreserved_word(value: int) -> int:
    """``value`` (32 bits) unless its upper half is reserved."""
    return value & 0xFFFF if value >> 16 in _RESERVED else value


def find_word(data: bytes, word: int) -> int:
    """Where ``word`` stands in ``data``, at a multiple of 4; -1 when it does not."""
    wanted, at = struct.pack("<I", word), -1
    while (at := data.find(wanted, at + 1)) >= 0:
        if at % 4 == 0:
            return at
    return -1
