"""The interpreter: runs the threads of a group as the hardware's rules say, no cleverer.

Threads that stand at the same instruction execute it together. Of several places the lowest comes
first, so that threads that went different ways meet again; now and then the thread that has waited
longest has its turn, so that none waits for ever for one that is never run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

import numpy as np

from mediator.gen9.eu import registers
from mediator.gen9.eu.control_register import FloatMode
from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
from mediator.softgpu.eu.interpreter.control_flow import Branch
from mediator.softgpu.eu.interpreter.execution import prepare
from mediator.softgpu.eu.interpreter.numpy_ops import NumpyOps, ops_of
from mediator.softgpu.eu.interpreter.predication import enabled_lanes
from mediator.softgpu.eu.interpreter.sending import send
from mediator.softgpu.eu.interpreter.shelf import Shelf
from mediator.softgpu.eu.interpreter.threads import ALL, somebody
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    Destination,
    File,
    IllegalInstruction,
    Source,
)

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.threads import Rows, Threads
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.message_port import MessageFault, Messages

_TURN: Final = 64
"""Each so many batches one goes to the thread that has waited longest."""
_STRAIGHT: Final = 256
"""Instructions of a batch at most, before others are looked at."""
_MODE_BITS: Final = 0x4F1
"""Bits of cr0.0 that float arithmetic depends on."""


class State(Enum):
    """How far a group has come."""

    ENDED = "ended"
    SPENT = "spent"
    """The budget is; call `run` again to go on."""
    FAULTED = "faulted"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a group cannot go on. ``offset``: of the instruction, from the entry. ``message`` is
    there if it was a message's."""

    reason: str
    offset: int
    message: MessageFault | None = None


@dataclass(slots=True)
class Prepared:
    """An instruction and what carries it out: ``act`` if it computes, ``branch`` if it is one."""

    instruction: Instruction
    act: Callable[[Threads, Rows, NumpyOps], None] | None = None
    branch: Branch | None = None
    changes_mode: bool = False


@dataclass(slots=True)
class Kernel:
    """A program, made ready as far as it has run; threads of any number of groups share it.

    ``at`` gives the instruction at an offset from the entry and raises IllegalInstruction where
    none begins (`program.Program.at`).
    """

    at: Callable[[int], Instruction]
    surroundings: Surroundings = field(default_factory=Surroundings)
    shelf: Shelf[Prepared] = field(default_factory=Shelf)
    """Of this kernel and others."""
    ready: dict[int, Prepared] = field(default_factory=dict)

    def prepared(self, offset: int) -> Prepared:
        """The instruction at an offset. Raises IllegalInstruction or IllegalOperation."""
        found = self.ready.get(offset)
        if found is None:
            found = self._prepare(offset)
            self.shelf.put(self.ready, offset, found)
        return found

    def _prepare(self, offset: int) -> Prepared:
        instruction = self.at(offset)
        opcode = instruction.opcode
        if opcode.form is Form.BRANCH:
            return Prepared(instruction, branch=Branch(instruction, self.surroundings, self.at))
        if opcode in (Opcode.NOP, Opcode.WAIT) or instruction.message is not None:
            return Prepared(instruction)
        act = prepare(instruction, self.surroundings)
        changes = writes_control_register(instruction)
        return Prepared(instruction, act, changes_mode=changes)


def writes_control_register(instruction: Instruction) -> bool:
    """Whether an instruction's destination is cr0."""
    destination = instruction.destination
    return (
        isinstance(destination, Destination)
        and destination.file is File.ARF
        and destination.byte // GRF_BYTES == registers.CONTROL
    )


class Interpreter:
    """One group on its way through a kernel."""

    def __init__(self, kernel: Kernel, threads: Threads, messages: Messages) -> None:
        self.kernel = kernel
        self.threads = threads
        self.messages = messages
        self.fault: Fault | None = None
        self.executed = 0
        """Instructions, each counted once for each thread that executed it."""
        self._ops: dict[int, NumpyOps] = {}
        self._modes = np.zeros(threads.count, np.int64)
        self._waiting = np.zeros(threads.count, np.bool_)
        self._last_turn = np.zeros(threads.count, np.int64)
        self._turn = 0
        self._at = 0
        threads.start()
        self._read_modes()

    def run(self, budget: int) -> State:
        """Run until all threads have ended, or about ``budget`` instructions have been executed."""
        end = self.executed + budget
        with np.errstate(all="ignore"):
            while self.fault is None:
                if self.threads.ended.all():
                    return State.ENDED
                if self.executed >= end:
                    return State.SPENT
                self._batch(end)
        return State.FAULTED

    # Which threads run

    def _batch(self, end: int) -> None:
        threads = self.threads
        runnable = ~threads.ended & ~self._waiting
        if not runnable.any():
            self._fail("every thread waits for another", int(threads.ip.min()))
            return
        self._turn += 1
        ips = threads.ip[runnable]
        if self._turn % _TURN:
            ip = int(ips.min())
            mode = int(self._modes[runnable & (threads.ip == ip)][0])
        else:
            turns = np.where(runnable, self._last_turn, np.iinfo(np.int64).max)
            longest = int(turns.argmin())
            ip, mode = int(threads.ip[longest]), int(self._modes[longest])
        chosen = runnable & (threads.ip == ip) & (self._modes == mode)
        self._last_turn[chosen] = self._turn
        others = threads.ip[runnable & ~chosen]
        ahead = others[others > ip]
        limit = int(ahead.min()) if len(ahead) else None
        rows = ALL if chosen.all() else np.flatnonzero(chosen)
        count = int(chosen.sum())
        try:
            self._straight(rows, count, ip, mode, limit, end)
        except (IllegalInstruction, IllegalOperation) as error:
            self._fail(str(error), self._at)

    def _straight(
        self, rows: Rows, count: int, ip: int, mode: int, limit: int | None, end: int
    ) -> None:
        """Run a batch on, until its threads part, change their mode, wait, end or meet others."""
        threads, kernel = self.threads, self.kernel
        ops = self._ops.get(mode)
        if ops is None:
            ops = self._ops[mode] = ops_of(FloatMode.of(mode))
        for _ in range(_STRAIGHT):
            self._at = ip
            if ip in threads.meetings:
                threads.gather(rows, ip)
            prepared = kernel.prepared(ip)
            self.executed += count
            if prepared.branch is not None:
                found = prepared.branch.go(threads, rows)
                threads.ip[rows] = found
                ip = int(found[0])
                if count > 1 and (found != ip).any():
                    return
            elif prepared.act is not None:
                prepared.act(threads, rows, ops)
                ip = prepared.instruction.end
                if prepared.changes_mode:
                    threads.ip[rows] = ip
                    self._read_modes()
                    return
            else:
                self._special(prepared.instruction, rows)
                return
            if self.executed >= end or (limit is not None and ip >= limit):
                break
        threads.ip[rows] = ip

    def _read_modes(self) -> None:
        self._modes[:] = self.threads.blocks["cr0"][:, 0] & _MODE_BITS

    # Messages and barriers

    def _special(self, instruction: Instruction, rows: Rows) -> None:
        threads = self.threads
        if instruction.opcode is Opcode.WAIT:
            self._wait(instruction, rows)
            return
        if instruction.message is not None:
            enabled = somebody(enabled_lanes(instruction, threads, rows))
            fault = send(instruction, threads, rows, self.messages)
            if fault is not None:
                self._fail(fault.reason, instruction.offset, fault)
                return
            if instruction.message.end_of_thread:
                ended = enabled if instruction.predicate is not None else np.ones_like(enabled)
                threads.ended[rows] |= ended
        threads.ip[rows] = instruction.end
        self._complete_barrier()

    def _wait(self, instruction: Instruction, rows: Rows) -> None:
        """Take a notification, or stay until one comes."""
        threads = self.threads
        source = instruction.sources[0] if instruction.sources else None
        at = source.byte % 16 // 4 if isinstance(source, Source) else 0
        counts = threads.blocks["n0"][rows, at]
        there = counts > 0
        threads.blocks["n0"][rows, at] = np.where(there, counts - 1, counts)
        threads.ip[rows] = np.where(there, instruction.end, instruction.offset)
        self._waiting[rows] = ~there

    def _complete_barrier(self) -> None:
        """Once all threads have arrived: notify each."""
        blocks = self.threads.blocks
        if blocks["arrived"].all():
            blocks["arrived"] = 0
            blocks["n0"][:, 0] += 1
            self._waiting[:] = False

    def _fail(self, reason: str, offset: int, message: MessageFault | None = None) -> None:
        self.fault = Fault(reason, offset, message)
