"""Messages of lanes: addresses looked at as a whole, translated once, done as one vector.

Lanes mostly follow each other, or all name the same place. Whether they do, whether they are inside
their surface and one page, and whether the worker's software TLB knows the page is asked with a few
instructions; if so the access is a load or store of the host. Otherwise each lane goes to a place
of its own, and what cannot be had so is left to `eu_send`, which enters pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.softgpu.eu.translator import gathers
from mediator.softgpu.eu.translator.host_memory import all_lanes, both, constant, host_place
from mediator.softgpu.eu.translator.lane_access import (
    arm,
    begin,
    channel_value,
    close,
    respond_channel,
    send_all,
)
from mediator.softgpu.eu.translator.lane_pages import pages
from mediator.softgpu.eu.translator.message_shape import LaneAccess, Space
from mediator.softgpu.eu.translator.registers import iota
from mediator.softgpu.eu.translator.text import Value, same, zero

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.translator.gathers import Places
    from mediator.softgpu.eu.translator.lane_access import Access
    from mediator.softgpu.eu.translator.state import State


def lanes(state: State, instruction: Instruction, shape: LaneAccess) -> None:
    """Write a message's own code, with the call behind it."""
    _lanes(begin(state, instruction, shape))


def lanes_of_pair(states: Sequence[State], instruction: Instruction, shape: LaneAccess) -> None:
    """The same for two threads: where the lanes of the second follow those of the first, or all
    name one place, that is asked and translated once."""
    one, two = (begin(state, instruction, shape) for state in states)
    text, done = one.state.text, one.state.text.new_label("done")
    if instruction.width > 1 and not one.state.frugal:
        gap = text.binary("sub", two.first, one.first)
        _pair_in_a_row(one, two, gap, done)
        if not shape.write:
            _pair_at_one_place(one, two, gap, done)
    _lanes(one)
    _lanes(two)
    text.branch(done)
    text.label(done)


def _pair_in_a_row(one: Access, two: Access, gap: Value, done: str) -> None:
    state, shape, text, count = one.state, one.shape, one.state.text, one.distance.lanes
    if shape.write and not shape.packed:
        return
    step = _stride(one)
    follows = text.compare("eq", gap, constant(count * step, gap.element))
    apart = arm(state, follows)
    place = host_place(
        state, *one.where, one.first, step * (2 * count - 1) + shape.span, write=shape.write
    )
    steps = iota(gap.element, count, step)
    rows = [all_lanes(state, text.compare("eq", each.distance, steps)) for each in (one, two)]
    other = arm(state, both(state, *rows, _aligned(one), place.usable))
    for access, pointer in ((one, place.pointer), (two, text.address(place.pointer, count * step))):
        if shape.write:
            _write_row(access, pointer)
        else:
            _read_row(access, pointer)
    close(state, other, done)
    text.branch(apart)
    text.label(apart)


def _pair_at_one_place(one: Access, two: Access, gap: Value, done: str) -> None:
    state, shape, text = one.state, one.shape, one.state.text
    apart = arm(state, text.compare("eq", gap, zero(gap.element)))
    nothing = zero(gap.element, one.distance.lanes)
    same_ = [all_lanes(state, text.compare("eq", each.distance, nothing)) for each in (one, two)]
    place = host_place(state, *one.where, one.first, shape.span, write=False)
    other = arm(state, both(state, *same_, _aligned(one), place.usable))
    for channel, value in enumerate(_read_once(one, place.pointer)):
        respond_channel(one, value, channel)
        respond_channel(two, value, channel)
    close(state, other, done)
    text.branch(apart)
    text.label(apart)


def _lanes(access: Access) -> None:
    state, instruction, shape = access.state, access.instruction, access.shape
    local = shape.space is Space.LOCAL
    if not state.frugal or local:
        if shape.write:
            _write_contiguous(access)
        else:
            _read_contiguous(access)
            if access.addresses.lanes > 1:
                _read_uniform(access)
    if local and access.addresses.lanes > 1:
        _local(access)
    else:
        if access.addresses.lanes > 1:
            pages(access)
        send_all(state, instruction, shape, access.mask)
    state.text.branch(access.done)
    state.text.label(access.done)


# All lanes at once


def _aligned(access: Access) -> Value:
    """Whether an address is what the port makes of it."""
    if not access.shape.dword_aligned:
        return Value("true", "i1")
    text, first = access.state.text, access.first
    low = text.binary("and", first, constant(3, first.element))
    return text.compare("eq", low, zero(first.element))


def _stride(access: Access) -> int:
    """Bytes from a lane to the next one, in accesses that are done as one or few vectors: its
    elements side by side, or, where they have gaps, element upon element of all lanes."""
    shape = access.shape
    return shape.span if shape.packed else shape.size


def _contiguous(access: Access) -> tuple[Value, str]:
    """Whether lanes follow each other where they may be accessed, and where."""
    state, shape, distance = access.state, access.shape, access.distance
    step = _stride(access)
    size = step * (distance.lanes - 1) + shape.span
    place = host_place(state, *access.where, access.first, size, write=shape.write)
    conditions = [_aligned(access), place.usable]
    if distance.lanes > 1:
        steps = iota(distance.element, distance.lanes, step)
        conditions.insert(0, all_lanes(state, state.text.compare("eq", distance, steps)))
    return both(state, *conditions), place.pointer


def _read_contiguous(access: Access) -> None:
    usable, pointer = _contiguous(access)
    other = arm(access.state, usable)
    _read_row(access, pointer)
    close(access.state, other, access.done)


def _read_row(access: Access, pointer: str) -> None:
    """Lanes that follow each other from a place of the host on."""
    shape, text = access.shape, access.state.text
    element, count = f"i{8 * shape.size}", access.distance.lanes
    if shape.packed:
        whole = text.load(element, count * shape.channels, pointer, shape.multiple)
        for channel in range(shape.channels):
            order = [lane * shape.channels + channel for lane in range(count)]
            respond_channel(access, text.shuffle(whole, order), channel)
    else:
        for channel, at in enumerate(shape.places):
            place = text.address(pointer, at * shape.size)
            respond_channel(access, text.load(element, count, place, shape.multiple), channel)


def _read_uniform(access: Access) -> None:
    state, shape, distance = access.state, access.shape, access.distance
    text = state.text
    same_place = all_lanes(
        state, text.compare("eq", distance, zero(distance.element, distance.lanes))
    )
    found = host_place(state, *access.where, access.first, shape.span, write=False)
    other = arm(state, both(state, same_place, _aligned(access), found.usable))
    for channel, value in enumerate(_read_once(access, found.pointer)):
        respond_channel(access, value, channel)
    close(state, other, access.done)


def _read_once(access: Access, place: str) -> list[Value]:
    """What all lanes find that name one place, by channel."""
    shape, text, found = access.shape, access.state.text, []
    for at in shape.places:
        pointer = text.address(place, at * shape.size)
        scalar = text.load(f"i{8 * shape.size}", 1, pointer, shape.multiple)
        found.append(text.splat(text.cast("zext", scalar, "i32"), access.distance.lanes))
    return found


def _write_contiguous(access: Access) -> None:
    state = access.state
    if not access.shape.packed:
        return
    usable, pointer = _contiguous(access)
    if access.distance.lanes == 1 and access.mask is not None:
        usable = both(state, usable, access.mask)
    other = arm(state, usable)
    _write_row(access, pointer)
    close(state, other, access.done)


def _write_row(access: Access, pointer: str) -> None:
    """Lanes that follow each other to a place of the host and behind it."""
    state, shape, text = access.state, access.shape, access.state.text
    count, channels = access.distance.lanes, shape.channels
    whole = _interleaved(state, [channel_value(access, channel) for channel in range(channels)])
    if access.mask is None or count == 1:
        text.store(whole, pointer, shape.multiple)
    else:
        order = [lane // channels for lane in range(count * channels)]
        spread = text.shuffle(access.mask, order)
        _masked_store(state, whole, pointer, spread, shape.multiple)


def _interleaved(state: State, each: list[Value]) -> Value:
    """Lanes of the first channel, of the second and so on, in turns."""
    text, count, lanes_ = state.text, len(each), each[0].lanes
    if count == 1:
        return each[0]
    if lanes_ == 1:
        return text.concat(each)
    padded = each + [Value("poison", each[0].element, lanes_)] * (-count % 2)
    halves = [text.shuffle(a, list(range(2 * lanes_)), b) for a, b in _pairs(padded)]
    order = [channel * lanes_ + lane for lane in range(lanes_) for channel in range(count)]
    return text.shuffle(halves[0], order, halves[1] if len(halves) > 1 else None)


def _pairs(values: list[Value]) -> list[tuple[Value, Value]]:
    return [(values[at], values[at + 1]) for at in range(0, len(values), 2)]


def _masked_store(state: State, value: Value, pointer: str, mask: Value, align: int) -> None:
    name = f"llvm.masked.store.v{value.lanes}{value.element}.p0"
    text = state.text
    text.declarations.add(f"declare void @{name}({value.type}, ptr, i32 immarg, {mask.type})")
    text.line(f"call void @{name}({value.typed}, ptr {pointer}, i32 {align}, {mask.typed})")


# Each lane for itself


def _local(access: Access) -> None:
    """Lanes of the group's memory, each element inside or not by itself."""
    state, shape, addresses = access.state, access.shape, access.addresses
    extent = gathers.Extent(shape.size, shape.multiple)
    for channel, at in enumerate(shape.places):
        distance = same("i32", addresses.lanes, str(at * shape.size))
        moved = state.text.binary("add", addresses, distance)
        places = gathers.local_places(state, moved, extent, access.mask, write=shape.write)
        _one_element(access, places, channel, 0)


def _one_element(access: Access, places: Places, channel: int, distance: int) -> None:
    state, shape = access.state, access.shape
    if not shape.write:
        respond_channel(access, gathers.read(state, places, distance, shape.size), channel)
        return
    pointers = gathers.moved(state, places, distance)
    value = channel_value(access, channel)
    gathers.scattered(state, value, pointers, places.running, shape.multiple)
