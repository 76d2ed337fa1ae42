"""The functions of the math instruction.

INVM and RSQTM begin macros that correct an approximation with `madm` unless the flag ("early out")
says that the result is final. Here it always is: they give the correctly rounded quotient and
square root and set the flag in every enabled channel.

Source: PRM SKL vol 2a "Extended Math Function"; IGC's use of the macros.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from mediator.gen9.eu.opcodes import MathFunction
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import (
    IllegalOperation,
    float_work,
    integers_of,
    is_signed,
    limits,
)
from mediator.softgpu.eu.semantics.ops import Relation
from mediator.softgpu.eu.semantics.step import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediator.softgpu.eu.semantics.ops import Mask, Ops, Value
    from mediator.softgpu.eu.semantics.step import Step


def math(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The function that the instruction names."""
    function = step.instruction.function
    if function is None:
        raise IllegalOperation("math without function")
    if len(step.kinds) < function.source_count:
        raise IllegalOperation(f"math.{function.mnemonic} with too few sources")
    if function in (MathFunction.IDIVREM, MathFunction.IQOT, MathFunction.IREM):
        return _integer(step, function)
    if not step.floats:
        raise IllegalOperation(f"math.{function.mnemonic} of integers")
    work = float_work(step.kinds)
    if function in (MathFunction.INVM, MathFunction.RSQTM):
        return _macro(step, function, work)
    if work is not Type.F:
        raise IllegalOperation(f"math.{function.mnemonic} of {work.mnemonic}")
    sources = [step.source(index, work) for index in range(function.source_count)]
    value: Value = _FUNCTIONS[function](step.ops, *sources)
    return step.result(work, value)


def _macro(step: Step[Value, Mask], function: MathFunction, work: Type) -> Outcome[Value, Mask]:
    value = step.source(0, work)
    if function is MathFunction.INVM:
        value = step.ops.divide(work, value, step.source(1, work))
    else:
        value = step.ops.square_root(work, value)
    outcome = step.result(work, value)
    return Outcome(outcome.value, step.ops.constant_mask(True), outcome.accumulator)


_FUNCTIONS: Final[MappingProxyType[MathFunction, Callable[..., Any]]] = MappingProxyType(
    {
        MathFunction.INV: lambda ops, a: ops.divide(Type.F, ops.constant(Type.F, 1.0), a),
        MathFunction.LOG: lambda ops, a: ops.log2(Type.F, a),
        MathFunction.EXP: lambda ops, a: ops.exp2(Type.F, a),
        MathFunction.SQRT: lambda ops, a: ops.square_root(Type.F, a),
        MathFunction.RSQ: lambda ops, a: ops.reciprocal_root(Type.F, a),
        MathFunction.SIN: lambda ops, a: ops.sine(Type.F, a),
        MathFunction.COS: lambda ops, a: ops.cosine(Type.F, a),
        MathFunction.FDIV: lambda ops, a, b: ops.divide(Type.F, a, b),
        MathFunction.POW: lambda ops, a, b: ops.power(Type.F, a, b),
    }
)


def _integer(step: Step[Value, Mask], function: MathFunction) -> Outcome[Value, Mask]:
    """Quotient, remainder, or both. By zero: the end of the range on the dividend's side, for
    both."""
    step.require_integers()
    ops = step.ops
    size = max(kind.size for kind in step.kinds)
    signed = any(is_signed(kind) for kind in step.kinds)
    work = integers_of(max(size, 4), signed=signed)
    if work.size != 4:
        raise IllegalOperation("integer division of 64 bits")
    dividend, divisor = step.source(0, work), step.source(1, work)
    by_zero = ops.compare(Relation.EQUAL, work, divisor, ops.constant(work, 0))
    quotient, remainder = _divide(ops, work, dividend, divisor, by_zero)
    least, most = limits(work)
    end = ops.constant(work, most)
    if signed:
        below = ops.compare(Relation.LESS, work, dividend, ops.constant(work, 0))
        end = ops.select(work, below, ops.constant(work, least), end)
    quotient = ops.select(work, by_zero, end, quotient)
    remainder = ops.select(work, by_zero, end, remainder)
    outcome = step.result(work, remainder if function is MathFunction.IREM else quotient)
    if function is not MathFunction.IDIVREM:
        return outcome
    second = step.result(work, remainder).value
    return Outcome(outcome.value, outcome.flag, outcome.accumulator, second)


def _divide(
    ops: Ops[Value, Mask], work: Type, dividend: Value, divisor: Value, by_zero: Mask
) -> tuple[Value, Value]:
    """Quotient and remainder where there are such; the least integer by -1 is itself, remainder
    0."""
    one = ops.constant(work, 1)
    avoid = by_zero
    if is_signed(work):
        least = ops.constant(work, limits(work)[0])
        wraps = ops.mask_and(
            ops.compare(Relation.EQUAL, work, dividend, least),
            ops.compare(Relation.EQUAL, work, divisor, ops.constant(work, -1)),
        )
        avoid = ops.mask_or(avoid, wraps)
    divisor = ops.select(work, avoid, one, divisor)
    return ops.divide(work, dividend, divisor), ops.remainder(work, dividend, divisor)
