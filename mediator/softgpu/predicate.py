"""Predication: MI_PREDICATE computes the predicate, MI_SET_PREDICATE lets commands depend on it.

Source: PRM SKL vol 2a MI_PREDICATE, MI_SET_PREDICATE; Linux i915 intel_gpu_commands.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.field import Field
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

_MODE: Final = Field(1, 0)
_LOAD: Final = Field(7, 6)
_COMBINE: Final = Field(4, 3)
_COMPARE: Final = Field(1, 0)

_COMBINE_AND, _COMBINE_OR, _COMBINE_XOR = range(1, 4)
_COMPARE_TRUE, _COMPARE_FALSE, _COMPARE_SOURCES = range(3)

_ALWAYS_PARSED: Final = frozenset({"MI_SET_PREDICATE", "MI_BATCH_BUFFER_END"})
"""What predication never suppresses: its own end, and that of the batch."""


def set_predicate(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_SET_PREDICATE: when the commands that follow become no-operations."""
    streamer.context.predicate = PredicateMode(_MODE.get(command[0]))
    streamer.advance(len(command))
    return Jump.FORWARD


def suppressed(streamer: Streamer) -> bool:
    """Predication turns the command that comes next into a no-operation."""
    mode = streamer.context.predicate
    if mode is PredicateMode.ALWAYS:
        return True
    if mode is PredicateMode.NEVER:
        return False
    result = streamer.host.read_register(streamer.mmio_base + RING_MI_PREDICATE_RESULT_2) & 1
    return bool(result) == (mode is PredicateMode.ON_SET)


def ignores_predication(name: str) -> bool:
    """The command ``name`` is carried out even where predication suppresses the others."""
    return name in _ALWAYS_PARSED


def predicate(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_PREDICATE: compare the sources, combine with the state bit, load the state bit."""
    header, base, host = command[0], streamer.mmio_base, streamer.host
    state = bool(host.read_register(base + MI_PREDICATE_RESULT) & 1)
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
