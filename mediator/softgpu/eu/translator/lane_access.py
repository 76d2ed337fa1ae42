"""A message of lanes under way: what its payload holds, and how what is read gets to registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.softgpu.eu.isa.instruction import GRF_BYTES
from mediator.softgpu.eu.translator.compute import enabled
from mediator.softgpu.eu.translator.host_memory import constant
from mediator.softgpu.eu.translator.message_shape import STATELESS, Space
from mediator.softgpu.eu.translator.sends import (
    mask_number,
    payload_registers,
    response_place,
    send_one,
)
from mediator.softgpu.eu.translator.text import same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.translator.message_shape import LaneAccess, LaneAtomic
    from mediator.softgpu.eu.translator.state import State
    from mediator.softgpu.eu.translator.text import Value

_HEADER_OFFSET: Final = 2
_HEADER_BASE: Final = 5
_ROOM: Final = 128
"""Bytes: 16 lanes, 64 bits each."""


def operand(state: State, registers: Sequence[int], lanes: int, size: int) -> Value:
    """The first lanes of registers: i32 or i64."""
    text, access, grf = state.text, state.access, state.thread.grf
    if lanes == 1:
        words = access.words(grf, registers[0] * GRF_BYTES, size // 4)
        return text.bitcast(words, f"i{8 * size}", 1)
    count = -(-lanes * size // GRF_BYTES)
    whole = text.concat(
        [access.load(grf, register, 1) for register in registers[:count]]
        if registers[count - 1] != registers[0] + count - 1
        else [access.load(grf, registers[0], count)]
    )
    each = text.bitcast(whole, f"i{8 * size}", count * GRF_BYTES // size)
    return text.shuffle(each, list(range(lanes)))


@dataclass(frozen=True, slots=True)
class Access:
    """A message under way. ``mask``: the lanes that run; ``kept``: those whose registers a read
    writes, None: all; ``place``: its first register; ``data``: the registers that a write has;
    ``done``: the label behind."""

    state: State
    instruction: Instruction
    shape: LaneAccess
    addresses: Value
    first: Value
    distance: Value
    mask: Value | None
    kept: Value | None
    place: int
    data: Sequence[int]
    done: str

    @property
    def width(self) -> int:
        """Lanes of a thread."""
        return self.instruction.width

    @property
    def where(self) -> tuple[Space, int]:
        """Space, and which surface."""
        return self.shape.space, self.shape.index


def begin(state: State, instruction: Instruction, shape: LaneAccess) -> Access:
    message = instruction.message
    assert message is not None
    text, width = state.text, instruction.width
    registers = payload_registers(message)
    header = registers.pop(0) if shape.header else None
    addresses = operand(state, registers, width, shape.address_bytes)
    if shape.unit > 1:
        scale = same("i32", addresses.lanes, str(shape.unit))
        addresses = text.binary("mul", addresses, scale)
    if header is not None:
        more = text.splat(_header_offset(state, shape, header), width)
        addresses = text.binary("add", addresses, more)
    first = text.extract(addresses, 0)
    distance = text.binary("sub", addresses, text.splat(first, addresses.lanes))
    mask = enabled(state, instruction)
    kept = None if instruction.offset in state.unmasked else mask
    place = 0 if shape.write else response_place(instruction, message)[0]
    data = registers[shape.lanes * shape.address_bytes // GRF_BYTES :]
    done = text.new_label("done")
    return Access(
        state, instruction, shape, addresses, first, distance, mask, kept, place, data, done
    )


def _header_offset(state: State, shape: LaneAccess, header: int) -> Value:
    """What the header adds to each offset, in bytes."""
    text, grf, at = state.text, state.thread.grf, header * GRF_BYTES
    more = state.access.words(grf, at + 4 * _HEADER_OFFSET, 1)
    if shape.unit > 1:
        more = text.binary("mul", more, constant(shape.unit, "i32"))
    if shape.index not in STATELESS:
        return more
    return text.binary("add", more, state.access.words(grf, at + 4 * _HEADER_BASE, 1))


def send_all(
    state: State, instruction: Instruction, shape: LaneAccess | LaneAtomic, mask: Value | None
) -> None:
    """The calls that carry a message of lanes out, whatever its addresses."""
    assert instruction.message is not None
    number = mask_number(state, mask, instruction.width)
    send_one(state, instruction, instruction.message, number)


def arm(state: State, condition: Value) -> str:
    """Begin the block of a condition; gives the label of what comes after it."""
    text = state.text
    yes, other = text.new_label("fast"), text.new_label("else")
    text.branch_if(condition, yes, other)
    text.label(yes)
    return other


def close(state: State, other: str, done: str) -> None:
    """End such a block."""
    state.text.branch(done)
    state.text.label(other)


def respond_channel(access: Access, value: Value, channel: int) -> None:
    """A channel's lanes to the response's registers."""
    state, width = access.state, access.width
    if value.element != "i32":
        value = state.text.cast("zext", value, "i32")
    first = access.place * GRF_BYTES + channel * access.shape.lanes * 4
    respond(state, value, [first + 4 * lane for lane in range(width)], 4, access.kept)


def respond(state: State, value: Value, places: list[int], size: int, kept: Value | None) -> None:
    """Lanes to their registers, where ``kept`` (None: everywhere) is true."""
    state.access.write(state.thread.grf, places, size, value, kept)


def channel_value(access: Access, channel: int) -> Value:
    """What the lanes of a channel are to write."""
    state, shape = access.state, access.shape
    grfs = shape.lanes * 4 // GRF_BYTES
    value = operand(state, access.data[channel * grfs :], access.width, 4)
    return value if shape.size == 4 else state.text.cast("trunc", value, f"i{8 * shape.size}")


def room(state: State, name: str) -> str:
    """Memory of the function for a vector of lanes; messages share it."""
    if name not in state.buffers:
        state.buffers[name] = state.text.alloca_bytes(_ROOM)
    return state.buffers[name]


def entry(state: State, vector: str, lane: Value, size: int) -> str:
    """Pointer to a lane (i64) of a vector in memory."""
    return state.text.address_of(vector, state.text.binary("mul", lane, constant(size)))
