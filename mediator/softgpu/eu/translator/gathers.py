"""Lanes that go each to its own place: pointers of the host, a vector of them.

What `host_memory` asks of one address is asked of all lanes at once: the worker's software TLB is
itself read by gathering. Elements of less than a dword are read with the dword around them, which
never reaches beyond the page or the local memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.softgpu.eu.translator import layout
from mediator.softgpu.eu.translator.host_memory import (
    ADDRESS,
    LOCAL,
    PAGE,
    all_lanes,
    constant,
    local_memory,
    slot,
    surface,
)
from mediator.softgpu.eu.translator.message_shape import Space
from mediator.softgpu.eu.translator.text import Value, same, zero

if TYPE_CHECKING:
    from mediator.softgpu.eu.translator.state import State

_DWORD: Final = 4


@dataclass(frozen=True, slots=True)
class Places:
    """``pointers``: where each lane's bytes are; ``shift``: how many bits below them the element
    begins (None: none); ``running``: the lanes that may go there."""

    pointers: Value
    shift: Value | None
    running: Value


@dataclass(frozen=True, slots=True)
class Extent:
    """What is at each lane's place: bytes from its first to its last, and whether the place is a
    multiple of some number (1: of none)."""

    span: int
    multiple: int


def _lanes(number: int, like: Value) -> Value:
    return same(like.element, like.lanes, str(number))


def begins(state: State, inside: Value, room: Value, span: int) -> tuple[Value, Value | None]:
    """How far before a lane's bytes the dword begins that is read, and in bits; ``inside``: the
    offset that must not come behind ``room`` less a dword."""
    text = state.text
    if span >= _DWORD:
        return zero(inside.element, inside.lanes), None
    least = text.intrinsic("umin", inside, text.binary("sub", room, _lanes(_DWORD, room)))
    before = text.binary("sub", inside, least)
    bits = before if before.element == "i32" else text.cast("trunc", before, "i32")
    return before, text.binary("shl", bits, _lanes(3, bits))


def memory_places(
    state: State,
    where: tuple[Space, int],
    addresses: Value,
    extent: Extent,
    mask: Value | None,
    *,
    write: bool,
) -> tuple[Places, Value]:
    """Lanes in GPU memory; and whether all that run are inside, aligned, each in a page, and their
    pages known. ``where``: space and, of a buffer, its binding table index."""
    text, count = state.text, addresses.lanes
    space, index = where
    wide = low = addresses
    good = None
    if space is Space.BUFFER:
        base, limit = surface(state, index)
        good = within(state, addresses, limit, extent.span)
        wide, bases = text.cast("zext", addresses, "i64"), text.splat(base, count)
        low = text.binary("or", wide, bases)
        wide = text.binary("add", wide, bases)
    wide = text.binary("and", wide, _lanes(ADDRESS, wide))
    page = text.binary("lshr", wide, _lanes(12, wide))
    table = text.address("%worker", layout.offset("eu_worker", "writes" if write else "reads"))
    entries = text.binary("shl", slot(state, page), _lanes(4, page))
    asked = same("i1", count, "true") if mask is None else mask
    found = gathered(state, behind(state, table, entries), asked, "i64", 8)
    fits = text.compare("eq", found, page)
    inside = text.binary("and", wide, _lanes(PAGE - 1, wide))
    if extent.span > 1:
        most = _lanes(PAGE - extent.span, inside)
        fits = text.binary("and", fits, text.compare("ule", inside, most))
    if extent.multiple > 1:
        low = text.binary("and", low, _lanes(extent.multiple - 1, low))
        fits = text.binary("and", fits, text.compare("eq", low, zero(low.element, count)))
    if good is not None:
        fits = text.binary("and", fits, good)
    if mask is not None:
        fits = text.binary("or", fits, text.invert(mask))
    deltas = gathered(state, behind(state, text.address(table, 8), entries), asked, "i64", 8)
    host = text.binary("add", wide, deltas)
    pointers = Value(text.fresh(), "ptr", count)
    text.lines.append(f"  {pointers.text} = inttoptr {host.typed} to {pointers.type}")
    return Places(pointers, None, asked), all_lanes(state, fits)


def behind(state: State, base: str, offsets: Value) -> Value:
    """Pointers so many bytes behind one."""
    pointers = Value(state.text.fresh(), "ptr", offsets.lanes)
    state.text.lines.append(f"  {pointers.text} = getelementptr i8, ptr {base}, {offsets.typed}")
    return pointers


def within(state: State, addresses: Value, limit: Value, span: int) -> Value:
    """Which lanes are wholly inside their buffer."""
    text = state.text
    # A buffer that is smaller has no lane inside: the last offset is then a place before it.
    last = text.binary("sub", text.intrinsic("umin", limit, constant(1 << 32)), constant(span))
    wide = text.cast("zext", addresses, "i64")
    return text.compare("sle", wide, text.splat(last, addresses.lanes))


def local_places(
    state: State, addresses: Value, extent: Extent, mask: Value | None, *, write: bool
) -> Places:
    """Lanes in the group's local memory; those outside do not run."""
    text, count = state.text, addresses.lanes
    pointer, limit = local_memory(state)
    offset = text.binary("and", addresses, _lanes(LOCAL & -extent.multiple, addresses))
    end = text.binary("add", offset, _lanes(extent.span, offset))
    bound = text.splat(text.cast("trunc", limit, "i32"), count)
    running = text.compare("ule", end, bound)
    if mask is not None:
        running = text.binary("and", running, mask)
    before, shift = begins(state, offset, bound, 4 if write else extent.span)
    if shift is not None:
        offset = text.binary("sub", offset, before)
    return Places(behind(state, pointer, offset), shift, running)


def moved(state: State, places: Places, distance: int) -> Value:
    """The pointers so many bytes further."""
    if distance == 0:
        return places.pointers
    text, pointers = state.text, places.pointers
    further = Value(text.fresh(), "ptr", pointers.lanes)
    text.lines.append(f"  {further.text} = getelementptr i8, {pointers.typed}, i64 {distance}")
    return further


def read(state: State, places: Places, distance: int, size: int) -> Value:
    """The element of up to a dword so many bytes behind each place; 0 in lanes that do not run."""
    text = state.text
    pointers = moved(state, places, distance)
    value = gathered(state, pointers, places.running, "i32", 1 if size < _DWORD else 4)
    if places.shift is not None:
        value = text.binary("lshr", value, places.shift)
        value = text.binary("and", value, _lanes((1 << 8 * size) - 1, value))
    return value


def gathered(state: State, pointers: Value, mask: Value, element: str, align: int) -> Value:
    """What stands at the pointers; 0 where the mask is false."""
    text, count = state.text, pointers.lanes
    kind = f"<{count} x {element}>"
    name = f"llvm.masked.gather.v{count}{element}.v{count}p0"
    text.declarations.add(
        f"declare {kind} @{name}(<{count} x ptr>, i32 immarg, <{count} x i1>, {kind})"
    )
    given = f"{pointers.typed}, i32 {align}, {mask.typed}, {zero(element, count).typed}"
    return text.define(element, count, f"call {kind} @{name}({given})")


def scattered(state: State, value: Value, pointers: Value, mask: Value, align: int) -> None:
    """Lanes to where the pointers say, lowest lane first."""
    text, count = state.text, pointers.lanes
    name = f"llvm.masked.scatter.v{count}{value.element}.v{count}p0"
    text.declarations.add(
        f"declare void @{name}({value.type}, <{count} x ptr>, i32 immarg, <{count} x i1>)"
    )
    text.line(f"call void @{name}({value.typed}, {pointers.typed}, i32 {align}, {mask.typed})")
