"""Which programs gain where two threads run in one function.

What two threads share is what a message costs beside its data; what they hide from each other is
the time that a result takes, which of floats is some cycles and of integers one. Against it stands
that their values together find no room in the host's vector registers. Measured with iris' code:
docs/performance.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.types import Packed
from mediator.softgpu.eu.isa.execution_type import is_float
from mediator.softgpu.eu.isa.instruction import Destination
from mediator.softgpu.eu.translator.kills import unmasked_writes
from mediator.softgpu.eu.translator.liveness import live_at

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program

_MOST_LIVE: Final = 64
"""General registers of a thread, at any place."""


def gains(program: Program) -> bool:
    """Whether its threads are to run in pairs."""
    live = live_at(program, 0, unmasked_writes(program, 0))
    if max(registers.bit_count() for registers in live.values()) > _MOST_LIVE:
        return False
    loops = [
        (head, block.instructions[-1].offset)
        for block in program.blocks
        for head in block.successors
        if head <= block.instructions[-1].offset
    ]
    return all(
        any(_waits(each) for at, each in program.instructions.items() if head <= at <= end)
        for head, end in loops
    )


def _waits(instruction: Instruction) -> bool:
    """A thread has time for another meanwhile."""
    place = instruction.destination
    if instruction.message is not None:
        return True
    if not isinstance(place, Destination) or isinstance(place.type, Packed):
        return False
    return is_float(place.type)
