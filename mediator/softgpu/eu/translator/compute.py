"""An instruction that computes: operands read, `semantics.evaluate` asked, results written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.execution_type import IllegalOperation, is_float
from mediator.softgpu.eu.isa.instruction import GRF_BYTES, Destination
from mediator.softgpu.eu.semantics.accumulator import (
    accumulator_offset,
    accumulator_type,
    is_accumulator,
    reads_accumulator,
    writes_accumulator,
)
from mediator.softgpu.eu.semantics.step import Accumulator, Inputs
from mediator.softgpu.eu.semantics.table import evaluate, operands, predicate_selects, writes_flag
from mediator.softgpu.eu.translator.ops import LlvmOps, element_of
from mediator.softgpu.eu.translator.predicates import predicate_mask
from mediator.softgpu.eu.translator.registers import Untranslatable
from mediator.softgpu.eu.translator.single_ops import SingleOps
from mediator.softgpu.eu.translator.text import bits_of

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.semantics.step import Outcome
    from mediator.softgpu.eu.translator.state import State
    from mediator.softgpu.eu.translator.text import Value

_ACCUMULATOR = 64
"""Bytes of acc0 and acc1."""


def compute(state: State, instruction: Instruction) -> None:
    """Write the code of one instruction."""
    width = instruction.width
    make = SingleOps if state.doubles else LlvmOps
    ops = make(state.text, width)
    selects = predicate_selects(instruction)
    predicate = None
    if selects and instruction.predicate is not None:
        predicate = predicate_mask(state, instruction)
    inputs = Inputs(
        [state.read(operand, width) for operand in operands(instruction)],
        predicate,
        _accumulator(state, instruction) if reads_accumulator(instruction) else None,
    )
    try:
        outcome = evaluate(ops, instruction, inputs)
    except IllegalOperation as reason:
        raise Untranslatable(str(reason)) from reason
    _keep(state, instruction, outcome, selects=selects)


def enabled(state: State, instruction: Instruction, *, predicated: bool = True) -> Value | None:
    """The channels for which an instruction does something; None: all."""
    mask = state.running(instruction)
    if not predicated or instruction.predicate is None:
        return mask
    predicate = predicate_mask(state, instruction)
    return predicate if mask is None else state.text.binary("and", mask, predicate)


def _keep(
    state: State,
    instruction: Instruction,
    outcome: Outcome[Value, Value],
    *,
    selects: bool,
) -> None:
    """Write what an instruction leaves, where it is enabled."""
    mask = enabled(state, instruction, predicated=not selects)
    width = instruction.width
    destination = instruction.destination
    assert destination is not None, "evaluate refuses instructions without"
    to_accumulator = outcome.accumulator is not None and writes_accumulator(instruction)
    whole = False
    if is_accumulator(destination):
        # An integer of up to 32 bits goes there with all its bits, in place of the value.
        whole = not is_float(destination.type) and destination.type.size < 8
        to_accumulator = to_accumulator and whole
    if not whole:
        unmasked = instruction.offset in state.unmasked
        state.write(destination, outcome.value, width, None if unmasked else mask)
    if outcome.second is not None:
        if not isinstance(destination, Destination):
            raise Untranslatable("an indirect destination of two values")
        size = width * destination.stride * destination.type.size
        behind = -(-size // GRF_BYTES) * GRF_BYTES
        state.write(_moved(destination, behind), outcome.second, width, mask)
    if to_accumulator:
        assert outcome.accumulator is not None
        _write_accumulator(state, instruction, outcome.accumulator, mask)
    if outcome.flag is not None and writes_flag(instruction):
        first = instruction.flag + instruction.channel
        state.write_flag_bits(first, outcome.flag, mask)


def _moved(destination: Destination, distance: int) -> Destination:
    return Destination(
        destination.file,
        destination.byte + distance,
        destination.type,
        destination.stride,
        destination.write_mask,
    )


def _accumulator_places(instruction: Instruction, begin: int, kind: Type) -> list[int]:
    if begin % kind.size or begin + instruction.width * kind.size > _ACCUMULATOR:
        raise Untranslatable("more channels than the accumulator has")
    return [begin + kind.size * lane for lane in range(instruction.width)]


def _accumulator(state: State, instruction: Instruction) -> Accumulator[Value]:
    """What the accumulator holds for each channel."""
    kind = accumulator_type(instruction)
    begin = instruction.channel * kind.size % _ACCUMULATOR if is_float(kind) else 0
    places = _accumulator_places(instruction, begin, kind)
    text, access, thread = state.text, state.access, state.thread
    low = access.read(thread.acc, places, kind)
    if is_float(kind):
        return Accumulator(low)
    if kind is Type.UW:
        low = text.cast("zext", low, "i32")
    return Accumulator(low, access.read(thread.acc_high, _high_places(places, kind), Type.Q))


def _high_places(places: list[int], kind: Type) -> list[int]:
    return [8 * (place // kind.size) for place in places]


def _write_accumulator(
    state: State,
    instruction: Instruction,
    value: Accumulator[Value],
    mask: Value | None,
) -> None:
    kind = accumulator_type(instruction)
    places = _accumulator_places(instruction, accumulator_offset(instruction), kind)
    text, access, thread = state.text, state.access, state.thread
    if is_float(kind):
        low = _as_float(state, value.low, element_of(kind))
    else:
        low = text.cast("trunc", value.low, element_of(kind))
    access.write(thread.acc, places, kind.size, low, mask)
    if value.high is not None:
        access.write(thread.acc_high, _high_places(places, kind), 8, value.high, mask)


def _as_float(state: State, value: Value, element: str) -> Value:
    """A float in another type, as `mov` of one leaves it in the accumulator."""
    wider = bits_of(element) > bits_of(value.element)
    return state.text.cast("fpext" if wider else "fptrunc", value, element)
