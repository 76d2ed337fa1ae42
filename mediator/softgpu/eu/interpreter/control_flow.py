"""Branches: which channels go where, and where their thread goes on.

Each channel has an instruction pointer of its own. Those of the active channels are the thread's;
the others are parked where they will run again, and join in when the thread comes there. A branch
parks channels, and jumps over what nobody is active for. Source: PRM SKL vol 7 "Flow Control", and
the section of each instruction in vol 2a; Mesa's and IGC's use of them. `goto` sends on the
channels whose predicate is *false*, unless its branch control is set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.interpreter.predication import active_lanes, predicate_lanes
from mediator.softgpu.eu.interpreter.register_access import reader, writer
from mediator.softgpu.eu.interpreter.threads import CHANNELS, packed, somebody
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import Immediate, Region

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
    from mediator.softgpu.eu.interpreter.threads import Rows, Threads
    from mediator.softgpu.eu.isa.instruction import IndirectSource, Instruction, Source

Lanes = NDArray[np.bool_]
Offsets = NDArray[np.int64]


class Branch:
    """A branch at which some threads stand. Lanes here are all 32 channels of each thread."""

    def __init__(
        self,
        instruction: Instruction,
        surroundings: Surroundings,
        at: Callable[[int], Instruction],
    ) -> None:
        self.instruction = instruction
        self.surroundings = surroundings
        self.at = at
        """The instruction at an offset; raises IllegalInstruction."""
        wide = instruction.opcode in (Opcode.RET, Opcode.BRC)
        self._jip = instruction.jip
        self._uip = instruction.uip
        self._read = [
            reader(_pair(operand, wide), 2 if wide else 1, instruction.offset, surroundings)
            for operand in instruction.sources
            if not isinstance(operand, Immediate)
        ]
        try:
            self._go = _BRANCHES[instruction.opcode]
        except KeyError:
            raise IllegalOperation(f"{instruction.opcode.mnemonic} is no branch") from None

    def go(self, threads: Threads, rows: Rows) -> Offsets:
        """Move the channels; gives where each thread goes on."""
        return self._go(self, threads, rows)

    # What branches are made of

    @property
    def next(self) -> int:
        """Offset of the instruction behind."""
        return self.instruction.end

    @property
    def jip(self) -> int:
        """Where the thread goes when nobody is left."""
        return self.instruction.offset + (self._jip if self._jip else self.instruction.size)

    @property
    def uip(self) -> int:
        """Where channels meet again."""
        return self.jip if self._uip is None else self.instruction.offset + self._uip

    def split(self, threads: Threads, rows: Rows) -> tuple[Lanes, Lanes]:
        """The active channels of the branch for which its predicate holds, and the others."""
        instruction = self.instruction
        active = active_lanes(instruction, threads, rows)
        predicate = predicate_lanes(instruction, threads, rows, instruction.width)
        if predicate is None:
            return self.spread(active.copy()), self.spread(np.zeros_like(active))
        return self.spread(active & predicate), self.spread(active & ~predicate)

    def spread(self, lanes: Lanes) -> Lanes:
        """The branch's own channels among all channels of a thread."""
        if lanes.shape[1] == CHANNELS:
            return lanes
        found = np.zeros((len(lanes), CHANNELS), np.bool_)
        first = self.instruction.channel
        found[:, first : first + lanes.shape[1]] = lanes
        return found

    def park(self, threads: Threads, rows: Rows, lanes: Lanes, offset: int | Offsets) -> None:
        """Let channels wait at an offset, or at one of each thread."""
        threads.park(rows, lanes, offset)

    def unless_alone(self, threads: Threads, rows: Rows, offset: int) -> Offsets:
        """On to the next instruction, or to ``offset`` if no channel is active."""
        return np.where(somebody(threads.active[rows]), self.next, offset)

    def register(self, threads: Threads, rows: Rows) -> NDArray[np.int64] | None:
        """What a register source holds, of ret and brc two elements; None without one."""
        if not self._read:
            return None
        found = self._read[0](threads, rows).astype(np.int64)
        return np.broadcast_to(found, (len(threads.ip[rows]), found.shape[1]))

    def target(self, threads: Threads, rows: Rows) -> int | Offsets:
        """Where brd, call and calla go: an offset in the word or in a register. `program` has made
        that of calla relative, too."""
        found = self.register(threads, rows)
        if found is None:
            return self.jip
        return self.instruction.offset + _signed(found[:, 0])


def _if(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    _, out = branch.split(threads, rows)
    branch.park(threads, rows, out, branch.jip)
    return branch.unless_alone(threads, rows, branch.jip)


def _else(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    through, _ = branch.split(threads, rows)
    branch.park(threads, rows, through, branch.uip)
    waiting = somebody(threads.parked[rows] == branch.next)
    return np.where(waiting | somebody(threads.active[rows]), branch.next, branch.jip)


def _meet(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    """endif and join: who waits here has joined already."""
    return branch.unless_alone(threads, rows, branch.jip)


def _while(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    again, out = branch.split(threads, rows)
    some = somebody(again)
    branch.park(threads, rows, out & some[:, None], branch.next)
    return np.where(some, branch.instruction.offset + (branch.instruction.jip or 0), branch.next)


def _break(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    """Out of the loop whose `while` UIP names: to behind it."""
    out, _ = branch.split(threads, rows)
    end = branch.at(branch.uip)
    branch.park(threads, rows, out, end.end if end.opcode is Opcode.WHILE else branch.uip)
    return branch.unless_alone(threads, rows, branch.jip)


def _leave(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    """cont, halt, brc: channels go to UIP."""
    found = branch.register(threads, rows)
    out, _ = branch.split(threads, rows)
    if found is None:
        branch.park(threads, rows, out, branch.uip)
        return branch.unless_alone(threads, rows, branch.jip)
    # brc with both offsets in a register.
    offsets = branch.instruction.offset + _signed(found)
    branch.park(threads, rows, out, offsets[:, 1])
    return np.where(somebody(threads.active[rows]), branch.next, offsets[:, 0])


def _goto(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    true, false = branch.split(threads, rows)
    if not branch.instruction.branch_control:
        branch.park(threads, rows, false, branch.uip)
        return branch.unless_alone(threads, rows, branch.jip)
    branch.park(threads, rows, false, branch.jip)
    return np.where(somebody(true), branch.uip, branch.jip)


def _jmpi(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    """By the first channel's predicate alone, whoever is active."""
    predicate = predicate_lanes(branch.instruction, threads, rows, 1)
    found = branch.register(threads, rows)
    if found is None:
        target: Offsets | int = branch.instruction.offset + (branch.instruction.jip or 0)
    else:
        target = branch.next + _signed(found[:, 0])
    taken = np.ones(len(threads.ip[rows]), np.bool_) if predicate is None else predicate[:, 0]
    return np.where(taken, target, branch.next)


def _brd(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    target = branch.target(threads, rows)
    out, _ = branch.split(threads, rows)
    branch.park(threads, rows, out, target)
    return np.where(somebody(threads.active[rows]), branch.next, target)


def _call(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    """Into a subroutine: the destination takes where to return to and which channels went."""
    destination = branch.instruction.destination
    if destination is None:
        raise IllegalOperation("call without destination")
    target = branch.target(threads, rows)
    inside, others = branch.split(threads, rows)
    some = somebody(inside)
    branch.park(threads, rows, others & some[:, None], branch.next)
    left = np.empty((len(some), 2), np.uint32)
    left[:, 0] = (branch.surroundings.base + branch.next) & 0xFFFFFFFF
    left[:, 1] = packed(inside)
    write = writer(replace(destination, stride=1), 2)
    if write is not None:
        write(threads, rows, left, some[:, None])
    return np.where(some, target, branch.next)


def _ret(branch: Branch, threads: Threads, rows: Rows) -> Offsets:
    """Back to where the register says, once all channels that were called have come here."""
    found = branch.register(threads, rows)
    if found is None:
        raise IllegalOperation("ret without source")
    target = found[:, 0] - branch.surroundings.base
    out, _ = branch.split(threads, rows)
    branch.park(threads, rows, out, target)
    called = (found[:, 1, None] >> np.arange(CHANNELS) & 1).astype(np.bool_)
    absent = called & (threads.parked[rows] != target[:, None]) & (threads.parked[rows] >= 0)
    stays = somebody(threads.active[rows]) | somebody(absent)
    return np.where(stays, branch.next, target)


def _pair(operand: Source | IndirectSource, wide: bool) -> Source | IndirectSource:
    return replace(operand, region=Region(2, 2, 1)) if wide else operand


def _signed(value: NDArray[np.int64]) -> NDArray[np.int64]:
    """32 bits as a signed number."""
    return value.astype(np.uint32).view(np.int32).astype(np.int64).reshape(value.shape)


_BRANCHES: Final[MappingProxyType[Opcode, Callable[[Branch, Threads, Rows], Offsets]]] = (
    MappingProxyType(
        {
            Opcode.IF: _if,
            Opcode.ELSE: _else,
            Opcode.ENDIF: _meet,
            Opcode.JOIN: _meet,
            Opcode.WHILE: _while,
            Opcode.BREAK: _break,
            Opcode.CONT: _leave,
            Opcode.HALT: _leave,
            Opcode.BRC: _leave,
            Opcode.BRD: _brd,
            Opcode.GOTO: _goto,
            Opcode.JMPI: _jmpi,
            Opcode.CALL: _call,
            Opcode.CALLA: _call,
            Opcode.RET: _ret,
        }
    )
)
