"""Logic, shifts, bit fields and bit counts.

Source: PRM SKL vol 2a "Logic Not" .. "Arithmetic Shift Right", "Bit Field Extract", "Bit Field
Insert 1", "Bit Field Insert 2", "Bit Field Reverse", "Leading Zero Detection", "Find First Bit from
MSB Side", "Find First Bit from LSB Side", "Count Bits Set".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import integers_of, is_signed
from mediator.softgpu.eu.isa.instruction import Immediate
from mediator.softgpu.eu.semantics.ops import Relation

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediator.softgpu.eu.semantics.ops import Mask, Value
    from mediator.softgpu.eu.semantics.step import Outcome, Step


def not_(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """NOT of the source."""
    work = _logic_work(step)
    return step.result(work, step.invert(work, step.bits(0, work)))


def and_(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """AND of the sources."""
    return _logic(step, step.ops.bit_and)


def or_(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """OR of the sources."""
    return _logic(step, step.ops.bit_or)


def xor(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Exclusive OR of the sources."""
    return _logic(step, step.ops.bit_xor)


def _logic(
    step: Step[Value, Mask], function: Callable[[Type, Value, Value], Value]
) -> Outcome[Value, Mask]:
    work = _logic_work(step)
    return step.result(work, function(work, step.bits(0, work), step.bits(1, work)))


def _logic_work(step: Step[Value, Mask]) -> Type:
    step.require_integers()
    wide = step.target.size == 8 or any(kind.size == 8 for kind in step.kinds)
    return Type.Q if wide else Type.D


# Shifts


def shl(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Shifted left. The count is taken modulo 64 if source or destination have 64 bits, else modulo
    32."""
    step.require_integers()
    ops, modulus = step.ops, _modulus(step)
    exact = step.integer_work().size == 8
    work = step.integer_work() if exact else Type.D
    count = _count(step, 1, work, modulus)
    return step.result(work, ops.shift_left(work, step.source(0, work), count))


def shr(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Shifted right, zeros coming in above 32 bits, or 64.

    The source is widened to them by its own type: of a W copies of its sign come in. Mesa halves
    the operand of a saturating subtraction so.
    """
    return _right(step, signed=False)


def asr(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Shifted right, copies of the source's highest bit coming in."""
    return _right(step, signed=True)


def _right(step: Step[Value, Mask], *, signed: bool) -> Outcome[Value, Mask]:
    step.require_integers()
    ops, kind, operand = step.ops, step.kinds[0], step.operands[0]
    size = 8 if _modulus(step) == 64 else 4
    work = integers_of(size, signed=signed)
    if isinstance(operand, Immediate) or not (operand.negate or operand.absolute):
        # asr takes the source's highest bit for a sign whatever its type.
        own = integers_of(kind.size, signed=signed or is_signed(kind))
        value = step.inputs.sources[0]
        value = value if own is work else ops.convert(own, work, value)
    else:
        value = step.source(0, work)
    count = _count(step, 1, work, 8 * size)
    return step.result(work, ops.shift_right(work, value, count))


def _modulus(step: Step[Value, Mask]) -> int:
    return 64 if step.target.size == 8 or step.kinds[0].size == 8 else 32


def _count(step: Step[Value, Mask], index: int, work: Type, modulus: int) -> Value:
    """A source as a number of bits, in the type ``work``."""
    return step.ops.bit_and(work, step.source(index, work), step.ops.constant(work, modulus - 1))


# Bit fields, of D and UD


def bfe(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The field of as many bits as the first source says, from the bit that the second says on, of
    the third; with its sign if the type is D."""
    step.require_integers()
    ops = step.ops
    work = Type.D if is_signed(step.kinds[2]) else Type.UD
    width, offset = _count(step, 0, work, 32), _count(step, 1, work, 32)
    value, bits = step.source(2, work), ops.constant(work, 32)
    zero = ops.constant(work, 0)
    end = ops.add(work, width, offset)
    inside = ops.compare(Relation.LESS, Type.D, end, bits)
    # Shifts of 32 and more are none of `Ops`: lanes that would need them are taken elsewhere.
    up = ops.select(work, inside, ops.subtract(work, bits, end), zero)
    up = ops.bit_and(work, up, ops.constant(work, 31))
    down = ops.bit_and(work, ops.subtract(work, bits, width), ops.constant(work, 31))
    field = ops.shift_right(work, ops.shift_left(work, value, up), down)
    field = ops.select(work, inside, field, ops.shift_right(work, value, offset))
    empty = ops.compare(Relation.EQUAL, Type.D, width, zero)
    return step.result(work, ops.select(work, empty, zero, field))


def bfi1(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """A mask of as many ones as the first source says, from the bit that the second says on."""
    step.require_integers()
    ops, work = step.ops, Type.UD
    width, offset = _count(step, 0, work, 32), _count(step, 1, work, 32)
    one = ops.constant(work, 1)
    ones = ops.subtract(work, ops.shift_left(work, one, width), one)
    return step.result(work, ops.shift_left(work, ones, offset))


def bfi2(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The second source, moved up to the first's lowest one, where the first has ones; the third
    elsewhere."""
    step.require_integers()
    ops, work = step.ops, Type.UD
    mask = step.source(0, work)
    # An empty mask takes nothing, however far the source is moved.
    lowest = ops.bit_and(work, ops.trailing_zeros(work, mask), ops.constant(work, 31))
    inserted = ops.bit_and(work, mask, ops.shift_left(work, step.source(1, work), lowest))
    kept = ops.bit_and(work, step.invert(work, mask), step.source(2, work))
    return step.result(work, ops.bit_or(work, inserted, kept))


def bfrev(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The source's 32 bits in reverse."""
    step.require_integers()
    return step.result(Type.UD, step.ops.reverse_bits(Type.UD, step.source(0, Type.UD)))


# Counts


def lzd(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Zeros above the highest one; 32 of 0."""
    step.require_integers()
    return step.result(Type.UD, step.ops.leading_zeros(Type.UD, step.source(0, Type.UD)))


def fbh(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Bits above the highest that differs from the sign (UD: from 0); all ones if there is none."""
    step.require_integers()
    ops = step.ops
    value = step.source(0, Type.UD)
    if is_signed(step.kinds[0]):
        sign = ops.shift_right(Type.D, value, ops.constant(Type.D, 31))
        value = ops.bit_xor(Type.UD, value, sign)
    return step.result(Type.UD, _found(step, value, ops.leading_zeros(Type.UD, value)))


def fbl(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """Zeros below the lowest one; all ones if there is none."""
    step.require_integers()
    value = step.source(0, Type.UD)
    count = step.ops.trailing_zeros(Type.UD, value)
    return step.result(Type.UD, _found(step, value, count))


def cbit(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """How many of the source's own bits are set."""
    step.require_integers()
    own = integers_of(step.kinds[0].size, signed=False)
    value = step.inputs.sources[0]
    value = value if own is Type.UD else step.ops.convert(own, Type.UD, value)
    return step.result(Type.UD, step.ops.count_bits(Type.UD, value))


def _found(step: Step[Value, Mask], value: Value, count: Value) -> Value:
    """The count, or all ones where the value is 0."""
    ops = step.ops
    none = ops.compare(Relation.EQUAL, Type.UD, value, ops.constant(Type.UD, 0))
    return ops.select(Type.UD, none, ops.constant(Type.UD, 0xFFFFFFFF), count)
