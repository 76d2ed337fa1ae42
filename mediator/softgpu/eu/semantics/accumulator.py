"""Which instructions read or write the accumulator beside their operands, as what, and where.

Source: PRM SKL vol 7 "Accumulator Registers", "Implicit accumulator"; acc0 and acc1 hold 8 channels
of F or D each and 16 of W. Floats of an instruction's second half go to acc1; integers begin at
acc0 in every instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import element_type, float_work, is_float
from mediator.softgpu.eu.isa.instruction import Destination, File

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction

ACCUMULATOR_BYTE: Final = 0x20 * 32
"""Where acc0 begins in the architecture register file."""
ACCUMULATOR_BYTES: Final = 320
"""acc0, acc1, and mme0..7 behind them."""

_READERS: Final = frozenset({Opcode.MAC, Opcode.MACH, Opcode.SADA2})
_WRITERS: Final = frozenset({Opcode.ADDC, Opcode.SUBB})


def reads_accumulator(instruction: Instruction) -> bool:
    """Whether it reads the accumulator without naming it."""
    return instruction.opcode in _READERS


def is_accumulator(operand: object) -> bool:
    """Whether an operand is acc0 or acc1."""
    return (
        isinstance(operand, Destination)
        and operand.file is File.ARF
        and ACCUMULATOR_BYTE <= operand.byte < ACCUMULATOR_BYTE + 64
    )


def writes_accumulator(instruction: Instruction) -> bool:
    """Whether the accumulator takes the result, be it as the destination or beside it. As a
    destination the outcome's accumulator replaces its value, which has fewer bits."""
    return (
        instruction.write_accumulator
        or instruction.opcode in _WRITERS
        or is_accumulator(instruction.destination)
    )


def accumulator_type(instruction: Instruction) -> Type:
    """The type of a channel's accumulator: F, DF or HF, or UD and UW for the low bits of integers.

    An instruction whose sources and destination have 16 bits at most works with 16-bit channels.
    """
    kinds = [element_type(operand) for operand in instruction.sources]
    target = instruction.destination.type if instruction.destination else Type.D
    if any(is_float(kind) for kind in kinds):
        return float_work(kinds)
    narrow = all(kind.size <= 2 for kind in kinds) and target.size <= 2
    return Type.UW if narrow else Type.UD


def accumulator_offset(instruction: Instruction) -> int:
    """Where the instruction's first channel stands, in bytes from acc0."""
    destination = instruction.destination
    if is_accumulator(destination) and isinstance(destination, Destination):
        return destination.byte - ACCUMULATOR_BYTE
    kind = accumulator_type(instruction)
    return instruction.channel * kind.size % 64 if is_float(kind) else 0
