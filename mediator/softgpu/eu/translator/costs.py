"""What instructions cost of a thread's budget, so that a loop comes back in time whatever is in it.

A unit is what a simple operation takes, about a nanosecond. A jump back costs all that stands from
its target to itself, and the end of the thread all that stands before it. Jumps forward only leave
out, so a thread that has ended has paid for all that it did, and one that runs for all but one way
through the program. What messages take beyond this, and how often page tables are walked for them,
is only known when they run: C takes it from the same budget (`native/send.c`,
`native/translate.c`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu import messages
from mediator.gen9.eu.messages import Port1, SharedFunction
from mediator.softgpu.eu.isa.instruction import IndirectDestination, IndirectSource

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction, Message
    from mediator.softgpu.eu.isa.program import Program

_SIMPLE: Final = 1
_FUNCTION: Final = 32
"""Of the math box: up to some fifty operations on doubles."""
_INDIRECT: Final = 32
"""Registers that an address register names: lane by lane through memory."""
_MESSAGE: Final = 64
"""Lane by lane, each of which may miss the host's caches."""
_MEDIA_BLOCKS: Final = frozenset({Port1.MEDIA_BLOCK_READ, Port1.MEDIA_BLOCK_WRITE})


def cost(instruction: Instruction) -> int:
    """Of one instruction, in units."""
    if instruction.message is not None:
        return _MESSAGE
    if instruction.function is not None:
        return _FUNCTION
    operands = (instruction.destination, *instruction.sources)
    if any(isinstance(each, IndirectSource | IndirectDestination) for each in operands):
        return _INDIRECT
    return _SIMPLE


def is_long(message: Message) -> bool:
    """Whether a message may take as long as a hundred others: texels mixed, bytes one by one."""
    if message.sfid == SharedFunction.SAMPLER:
        return True
    if message.descriptor is None:
        return False
    if message.sfid == SharedFunction.DATA_PORT_1:
        return messages.PORT_1_TYPE.get(message.descriptor) in _MEDIA_BLOCKS
    read = messages.PORT_0_TYPE.get(message.descriptor) == messages.SAMPLER_CACHE_MEDIA_READ
    return message.sfid == SharedFunction.SAMPLER_CACHE_PORT and read


class Costs:
    """The costs of a program's instructions, summed up."""

    def __init__(self, program: Program) -> None:
        self._before: dict[int, int] = {}
        self._after: dict[int, int] = {}
        total = 0
        for offset, instruction in program.instructions.items():
            self._before[offset] = total
            total += cost(instruction)
            self._after[offset] = total

    def of_jump(self, origin: int, target: int) -> int:
        """What the jump back at ``origin`` costs: at least a unit."""
        return self._after[origin] - self._before[target]

    def of_end(self, origin: int) -> int:
        """What the end of the thread at ``origin`` costs."""
        return self._after[origin]
