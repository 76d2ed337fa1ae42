"""Predication: MI_PREDICATE computes the predicate, MI_SET_PREDICATE lets commands depend on it.

Source: PRM SKL vol 2a MI_PREDICATE, MI_SET_PREDICATE; Mesa genxml gen9.xml for the encodings; Linux
i915 intel_gpu_commands.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.field import Field
from mediator.gen9.identity import SLICES
from mediator.gen9.registers import (
    MI_PREDICATE_DATA,
    MI_PREDICATE_RESULT,
    MI_PREDICATE_SRC0,
    MI_PREDICATE_SRC1,
    RING_MI_PREDICATE_RESULT_2,
)
from mediator.softgpu.context_state import PredicateMode
from mediator.softgpu.outcome import IllegalCommand, Jump

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

_MODE: Final = Field(3, 0)
_LOAD: Final = Field(7, 6)
_COMBINE: Final = Field(4, 3)
_COMPARE: Final = Field(1, 0)

_COMBINE_AND, _COMBINE_OR, _COMBINE_XOR = range(1, 4)
_COMPARE_TRUE, _COMPARE_FALSE, _COMPARE_SOURCES = range(3)

_RESULTS: Final = {
    PredicateMode.ON_RESULT_2_CLEAR: (RING_MI_PREDICATE_RESULT_2, 0),
    PredicateMode.ON_RESULT_2_SET: (RING_MI_PREDICATE_RESULT_2, 1),
    PredicateMode.ON_RESULT_CLEAR: (MI_PREDICATE_RESULT, 0),
    PredicateMode.ON_RESULT_SET: (MI_PREDICATE_RESULT, 1),
}
"""Modes that look at bit 0 of a register, and the value with which it suppresses."""
_SLICES: Final = {
    PredicateMode.UNLESS_ONE_SLICE: 1,
    PredicateMode.UNLESS_TWO_SLICES: 2,
    PredicateMode.UNLESS_THREE_SLICES: 3,
}

_ALWAYS_PARSED: Final = frozenset({"MI_SET_PREDICATE", "MI_BATCH_BUFFER_END"})
"""What predication never suppresses: its own end, and that of the batch."""


def set_predicate(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_SET_PREDICATE: when the commands that follow become no-operations."""
    streamer.context.predicate = PredicateMode.of(_MODE.get(command[0]))
    streamer.advance(len(command))
    return Jump.FORWARD


def suppressed(streamer: Streamer) -> bool:
    """Predication turns the command that comes next into a no-operation."""
    mode = streamer.context.predicate
    if mode in _RESULTS:
        register, value = _RESULTS[mode]
        return streamer.host.read_register(streamer.mmio_base + register) & 1 == value
    if mode in _SLICES:
        return _SLICES[mode] != SLICES
    return mode is PredicateMode.ALWAYS


def state_is_set(streamer: Streamer) -> bool:
    """The predicate state bit, MI_PREDICATE_RESULT, on which commands with an enable bit depend."""
    return bool(streamer.host.read_register(streamer.mmio_base + MI_PREDICATE_RESULT) & 1)


def ignores_predication(name: str) -> bool:
    """The command ``name`` is carried out even where predication suppresses the others."""
    return name in _ALWAYS_PARSED


def predicate(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_PREDICATE: compare the sources, combine with the state bit, load the state bit."""
    header, base, host = command[0], streamer.mmio_base, streamer.host
    state = state_is_set(streamer)
    result = _combined(_COMBINE.get(header), state, compared=_compared(streamer, header))
    match _LOAD.get(header):
        case 0:
            return None
        case 2:
            state = result
        case 3:
            state = not result
        case load:
            raise IllegalCommand(f"MI_PREDICATE with load operation {load}")
    host.write_register(base + MI_PREDICATE_RESULT, int(state))
    return None


def _compared(streamer: Streamer, header: int) -> bool:
    operation, base = _COMPARE.get(header), streamer.mmio_base
    if operation == _COMPARE_TRUE:
        return True
    if operation == _COMPARE_FALSE:
        return False
    source0 = streamer.read_register_u64(base + MI_PREDICATE_SRC0)
    source1 = streamer.read_register_u64(base + MI_PREDICATE_SRC1)
    if operation == _COMPARE_SOURCES:
        return source0 == source1
    delta = (source0 - source1) & ((1 << 64) - 1)
    return delta == streamer.read_register_u64(base + MI_PREDICATE_DATA)


def _combined(operation: int, state: bool, *, compared: bool) -> bool:
    if operation == _COMBINE_AND:
        return state and compared
    if operation == _COMBINE_OR:
        return state or compared
    if operation == _COMBINE_XOR:
        return state != compared
    return compared
