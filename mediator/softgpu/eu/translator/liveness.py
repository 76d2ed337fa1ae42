"""Which general registers a program may still read: what a function has to load and to keep.

Registers are counted whole. A masked or partial write does not end the life of what was there
before. Source: A. Aho et al., "Compilers", live-variable analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.fields import extended_length, message_length, response_length
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    GRF_COUNT,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    IndirectSource,
)
from mediator.softgpu.eu.semantics.table import operands, predicate_selects
from mediator.softgpu.eu.translator.lane_use import masked_writes, reads
from mediator.softgpu.eu.translator.state import places_of

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction, Message, Operand
    from mediator.softgpu.eu.isa.program import Program

ALL: Final = (1 << GRF_COUNT) - 1


def run_of(first: int, count: int) -> int:
    """Bits of consecutive registers."""
    return ((1 << count) - 1) << first & ALL


def _of_source(operand: Operand, width: int) -> int:
    if isinstance(operand, Immediate):
        return 0
    if isinstance(operand, IndirectSource):
        return ALL
    if operand.file is not File.GRF:
        return 0
    places = places_of(operand, width)
    first, last = min(places) // GRF_BYTES, (max(places) + operand.type.size - 1) // GRF_BYTES
    return run_of(first, last - first + 1)


def _destination(instruction: Instruction) -> tuple[int, int]:
    """(registers touched, registers wholly overwritten)."""
    destination = instruction.destination
    if isinstance(destination, IndirectDestination):
        return ALL, 0
    if not isinstance(destination, Destination) or destination.file is not File.GRF:
        return 0, 0
    size = destination.type.size
    end = destination.byte + size * destination.stride * (instruction.width - 1) + size
    first = destination.byte // GRF_BYTES
    touched = run_of(first, (end - 1) // GRF_BYTES - first + 1)
    whole = destination.stride == 1 and destination.write_mask in (None, 15)
    if not whole or not instruction.no_mask:
        return touched, 0
    if instruction.predicate is not None and not predicate_selects(instruction):
        return touched, 0
    begin = -(-destination.byte // GRF_BYTES)
    return touched, run_of(begin, max(0, end // GRF_BYTES - begin))


def _message(message: Message, destination: int | None) -> tuple[int, int]:
    """(registers read, registers that the response may change)."""
    if message.descriptor is None or message.extended is None:
        return ALL, ALL
    read = run_of(message.payload, message_length(message.descriptor))
    if message.payload_indirect is not None:
        read = ALL
    if message.more is not None:
        read |= run_of(message.more, extended_length(message.extended))
    if destination is None:
        return read, 0
    return read, run_of(destination, response_length(message.descriptor))


@dataclass(frozen=True, slots=True)
class Effects:
    """Bits of registers; what is changed in part counts as read."""

    read: int
    overwritten: int


def effects(instruction: Instruction) -> Effects:
    """What an instruction does to the general registers."""
    if instruction.message is not None:
        place = instruction.destination
        into = None
        if isinstance(place, Destination) and place.file is File.GRF:
            into = place.byte // GRF_BYTES
        if isinstance(place, IndirectDestination):
            return Effects(ALL, 0)
        read, changed = _message(instruction.message, into)
        return Effects(read | changed, 0)
    read = 0
    for operand in operands(instruction):
        read |= _of_source(operand, instruction.width)
    touched, killed = _destination(instruction)
    return Effects(read | (touched & ~killed), killed)


def unmasked_effects(instruction: Instruction) -> Effects:
    """The same of an instruction whose masked write is done without its mask (`kills`)."""
    killed = 0
    for write in masked_writes(instruction):
        killed |= run_of(write.first, write.count)
    read = 0
    for lanes in reads(instruction):
        for register in lanes:
            read |= 1 << register
    return Effects(read, killed)


def live_at(program: Program, at_end: int, unmasked: frozenset[int]) -> dict[int, int]:
    """Registers that are live before each instruction, by offset. ``at_end``: those that count as
    read by the end of the thread; ``unmasked``: writes that are done without their mask."""
    live_in: dict[int, int] = dict.fromkeys((block.start for block in program.blocks), 0)
    predecessors: dict[int, list[int]] = {start: [] for start in live_in}
    for block in program.blocks:
        for successor in block.successors:
            predecessors[successor].append(block.start)
    every = {
        offset: unmasked_effects(each) if offset in unmasked else effects(each)
        for offset, each in program.instructions.items()
    }
    result: dict[int, int] = {}
    work = list(live_in)
    while work:
        start = work.pop()
        block = program.block_of[start]
        live = 0
        for successor in block.successors:
            live |= live_in[successor]
        for instruction in reversed(block.instructions):
            if instruction.message is not None and instruction.message.end_of_thread:
                live |= at_end
            effect = every[instruction.offset]
            live = live & ~effect.overwritten | effect.read
            result[instruction.offset] = live
        if live != live_in[start]:
            live_in[start] = live
            work.extend(predecessors[start])
    return result
