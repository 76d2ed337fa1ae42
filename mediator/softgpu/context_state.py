"""What a command streamer must remember of a context between two commands. Plain data.

Registers (GPRs, predicates, timestamps) live in the engine's register file. Source: PRM SKL vol 7
"Logical Ring Context Format".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.interrupted import Interrupted

RING_OFFSET_MASK: Final = 0x1F_FFFC
"""Bits 20:2 of RING_HEAD and RING_TAIL: byte offset in the ring."""
RING_WRAP_UNIT: Final = 1 << 21
"""Bits 31:21 of RING_HEAD count how often the head has wrapped."""


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
    interrupted: Interrupted | None = None
    """The command at which the streamer stands has started threads and goes on."""
    workaround: bool = False
    """An indirect or per-context batch, which runs while its context is being loaded."""
    image: bool = False
    """Not a context but the commands of its image, which no MI_BATCH_BUFFER_END ends."""
    loaded_pages: bytes = b""
    """State commands that stood in its image when it was loaded, if nothing else did."""
    loaded_rest: bytes = b""
    """What stood in its image behind them when it was loaded."""
    spinning: bool = False
    """The last run came back because a batch jumps to itself without effect."""

    @property
    def address(self) -> int:
        """Where the streamer stands: in a batch, or by the GGTT in the ring."""
        for batch in (self.second, self.batch):
            if batch.active:
                return batch.address
        return self.ring.start + (self.ring.head & RING_OFFSET_MASK)
