"""MI commands that decide what runs next: batches, waits, arbitration, interrupts.

Source: PRM SKL vol 2a, vol 3 "Batch Buffers", vol 7 "User Mode Privileged Commands"; Linux i915
and IGT (igt_dummyload, gen9_exec_parse) for the sense of the compare operations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mediator.gen9.commands import REGISTER_MASK
from mediator.gen9.field import Field
from mediator.gen9.registers import MI_PREDICATE_RESULT_1, RING_BB_OFFSET
from mediator.softgpu.context_state import BatchState, ContextState, PredicateMode
from mediator.softgpu.mi_memory import USE_GGTT, operand_address
from mediator.softgpu.outcome import IllegalCommand, Jump, Stop

if TYPE_CHECKING:
    from mediator.softgpu.outcome import Outcome
    from mediator.softgpu.streamer import Streamer

USER_INTERRUPT: Final = 0
SEMAPHORE_INTERRUPT: Final = 11
"""Interrupt bits of an engine."""

_ARB_ENABLE: Final = 1 << 0
_COMPARE_OPERATION: Final = Field(14, 12)
_COMPARISONS: Final[tuple[Callable[[int, int], bool], ...]] = (
    operator.gt,
    operator.ge,
    operator.lt,
    operator.le,
    operator.eq,
    operator.ne,
)
"""Memory against the command's data, unsigned, by the compare-operation field."""

_WAIT_REGISTER: Final = 1 << 16

_BATCH_SECOND_LEVEL: Final = 1 << 22
_BATCH_ADD_OFFSET: Final = 1 << 16
_BATCH_PREDICATED: Final = 1 << 15
_BATCH_PPGTT: Final = 1 << 8

_END_COMPARE: Final = 1 << 21
_END_MASKED: Final = 1 << 19
_END_THIS_LEVEL: Final = 1 << 18


def user_interrupt(streamer: Streamer, _command: list[int]) -> Outcome:
    """MI_USER_INTERRUPT."""
    streamer.host.notify(USER_INTERRUPT)
    return None


def arb_check(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_ARB_CHECK: an arbitration point."""
    streamer.passive += 1
    if streamer.host.attention and streamer.context.arbitration:
        streamer.index += len(command)
        return Stop.ATTENTION
    return None


def arb_on_off(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_ARB_ON_OFF: whether arbitration points count. Privileged."""
    streamer.context.arbitration = bool(command[0] & _ARB_ENABLE)
    return None


def wait_for_event(streamer: Streamer, _command: list[int]) -> Outcome:
    """MI_WAIT_FOR_EVENT: display events. Without a display none is ever outstanding."""
    streamer.passive += 1
    return None


def semaphore_wait(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_SEMAPHORE_WAIT: wait until a dword of memory, or a register, compares as asked.

    The signal mode looks at memory as often as the poll mode does. A wait that does not hold
    raises the semaphore interrupt once.
    """
    header = command[0]
    compare = _comparison("MI_SEMAPHORE_WAIT", header)
    use_global = header & USE_GGTT
    if header & _WAIT_REGISTER:
        value = streamer.host.read_register(command[2] & REGISTER_MASK)
    elif streamer.refuse_global("MI_SEMAPHORE_WAIT", use_global):
        return None
    else:
        space = streamer.space(use_global=use_global)
        value = space.read_u32(operand_address(command[2], command[3]))
    context = streamer.context
    if compare(value, command[1]):
        context.wait_reported = False
        streamer.passive += 1
        return None
    if not context.wait_reported:
        context.wait_reported = True
        streamer.host.notify(SEMAPHORE_INTERRUPT)
    return Stop.WAIT


def batch_buffer_start(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_BATCH_BUFFER_START: call a batch from the ring, a second level from a first, or chain.

    A batch without privilege starts none that has it: bit 8 clear is taken as set there. There is
    one place to return to for each level, no stack: what a second level starts takes its place.
    """
    header, context = command[0], streamer.context
    streamer.passive += 1
    if header & _BATCH_PREDICATED:
        gate = streamer.host.read_register(streamer.mmio_base + MI_PREDICATE_RESULT_1)
        if not gate & 1:
            return None
    target = operand_address(command[1], command[2])
    if header & _BATCH_ADD_OFFSET:
        offset = streamer.host.read_register(streamer.mmio_base + RING_BB_OFFSET)
        target = operand_address(target + (offset & ~3), 0)
    ppgtt = bool(header & _BATCH_PPGTT)
    if not ppgtt and not streamer.privileged:
        streamer.host.counters.dropped["MI_BATCH_BUFFER_START privilege"] += 1
        ppgtt = True
    if header & _BATCH_SECOND_LEVEL and not context.second.active:
        if not context.batch.active:
            raise IllegalCommand("the ring starts a second-level batch")
        streamer.advance(len(command))
        _start(context.second, target, ppgtt=ppgtt)
        return Jump.FORWARD
    if context.second.active:
        level = context.second
    elif context.batch.active:
        level = context.batch
    else:
        streamer.advance(len(command))
        _start(context.batch, target, ppgtt=ppgtt)
        return Jump.FORWARD
    back = target <= streamer.address
    streamer.jump_target = target
    _start(level, target, ppgtt=ppgtt)
    return Jump.BACK if back else Jump.FORWARD


def _start(level: BatchState, address: int, *, ppgtt: bool) -> None:
    level.address, level.ppgtt, level.active = address, ppgtt, True


def batch_buffer_end(streamer: Streamer, _command: list[int]) -> Outcome:
    """MI_BATCH_BUFFER_END: back to the batch or ring that started this one."""
    context = streamer.context
    if context.second.active:
        context.second.active = False
    elif context.batch.active:
        _return_to_ring(context)
    elif context.image:
        return None
    else:
        raise IllegalCommand("MI_BATCH_BUFFER_END in the ring")
    return Jump.FORWARD


def conditional_batch_buffer_end(streamer: Streamer, command: list[int]) -> Outcome:
    """MI_CONDITIONAL_BATCH_BUFFER_END: go on while memory compares as asked, else end.

    The default operation goes on while memory is greater than the data. Bit 19: memory holds a
    mask and then the value. An end leaves all levels of batch unless bit 18 is set.
    """
    header, context = command[0], streamer.context
    compare = _comparison("MI_CONDITIONAL_BATCH_BUFFER_END", header)
    use_global = header & USE_GGTT
    streamer.passive += 1
    if streamer.refuse_global("MI_CONDITIONAL_BATCH_BUFFER_END", use_global):
        return None
    if not context.batch.active:
        raise IllegalCommand("MI_CONDITIONAL_BATCH_BUFFER_END in the ring")
    if header & _END_COMPARE:
        space = streamer.space(use_global=use_global)
        address = operand_address(command[2], command[3])
        value = space.read_u32(address)
        if header & _END_MASKED:
            value &= space.read_u32(address + 4)
        if compare(value, command[1]):
            return None
    if header & _END_THIS_LEVEL and context.second.active:
        context.second.active = False
    else:
        _return_to_ring(context)
    return Jump.FORWARD


def _return_to_ring(context: ContextState) -> None:
    """MI_SET_PREDICATE holds within a batch: one left on must not suppress the ring's commands."""
    context.second.active = context.batch.active = False
    context.predicate = PredicateMode.NEVER


def _comparison(name: str, header: int) -> Callable[[int, int], bool]:
    code = _COMPARE_OPERATION.get(header)
    if code >= len(_COMPARISONS):
        raise IllegalCommand(f"{name} with compare operation {code}")
    return _COMPARISONS[code]


def no_effect(_streamer: Streamer, _command: list[int]) -> Outcome:
    """Commands that order caches, pipelines or displays: here there is nothing to order."""
    return None
