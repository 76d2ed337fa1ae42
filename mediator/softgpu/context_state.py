"""What a command streamer must remember of a context between two commands. Plain data.

Registers (GPRs, predicates, timestamps) live in the engine's register file. Source: PRM SKL vol 7
"Logical Ring Context Format".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

RING_OFFSET_MASK: Final = 0x1F_FFFC
"""Bits 20:2 of RING_HEAD and RING_TAIL: byte offset in the ring."""
RING_WRAP_UNIT: Final = 1 << 21
"""Bits 31:21 of RING_HEAD count how often the head has wrapped."""

_PRIVATE_MARK: Final = 0x5653_4350
_PRIVATE: Final = struct.Struct("<5I")
_PRIVATE_FIELDS: Final = struct.Struct("<III4h")
_PREDICATE_BITS: Final = 0xF
_ARBITRATION_OFF: Final = 1 << 0


class PredicateMode(IntEnum):
    """Operand of MI_SET_PREDICATE: when the commands that follow become no-operations."""

    NEVER = 0
    ON_RESULT_2_CLEAR = 1
    """While bit 0 of MI_PREDICATE_RESULT_2 is clear."""
    ON_RESULT_2_SET = 2
    ON_RESULT_CLEAR = 3
    """While bit 0 of MI_PREDICATE_RESULT is clear."""
    ON_RESULT_SET = 4
    UNLESS_ONE_SLICE = 5
    """Unless just one slice is enabled."""
    UNLESS_TWO_SLICES = 6
    UNLESS_THREE_SLICES = 7
    ALWAYS = 15

    @classmethod
    def of(cls, operand: int) -> PredicateMode:
        """The mode of a command's ``operand`` (4 bits); a reserved one suppresses nothing."""
        return cls(operand) if operand in cls._value2member_map_ else cls.NEVER


@dataclass(slots=True)
class RingState:
    """The ring registers: ``start`` a GGTT address, ``head`` and ``tail`` as RING_HEAD/TAIL."""

    head: int = 0
    tail: int = 0
    start: int = 0
    control: int = 0


@dataclass(slots=True)
class BatchState:
    """A batch buffer being parsed: ``address`` of its next command."""

    address: int = 0
    active: bool = False
    ppgtt: bool = False
    """In the context's own address space, and so without privilege."""


@dataclass(slots=True)
class ContextState:
    """One context as its command streamer sees it."""

    descriptor: int = 0
    ring: RingState = field(default_factory=RingState)
    batch: BatchState = field(default_factory=BatchState)
    second: BatchState = field(default_factory=BatchState)
    arbitration: bool = True
    """MI_ARB_ON_OFF: the context may be switched out at an arbitration point."""
    inhibit_switch: bool = False
    """CTX_CONTROL: a wait does not let another context run."""
    predicate: PredicateMode = PredicateMode.NEVER
    wait_reported: bool = False
    """The wait at which the streamer stands has raised its interrupt since the last load."""
    clip: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Clip rectangle of 2D commands: left, top, right, bottom; 16 bits, signed."""
    drawn_rows: int = 0
    """Rows that the 2D command at which the streamer stands has drawn in earlier runs."""
    workaround: bool = False
    """An indirect or per-context batch, which runs while its context is being loaded."""
    spinning: bool = False
    """The last run came back because a batch jumps to itself without effect."""

    def private(self) -> tuple[int, ...]:
        """State that no register shows, as five dwords for a context image."""
        flags = 0 if self.arbitration else _ARBITRATION_OFF
        return _PRIVATE.unpack(
            _PRIVATE_FIELDS.pack(_PRIVATE_MARK, flags, self.predicate, *self.clip)
        )

    def restore_private(self, words: Sequence[int]) -> None:
        """Take back five dwords that `private` gave; those of another origin are ignored."""
        if words[0] != _PRIVATE_MARK:
            return
        _, flags, predicate, *clip = _PRIVATE_FIELDS.unpack(_PRIVATE.pack(*words))
        self.arbitration = not flags & _ARBITRATION_OFF
        self.predicate = PredicateMode.of(predicate & _PREDICATE_BITS)
        self.clip = (clip[0], clip[1], clip[2], clip[3])
