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
    from collections.abc import Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.semantics.step import Outcome
    from mediator.softgpu.eu.translator.state import State, Thread
    from mediator.softgpu.eu.translator.text import Value

_ACCUMULATOR = 64
"""Bytes of acc0 and acc1."""


def compute(state: State, instruction: Instruction) -> None:
    """Write the code of one instruction, for all threads of the function."""
    if instruction.width == 1:
        # Scalars stay scalars, thread by thread.
        for thread in state.threads:
            _compute(state, instruction, [thread])
    else:
        _compute(state, instruction, state.threads)


def enabled(
    state: State, instruction: Instruction, threads: Sequence[Thread], *, predicated: bool = True
) -> Value | None:
    """The channels for which an instruction does something; None: all."""
    mask = state.running(instruction, threads)
    if not predicated or instruction.predicate is None:
        return mask
    predicate = predicate_mask(state, instruction, threads)
    return predicate if mask is None else state.text.binary("and", mask, predicate)


def _compute(state: State, instruction: Instruction, threads: Sequence[Thread]) -> None:
    width = instruction.width
    make = SingleOps if state.doubles else LlvmOps
    ops = make(state.text, width, len(threads))
    selects = predicate_selects(instruction)
    predicate = None
    if selects and instruction.predicate is not None:
        predicate = predicate_mask(state, instruction, threads)
    inputs = Inputs(
        [state.read(operand, width, threads) for operand in operands(instruction)],
        predicate,
        _accumulator(state, instruction, threads) if reads_accumulator(instruction) else None,
    )
    try:
        outcome = evaluate(ops, instruction, inputs)
    except IllegalOperation as reason:
        raise Untranslatable(str(reason)) from reason
    _keep(state, instruction, threads, outcome, selects=selects)


def _keep(
    state: State,
    instruction: Instruction,
    threads: Sequence[Thread],
    outcome: Outcome[Value, Value],
    *,
    selects: bool,
) -> None:
    """Write what an instruction leaves, where it is enabled."""
    mask = enabled(state, instruction, threads, predicated=not selects)
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
        state.write(destination, outcome.value, width, None if unmasked else mask, threads)
    if outcome.second is not None:
        if not isinstance(destination, Destination):
            raise Untranslatable("an indirect destination of two values")
        size = width * destination.stride * destination.type.size
        behind = -(-size // GRF_BYTES) * GRF_BYTES
        state.write(_moved(destination, behind), outcome.second, width, mask, threads)
    if to_accumulator:
        assert outcome.accumulator is not None
        _write_accumulator(state, instruction, outcome.accumulator, mask, threads)
    if outcome.flag is not None and writes_flag(instruction):
        first = instruction.flag + instruction.channel
        state.write_flag_bits(first, outcome.flag, mask, width, threads)


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


def _accumulator(
    state: State, instruction: Instruction, threads: Sequence[Thread]
) -> Accumulator[Value]:
    """What the accumulator holds for each channel."""
    kind = accumulator_type(instruction)
    begin = instruction.channel * kind.size % _ACCUMULATOR if is_float(kind) else 0
    places = _accumulator_places(instruction, begin, kind)
    text, access = state.text, state.access
    low = text.concat([access.read(thread.acc, places, kind) for thread in threads])
    if is_float(kind):
        return Accumulator(low)
    if kind is Type.UW:
        low = text.cast("zext", low, "i32")
    highs = _high_places(places, kind)
    high = [access.read(thread.acc_high, highs, Type.Q) for thread in threads]
    return Accumulator(low, text.concat(high))


def _high_places(places: list[int], kind: Type) -> list[int]:
    return [8 * (place // kind.size) for place in places]


def _write_accumulator(
    state: State,
    instruction: Instruction,
    value: Accumulator[Value],
    mask: Value | None,
    threads: Sequence[Thread],
) -> None:
    kind = accumulator_type(instruction)
    places = _accumulator_places(instruction, accumulator_offset(instruction), kind)
    text, access, width = state.text, state.access, instruction.width
    if is_float(kind):
        low = _as_float(state, value.low, element_of(kind))
    else:
        low = text.cast("trunc", value.low, element_of(kind))
    for at, thread in enumerate(threads):
        mine = None if mask is None else state.part(mask, at, width)
        access.write(thread.acc, places, kind.size, state.part(low, at, width), mine)
        if value.high is not None:
            high = state.part(value.high, at, width)
            access.write(thread.acc_high, _high_places(places, kind), 8, high, mine)


def _as_float(state: State, value: Value, element: str) -> Value:
    """A float in another type, as `mov` of one leaves it in the accumulator."""
    wider = bits_of(element) > bits_of(value.element)
    return state.text.cast("fpext" if wider else "fptrunc", value, element)
