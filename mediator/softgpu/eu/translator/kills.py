"""Masked writes that may be done without their mask, since nobody misses what they overwrite.

A write under a control-flow mask must keep the values of channels that do not run, unless these are
never looked at: every read that it reaches comes later in the program, is by the same channels, and
no channel that was not running at the write has come back in between. Channels come back where they
waited for; one that waits from within a loop for a place behind it may have waited since the loop's
first instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.isa.instruction import GRF_COUNT
from mediator.softgpu.eu.isa.program import successors
from mediator.softgpu.eu.translator.lane_use import (
    UNTOUCHED,
    WHOLE,
    Write,
    masked_writes,
    reads,
)
from mediator.softgpu.eu.translator.liveness import effects
from mediator.softgpu.eu.translator.waiting import waits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program
    from mediator.softgpu.eu.translator.lane_use import Lanes

_EVER = -(1 << 40)
_ROUNDS = 2
"""A write that needs no mask ends the life of what was there, which frees others."""


def unmasked_writes(program: Program, kept_at_end: int) -> frozenset[int]:
    """Offsets of the instructions whose writes need no mask. ``kept_at_end``: bits of registers
    that the end of the thread reads as a whole."""
    candidates = {
        each.offset: found
        for each in program.instructions.values()
        if (found := masked_writes(each))
    }
    if not candidates:
        return frozenset()
    since = _waiting_since(program)
    read = {offset: list(reads(each)) for offset, each in program.instructions.items()}
    at_end = {register: WHOLE for register in range(GRF_COUNT) if kept_at_end >> register & 1}
    for offset, each in program.instructions.items():
        if each.message is not None and each.message.end_of_thread:
            read[offset].append(at_end)
    accepted: frozenset[int] = frozenset()
    for _ in range(_ROUNDS):
        uses = _uses(program, candidates, read, accepted)
        accepted = frozenset(
            offset
            for offset, found in candidates.items()
            if all(_harmless(offset, write, uses, since, read) for write in found)
        )
    return accepted


def _waiting_since(program: Program) -> dict[int, int]:
    """Of each place where channels wait: since which offset at the earliest."""
    loops = [
        (target, each.offset)
        for each in program.instructions.values()
        for target in successors(each)
        if target <= each.offset
    ]
    found: dict[int, int] = {}
    for each in program.instructions.values():
        for place in waits(program, each):
            start = each.offset
            if place <= start:
                start = _EVER
            for head, end in loops:
                if head <= each.offset <= end and place > end:
                    start = min(start, head)
            found[place] = min(found.get(place, start), start)
    return found


def _harmless(
    offset: int,
    write: Write,
    uses: Mapping[tuple[int, int], set[int]],
    since: Mapping[int, int],
    read: Mapping[int, list[Lanes]],
) -> bool:
    for register in range(write.first, write.first + write.count):
        for use in uses.get((offset, register), ()):
            if use <= offset:
                return False
            if any(offset < place <= use and start <= offset for place, start in since.items()):
                return False
            if not all(_same_lanes(lanes, write, register) for lanes in read[use]):
                return False
    return True


def _same_lanes(lanes: Lanes, write: Write, register: int) -> bool:
    owners = lanes.get(register)
    if owners is None or owners == write.lanes[register]:
        return True
    return all(
        owner in (UNTOUCHED, written)
        for owner, written in zip(owners, write.lanes[register], strict=True)
    )


def _uses(
    program: Program,
    candidates: Mapping[int, list[Write]],
    read: Mapping[int, list[Lanes]],
    accepted: frozenset[int],
) -> dict[tuple[int, int], set[int]]:
    """The instructions that each candidate's value of a register may reach, other values than
    those of the channels that it writes included."""
    registers_read = {
        offset: set().union(*(lanes.keys() for lanes in each), set())
        for offset, each in read.items()
    }
    ends = {offset: _overwritten(each) for offset, each in program.instructions.items()}
    for offset in accepted:
        for write in candidates[offset]:
            ends[offset] |= set(range(write.first, write.first + write.count))
    reaching: dict[int, dict[int, frozenset[int]]] = {block.start: {} for block in program.blocks}
    by_start = program.block_of
    uses: dict[tuple[int, int], set[int]] = {}
    work = [block.start for block in reversed(program.blocks)]
    while work:
        block = by_start[work.pop()]
        state = dict(reaching[block.start])
        for each in block.instructions:
            at = each.offset
            for register in registers_read[at]:
                for source in state.get(register, ()):
                    uses.setdefault((source, register), set()).add(at)
            for register in ends[at]:
                state.pop(register, None)
            for write in candidates.get(at, ()):
                for register in range(write.first, write.first + write.count):
                    state[register] = state.get(register, frozenset()) | {at}
        for successor in block.successors:
            target = reaching[successor]
            changed = False
            for register, sources in state.items():
                known = target.get(register, frozenset())
                if not sources <= known:
                    target[register] = known | sources
                    changed = True
            if changed:
                work.append(successor)
    return uses


def _overwritten(instruction: Instruction) -> set[int]:
    """Registers that an instruction overwrites wholly, whoever runs."""
    if instruction.opcode is Opcode.NOP:
        return set()
    killed = effects(instruction).overwritten
    return {register for register in range(GRF_COUNT) if killed >> register & 1}
