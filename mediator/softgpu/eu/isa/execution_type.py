"""In which type an instruction computes: the rules of promotion, and what may not be mixed.

Source: PRM SKL vol 7 "Execution Data Type"; bytes and words compute with 32 bits inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.types import Kind, Packed, Type
from mediator.softgpu.eu.isa.instruction import Condition, Immediate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction, Operand


class IllegalOperation(ValueError):
    """An instruction that decodes and yet means nothing: its opcode or mixture of types is not
    allowed."""


def element_type(operand: Operand) -> Type:
    """The type of an operand's elements; of a packed immediate's those that it unpacks to."""
    return operand.type.element if isinstance(operand.type, Packed) else operand.type


def integers_of(size: int, *, signed: bool) -> Type:
    """The integer type of that many bytes."""
    return {
        1: (Type.UB, Type.B),
        2: (Type.UW, Type.W),
        4: (Type.UD, Type.D),
        8: (Type.UQ, Type.Q),
    }[size][signed]


def is_float(kind: Type) -> bool:
    """HF, F or DF."""
    return kind.kind is Kind.FLOAT


def is_signed(kind: Type) -> bool:
    """B, W, D or Q."""
    return kind.kind is Kind.SIGNED


def limits(kind: Type) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    bits = 8 * kind.size
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed(kind) else (0, (1 << bits) - 1)


def modified(operand: Operand) -> bool:
    """Whether the operand has a source modifier."""
    return not isinstance(operand, Immediate) and (operand.negate or operand.absolute)


def all_float(kinds: Iterable[Type]) -> bool:
    """Whether the sources are floats (true) or integers (false).

    Raises:
        IllegalOperation: They are mixed.
    """
    found = {is_float(kind) for kind in kinds}
    if len(found) > 1:
        raise IllegalOperation("floats and integers as sources of one instruction")
    return found == {True}


def float_work(kinds: Sequence[Type]) -> Type:
    """DF with a DF among the sources, else F: half floats are computed as F and rounded after."""
    return Type.DF if Type.DF in kinds else Type.F


def integer_work(instruction: Instruction, operands: Sequence[Operand], *, exact: bool) -> Type:
    """The type in which integer arithmetic on these operands gives what the destination needs.

    Results that are cut to 32 bits or less come right modulo 2**32. ``exact``, saturation, the
    overflow condition and destinations that hold more ask for all bits: 64.
    """
    kinds = [element_type(operand) for operand in operands]
    target = instruction.destination.type if instruction.destination else Type.D
    unsigned = not any(
        is_signed(kind) or (not isinstance(operand, Immediate) and operand.negate)
        for kind, operand in zip(kinds, operands, strict=True)
    )
    if (
        exact
        or instruction.saturate
        or instruction.condition is Condition.OVERFLOW
        or target.size == 8
        or is_float(target)
        or any(kind.size == 8 for kind in kinds)
    ):
        return Type.UQ if unsigned else Type.Q
    return Type.UD if unsigned else Type.D


def comparison_work(operands: Sequence[Operand]) -> Type:
    """The type in which integers of these operands' types compare as the numbers that they are."""
    kinds = [element_type(operand) for operand in operands]
    if any(kind.size == 8 for kind in kinds):
        return Type.UQ if not any(is_signed(kind) for kind in kinds) else Type.Q
    large = {
        kind
        for operand, kind in zip(operands, kinds, strict=True)
        if kind.size == 4 and not modified(operand)
    }
    if any(kind.size == 4 and modified(op) for op, kind in zip(operands, kinds, strict=True)):
        return Type.Q
    if Type.UD not in large:
        return Type.D
    plain = not any(
        is_signed(kind) or modified(op) for op, kind in zip(operands, kinds, strict=True)
    )
    return Type.UD if plain else Type.Q
