"""Control flow of channels: the mask of those that run, and one of waiting ones for each address.

A channel that leaves its fellows waits for an address; whoever comes to that address first takes it
along. So a block that somebody may wait for begins with its mask joining, whatever its first
instruction is. Channels of a `break` wait behind the `while` that it names. Gen9's goto jumps where
the predicate is false. Source: PRM SKL vol 7 "Flow Control Instructions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.translator.predicates import predicate_mask
from mediator.softgpu.eu.translator.registers import Untranslatable
from mediator.softgpu.eu.translator.text import Value, constants, zero
from mediator.softgpu.eu.translator.waiting import (
    behind_loop,
    jip_of,
    may_wait,
    uip_of,
    waiting_places,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program
    from mediator.softgpu.eu.translator.state import State


class ControlFlow:
    """Writes the branches of a program. ``go`` writes a jump from an offset to another."""

    def __init__(self, state: State, program: Program, go: Callable[[int, int], None]) -> None:
        self._state, self._program, self._go = state, program, go
        self._lanes = state.width * len(state.threads)
        self.places = waiting_places(program)
        self.may_wait = may_wait(program)
        """For whom channels may wait when a block begins, by its start."""
        self.waiting = {place: state.text.alloca("i1", self._lanes, 8) for place in self.places}

    def join(self, place: int) -> None:
        """Begin a block: those that wait for it run from here on."""
        pointer = self.waiting.get(place)
        if pointer is None or place not in self.may_wait[place]:
            return
        text = self._state.text
        joined = text.binary("or", self._load(self._state.current), self._load(pointer))
        self._store(joined, self._state.current)
        self._store(zero("i1", self._lanes), pointer)

    def branch(self, instruction: Instruction) -> None:
        """Write a branch, which ends a block."""
        opcode = instruction.opcode
        if opcode is Opcode.JMPI:
            self._jump(instruction)
        elif opcode in (Opcode.ENDIF, Opcode.JOIN):
            self._unless_any(instruction, self._load(self._state.current))
        elif opcode is Opcode.ELSE:
            self._else(instruction)
        elif opcode is Opcode.IF:
            self._leave(instruction, self._split(instruction)[1], jip_of(instruction))
        elif opcode in (Opcode.CONT, Opcode.HALT):
            self._leave(instruction, self._split(instruction)[0], uip_of(instruction))
        elif opcode is Opcode.BREAK:
            place = behind_loop(self._program, uip_of(instruction))
            self._leave(instruction, self._split(instruction)[0], place)
        elif opcode is Opcode.WHILE:
            self._loop(instruction, instruction.end, jip_of(instruction), instruction.end)
        elif opcode is Opcode.GOTO and instruction.branch_control:
            self._loop(instruction, jip_of(instruction), uip_of(instruction), jip_of(instruction))
        elif opcode is Opcode.GOTO:
            self._leave(instruction, self._split(instruction)[1], uip_of(instruction))
        else:
            raise Untranslatable(opcode.mnemonic)

    # Masks

    def _load(self, pointer: str) -> Value:
        return self._state.text.load("i1", self._lanes, pointer, 8)

    def _store(self, value: Value, pointer: str) -> None:
        self._state.text.store(value, pointer, 8)

    def _any(self, mask: Value) -> Value:
        number = self._state.text.bitcast(mask, f"i{self._lanes}", 1)
        return self._state.text.compare("ne", number, zero(number.element))

    def _all(self, instruction: Instruction) -> Value:
        """The running channels that an instruction concerns."""
        current = self._load(self._state.current)
        if instruction.width >= self._state.width:
            return current
        first, end = instruction.channel, instruction.channel + instruction.width
        lanes = [int(first <= lane < end) for lane in range(self._state.width)]
        concerned = constants("i1", lanes * len(self._state.threads))
        return self._state.text.binary("and", current, concerned)

    def _predicate(self, instruction: Instruction) -> Value | None:
        """The predicate in the shape of the control-flow mask; None without one."""
        if instruction.predicate is None:
            return None
        state, text = self._state, self._state.text
        mask = predicate_mask(state, instruction, state.threads)
        if instruction.width == state.width:
            return mask
        parts = []
        for at, _ in enumerate(state.threads):
            mine = state.part(mask, at, instruction.width)
            order = [lane - instruction.channel for lane in range(state.width)]
            inside = [lane if 0 <= lane < instruction.width else -1 for lane in order]
            parts.append(self._widened(mine, inside))
        return text.concat(parts)

    def _widened(self, mask: Value, order: list[int]) -> Value:
        text = self._state.text
        if mask.lanes == 1:
            mask = text.splat(mask, 2)
        nothing = zero("i1", mask.lanes)
        return text.shuffle(mask, [lane if lane >= 0 else mask.lanes for lane in order], nothing)

    def _split(self, instruction: Instruction) -> tuple[Value, Value]:
        """The running channels of a branch for which its predicate holds, and the others."""
        concerned, predicate = self._all(instruction), self._predicate(instruction)
        if predicate is None:
            return concerned, zero("i1", self._lanes)
        text = self._state.text
        others = text.binary("and", concerned, text.invert(predicate))
        return text.binary("and", concerned, predicate), others

    # Branches

    def _park(self, mask: Value, place: int) -> Value:
        """Let channels wait; gives those that still run."""
        text = self._state.text
        pointer = self.waiting.get(place)
        if pointer is not None:
            self._store(text.binary("or", self._load(pointer), mask), pointer)
        left = text.binary("and", self._load(self._state.current), text.invert(mask))
        self._store(left, self._state.current)
        return left

    def _leave(self, instruction: Instruction, leaving: Value, place: int) -> None:
        """Some channels go to wait; if none is left, jump."""
        self._unless_any(instruction, self._park(leaving, place))

    def _unless_any(self, instruction: Instruction, mask: Value) -> None:
        """Go on at the next instruction if a channel runs, else jump."""
        target = jip_of(instruction)
        if target == instruction.end:
            self._go(instruction.offset, target)
        else:
            self._two_ways(instruction, self._any(mask), instruction.end, target)

    def _else(self, instruction: Instruction) -> None:
        left = self._park(self._split(instruction)[0], uip_of(instruction))
        pointer = self.waiting.get(instruction.end)
        if pointer is not None:
            left = self._state.text.binary("or", left, self._load(pointer))
        self._unless_any(instruction, left)

    def _loop(self, instruction: Instruction, place: int, again: int, out: int) -> None:
        """while and goto.b: channels whose predicate holds go back, others wait."""
        true, false = self._split(instruction)
        some = self._any(true)
        self._park(false, place)
        self._two_ways(instruction, some, again, out)

    def _two_ways(self, instruction: Instruction, condition: Value, yes: int, no: int) -> None:
        text = self._state.text
        first, second = text.new_label("yes"), text.new_label("no")
        text.branch_if(condition, first, second)
        text.label(first)
        self._go(instruction.offset, yes)
        text.label(second)
        self._go(instruction.offset, no)

    def _jump(self, instruction: Instruction) -> None:
        if instruction.sources or instruction.jip is None:
            raise Untranslatable("a jump whose target is in a register")
        target = instruction.offset + instruction.jip
        if instruction.predicate is None:
            self._go(instruction.offset, target)
            return
        mask = predicate_mask(self._state, instruction, self._state.threads)
        condition = self._state.text.extract(mask, 0)
        self._two_ways(instruction, condition, target, instruction.end)
