"""Instructions whose channels look at each other: dot products, planes, sums of differences.

Source: PRM SKL vol 2a "Dot Product 2" .. "Dot Product Homogeneous", "Line", "Plane", "Sum of
Absolute Difference 2", "Sum of Absolute Difference Accumulate 2".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import GRF_BYTES, File, Region, Source
from mediator.softgpu.eu.semantics.arithmetic import accumulated

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction, Operand
    from mediator.softgpu.eu.semantics.ops import Mask, Value
    from mediator.softgpu.eu.semantics.step import Outcome, Step


def dp2(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Of each four channels the sum of the first two products, to all four."""
    return _dot(step, 2)


def dp3(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Of each four channels the sum of the first three products, to all four."""
    return _dot(step, 3)


def dp4(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Of each four channels the sum of the products, to all four."""
    return _dot(step, 4)


def dph(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The same with 1 for the first source's fourth channel."""
    return _dot(step, 4, homogeneous=True)


def _dot(step: Step[Value, Mask], terms: int, *, homogeneous: bool = False) -> Outcome[Value, Mask]:
    _require_f(step)
    ops, width = step.ops, step.instruction.width
    if width < 4:
        raise IllegalOperation(f"{step.instruction.opcode.mnemonic} of fewer than four channels")
    first, second = step.source(0, Type.F), step.source(1, Type.F)
    products = ops.multiply(Type.F, first, second)
    addends = [
        ops.permute(
            Type.F,
            second if homogeneous and term == 3 else products,
            [lane // 4 * 4 + term for lane in range(width)],
        )
        for term in range(terms)
    ]
    total = addends[0]
    for addend in addends[1:]:
        total = ops.add(Type.F, total, addend)
    return step.result(Type.F, total)


def plane_operands(instruction: Instruction) -> tuple[Operand, ...]:
    """What `line` reads: p, q of its first source's four and the coordinate; and `pln`: p, q, r,
    and both coordinates, which come in turns of eight channels."""
    coefficients, position = instruction.sources
    if not isinstance(coefficients, Source) or coefficients.file is not File.GRF:
        raise IllegalOperation(f"{instruction.opcode.mnemonic} with coefficients elsewhere")

    def coefficient(index: int) -> Source:
        at = coefficients.byte + 4 * index
        return replace(coefficients, byte=at, region=Region(0, 1, 0), swizzle=None)

    if instruction.opcode is Opcode.LINE:
        return coefficient(0), coefficient(3), position
    if not isinstance(position, Source) or position.file is not File.GRF:
        raise IllegalOperation("pln with coordinates elsewhere")
    turns = replace(position, region=Region(16, 8, 1), swizzle=None)
    other = replace(turns, byte=turns.byte + GRF_BYTES)
    return coefficient(0), coefficient(1), coefficient(3), turns, other


def line(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """p * u + q."""
    _require_f(step)
    p, q, u = (step.source(index, Type.F) for index in range(3))
    return step.result(Type.F, step.ops.fma(Type.F, p, u, q))


def pln(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """p * u + q * v + r."""
    _require_f(step)
    p, q, r, u, v = (step.source(index, Type.F) for index in range(5))
    ops = step.ops
    return step.result(Type.F, ops.fma(Type.F, p, u, ops.fma(Type.F, q, v, r)))


def sad2(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Of each two channels the sum of |a - b|, to both (the PRM leaves the second undefined)."""
    return step.result(Type.D, _differences(step))


def sada2(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The same plus the accumulator."""
    before = step.inputs.accumulator
    assert before is not None, "reads_accumulator says so"
    differences = step.ops.convert(Type.D, Type.Q, _differences(step))
    return accumulated(step, Type.Q, before, differences)


def _differences(step: Step[Value, Mask]) -> Value:
    step.require_integers()
    ops, width = step.ops, step.instruction.width
    if width < 2 or any(kind.size != 1 for kind in step.kinds):
        raise IllegalOperation(f"{step.instruction.opcode.mnemonic} of other than bytes")
    difference = ops.subtract(Type.D, step.source(0, Type.D), step.source(1, Type.D))
    difference = ops.absolute(Type.D, difference)
    even = ops.permute(Type.D, difference, [lane // 2 * 2 for lane in range(width)])
    odd = ops.permute(Type.D, difference, [lane // 2 * 2 + 1 for lane in range(width)])
    return ops.add(Type.D, even, odd)


def _require_f(step: Step[Value, Mask]) -> None:
    if any(kind is not Type.F for kind in step.kinds):
        raise IllegalOperation(f"{step.instruction.opcode.mnemonic} of other than f")
