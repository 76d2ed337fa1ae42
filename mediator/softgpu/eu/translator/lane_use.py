"""Which channel's each byte is that an instruction reads from or writes to general registers.

An access is by lane where channel n of the instruction touches bytes that are channel n's alone;
what is read as a whole (headers, scalars, other channels' elements, payloads of messages that are
not lane by lane) belongs to nobody, and so needs every channel's value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.fields import extended_length, message_length, response_length
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    GRF_COUNT,
    Destination,
    File,
    Immediate,
    IndirectSource,
    Source,
)
from mediator.softgpu.eu.semantics.table import operands, predicate_selects
from mediator.softgpu.eu.translator.message_shape import LaneAccess, shape_of
from mediator.softgpu.eu.translator.state import places_of

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction, Message, Operand

Lanes = Mapping[int, bytes]
"""By register: whose each of its 32 bytes is, a channel, `NOBODY` or `UNTOUCHED`."""
NOBODY: Final = 254
UNTOUCHED: Final = 255


@dataclass(frozen=True, slots=True)
class Write:
    """Registers that a masked instruction would overwrite wholly if all its channels ran, and the
    channel of each of their bytes."""

    first: int
    count: int
    lanes: Lanes


def masked_writes(instruction: Instruction) -> list[Write]:
    """The whole registers that an instruction writes lane by lane under the control-flow mask."""
    predicated = instruction.predicate is not None and not predicate_selects(instruction)
    if instruction.no_mask or predicated:
        return []
    shape = shape_of(instruction)
    place = instruction.destination
    if not isinstance(place, Destination) or place.file is not File.GRF:
        return []
    if instruction.message is not None:
        if not isinstance(shape, LaneAccess) or shape.write:
            return []
        grfs = shape.lanes // 8
        assert instruction.message.descriptor is not None
        if instruction.width < shape.lanes:
            return []
        if response_length(instruction.message.descriptor) != grfs * shape.channels:
            return []  # what is behind the data keeps what it holds
        found = []
        for channel in range(shape.channels):
            first = place.byte // GRF_BYTES + channel * grfs
            found.append(Write(first, grfs, _by_lane(first, 4, instruction)))
        return found
    if place.stride != 1 or place.write_mask not in (None, 15) or place.byte % GRF_BYTES:
        return []
    size = place.type.size * instruction.width
    if size % GRF_BYTES or (instruction.function is not None and _two_results(instruction)):
        return []
    first = place.byte // GRF_BYTES
    return [Write(first, size // GRF_BYTES, _by_lane(first, place.type.size, instruction))]


def _two_results(instruction: Instruction) -> bool:
    return instruction.function is not None and instruction.function.mnemonic == "idiv"


def _by_lane(first: int, size: int, instruction: Instruction) -> Lanes:
    """Whole registers of one element a channel."""
    return _run(first, size, instruction.channel, instruction.width)


@lru_cache(4096)
def _run(first: int, size: int, channel: int, width: int) -> Lanes:
    places = [first * GRF_BYTES + size * lane for lane in range(width)]
    return _owners(places, size, range(channel, channel + width))


def _owners(places: Sequence[int], size: int, channels: Sequence[int]) -> Lanes:
    found: dict[int, bytearray] = {}
    for place, channel in zip(places, channels, strict=True):
        register, inside = divmod(place, GRF_BYTES)
        owners = found.setdefault(register, bytearray([UNTOUCHED] * GRF_BYTES))
        for byte in range(inside, inside + size):
            owners[byte] = channel if owners[byte] in (UNTOUCHED, channel) else NOBODY
    return {register: bytes(owners) for register, owners in found.items()}


WHOLE: Final = bytes([NOBODY] * GRF_BYTES)


def reads(instruction: Instruction) -> Iterator[Lanes]:
    """What an instruction reads, an operand at a time."""
    if instruction.message is not None:
        yield from _payload(instruction, instruction.message)
        return
    for operand in operands(instruction):
        yield _operand(instruction, operand)


def _operand(instruction: Instruction, operand: Operand) -> Lanes:
    if isinstance(operand, Immediate):
        return {}
    if isinstance(operand, IndirectSource):
        return dict.fromkeys(range(GRF_COUNT), WHOLE)
    if operand.file is not File.GRF:
        return {}
    crosses = instruction.no_mask or instruction.opcode.mnemonic in _CROSSING
    return _region(operand, instruction.width, NOBODY if crosses else instruction.channel)


@lru_cache(4096)
def _region(operand: Source, width: int, channel: int) -> Lanes:
    places = places_of(operand, width)
    channels = [channel] * width if channel == NOBODY else range(channel, channel + width)
    return _owners(places, operand.type.size, channels)


_CROSSING: Final = frozenset({"dp2", "dp3", "dp4", "dph", "sad2", "sada2", "line", "pln"})
"""Their channels look at each other."""


def _payload(instruction: Instruction, message: Message) -> Iterator[Lanes]:
    shape = shape_of(instruction)
    assert message.descriptor is not None
    assert message.extended is not None
    registers = list(range(message.payload, message.payload + message_length(message.descriptor)))
    if message.more is not None:
        registers += range(message.more, message.more + extended_length(message.extended))
    if not isinstance(shape, LaneAccess) or instruction.no_mask:
        yield dict.fromkeys(registers, WHOLE)
        return
    size = shape.address_bytes
    addresses = shape.lanes * size // GRF_BYTES
    if shape.header:
        yield {registers.pop(0): WHOLE}
    yield _by_lane(registers[0], size, instruction)
    rest = registers[addresses:] if shape.write else []
    grfs = shape.lanes // 8
    for channel in range(shape.channels if rest else 0):
        yield _by_lane(rest[channel * grfs], 4, instruction)
