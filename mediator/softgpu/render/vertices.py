"""The vertex fetcher: from buffers and elements to vertices, in slots of four dwords.

Source: PRM SKL vol 7 "Vertex Fetch (VF) Stage". Without a vertex shader the elements are all that a
vertex has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.gen9 import vertices as facts
from mediator.gen9.render import Packet
from mediator.gen9.vertices import Control
from mediator.softgpu.render.not_built import NotBuilt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.address_space import AddressSpace

Packets = Callable[[Packet], tuple[int, ...]]
"""The dwords of a packet as it was given last."""
Slot = tuple[int, int, int, int]
Vertex = tuple[Slot, ...]
_DWORD: Final = 0xFFFF_FFFF
_ADDRESS_MASK: Final = (1 << 48) - 1
_FLOAT_ONE: Final = 0x3F80_0000


@dataclass(frozen=True, slots=True)
class Buffer:
    """A vertex buffer: ``size`` bytes from a GPU address on."""

    address: int
    size: int
    pitch: int


@dataclass(frozen=True, slots=True)
class Element:
    """Where a slot of a vertex comes from. ``dwords``: how many its format has."""

    buffer: int
    offset: int
    dwords: int
    controls: tuple[Control, Control, Control, Control]


def elements(packets: Packets) -> list[Element]:
    """The elements of a vertex. Raises NotBuilt."""
    words = packets(Packet.VERTEX_ELEMENTS)
    found = []
    for at in range(1, len(words), facts.ELEMENT_DWORDS):
        head, controls = words[at : at + facts.ELEMENT_DWORDS]
        if not facts.VALID.get(head):
            break
        found.append(_element(head, controls))
    instancing = packets(Packet.VF_INSTANCING)
    for number in range(len(found)):
        word = instancing[number * facts.INSTANCING_DWORDS + 1]
        if facts.INSTANCING_ENABLE.get(word):
            raise NotBuilt("vertices that advance by instances")
    return found


def _element(head: int, controls: int) -> Element:
    dwords = facts.DWORDS_OF_FORMAT.get(facts.FORMAT.get(head))
    if dwords is None or facts.EDGE_FLAG.get(head):
        raise NotBuilt(f"vertex element {head:#010x}")
    try:
        red, green, blue, alpha = (Control(each.get(controls)) for each in facts.CONTROLS)
    except ValueError as error:
        raise NotBuilt(f"vertex components {controls:#010x}") from error
    if {Control.NOT_STORED, Control.PRIMITIVE_ID} & {red, green, blue, alpha}:
        raise NotBuilt(f"vertex components {controls:#010x}")
    return Element(
        facts.ELEMENT_BUFFER.get(head),
        facts.OFFSET.get(head),
        dwords,
        (red, green, blue, alpha),
    )


def layers_by_instance(packets: Packets) -> bool:
    """Whether the number of the instance is that of its layer. Raises NotBuilt."""
    word = packets(Packet.VF_SGVS)[1]
    if facts.VERTEX_ID.get(word):
        raise NotBuilt("vertex ids")
    if not facts.INSTANCE_ID.get(word):
        return False
    place = facts.INSTANCE_ELEMENT.get(word), facts.INSTANCE_COMPONENT.get(word)
    if place != (facts.HEADER_SLOT, facts.HEADER_LAYER):
        raise NotBuilt("instance ids that are no layers")
    return True


def fetch(packets: Packets, space: AddressSpace, layout: Sequence[Element], index: int) -> Vertex:
    """Vertex number ``index`` (it wraps at 32 bits). Raises PageFault."""
    buffers = packets(Packet.VERTEX_BUFFERS)
    found = []
    for element in layout:
        source = _read(_buffer(buffers, element.buffer), element, index & _DWORD, space)
        red, green, blue, alpha = (
            _component(control, number, source) for number, control in enumerate(element.controls)
        )
        found.append((red, green, blue, alpha))
    return tuple(found)


def _buffer(words: tuple[int, ...], number: int) -> Buffer | None:
    at = 1 + number * facts.BUFFER_DWORDS
    if at >= len(words) or facts.NULL_BUFFER.get(words[at]):
        return None
    low, high = words[at + facts.BUFFER_ADDRESS], words[at + facts.BUFFER_ADDRESS + 1]
    return Buffer(
        (low | high << 32) & _ADDRESS_MASK,
        words[at + facts.BUFFER_SIZE],
        facts.PITCH.get(words[at]),
    )


def _read(
    buffer: Buffer | None, element: Element, index: int, space: AddressSpace
) -> tuple[int, ...]:
    """The element's dwords; 0 unless all of them are in the buffer."""
    size = 4 * element.dwords
    none = (0,) * element.dwords
    if buffer is None or Control.SOURCE not in element.controls:
        return none
    offset = index * buffer.pitch + element.offset
    if offset + size > buffer.size:
        return none
    data = space.read((buffer.address + offset) & _ADDRESS_MASK, size)
    return struct.unpack(f"<{element.dwords}I", data)


def _component(control: Control, number: int, source: tuple[int, ...]) -> int:
    match control:
        case Control.FLOAT_ONE:
            return _FLOAT_ONE
        case Control.INTEGER_ONE:
            return 1
        case Control.SOURCE if number < len(source):
            return source[number]
        case _:
            return 0
