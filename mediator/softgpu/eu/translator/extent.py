"""Which architecture registers a program touches: what a function keeps of them while it waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.gen9.eu import registers
from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    Destination,
    File,
    IndirectDestination,
    IndirectSource,
    Source,
)
from mediator.softgpu.eu.semantics.accumulator import reads_accumulator, writes_accumulator
from mediator.softgpu.eu.semantics.table import writes_flag

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program


@dataclass(frozen=True, slots=True)
class Extent:
    """What is read or written anywhere. ``accumulator``: pieces of 32 bytes, from acc0 on."""

    address: bool
    accumulator: int
    flags: bool


def extent_of(program: Program) -> Extent:
    """What a program touches."""
    every = [_touched(each) for each in program.instructions.values()]
    return Extent(
        address=any(each.address for each in every),
        accumulator=max((each.accumulator for each in every), default=0),
        flags=any(each.flags for each in every),
    )


def everything() -> Extent:
    """All of them."""
    return Extent(address=True, accumulator=registers.ACCUMULATORS, flags=True)


def _touched(instruction: Instruction) -> Extent:
    numbers = {
        operand.byte // GRF_BYTES
        for operand in (*instruction.sources, instruction.destination)
        if isinstance(operand, Source | Destination) and operand.file is File.ARF
    }
    indirect = any(
        isinstance(operand, IndirectSource | IndirectDestination)
        for operand in (*instruction.sources, instruction.destination)
    )
    message = instruction.message
    if message is not None:
        indirect = indirect or message.payload_indirect is not None
        indirect = indirect or None in (message.descriptor, message.extended)
    named = [number - registers.ACCUMULATOR + 1 for number in numbers]
    # An operand may reach into the register behind.
    accumulators = [
        min(n + 1, registers.ACCUMULATORS) for n in named if 1 <= n <= registers.ACCUMULATORS
    ]
    accumulator = max(accumulators, default=0)
    computes = message is None and instruction.opcode not in (Opcode.NOP, Opcode.WAIT)
    implicit = computes and (reads_accumulator(instruction) or writes_accumulator(instruction))
    flags = {registers.FLAG, registers.FLAG + 1}
    return Extent(
        address=indirect or registers.ADDRESS in numbers,
        # Two registers: a second half of float channels is in acc1.
        accumulator=max(accumulator, 2 if implicit or accumulator else 0),
        flags=instruction.predicate is not None
        or bool(flags & numbers)
        or (computes and writes_flag(instruction)),
    )
