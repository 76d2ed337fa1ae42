"""Sums, products, averages, carries, the accumulator's instructions, rounding to integers.

Source: PRM SKL vol 2a "Addition", "Multiply", "Average", "Multiply Accumulate", "Multiply
Accumulate High", "Integer Addition with Carry", "Integer Subtraction with Borrow", "Multiply Add",
"Multiply Add for Macro", "Linear Interpolation", "Fraction", "Round Up" .. "Round to Zero".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.opcodes import MathFunction
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import (
    IllegalOperation,
    float_work,
    integers_of,
    is_signed,
)
from mediator.softgpu.eu.semantics.accumulator import accumulator_type
from mediator.softgpu.eu.semantics.ops import Relation
from mediator.softgpu.eu.semantics.step import Accumulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediator.softgpu.eu.semantics.ops import Mask, Value
    from mediator.softgpu.eu.semantics.step import Outcome, Step

MACROS: Final = frozenset({MathFunction.INVM, MathFunction.RSQTM})
"""Functions that begin a macro of `madm`s."""


def add(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a + b."""
    work = float_work(step.kinds) if step.floats else step.integer_work()
    first, second = step.source(0, work), step.source(1, work)
    value = step.ops.add(work, first, second)
    long = any(kind.size == 8 for kind in step.kinds)
    if long and not step.floats and step.instruction.saturate:
        value = _saturated_sum(step, work, first, second, value)
    return step.result(work, value)


def _saturated_sum(
    step: Step[Value, Mask], work: Type, first: Value, second: Value, total: Value
) -> Value:
    """A sum of 64-bit integers where it did not wrap, the nearer end of the range where it did."""
    ops = step.ops
    if not is_signed(work):
        wrapped = ops.compare(Relation.LESS, work, total, first)
        return ops.select(work, wrapped, ops.constant(work, -1), total)
    changed = ops.bit_and(work, ops.bit_xor(work, first, total), ops.bit_xor(work, second, total))
    zero = ops.constant(work, 0)
    wrapped = ops.compare(Relation.LESS, work, changed, zero)
    below = ops.compare(Relation.LESS, work, first, zero)
    end = ops.select(work, below, ops.constant(work, -(1 << 63)), ops.constant(work, (1 << 63) - 1))
    return ops.select(work, wrapped, end, total)


def mul(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a * b: of integers as many low bits as the destination holds."""
    work = float_work(step.kinds) if step.floats else step.integer_work()
    return step.result(work, step.ops.multiply(work, step.source(0, work), step.source(1, work)))


def avg(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """(a + b + 1) >> 1, no bit of the sum lost."""
    step.require_integers()
    ops, work = step.ops, step.integer_work(exact=True)
    one = ops.constant(work, 1)
    total = ops.add(work, ops.add(work, step.source(0, work), step.source(1, work)), one)
    return step.result(work, ops.shift_right(work, total, one))


def mad(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a + b * c, of floats rounded once; the same for `madm`, whose macro's early-out flag
    (`math_functions`) says that no correction is left to make."""
    if step.floats:
        work = float_work(step.kinds)
        value = step.ops.fma(work, step.source(1, work), step.source(2, work), step.source(0, work))
    else:
        work = step.integer_work()
        product = step.ops.multiply(work, step.source(1, work), step.source(2, work))
        value = step.ops.add(work, step.source(0, work), product)
    return step.result(work, value)


def lrp(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a * b + (1 - a) * c."""
    _require_floats(step)
    ops, work = step.ops, float_work(step.kinds)
    weight = step.source(0, work)
    rest = ops.subtract(work, ops.constant(work, 1.0), weight)
    other = ops.multiply(work, rest, step.source(2, work))
    return step.result(work, ops.fma(work, weight, step.source(1, work), other))


# The accumulator


def mac(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a * b + accumulator."""
    ops, before = step.ops, _before(step)
    if step.floats:
        work = float_work(step.kinds)
        first, second = step.source(0, work), step.source(1, work)
        return step.result(work, ops.fma(work, first, second, before.low))
    work = step.integer_work(exact=True)
    product = ops.multiply(work, step.source(0, work), step.source(1, work))
    return accumulated(step, work, before, product)


def accumulated(
    step: Step[Value, Mask], work: Type, before: Accumulator[Value], addend: Value
) -> Outcome[Value, Mask]:
    """The accumulator plus a 64-bit integer, as result and as accumulator."""
    after = accumulate(step, work, before, addend)
    assert after.high is not None
    bits = step.ops.constant(work, 16 if accumulator_type(step.instruction) is Type.UW else 32)
    low = step.ops.convert(Type.UD, work, after.low)
    value = step.ops.bit_or(work, step.ops.shift_left(work, after.high, bits), low)
    return step.result(work, value, after)


def mach(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The upper half of what the accumulator is with (a * high word of b) << 16 added: after a
    `mul` of a and the low word of b into the accumulator, of the product of a and b."""
    step.require_integers()
    ops, before = step.ops, _before(step)
    work = integers_of(8, signed=any(is_signed(kind) for kind in step.kinds))
    sixteen = ops.constant(work, 16)
    high_word = ops.shift_right(work, step.source(1, work), sixteen)
    product = ops.multiply(work, step.source(0, work), high_word)
    after = accumulate(step, work, before, ops.shift_left(work, product, sixteen))
    assert after.high is not None
    return step.result(Type.Q, after.high, after)


def accumulate(
    step: Step[Value, Mask], work: Type, before: Accumulator[Value], addend: Value
) -> Accumulator[Value]:
    """The accumulator plus a 64-bit integer, all 66 bits (33 of words) kept."""
    ops = step.ops
    assert before.high is not None
    bits = 16 if accumulator_type(step.instruction) is Type.UW else 32
    mask, shift = ops.constant(work, (1 << bits) - 1), ops.constant(work, bits)
    low = ops.bit_and(work, ops.convert(Type.UD, work, before.low), mask)
    low = ops.add(work, low, ops.bit_and(work, addend, mask))
    carry = ops.shift_right(work, low, shift)
    high = ops.add(Type.Q, before.high, ops.shift_right(work, addend, shift))
    high = ops.add(Type.Q, high, carry)
    unused = ops.constant(Type.Q, 64 - (bits + 2 if bits == 32 else 17))
    high = ops.shift_right(Type.Q, ops.shift_left(Type.Q, high, unused), unused)
    return Accumulator(ops.convert(work, Type.UD, ops.bit_and(work, low, mask)), high)


def addc(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a + b of UD, the carry to the accumulator."""
    return _with_carry(step, subtract=False)


def subb(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a - b of UD, the borrow to the accumulator."""
    return _with_carry(step, subtract=True)


def _with_carry(step: Step[Value, Mask], *, subtract: bool) -> Outcome[Value, Mask]:
    step.require_integers()
    ops, work = step.ops, Type.UD
    first, second = step.source(0, work), step.source(1, work)
    if subtract:
        value = ops.subtract(work, first, second)
        carry = ops.compare(Relation.LESS, work, first, second)
    else:
        value = ops.add(work, first, second)
        carry = ops.compare(Relation.LESS, work, value, first)
    low = ops.select(work, carry, ops.constant(work, 1), ops.constant(work, 0))
    return step.result(work, value, Accumulator(low, ops.constant(Type.Q, 0)))


def _before(step: Step[Value, Mask]) -> Accumulator[Value]:
    before = step.inputs.accumulator
    assert before is not None, "reads_accumulator says so"
    return before


# Rounding


def frc(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """a - floor(a)."""
    _require_floats(step)
    work = float_work(step.kinds)
    value = step.source(0, work)
    whole = step.ops.round_down(work, value)
    return step.result(work, step.ops.subtract(work, value, whole))


def rndu(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Rounded up."""
    return _rounded(step, step.ops.round_up)


def rndd(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Rounded down."""
    return _rounded(step, step.ops.round_down)


def rnde(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Rounded to the nearest, of two the even one."""
    return _rounded(step, step.ops.round_even)


def rndz(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Rounded towards zero."""
    return _rounded(step, step.ops.round_zero)


def _rounded(
    step: Step[Value, Mask], function: Callable[[Type, Value], Value]
) -> Outcome[Value, Mask]:
    _require_floats(step)
    work = float_work(step.kinds)
    return step.result(work, function(work, step.source(0, work)))


def _require_floats(step: Step[Value, Mask]) -> None:
    if not step.floats:
        raise IllegalOperation(f"{step.instruction.opcode.mnemonic} of integers")
