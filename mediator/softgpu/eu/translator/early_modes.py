"""Writes of cr0.0 with which a program begins, before it computes with floats.

A write of cr0 makes the function leave, so that no operation can move over the change (`modes.py`).
Compilers put one at the start of nearly every kernel, where nothing could move: the wrapper does
those before the function is entered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.gen9.eu import registers
from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.gen9.eu.types import Kind, Packed, Type
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    Condition,
    Destination,
    File,
    Immediate,
    Source,
)

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import (
        IndirectDestination,
        Instruction,
        Operand,
    )
    from mediator.softgpu.eu.isa.program import Program

_ALL: Final = 0xFFFF_FFFF
_CR0: Final = registers.CONTROL * GRF_BYTES


@dataclass(frozen=True, slots=True)
class EarlyModes:
    """cr0.0 becomes ``cr0.0 & kept | set``, for the instructions at ``offsets``."""

    kept: int = _ALL
    set: int = 0
    offsets: frozenset[int] = frozenset()

    def after(self, instruction: Instruction, kept: int, bits: int) -> EarlyModes:
        """With one more write behind these."""
        return EarlyModes(
            self.kept & kept, self.set & kept | bits, self.offsets | {instruction.offset}
        )


def early_modes(program: Program) -> EarlyModes:
    """The writes that can be done before the thread begins."""
    found = EarlyModes()
    if any(0 in block.successors for block in program.blocks):
        return found  # the beginning comes again
    for instruction in program.block_of[0].instructions:
        write = _write(instruction)
        if write is not None:
            found = found.after(instruction, *write)
        elif not _is_indifferent(instruction):
            break
    return found


def changes_modes(instruction: Instruction) -> bool:
    """Whether an instruction writes cr0."""
    place = instruction.destination
    return isinstance(place, Destination) and _is_control(place)


def _write(instruction: Instruction) -> tuple[int, int] | None:
    """(bits that stay, bits that are set) of a plain write of cr0.0 by a number; else None."""
    place, sources = instruction.destination, instruction.sources
    plain = (
        instruction.opcode in (Opcode.MOV, Opcode.AND, Opcode.OR)
        and instruction.no_mask
        and instruction.width == 1
        and instruction.predicate is None
        and instruction.condition is Condition.NONE
        and not (instruction.saturate or instruction.align16 or instruction.write_accumulator)
    )
    if not plain or not isinstance(place, Destination) or not _is_whole(place):
        return None
    number = _number(sources[-1])
    if number is None:
        return None
    if instruction.opcode is Opcode.MOV:
        return 0, number
    old = sources[0]
    if not isinstance(old, Source) or not _is_whole(old) or old.negate or old.absolute:
        return None
    return (number, 0) if instruction.opcode is Opcode.AND else (_ALL, number)


def _number(operand: Operand) -> int | None:
    """The dword that an integer immediate stands for."""
    if not isinstance(operand, Immediate) or isinstance(operand.type, Packed):
        return None
    size, bits = 8 * operand.type.size, operand.bits
    if operand.type.kind is Kind.FLOAT or size > 32:
        return None
    if operand.type.kind is Kind.SIGNED and bits >> (size - 1):
        bits -= 1 << size
    return bits & _ALL


def _is_whole(place: Source | Destination) -> bool:
    """cr0.0, all of it."""
    return place.file is File.ARF and place.byte == _CR0 and place.type in (Type.UD, Type.D)


def _is_control(place: Source | Destination) -> bool:
    return place.file is File.ARF and place.byte // GRF_BYTES == registers.CONTROL


def _is_indifferent(instruction: Instruction) -> bool:
    """Neither computes with floats nor reads cr0, nor sends, waits or branches."""
    if instruction.message is not None or instruction.opcode.form is not Form.BASIC:
        return False
    if instruction.opcode is Opcode.WAIT:
        return False
    operands = (*instruction.sources, instruction.destination)
    return not any(_minds(each) for each in operands if each is not None)


def _minds(operand: Operand | Destination | IndirectDestination) -> bool:
    if isinstance(operand, Source | Destination) and _is_control(operand):
        return True
    kind = operand.type.element if isinstance(operand.type, Packed) else operand.type
    return kind.kind is Kind.FLOAT
