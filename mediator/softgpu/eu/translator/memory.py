"""Messages that have code of their own: blocks, barriers and fences here, lanes elsewhere.

Whatever their code does not do `eu_send` does, to which it falls back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.softgpu.eu.isa.instruction import GRF_BYTES
from mediator.softgpu.eu.translator import layout
from mediator.softgpu.eu.translator.compute import enabled
from mediator.softgpu.eu.translator.host_memory import (
    ADDRESS,
    LOCAL,
    Place,
    both,
    constant,
    host_place,
    local_memory,
    surface,
    translated,
)
from mediator.softgpu.eu.translator.lane_atomics import atomics
from mediator.softgpu.eu.translator.lane_memory import lanes
from mediator.softgpu.eu.translator.message_shape import (
    Barrier,
    BlockAccess,
    Fence,
    LaneAtomic,
    Space,
)
from mediator.softgpu.eu.translator.sends import (
    mask_number,
    payload_registers,
    response_place,
    send_one,
)
from mediator.softgpu.eu.translator.text import Value, constants, zero

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.translator.message_shape import Shape
    from mediator.softgpu.eu.translator.state import State


def access(state: State, instruction: Instruction, shape: Shape) -> None:
    """Write a message's own code, with the call behind it."""
    if isinstance(shape, Fence):
        state.text.line("fence seq_cst")
    elif isinstance(shape, Barrier):
        _arrive(state)
    elif isinstance(shape, BlockAccess):
        _block(state, instruction, shape)
    elif isinstance(shape, LaneAtomic):
        atomics(state, instruction, shape)
    else:
        lanes(state, instruction, shape)


def _arrive(state: State) -> None:
    """What `eu_send` does with a barrier message."""
    text = state.text
    text.store(constant(1, "i32"), state.thread.member(text, "arrived"), 4)
    counter = text.address("%group", layout.offset("eu_group", "arrived"))
    count = text.load("i32", 1, counter, 4)
    text.store(text.binary("add", count, constant(1, "i32")), counter, 4)


def _block(state: State, instruction: Instruction, shape: BlockAccess) -> None:
    message = instruction.message
    assert message is not None
    text, access_, grf = state.text, state.access, state.thread.grf
    registers = payload_registers(message)
    done, slow = text.new_label("done"), text.new_label("slow")
    sent = None
    mask = enabled(state, instruction)
    number = mask_number(state, mask, instruction.width)
    if mask is not None:
        sent = text.compare("ne", number, zero("i32"))
    base = registers[0] * GRF_BYTES
    if shape.space is Space.GLOBAL:
        start = text.bitcast(access_.words(grf, base, 2), "i64", 1)
        start = text.binary("and", start, constant(-shape.unit))
    else:
        start = access_.words(grf, base + 8, 1)
        start = text.cast("zext", start, "i64")
        if shape.unit > 1:
            start = text.binary("mul", start, constant(shape.unit))
        else:
            start = text.binary("and", start, constant(-4))
    if shape.write:
        _block_write(state, shape, start, registers[1:], sent, (done, slow))
    else:
        place, _ = response_place(instruction, message)
        _block_read(state, shape, start, place, sent, (done, slow))
    text.label(slow)
    send_one(state, instruction, message, number)
    text.branch(done)
    text.label(done)


def _block_place(state: State, shape: BlockAccess, start: Value) -> tuple[Place, Value | None]:
    """Where a block is, and, of a buffer that it may reach beyond, how many bytes are inside."""
    text, size = state.text, 4 * shape.dwords
    if shape.space is Space.BUFFER and not shape.write:
        base, limit = surface(state, shape.index)
        begins = text.compare("ult", start, limit)
        address = text.binary("and", text.binary("add", base, start), constant(ADDRESS))
        place = translated(state, address, size, write=False)
        left = text.binary("sub", limit, start)
        return Place(place.pointer, both(state, begins, place.usable)), left
    if shape.space is Space.GLOBAL:
        return host_place(state, shape.space, 0, start, size, write=shape.write), None
    if shape.space is Space.LOCAL:
        pointer, limit = local_memory(state)
        offset = text.binary("and", start, constant(LOCAL))
        end = text.binary("add", offset, constant(size))
        return Place(text.address_of(pointer, offset), text.compare("ule", end, limit)), None
    base, limit = surface(state, shape.index)
    inside = text.compare("ule", text.binary("add", start, constant(size)), limit)
    address = text.binary("and", text.binary("add", base, start), constant(ADDRESS))
    place = translated(state, address, size, write=shape.write)
    return Place(place.pointer, both(state, inside, place.usable)), None


def _block_read(
    state: State,
    shape: BlockAccess,
    start: Value,
    place: int,
    sent: Value | None,
    labels: tuple[str, str],
) -> None:
    text, dwords = state.text, shape.dwords
    done, slow = labels
    found, left = _block_place(state, shape, start)
    usable = found.usable if sent is None else both(state, found.usable, sent)
    fast = text.new_label("fast")
    text.branch_if(usable, fast, slow)
    text.label(fast)
    value = text.load("i32", dwords, found.pointer, 4)
    if left is not None:
        # Dwords of the page that are not of the buffer read as 0.
        least = constants("i32", [4 * at + 4 for at in range(dwords)])
        most = text.intrinsic("umin", left, constant(4 * dwords))
        inside = text.compare("ule", least, text.splat(text.cast("trunc", most, "i32"), dwords))
        value = text.select(inside, value, zero("i32", dwords))
    begin = place * GRF_BYTES + 4 * shape.first
    places = [begin + 4 * at for at in range(dwords)]
    state.access.write(state.thread.grf, places, 4, value, None)
    text.branch(done)


def _block_write(
    state: State,
    shape: BlockAccess,
    start: Value,
    data: Sequence[int],
    sent: Value | None,
    labels: tuple[str, str],
) -> None:
    text, dwords = state.text, shape.dwords
    done, slow = labels
    found, _ = _block_place(state, shape, start)
    usable = found.usable if sent is None else both(state, found.usable, sent)
    fast = text.new_label("fast")
    text.branch_if(usable, fast, slow)
    text.label(fast)
    whole = state.access.load(state.thread.grf, data[0], -(-(shape.first + dwords) // 8))
    order = list(range(shape.first, shape.first + dwords))
    text.store(text.shuffle(whole, order), found.pointer, 4)
    text.branch(done)
