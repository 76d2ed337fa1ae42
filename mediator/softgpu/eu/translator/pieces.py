"""Where the general register file of compiled code is cut into pieces of one or two registers.

LLVM makes values of a part of the file only if no access crosses from it into another, and a
program uses the same registers in many ways. So the file has fixed pieces, most often those that
instructions name as a whole, and an access to several is made of one to each.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mediator.softgpu.eu.isa.instruction import GRF_BYTES, GRF_COUNT, Destination, File
from mediator.softgpu.eu.translator.lane_use import reads
from mediator.softgpu.eu.translator.message_shape import LaneAccess, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program


def beginnings(program: Program) -> frozenset[int]:
    """The registers with which pieces begin."""
    pairs: Counter[int] = Counter()
    for instruction in program.instructions.values():
        for first, count in _runs(instruction):
            pairs.update(range(first, first + count - 1, 2))
    second: set[int] = set()
    taken: set[int] = set()
    for first, _ in sorted(pairs.items(), key=lambda each: (-each[1], each[0])):
        if first not in taken and first + 1 not in taken:
            taken |= {first, first + 1}
            second.add(first + 1)
    return frozenset(range(GRF_COUNT)) - second


def _runs(instruction: Instruction) -> Iterator[tuple[int, int]]:
    """(first register, count) of what is read or written as one vector."""
    for lanes in reads(instruction):
        if lanes and len(lanes) < GRF_COUNT:
            yield min(lanes), max(lanes) - min(lanes) + 1
    place = instruction.destination
    if not isinstance(place, Destination) or place.file is not File.GRF:
        return
    first = place.byte // GRF_BYTES
    if instruction.message is None:
        size = place.type.size
        last = place.byte + size * place.stride * (instruction.width - 1) + size - 1
        yield first, last // GRF_BYTES - first + 1
        return
    shape = shape_of(instruction)
    if isinstance(shape, LaneAccess):
        each = shape.lanes // 8
        for channel in range(shape.channels):
            yield first + channel * each, each
