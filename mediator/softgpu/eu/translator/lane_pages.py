"""Lanes that neither follow each other nor share a place: those of one page, then one by one.

Most are in the page of the first lane that runs, whose translation they share; they are gathered
or scattered as a vector. The others are translated each for itself in a loop, which costs less than
to look all of them up as vectors. Where one of them cannot be had all is left to `eu_send`, which
does again what has been done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.softgpu.eu.translator import gathers
from mediator.softgpu.eu.translator.host_memory import PAGE, both, constant, host_place, surface
from mediator.softgpu.eu.translator.lane_access import (
    Access,
    channel_value,
    entry,
    respond_channel,
    room,
)
from mediator.softgpu.eu.translator.message_shape import Space
from mediator.softgpu.eu.translator.text import Value, same, zero

if TYPE_CHECKING:
    from mediator.softgpu.eu.translator.gathers import Places
    from mediator.softgpu.eu.translator.host_memory import Place


def pages(access: Access) -> None:
    """Write the code; behind it stands that of the call."""
    state, text = access.state, access.state.text
    count, addresses = access.addresses.lanes, access.addresses
    mask = same("i1", count, "true") if access.mask is None else access.mask
    left = text.cast("zext", text.bitcast(mask, f"i{count}", 1), "i64")
    table = room(state, "addresses")
    text.store(addresses, table, 64)
    some, slow = text.new_label("some"), text.new_label("slow")
    text.branch_if(text.compare("eq", left, zero("i64")), access.done, some)
    text.label(some)
    first, place, good = _translated(access, table, text.intrinsic("cttz", left, _TRUE))
    near = text.new_label("near")
    text.branch_if(good, near, slow)
    text.label(near)
    places = _in_page(access, mask, first, place)
    values = _as_vectors(access, places)
    reached = text.cast("zext", text.bitcast(places.running, f"i{count}", 1), "i64")
    rest = text.binary("xor", left, reached)
    more, whole = text.new_label("more"), text.new_label("whole")
    text.branch_if(text.compare("eq", rest, zero("i64")), whole, slow if state.frugal else more)
    text.label(whole)
    for channel, value in enumerate(values):
        respond_channel(access, value, channel)
    text.branch(access.done)
    if not state.frugal:
        text.label(more)
        _others(access, table, values, rest, (more, slow))
    text.label(slow)


def _others(
    access: Access, table: str, values: list[Value], rest: Value, labels: tuple[str, str]
) -> None:
    """The lanes of other pages, by way of vectors in memory."""
    state, text, shape = access.state, access.state.text, access.shape
    before, slow = labels
    if shape.write:
        values = [channel_value(access, channel) for channel in range(shape.channels)]
    for channel, value in enumerate(values):
        text.store(value, room(state, f"channel{channel}"), 64)
    lone = text.new_label("lone")
    text.branch(lone)
    _one_by_one(access, table, rest, (before, lone, slow))
    for channel in range(0 if shape.write else shape.channels):
        whole = text.load("i32", access.addresses.lanes, room(state, f"channel{channel}"), 64)
        respond_channel(access, whole, channel)
    text.branch(access.done)


_TRUE = Value("true", "i1")


def _translated(access: Access, table: str, lane: Value) -> tuple[Value, Place, Value]:
    """A lane's address, its place, and whether that may be used."""
    state, text, shape = access.state, access.state.text, access.shape
    size = access.addresses.element
    address = text.load(size, 1, entry(state, table, lane, shape.address_bytes), 4)
    place = host_place(state, *access.where, address, shape.span, write=shape.write)
    if shape.multiple == 1:
        return address, place, place.usable
    low = text.binary("and", address, constant(shape.multiple - 1, size))
    aligned = text.compare("eq", low, zero(size))
    return address, place, both(state, aligned, place.usable)


def _in_page(access: Access, mask: Value, first: Value, place: Place) -> Places:
    """Lanes wholly in a lane's page and, of a buffer, inside it."""
    state, text, shape = access.state, access.state.text, access.shape
    addresses, count = access.addresses, access.addresses.lanes
    element = addresses.element
    distance = text.binary("sub", addresses, text.splat(first, count))
    host = text.define("i64", 1, f"ptrtoint ptr {place.pointer} to i64")
    inside = text.binary("and", host, constant(PAGE - 1))
    start = text.cast("trunc", inside, "i32") if element == "i32" else inside
    position = text.binary("add", distance, text.splat(start, count))
    last = same(element, count, str(PAGE - shape.span))
    running = text.binary("and", mask, text.compare("ule", position, last))
    if shape.multiple > 1:
        low = text.binary("and", addresses, same(element, count, str(shape.multiple - 1)))
        running = text.binary("and", running, text.compare("eq", low, zero(element, count)))
    if shape.space is Space.BUFFER:
        _, limit = surface(state, shape.index)
        running = text.binary("and", running, gathers.within(state, addresses, limit, shape.span))
    narrow = position if element == "i32" else text.cast("trunc", position, "i32")
    page = same("i32", count, str(PAGE))
    before, shift = gathers.begins(state, narrow, page, 4 if shape.write else shape.size)
    if shift is not None:
        narrow = text.binary("sub", narrow, before)
    bottom = text.binary("sub", constant(0), inside)
    return gathers.Places(
        gathers.behind(state, text.address_of(place.pointer, bottom), narrow), shift, running
    )


def _as_vectors(access: Access, places: Places) -> list[Value]:
    """Do it for the lanes of a page: what they read."""
    state, shape, found = access.state, access.shape, []
    for channel, at in enumerate(shape.places):
        distance = at * shape.size
        if not shape.write:
            found.append(gathers.read(state, places, distance, shape.size))
            continue
        pointers = gathers.moved(state, places, distance)
        value = channel_value(access, channel)
        gathers.scattered(state, value, pointers, places.running, shape.multiple)
    return found


def _one_by_one(access: Access, table: str, rest: Value, labels: tuple[str, str, str]) -> None:
    """The loop over the lanes that are left, by way of the vectors in memory. ``labels``: the block
    before it, its own, and where to go if a lane cannot be had."""
    state, text, shape = access.state, access.state.text, access.shape
    before, head, slow = labels
    ready, out = text.new_label("ready"), text.new_label("out")
    element = f"i{8 * shape.size}"
    text.label(head)
    less = Value(text.fresh(), "i64")
    now = text.phi([(rest, before), (less, ready)])
    lane = text.intrinsic("cttz", now, _TRUE)
    _, place, good = _translated(access, table, lane)
    text.branch_if(good, ready, slow)
    text.label(ready)
    for channel, at in enumerate(shape.places):
        vector = room(state, f"channel{channel}")
        host = text.address(place.pointer, at * shape.size)
        if shape.write:
            slot = entry(state, vector, lane, shape.size)
            text.store(text.load(element, 1, slot, shape.size), host, shape.multiple)
        else:
            value = text.cast("zext", text.load(element, 1, host, shape.multiple), "i32")
            text.store(value, entry(state, vector, lane, 4), 4)
    lower = text.binary("sub", now, constant(1))
    text.lines.append(f"  {less.text} = and {now.typed}, {lower.text}")
    text.branch_if(text.compare("eq", less, zero("i64")), out, head)
    text.label(out)
