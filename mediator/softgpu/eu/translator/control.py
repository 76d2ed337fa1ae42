"""Control flow of channels: the mask of those that run, and one of waiting ones for each address.

A channel that leaves its fellows waits for an address; whoever comes to that address first takes it
along. So a block that somebody may wait for begins with its mask joining, whatever its first
instruction is. Channels of a `break` wait behind the `while` that it names. Gen9's goto jumps where
the predicate is false. Source: PRM SKL vol 7 "Flow Control Instructions".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.translator.predicates import predicate_mask
from mediator.softgpu.eu.translator.registers import Untranslatable
from mediator.softgpu.eu.translator.text import Value, zero
from mediator.softgpu.eu.translator.waiting import (
    behind_loop,
    jip_of,
    uip_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program
    from mediator.softgpu.eu.translator.state import State


@dataclass(frozen=True, slots=True)
class Ways:
    """Where a branch leads: a thread to the offset ``yes``, and to ``no`` if its condition (i1) is
    false; there are none where all go one way."""

    yes: int
    no: int
    conditions: tuple[Value, ...] = ()


def _one_way(place: int) -> Ways:
    return Ways(place, place)


class ControlFlow:
    """Writes what the branches of a program do to the masks of the threads of a function."""

    def __init__(
        self,
        states: Sequence[State],
        program: Program,
        places: Sequence[int],
        may_wait: Mapping[int, frozenset[int]],
    ) -> None:
        """``places``: the addresses for which channels may wait; ``may_wait``: for which of them
        when a block begins, by its start."""
        self._states, self._program, self._may_wait = states, program, may_wait
        self._text, self._masks = states[0].text, states[0].masks
        self.current = states[0].current
        self.waiting = {place: self._masks.room() for place in places}

    def join(self, place: int) -> None:
        """Begin a block: those that wait for it run from here on."""
        pointer = self.waiting.get(place)
        if pointer is None or place not in self._may_wait[place]:
            return
        masks = self._masks
        joined = self._text.binary("or", masks.load(self.current), masks.load(pointer))
        masks.store(joined, self.current)
        masks.store(masks.nothing(), pointer)

    def branch(self, instruction: Instruction) -> Ways:
        """Write a branch, which ends a block, up to the jump."""
        opcode = instruction.opcode
        if opcode is Opcode.JMPI:
            return self._jump(instruction)
        if opcode in (Opcode.ENDIF, Opcode.JOIN):
            return self._unless_any(instruction, self._masks.load(self.current))
        if opcode is Opcode.ELSE:
            return self._else(instruction)
        if opcode is Opcode.IF:
            return self._leave(instruction, self._split(instruction)[1], jip_of(instruction))
        if opcode in (Opcode.CONT, Opcode.HALT):
            return self._leave(instruction, self._split(instruction)[0], uip_of(instruction))
        if opcode is Opcode.BREAK:
            place = behind_loop(self._program, uip_of(instruction))
            return self._leave(instruction, self._split(instruction)[0], place)
        if opcode is Opcode.WHILE:
            return self._loop(instruction, instruction.end, jip_of(instruction), instruction.end)
        if opcode is Opcode.GOTO and instruction.branch_control:
            place = jip_of(instruction)
            return self._loop(instruction, place, uip_of(instruction), place)
        if opcode is Opcode.GOTO:
            return self._leave(instruction, self._split(instruction)[1], uip_of(instruction))
        raise Untranslatable(opcode.mnemonic)

    # Masks

    def _all(self, instruction: Instruction) -> Value:
        """The running channels that an instruction concerns."""
        current = self._masks.load(self.current)
        if instruction.width >= self._masks.width:
            return current
        first, end = instruction.channel, instruction.channel + instruction.width
        return self._text.binary("and", current, self._masks.some(first, end))

    def _predicate(self, instruction: Instruction) -> Value | None:
        """The predicate in the shape of the control-flow mask; None without one."""
        if instruction.predicate is None:
            return None
        found, width = [], self._masks.width
        for state in self._states:
            mask = predicate_mask(state, instruction)
            if instruction.width != width:
                order = [lane - instruction.channel for lane in range(width)]
                inside = [lane if 0 <= lane < instruction.width else -1 for lane in order]
                mask = self._widened(mask, inside)
            found.append(mask)
        return self._masks.of_threads(found)

    def _widened(self, mask: Value, order: list[int]) -> Value:
        text = self._text
        if mask.lanes == 1:
            mask = text.splat(mask, 2)
        nothing = zero("i1", mask.lanes)
        return text.shuffle(mask, [lane if lane >= 0 else mask.lanes for lane in order], nothing)

    def _split(self, instruction: Instruction) -> tuple[Value, Value]:
        """The running channels of a branch for which its predicate holds, and the others."""
        concerned, predicate = self._all(instruction), self._predicate(instruction)
        if predicate is None:
            return concerned, self._masks.nothing()
        others = self._text.binary("and", concerned, self._text.invert(predicate))
        return self._text.binary("and", concerned, predicate), others

    def _any(self, mask: Value) -> tuple[Value, ...]:
        return tuple(self._masks.any_of_threads(mask))

    # Branches

    def _park(self, mask: Value, place: int) -> Value:
        """Let channels wait; gives those that still run."""
        text, masks = self._text, self._masks
        pointer = self.waiting.get(place)
        if pointer is not None:
            masks.store(text.binary("or", masks.load(pointer), mask), pointer)
        left = text.binary("and", masks.load(self.current), text.invert(mask))
        masks.store(left, self.current)
        return left

    def _leave(self, instruction: Instruction, leaving: Value, place: int) -> Ways:
        """Some channels go to wait; if none is left, jump."""
        return self._unless_any(instruction, self._park(leaving, place))

    def _unless_any(self, instruction: Instruction, mask: Value) -> Ways:
        """Go on at the next instruction if a channel runs, else jump."""
        target = jip_of(instruction)
        if target == instruction.end:
            return _one_way(target)
        return Ways(instruction.end, target, self._any(mask))

    def _else(self, instruction: Instruction) -> Ways:
        left = self._park(self._split(instruction)[0], uip_of(instruction))
        pointer = self.waiting.get(instruction.end)
        if pointer is not None:
            left = self._text.binary("or", left, self._masks.load(pointer))
        return self._unless_any(instruction, left)

    def _loop(self, instruction: Instruction, place: int, again: int, out: int) -> Ways:
        """while and goto.b: channels whose predicate holds go back, others wait."""
        true, false = self._split(instruction)
        some = self._any(true)
        self._park(false, place)
        return Ways(again, out, some)

    def _jump(self, instruction: Instruction) -> Ways:
        if instruction.sources or instruction.jip is None:
            raise Untranslatable("a jump whose target is in a register")
        target = instruction.offset + instruction.jip
        if instruction.predicate is None:
            return _one_way(target)
        masks = [predicate_mask(each, instruction) for each in self._states]
        conditions = tuple(self._text.extract(mask, 0) for mask in masks)
        return Ways(target, instruction.end, conditions)
