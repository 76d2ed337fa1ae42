"""Code that a thread without running channels may pass through as well as jump over.

A jump for want of channels spares time and no more, where all that it jumps over is masked: so one
thread of a pair goes along with the other that has channels for a short block, and they stay
together. The block must have one way out, to where the jump leads, and nobody may wait inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.softgpu.eu.translator.early_modes import changes_modes
from mediator.softgpu.eu.translator.waiting import jip_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Block, Program

_MOST_INSTRUCTIONS: Final = 48
"""More of them take longer than what it is worth to stay together."""
_MASKED: Final = frozenset(
    {
        *(Opcode.IF, Opcode.ELSE, Opcode.ENDIF, Opcode.BREAK, Opcode.CONT),
        *(Opcode.GOTO, Opcode.JOIN, Opcode.WHILE),
    }
)
"""Branches that do nothing to a thread without running channels but to lead it on."""


def may_pass(
    program: Program,
    branch: Instruction,
    target: int,
    may_wait: Mapping[int, frozenset[int]],
) -> bool:
    """Whether a thread without running channels comes to ``target`` unchanged, if it goes on behind
    ``branch`` with another in place of jumping there. ``may_wait``: as in `waiting`."""
    begin = branch.end
    inside = [each for offset, each in program.instructions.items() if begin <= offset < target]
    if not 0 < len(inside) <= _MOST_INSTRUCTIONS or not all(map(_is_masked, inside)):
        return False
    # Those that wait behind an `else` were looked for before it jumps.
    first = begin + 1 if branch.opcode is Opcode.ELSE else begin
    if any(first <= place < target for place in may_wait[begin]):
        return False
    blocks = [each for each in program.blocks if begin <= each.start < target]
    return all(
        _stays(block, begin, target) or _is_passed(program, block, target, may_wait)
        for block in blocks
    )


def _stays(block: Block, begin: int, target: int) -> bool:
    return all(begin <= place <= target for place in block.successors)


def _is_passed(
    program: Program, block: Block, target: int, may_wait: Mapping[int, frozenset[int]]
) -> bool:
    """It ends with the `else` before ``target``. Channels that wait there come out there; without
    any, what the `else` then jumps over must do nothing either."""
    last = block.instructions[-1]
    if last.opcode is not Opcode.ELSE or last.end != target:
        return False
    return jip_of(last) > target and may_pass(program, last, jip_of(last), may_wait)


def _is_masked(instruction: Instruction) -> bool:
    """It does nothing to a thread without running channels."""
    if instruction.opcode is Opcode.NOP:
        return True
    if instruction.opcode.form is Form.BRANCH:
        return instruction.opcode in _MASKED
    message = instruction.message
    if message is not None and message.end_of_thread:
        return False
    waits = instruction.opcode is Opcode.WAIT
    return not (instruction.no_mask or waits or changes_modes(instruction))
