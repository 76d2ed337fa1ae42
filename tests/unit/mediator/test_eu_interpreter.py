"""Threads of a group together: barriers, budgets, faults, ends, turns, messages, odd branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
from mediator.softgpu.eu.interpreter.interpreter import Interpreter, Kernel, State
from mediator.softgpu.eu.interpreter.threads import BLOCK, Threads
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Destination,
    File,
    IllegalInstruction,
    Immediate,
    IndirectSource,
    Instruction,
    Message,
    Predicate,
    Region,
    Source,
)
from mediator.softgpu.eu.message_port import Call, MessageFault
from tests.unit.mediator.eu_instruction_bench import NULL, SCALAR, grf, instruction, to

_N0 = Source(File.ARF, 32 * 0x90, Type.UD, SCALAR)
_END = Message(7, 0x02000010, 0, 127, None, None, True)
_BARRIER = Message(3, 0x02000004, 0, 10, None, None, False)


@dataclass(slots=True)
class _Memory:
    """Barriers, ends, and one dword that any message to function 12 reads or adds to."""

    value: int = 0
    calls: list[Call] = field(default_factory=list)
    fault: MessageFault | None = None

    def send(self, call: Call) -> MessageFault | None:
        """`message_port.Messages.send`."""
        self.calls.append(replace(call, response=call.response.copy()))
        if call.sfid == 3:
            call.thread["arrived"] = 1
        elif call.sfid == 12:
            self.value += int(call.payload.view(np.uint32)[0]) if len(call.payload) else 0
            call.response.view(np.uint32)[:] = self.value
            return self.fault
        return None


def _program(*code: Instruction) -> Kernel:
    """Instructions one behind the other, 16 bytes each, and the end of the thread."""
    ended = (*code, instruction(Opcode.SEND, message=_END, destination=NULL, no_mask=True))
    placed = {16 * n: replace(each, offset=16 * n) for n, each in enumerate(ended)}

    def at(offset: int) -> Instruction:
        if offset not in placed:
            raise IllegalInstruction("nothing", None, offset)
        return placed[offset]

    return Kernel(at, Surroundings(base=0x4000))


def _start(kernel: Kernel, count: int = 1, memory: _Memory | None = None) -> Interpreter:
    threads = Threads(count)
    threads.blocks["dispatch_mask"] = 0xFF
    threads.grf[Type.UD][:, 0] = np.arange(count)
    return Interpreter(kernel, threads, memory or _Memory())


def _add(register: int, value: int, **fields: object) -> Instruction:
    return instruction(
        Opcode.ADD,
        destination=to(register, Type.UD),
        sources=(grf(register, Type.UD), Immediate(Type.W, value & 0xFFFF)),
        **fields,
    )


def _compare(
    register: int, condition: Condition, value: int, region: Region = SCALAR
) -> Instruction:
    return instruction(
        Opcode.CMP,
        destination=NULL,
        sources=(grf(register, Type.D, region), Immediate(Type.W, value & 0xFFFF)),
        condition=condition,
        no_mask=True,
    )


def _jump(distance: int, predicate: Predicate | None = None) -> Instruction:
    return instruction(Opcode.JMPI, width=1, no_mask=True, jip=distance, predicate=predicate)


_IF = Predicate(1, False)
_UNLESS = Predicate(1, True)


def test_a_block_is_what_native_code_calls_a_thread() -> None:
    assert BLOCK.itemsize == sum(BLOCK[name].itemsize for name in BLOCK.names or ())


def test_sr0_tells_the_dispatched_channels() -> None:
    threads = Threads(2)
    threads.blocks["dispatch_mask"] = [0xFFFF, 0x3F]
    source = Source(File.ARF, 32 * 0x70 + 8, Type.UD, SCALAR)
    kernel = _program(instruction(Opcode.MOV, destination=to(20, Type.UD), sources=(source,)))
    assert Interpreter(kernel, threads, _Memory()).run(10) is State.ENDED
    assert threads.grf[Type.UD][:, 160].tolist() == [0xFFFF, 0x3F]


def test_threads_part_and_meet() -> None:
    # Even threads take the long way.
    kernel = _program(
        instruction(
            Opcode.AND,
            destination=to(5, Type.UD),
            sources=(grf(0, Type.UD, SCALAR), Immediate(Type.UD, 1)),
            no_mask=True,
        ),
        _compare(5, Condition.EQUAL, 0),
        _jump(48, _UNLESS),
        _add(20, 5),
        _add(20, 6),
        _add(20, 100),
    )
    interpreter = _start(kernel, 5)
    assert interpreter.run(1000) is State.ENDED
    got = interpreter.threads.grf[Type.UD][:, 160]
    assert got.tolist() == [111, 100, 111, 100, 111]
    assert interpreter.executed == 5 * 5 + 3 * 2


def test_a_budget_can_be_spent_and_more_be_given() -> None:
    kernel = _program(_add(20, 1), _compare(20, Condition.LESS, 100), _jump(-32, _IF))
    interpreter = _start(kernel, 2)
    rounds = 0
    while (state := interpreter.run(50)) is State.SPENT:
        rounds += 1
        assert rounds < 100
    assert state is State.ENDED
    assert rounds >= 10
    assert interpreter.threads.grf[Type.UD][0, 160] == 100
    assert interpreter.run(50) is State.ENDED


def test_an_endless_loop_comes_back() -> None:
    interpreter = _start(_program(_jump(0)))
    for _ in range(3):
        assert interpreter.run(1000) is State.SPENT


def _wait() -> Instruction:
    return instruction(Opcode.WAIT, sources=(_N0,), width=1, no_mask=True)


def _barrier() -> Instruction:
    return instruction(Opcode.SEND, message=_BARRIER, destination=NULL, width=1, no_mask=True)


def test_a_barrier_holds_all_threads() -> None:
    # Each thread counts for itself as long as its number says, then meets the others twice.
    order: list[tuple[int, int]] = []
    kernel = _program(
        _add(0, -1),
        _compare(0, Condition.GREATER_EQUAL, 0),
        _jump(-32, _IF),
        _barrier(),
        _wait(),
        _add(20, 1),
        _barrier(),
        _wait(),
    )
    memory = _Memory()
    interpreter = _start(kernel, 4, memory)
    interpreter.threads.blocks["scratch_slot"] = np.arange(4)
    assert interpreter.run(10_000) is State.ENDED
    order = [(call.sfid, int(call.thread["scratch_slot"][0])) for call in memory.calls]
    assert sorted(order[:4]) == sorted(order[4:8]) == [(3, n) for n in range(4)]
    assert sorted(order[8:]) == [(7, n) for n in range(4)]
    assert interpreter.threads.blocks["n0"].any() == 0
    assert interpreter.threads.blocks["arrived"].any() == 0


def test_a_notification_that_is_there_already_is_taken() -> None:
    interpreter = _start(
        _program(
            instruction(
                Opcode.MOV,
                destination=Destination(File.ARF, 32 * 0x90, Type.UD, 1),
                sources=(Immediate(Type.UD, 2),),
                width=1,
                no_mask=True,
            ),
            _wait(),
        )
    )
    assert interpreter.run(100) is State.ENDED
    assert interpreter.threads.blocks["n0"][0, 0] == 1


@pytest.mark.parametrize("arrives", [False, True])
def test_threads_that_wait_for_ever_are_a_fault(arrives: bool) -> None:
    # Thread 0 leaves without the barrier, or nobody comes to one.
    kernel = _program(_compare(0, Condition.EQUAL, 0), _jump(48, _IF), _barrier(), _wait())
    if not arrives:
        kernel = _program(_wait())
    interpreter = _start(kernel, 3)
    assert interpreter.run(1000) is State.FAULTED
    assert interpreter.fault is not None
    assert "waits" in interpreter.fault.reason
    assert interpreter.run(1000) is State.FAULTED


def test_a_thread_that_waits_for_another_one_higher_up_gets_it() -> None:
    """Thread 0 reads memory in a low loop until thread 1, behind it, has written."""
    read = Message(12, 1 << 20, 0, 10, None, None, False)
    write = Message(12, 1 << 25, 0, 11, None, None, False)
    kernel = _program(
        _compare(0, Condition.EQUAL, 0),
        _jump(80, _UNLESS),
        instruction(Opcode.SEND, message=read, destination=to(12, Type.UD), no_mask=True),
        _compare(12, Condition.EQUAL, 0),
        _jump(-32, _IF),
        _jump(48),
        _add(11, 1),
        instruction(Opcode.SEND, message=write, destination=NULL, no_mask=True),
    )
    interpreter = _start(kernel, 2)
    assert interpreter.run(100_000) is State.ENDED


def test_threads_of_different_modes_compute_differently() -> None:
    third = np.float32(1) / np.float32(3)
    kernel = _program(
        instruction(
            Opcode.SHL,
            destination=to(5, Type.UD),
            sources=(grf(0, Type.UD, SCALAR), Immediate(Type.UD, 4)),
            no_mask=True,
        ),
        instruction(
            Opcode.MOV,
            destination=Destination(File.ARF, 32 * 0x80, Type.UD, 1),
            sources=(grf(5, Type.UD, SCALAR),),
            width=1,
            no_mask=True,
        ),
        instruction(
            Opcode.ADD,
            destination=to(20, Type.F),
            sources=(grf(10, Type.F), grf(11, Type.F)),
        ),
    )
    threads = Threads(4)
    threads.blocks["dispatch_mask"] = 0xFF
    threads.grf[Type.UD][:, 0] = np.arange(4)
    threads.grf[Type.F][:, 80] = third
    threads.grf[Type.F][:, 88] = np.float32(1e-8)
    interpreter = Interpreter(kernel, threads, _Memory())
    assert interpreter.run(1000) is State.ENDED
    got = threads.grf[Type.F][:, 160]
    above = np.nextafter(third, np.float32(1))
    assert got.tolist() == [third, above, third, third]


def test_faults_name_the_instruction() -> None:
    for bad, reason in (
        (instruction(Opcode.ILLEGAL), "illegal"),
        (instruction(Opcode.SMOV, destination=to(20, Type.D)), "smov"),
        (_jump(8000), "nothing"),
        (instruction(Opcode.BREAK, width=8, jip=16, uip=4096), "nothing"),
    ):
        interpreter = _start(_program(_add(20, 1), bad), 2)
        assert interpreter.run(1000) is State.FAULTED
        assert interpreter.fault is not None
        assert reason in interpreter.fault.reason
        assert interpreter.fault.offset in (16, 8016)


def test_messages_that_fail_are_a_fault_with_their_address() -> None:
    memory = _Memory(fault=MessageFault("no page", 0x1234000, True))
    read = Message(12, 1 << 20 | 1 << 25, 0, 10, None, None, False)
    kernel = _program(
        _add(20, 1), instruction(Opcode.SEND, message=read, destination=to(12, Type.UD))
    )
    interpreter = _start(kernel, 2, memory)
    assert interpreter.run(1000) is State.FAULTED
    assert interpreter.fault is not None
    assert interpreter.fault.message == MessageFault("no page", 0x1234000, True)
    assert interpreter.fault.offset == 16
    assert len(memory.calls) == 1


def test_what_a_message_carries() -> None:
    memory = _Memory()
    sent = Message(12, 2 << 20 | 1 << 25 | 0x123, 2 << 6 | 12, 10, None, 20, False)
    threads = Threads(1)
    threads.blocks["dispatch_mask"] = 0xF0FF
    threads.grf[Type.UD][0, 80:88] = 7
    threads.grf[Type.UD][0, 160:176] = 9
    threads.grf[Type.UD][0, 240:256] = 5
    threads.flags[0] = 0x7FF0
    kernel = _program(
        instruction(
            Opcode.SENDS, message=sent, destination=to(30, Type.UD), width=16, predicate=_IF
        )
    )
    assert Interpreter(kernel, threads, memory).run(100) is State.ENDED
    call = memory.calls[0]
    assert (call.sfid, call.descriptor, call.extended) == (12, sent.descriptor, sent.extended)
    assert call.payload.view(np.uint32).tolist() == [7] * 8
    assert call.more.view(np.uint32).tolist() == [9] * 16
    assert call.mask == 0x70F0
    assert threads.grf[Type.UD][0, 240:256].tolist() == [7] * 16


def test_descriptors_from_registers() -> None:
    memory = _Memory()
    threads = Threads(1)
    threads.blocks["dispatch_mask"] = 1
    threads.blocks["a0"][0, :4] = [0x0123, 1 << 9, 0x00A, 0x5555]
    sent = Message(0, None, None, 10, None, None, False, 1)
    kernel = _program(instruction(Opcode.SEND, message=sent, destination=NULL, width=1))
    assert Interpreter(kernel, threads, memory).run(100) is State.ENDED
    call = memory.calls[0]
    assert call.descriptor == 1 << 25 | 0x123
    assert call.extended == 0x5555_000A
    assert call.sfid == 10
    assert len(call.payload) == 32


@pytest.mark.parametrize(
    "sent",
    [
        Message(12, 15 << 25, 0, 120, None, None, False),
        Message(12, 31 << 20 | 1 << 25, 0, 10, None, None, False),
        Message(12, 1 << 25, 15 << 6, 10, None, 120, False),
    ],
)
def test_messages_beyond_the_registers_are_faults(sent: Message) -> None:
    kernel = _program(instruction(Opcode.SENDS, message=sent, destination=to(100, Type.UD)))
    interpreter = _start(kernel)
    assert interpreter.run(100) is State.FAULTED


def test_an_end_that_is_predicated_off_goes_on() -> None:
    end = instruction(
        Opcode.SEND, message=_END, destination=NULL, width=8, no_mask=True, predicate=_IF
    )
    interpreter = _start(_program(_compare(0, Condition.EQUAL, 1), end, _add(20, 1)), 2)
    assert interpreter.run(100) is State.ENDED
    assert interpreter.threads.grf[Type.UD][:, 160].tolist() == [1, 0]


def test_threads_without_channels_end_too() -> None:
    threads = Threads(2)
    threads.blocks["dispatch_mask"] = [0xFF, 0]
    kernel = _program(
        instruction(Opcode.IF, jip=48, uip=48, predicate=_IF),
        _add(20, 1),
        instruction(Opcode.ENDIF, jip=16),
        _add(20, 4),
    )
    assert Interpreter(kernel, threads, _Memory()).run(100) is State.ENDED
    assert threads.grf[Type.UD][:, 160].tolist() == [4, 0]


# Branches that compilers of today do not emit


def test_a_jump_by_a_register_is_relative_to_the_next_instruction() -> None:
    source = Source(File.GRF, 0, Type.D, SCALAR)
    jump = instruction(Opcode.JMPI, width=1, no_mask=True, sources=(source,))
    interpreter = _start(_program(jump, _add(20, 1), _add(20, 2), _add(20, 4)), 3)
    interpreter.threads.grf[Type.D][:, 0] = [0, 16, 32]
    assert interpreter.run(100) is State.ENDED
    assert interpreter.threads.grf[Type.UD][:, 160].tolist() == [7, 6, 4]


def _lanes_of(interpreter: Interpreter) -> list[int]:
    found: list[int] = interpreter.threads.grf[Type.UD][0, 160:168].tolist()
    return found


def test_diverging_and_converging_branches() -> None:
    # brd: lanes that take it are met at its target. brc: likewise, and both offsets in a register.
    lanes = 0b10110010
    for take in (
        instruction(Opcode.BRD, jip=48, predicate=_IF),
        instruction(Opcode.BRC, jip=48, uip=48, predicate=_IF),
    ):
        interpreter = _start(_program(take, _add(20, 1), _add(20, 1), _add(20, 4)))
        interpreter.threads.flags[0] = lanes
        assert interpreter.run(100) is State.ENDED
        assert _lanes_of(interpreter) == [4 if lanes >> n & 1 else 6 for n in range(8)]
    source = Source(File.GRF, 32, Type.D, Region(2, 2, 1))
    take = instruction(Opcode.BRC, sources=(source,), predicate=_IF)
    interpreter = _start(_program(take, _add(20, 1), _add(20, 2), _add(20, 4)))
    interpreter.threads.grf[Type.D][0, 8:10] = [32, 48]
    interpreter.threads.flags[0] = lanes
    assert interpreter.run(100) is State.ENDED
    assert _lanes_of(interpreter) == [4 if lanes >> n & 1 else 7 for n in range(8)]


@pytest.mark.parametrize("absolute", [False, True])
def test_a_call_by_some_lanes(absolute: bool) -> None:
    call = instruction(
        Opcode.CALLA if absolute else Opcode.CALL,
        destination=to(120, Type.UD),
        jip=48,
        predicate=_IF,
    )
    back = instruction(Opcode.RET, sources=(grf(120, Type.UD),))
    kernel = _program(call, _add(20, 1), _jump(48), _add(20, 16), back)
    interpreter = _start(kernel)
    interpreter.threads.flags[0] = 0b01100100
    assert interpreter.run(100) is State.ENDED
    assert _lanes_of(interpreter) == [17 if 0b01100100 >> n & 1 else 1 for n in range(8)]
    assert interpreter.threads.grf[Type.UD][0, 960:962].tolist() == [0x4010, 0b01100100]


def test_a_payload_at_an_address() -> None:
    memory = _Memory()
    indirect = IndirectSource(2, 0, Type.UD, SCALAR)
    sent = Message(12, 1 << 25, 0, 0, indirect, None, False)
    threads = Threads(1)
    threads.blocks["dispatch_mask"] = 1
    threads.blocks["a0"][0, 2] = 64 * 32
    threads.grf[Type.UD][0, 512] = 77
    kernel = _program(instruction(Opcode.SEND, message=sent, destination=NULL, width=1))
    assert Interpreter(kernel, threads, memory).run(10) is State.ENDED
    assert memory.value == 77


def test_the_same_kernel_serves_many_groups() -> None:
    made: list[int] = []
    kernel = _program(_add(20, 1))
    at: Callable[[int], Instruction] = kernel.at
    kernel.at = lambda offset: made.append(offset) or at(offset)  # type: ignore[func-returns-value]
    for _ in range(3):
        assert _start(kernel, 2).run(100) is State.ENDED
    assert made == [0, 16]
