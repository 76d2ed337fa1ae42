"""mov, sel, csel, cmp, cmpn: what moves and compares.

Source: PRM SKL vol 2a "Move", "Select", "Conditional Select", "Compare", "Compare NaN".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import (
    IllegalOperation,
    comparison_work,
    float_work,
    is_float,
)
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.semantics.ops import Relation
from mediator.softgpu.eu.semantics.step import RELATIONS, Outcome

if TYPE_CHECKING:
    from mediator.softgpu.eu.semantics.ops import Mask, Value
    from mediator.softgpu.eu.semantics.step import Step


def mov(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The source; the bits of a like type stay as they are, a NaN's too."""
    return step.result(*step.plain(0))


def sel(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """By the predicate the first source or the second; with a condition the one for which it holds,
    which makes .l a minimum and .ge a maximum that prefer a number to a NaN. No flag is written."""
    if step.instruction.condition is not Condition.NONE:
        mask = _compare(step, nan_second=True)
    elif step.inputs.predicate is not None:
        mask = step.inputs.predicate
    else:
        mask = step.ops.constant_mask(True)
    value = step.ops.select(step.target, mask, step.moved(0), step.moved(1))
    return _without_flag(step, value)


def csel(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The first source where the third compares with 0 as the condition says, else the second."""
    ops, condition = step.ops, step.instruction.condition
    if condition not in RELATIONS:
        raise IllegalOperation("csel without a comparison")
    work = float_work(step.kinds) if step.floats else Type.D
    if not step.floats and step.kinds[2] is Type.UD:
        work = Type.UD
    mask = ops.compare(RELATIONS[condition], work, step.source(2, work), ops.constant(work, 0))
    value = ops.select(step.target, mask, step.moved(0), step.moved(1))
    return _without_flag(step, value)


def cmp(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """All ones where the condition holds between the sources; the flag likewise."""
    mask = _compare(step, nan_second=False)
    return Outcome(step.truth(mask), mask)


def cmpn(step: Step[Value, Mask]) -> Outcome[Value, Mask]:
    """The same, but .l and .ge hold also if the second source is a NaN."""
    mask = _compare(step, nan_second=True)
    return Outcome(step.truth(mask), mask)


def _compare(step: Step[Value, Mask], *, nan_second: bool) -> Mask:
    """Whether the condition holds between the sources: floats by IEEE 754, integers as numbers."""
    ops, condition = step.ops, step.instruction.condition
    work = float_work(step.kinds) if step.floats else comparison_work(step.operands)
    first, second = step.source(0, work), step.source(1, work)
    if condition is Condition.UNORDERED:
        if not is_float(work):
            return ops.constant_mask(False)
        return ops.mask_or(ops.is_nan(work, first), ops.is_nan(work, second))
    if condition not in RELATIONS:
        raise IllegalOperation(f"{step.instruction.opcode.mnemonic} without a comparison")
    relation = RELATIONS[condition]
    mask = ops.compare(relation, work, first, second)
    if nan_second and is_float(work) and relation in (Relation.LESS, Relation.GREATER_EQUAL):
        mask = ops.mask_or(mask, ops.is_nan(work, second))
    return mask


def _without_flag(step: Step[Value, Mask], value: Value) -> Outcome[Value, Mask]:
    outcome = step.result(step.target, value)
    return Outcome(outcome.value, None, outcome.accumulator)
