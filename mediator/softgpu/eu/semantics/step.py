"""One instruction being computed: its operands in, what it leaves behind out, and what all opcodes
share between the two: source modifiers, saturation, conversion, conditional modifiers.

Source: PRM SKL vol 7 "Source Modifiers", "Saturation", "Conditional Modifiers", "Assigning
Conditional Flags": flags follow the final result, after clamping and conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import (
    IllegalOperation,
    all_float,
    element_type,
    integer_work,
    integers_of,
    is_float,
    is_signed,
    limits,
    modified,
)
from mediator.softgpu.eu.isa.instruction import Condition, Immediate
from mediator.softgpu.eu.semantics.accumulator import accumulator_type, writes_accumulator
from mediator.softgpu.eu.semantics.ops import Mask, Relation, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction, Operand
    from mediator.softgpu.eu.semantics.ops import Ops

RELATIONS = {
    Condition.EQUAL: Relation.EQUAL,
    Condition.NOT_EQUAL: Relation.NOT_EQUAL,
    Condition.GREATER: Relation.GREATER,
    Condition.GREATER_EQUAL: Relation.GREATER_EQUAL,
    Condition.LESS: Relation.LESS,
    Condition.LESS_EQUAL: Relation.LESS_EQUAL,
}


@dataclass(frozen=True, slots=True)
class Accumulator(Generic[Value]):
    """A channel's accumulator.

    Float: ``low`` is the value, in the type that the instruction computes in, ``high`` is None.
    Integer: ``low`` (UD) has what stands in acc0, 32 bits, or 16 of word arithmetic, and ``high``
    (Q) the bits above, with sign: the accumulator has 66 (33) bits.
    """

    low: Value
    high: Value | None = None


@dataclass(frozen=True, slots=True)
class Inputs(Generic[Value, Mask]):
    """What an instruction reads.

    ``sources``: one for each of `semantics.operands`, lanes as they stand in the registers, in the
    operand's own type, without modifiers. ``predicate``: of `sel` that has one, else None.
    ``accumulator``: if `accumulator.reads_accumulator`.
    """

    sources: Sequence[Value]
    predicate: Mask | None = None
    accumulator: Accumulator[Value] | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Value, Mask]):
    """What an instruction leaves, for the channels that are enabled.

    ``value``: in the destination's type. ``flag``: new flag bits, None if it writes none.
    ``accumulator``: what goes there, if `accumulator.writes_accumulator`; None if nothing does.
    ``second``: the remainder of `idiv`, for the registers after the destination's.
    """

    value: Value
    flag: Mask | None = None
    accumulator: Accumulator[Value] | None = None
    second: Value | None = None


class Step(Generic[Value, Mask]):
    """An instruction, its inputs and the operations to compute it with."""

    def __init__(
        self,
        ops: Ops[Value, Mask],
        instruction: Instruction,
        operands: Sequence[Operand],
        inputs: Inputs[Value, Mask],
    ) -> None:
        if instruction.destination is None:
            raise IllegalOperation(f"{instruction.opcode.mnemonic} without destination")
        self.ops = ops
        self.instruction = instruction
        self.operands = operands
        self.inputs = inputs
        self.kinds = tuple(element_type(operand) for operand in operands)
        self.target = instruction.destination.type
        self.wants_accumulator = writes_accumulator(instruction)

    @property
    def floats(self) -> bool:
        """Whether the sources are floats.

        Raises:
            IllegalOperation: They are mixed.
        """
        return all_float(self.kinds)

    def require_integers(self) -> None:
        """Raise IllegalOperation if a source is a float."""
        if any(is_float(kind) for kind in self.kinds):
            raise IllegalOperation(f"{self.instruction.opcode.mnemonic} of floats")

    def integer_work(self, *, exact: bool = False) -> Type:
        """`execution_type.integer_work` of all sources."""
        exact = exact or self.wants_accumulator
        return integer_work(self.instruction, self.operands, exact=exact)

    # Sources

    def source(self, index: int, work: Type) -> Value:
        """A source in the type to compute in, modifiers applied."""
        operand, kind = self.operands[index], self.kinds[index]
        value = self.inputs.sources[index]
        if kind is not work:
            value = self.ops.convert(kind, work, value)
        if not isinstance(operand, Immediate):
            if operand.absolute and is_float(kind):
                value = self.ops.absolute(work, value)
            elif operand.absolute and is_signed(kind):
                value = self.ops.absolute(integers_of(work.size, signed=True), value)
            if operand.negate:
                value = self.ops.negate(work, value)
        return value

    def bits(self, index: int, work: Type) -> Value:
        """A source of a logical operation: negation means NOT."""
        operand = self.operands[index]
        value = self.inputs.sources[index]
        kind = self.kinds[index]
        if kind is not work:
            value = self.ops.convert(kind, work, value)
        if not isinstance(operand, Immediate) and operand.negate:
            value = self.invert(work, value)
        return value

    def plain(self, index: int) -> tuple[Type, Value]:
        """A source as `mov` takes it, with its type: untouched if that is the destination's and
        nothing is to be done to it, else in a type that holds the number."""
        operand, kind = self.operands[index], self.kinds[index]
        if is_float(kind):
            return kind, self.source(index, kind)
        work = kind
        if modified(operand) and kind.size <= 2:
            work = Type.D
        elif modified(operand):
            work = integer_work(self.instruction, [operand], exact=self.wants_accumulator)
        return work, self.source(index, work)

    def moved(self, index: int) -> Value:
        """A source in the destination's type, as `mov` does it, not saturated."""
        work, value = self.plain(index)
        return value if work is self.target else self.ops.convert(work, self.target, value)

    # Results

    def result(
        self, work: Type, value: Value, accumulator: Accumulator[Value] | None = None
    ) -> Outcome[Value, Mask]:
        """The outcome of an instruction that computed ``value`` in the type ``work``."""
        if self.wants_accumulator and accumulator is None:
            accumulator = self.spread(work, value)
        overflow = None
        if self.instruction.condition is Condition.OVERFLOW:
            overflow = self._overflow(work, value)
        if self.instruction.saturate and not is_float(self.target) and not is_float(work):
            value = self._clamp(work, value)
        if work is not self.target:
            value = self.ops.convert(work, self.target, value)
        if self.instruction.saturate and is_float(self.target):
            value = self._unit(value)
        flag = overflow if overflow is not None else self.condition(self.target, value)
        return Outcome(value, flag, accumulator)

    def spread(self, work: Type, value: Value) -> Accumulator[Value] | None:
        """A result as the accumulator keeps it; None of a result that is no longer what the sources
        are, float or integer."""
        kept = accumulator_type(self.instruction)
        if is_float(work) != is_float(kept):
            return None
        if is_float(work):
            return Accumulator(value if work is kept else self.ops.convert(work, kept, value))
        ops = self.ops
        narrow = kept is Type.UW
        wide = value if work.size == 8 else ops.convert(work, Type.Q, value)
        kind = work if work.size == 8 else Type.Q
        bits = 16 if narrow else 32
        low = ops.convert(kind, Type.UD, wide)
        if narrow:
            low = ops.bit_and(Type.UD, low, ops.constant(Type.UD, 0xFFFF))
        return Accumulator(low, ops.shift_right(kind, wide, ops.constant(kind, bits)))

    def condition(self, kind: Type, value: Value) -> Mask | None:
        """The flag that the conditional modifier makes of a result; None without one."""
        condition, ops = self.instruction.condition, self.ops
        if condition is Condition.NONE:
            return None
        if condition is Condition.UNORDERED:
            return ops.is_nan(kind, value) if is_float(kind) else ops.constant_mask(False)
        if condition is Condition.OVERFLOW:
            return self._overflow(kind, value)
        work = kind
        if kind.size < 4:
            work = Type.F if is_float(kind) else Type.D
            value = ops.convert(kind, work, value)
        return ops.compare(RELATIONS[condition], work, value, ops.constant(work, 0))

    def truth(self, mask: Mask) -> Value:
        """All ones where true and zeros elsewhere, in the destination's type."""
        ops = self.ops
        kind = integers_of(self.target.size, signed=True)
        value = ops.select(kind, mask, ops.constant(kind, -1), ops.constant(kind, 0))
        return ops.bitcast(kind, self.target, value)

    def invert(self, kind: Type, value: Value) -> Value:
        """NOT of the bits of an integer."""
        return self.ops.bit_xor(kind, value, self.ops.constant(kind, -1))

    def _overflow(self, work: Type, value: Value) -> Mask:
        ops = self.ops
        if is_float(work):
            wide = work if work.size >= 4 else Type.F
            value = value if wide is work else ops.convert(work, wide, value)
            size = ops.absolute(wide, value)
            return ops.compare(Relation.EQUAL, wide, size, ops.constant(wide, float("inf")))
        if is_float(self.target):
            return ops.constant_mask(False)
        return ops.compare(Relation.NOT_EQUAL, work, self._clamp(work, value), value)

    def _clamp(self, work: Type, value: Value) -> Value:
        ops = self.ops
        wide = work if work.size >= 4 else Type.D
        if wide is not work:
            value = ops.convert(work, wide, value)
        (least, most), (low, high) = limits(work), limits(self.target)
        for bound, relation, counts in (
            (low, Relation.LESS, low > least),
            (high, Relation.GREATER, high < most),
        ):
            if counts:
                edge = ops.constant(wide, bound)
                value = ops.select(wide, ops.compare(relation, wide, value, edge), edge, value)
        return value if wide is work else ops.convert(wide, work, value)

    def _unit(self, value: Value) -> Value:
        """A float clamped to 0..1, a NaN to 0."""
        ops, target = self.ops, self.target
        work = target if target.size >= 4 else Type.F
        if work is not target:
            value = ops.convert(target, work, value)
        zero, one = ops.constant(work, 0.0), ops.constant(work, 1.0)
        value = ops.select(work, ops.compare(Relation.GREATER, work, value, zero), value, zero)
        value = ops.select(work, ops.compare(Relation.LESS, work, value, one), value, one)
        return value if work is target else ops.convert(work, target, value)
