"""Numbers of the places where a thread that has left compiled code goes on.

They say what stands there and where in the program, so that all functions that are made of a
program (`kernel`, `pairs`) understand what one of them has left in a thread's block.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.program import Program

_UNIT: Final = 8
"""Bytes: instructions begin at multiples of it."""
_KINDS: Final = 4
PARTED: Final = 1 << 29
"""What a function of two threads returns when they go different ways: each block says where. As
`EU_PARTED`, and no number of a place."""
BEGINNING: Final = 0


class Kind(IntEnum):
    """What stands at a place."""

    BLOCK = 0
    """A block's beginning, to which a jump leads backwards."""
    WAIT = 1
    """A `wait`, which is tried again."""
    MODES = 2
    """What follows a write of cr0."""
    APART = 3
    """A block's beginning that `pairs.APART` alone knows. As `EU_APART`."""


class Places:
    """Of one program."""

    def __init__(self, program: Program) -> None:
        self._first = min(program.instructions)

    def number(self, kind: Kind, offset: int) -> int:
        """Of what stands before an offset; not `BEGINNING`."""
        return ((offset - self._first) // _UNIT + 1) * _KINDS + kind
