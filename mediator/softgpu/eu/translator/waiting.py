"""For which places channels may wait, and where: read off a program before anything is written.

Source: PRM SKL vol 7 "Flow Control Instructions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.opcodes import Opcode

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program


def waiting_places(program: Program) -> list[int]:
    """The addresses for which channels may wait, in ascending order."""
    found: set[int] = set()
    for instruction in program.instructions.values():
        found.update(waits(program, instruction))
    return sorted(found & {block.start for block in program.blocks})


def waits(program: Program, instruction: Instruction) -> list[int]:
    """Where an instruction may send channels to wait."""
    opcode = instruction.opcode
    if opcode is Opcode.IF:
        return [jip_of(instruction)]
    if opcode in (Opcode.ELSE, Opcode.CONT, Opcode.HALT):
        return [uip_of(instruction)]
    if opcode is Opcode.BREAK:
        return [behind_loop(program, uip_of(instruction))]
    if opcode is Opcode.WHILE:
        return [instruction.end]
    if opcode is Opcode.GOTO:
        return [jip_of(instruction) if instruction.branch_control else uip_of(instruction)]
    return []


def jip_of(instruction: Instruction) -> int:
    """Where the thread goes when nobody is left."""
    return instruction.offset + (instruction.jip or instruction.size)


def uip_of(instruction: Instruction) -> int:
    """Where channels meet again."""
    if instruction.uip is None:
        return jip_of(instruction)
    return instruction.offset + instruction.uip


def behind_loop(program: Program, at: int) -> int:
    """Where channels that break go on: behind the while at this address."""
    found = program.instructions.get(at)
    return at if found is None or found.opcode is not Opcode.WHILE else found.end


def may_wait(program: Program) -> dict[int, frozenset[int]]:
    """The places for which some channel may wait when a block begins, by the block's start."""
    known = set(waiting_places(program))
    found: dict[int, frozenset[int]] = {block.start: frozenset() for block in program.blocks}
    work = [block.start for block in reversed(program.blocks)]
    while work:
        block = program.block_of[work.pop()]
        here = set(found[block.start]) - {block.start}
        here.update(place for each in block.instructions for place in waits(program, each))
        here &= known
        for successor in block.successors:
            if not here <= found[successor]:
                found[successor] |= here
                work.append(successor)
    return found
