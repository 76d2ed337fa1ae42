"""GPU memory as pointers of the host: what the worker's software TLB and buffer table know.

A host address only ever comes from a TLB entry, or is inside the group's local memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.softgpu.eu.translator import layout
from mediator.softgpu.eu.translator.message_shape import Space
from mediator.softgpu.eu.translator.text import Value, same

if TYPE_CHECKING:
    from mediator.softgpu.eu.translator.state import State

PAGE: Final = 4096
_ENTRIES: Final = 1024
_SPREAD: Final = 633
"""As in `eu_slot`."""
ADDRESS: Final = (1 << 48) - 1
LOCAL: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Place:
    """A host pointer, and whether it may be used."""

    pointer: str
    usable: Value


def constant(number: int, element: str = "i64") -> Value:
    return Value(str(number), element)


def all_lanes(state: State, mask: Value) -> Value:
    """Whether all lanes are set."""
    number = state.text.bitcast(mask, f"i{mask.lanes}", 1)
    return state.text.compare("eq", number, Value("-1", number.element))


def both(state: State, *conditions: Value) -> Value:
    first, *rest = conditions
    for condition in rest:
        first = state.text.binary("and", first, condition)
    return first


def slot(state: State, page: Value) -> Value:
    """The TLB's place for a page, or for each of a vector of pages."""
    text = state.text

    def every(number: int) -> Value:
        return same("i64", page.lanes, str(number))

    moved = text.binary("mul", text.binary("lshr", page, every(10)), every(_SPREAD))
    return text.binary("and", text.binary("add", page, moved), every(_ENTRIES - 1))


def translated(state: State, address: Value, size: int, *, write: bool) -> Place:
    """The host's place of ``size`` bytes at a 48-bit address that the TLB knows, in one page."""
    text = state.text
    page = text.binary("lshr", address, constant(12))
    table = text.address("%worker", layout.offset("eu_worker", "writes" if write else "reads"))
    distance = text.binary("shl", slot(state, page), constant(4))
    entry = text.address_of(table, distance)
    known = text.compare("eq", text.load("i64", 1, entry, 16), page)
    delta = text.load("i64", 1, text.address(entry, 8), 8)
    inside = text.binary("and", address, constant(PAGE - 1))
    fits = text.compare("ule", inside, constant(PAGE - size))
    host = text.binary("add", address, delta)
    pointer = text.define("ptr", 1, f"inttoptr {host.typed} to ptr").text
    return Place(pointer, both(state, known, fits))


def surface(state: State, index: int) -> tuple[Value, Value]:
    """Base and size of a buffer; of one that is not known yet the size is 0."""
    text = state.text
    each = layout.size("eu_buffer")
    start = layout.offset("eu_worker", "buffers") + index * each
    base = text.address("%worker", start + layout.offset("eu_buffer", "base"))
    size = text.address("%worker", start + layout.offset("eu_buffer", "size"))
    return text.load("i64", 1, base, 8), text.load("i64", 1, size, 8)


def local_memory(state: State) -> tuple[str, Value]:
    """Pointer to the group's local memory, and its size."""
    text = state.text
    pointer = text.address("%group", layout.offset("eu_group", "slm"))
    size = text.address("%group", layout.offset("eu_group", "slm_size"))
    loaded = text.load("ptr", 1, pointer, 8).text
    return loaded, text.cast("zext", text.load("i32", 1, size, 4), "i64")


def host_place(
    state: State, space: Space, index: int, start: Value, size: int, *, write: bool
) -> Place:
    """The place of ``size`` bytes from an offset or address (i32 or i64) on."""
    text = state.text
    if space is Space.GLOBAL:
        address = text.binary("and", start, constant(ADDRESS))
        return translated(state, address, size, write=write)
    offset = text.cast("zext", start, "i64")
    if space is Space.LOCAL:
        pointer, limit = local_memory(state)
        offset = text.binary("and", offset, constant(LOCAL))
        end = text.binary("add", offset, constant(size))
        return Place(text.address_of(pointer, offset), text.compare("ule", end, limit))
    base, limit = surface(state, index)
    end = text.binary("add", offset, constant(size))
    inside = text.compare("ule", end, limit)
    # What is beyond 48 bits is of no page that the TLB knows.
    place = translated(state, text.binary("add", base, offset), size, write=write)
    return Place(place.pointer, both(state, inside, place.usable))
