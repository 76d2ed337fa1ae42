"""Typed accesses: texels by their coordinates, eight pixels a message; and media blocks.

Twin of ``native/typed.c``.
"""

from __future__ import annotations

import functools

from mediator.gen9.eu.formats import FORMATS, Format, typed_read_code
from mediator.gen9.eu.messages import (
    ATOMIC_MODE,
    ATOMIC_OPERATION,
    ATOMIC_RETURNS,
    CHANNELS_OFF,
    HEADER_PIXELS,
    MEDIA_HEIGHT,
    MEDIA_SIZE,
    MEDIA_WIDTH,
    MEDIA_X,
    MEDIA_Y,
    SURFACE_MODE,
    AtomicOperation,
)
from mediator.gen9.eu.surface_state import SurfaceType
from mediator.softgpu.eu.messages.atomic import atomic, operands
from mediator.softgpu.eu.messages.lanes import Lanes
from mediator.softgpu.eu.messages.message import Message
from mediator.softgpu.eu.messages.surface import Surface, surface_of
from mediator.softgpu.eu.messages.target import everything
from mediator.softgpu.eu.messages.texel import NOTHING, load_texel, store_texel

_LANES = 8
_MODES = {1, 2}
_UPPER = 2
_MEDIA_BLOCK_MOST = 512


def typed(message: Message, *, write: bool) -> None:
    """Read or write a texel for each pixel."""
    enabled = ~CHANNELS_OFF.get(message.descriptor) & 0xF
    mode = SURFACE_MODE.get(message.descriptor)
    channels = [n for n in range(4) if enabled >> n & 1]
    coordinates = _coordinates(message, len(channels) if write else 0)
    surface = surface_of(message)
    if mode not in _MODES:
        message.illegal()
        return
    given = message.operand(coordinates)
    for lane in _active(_masked(message, upper=mode == _UPPER)):
        at = _locate(surface, message, coordinates, lane)
        if not write:
            texel = NOTHING
            if surface is not None and at is not None:
                texel = load_texel(message.memory, typed_read_format(surface.format), at)
            for place, n in enumerate(channels):
                message.response[place * _LANES + lane] = texel[n]
        elif surface is not None and at is not None:
            wanted = [0] * 4
            for place, n in enumerate(channels):
                wanted[n] = given[place * _LANES + lane]
            red, green, blue, alpha = wanted
            store_texel(message.memory, surface.format, at, enabled, (red, green, blue, alpha))


@functools.cache
def typed_read_format(read: Format) -> Format:
    """The format by which typed reads convert texels of a format."""
    return FORMATS[typed_read_code(read)]


def typed_atomic(message: Message) -> None:
    """Atomic operations on texels of one dword."""
    descriptor = message.descriptor
    surface = surface_of(message)
    if surface is not None and surface.format.size != 4:
        surface = None
    code = ATOMIC_OPERATION.get(descriptor)
    if code not in set(AtomicOperation):
        message.illegal()
        return
    operation = AtomicOperation(code)
    coordinates = _coordinates(message, operands(operation))
    old = message.response if ATOMIC_RETURNS.get(descriptor) else None
    lanes = Lanes([0] * _LANES, 0)
    for lane in _active(_masked(message, upper=bool(ATOMIC_MODE.get(descriptor)))):
        at = _locate(surface, message, coordinates, lane)
        if at is not None:
            lanes.at[lane] = at
            lanes.mask |= 1 << lane
        elif old is not None:
            old[lane] = 0
    given = message.operand(coordinates), message.operand(coordinates + 1)
    atomic(everything(message.unit), lanes, 4, operation, given, old)


def media_block(message: Message, *, write: bool) -> None:
    """A rectangle of bytes. Outside of the surface, what is read is its nearest texel's."""
    x, y = (_signed(message.header(n)) for n in (MEDIA_X, MEDIA_Y))
    width = MEDIA_WIDTH.get(message.header(MEDIA_SIZE)) + 1
    height = MEDIA_HEIGHT.get(message.header(MEDIA_SIZE)) + 1
    surface = surface_of(message)
    if surface is not None and surface.type is not SurfaceType.D2:
        surface = None
    pitch = 4
    while pitch < width:
        pitch *= 2
    if height * pitch > _MEDIA_BLOCK_MOST:
        message.illegal()
        return
    given = message.operand(0).cast("B")
    for row in range(height):
        for column in range(width):
            place = row * pitch + column
            if surface is None:
                if not write:
                    message.response_bytes[place] = 0
                continue
            at, inside = _media_byte(surface, x + column, y + row)
            if not write:
                message.response_bytes[place] = message.memory.load(at, 1)
            elif inside:
                message.memory.store(at, 1, given[place])


def _media_byte(surface: Surface, column: int, row: int) -> tuple[int, bool]:
    """(GPU address, whether it is inside) of a byte, or of the nearest texel's.

    Media blocks take the width of a surface as so many dwords, whatever its format.
    """
    texels = 4 * surface.width // surface.format.size
    texel, within = divmod(column, surface.format.size)
    inside = 0 <= texel < texels and 0 <= row < surface.height
    texel = max(min(texel, texels - 1), 0)
    row = min(max(row, 0), surface.height - 1)
    return surface.texel_address(0, texel, row, 0) + within, inside


def _coordinates(message: Message, data: int) -> int:
    """How many coordinates come first: what is not data."""
    return min(max(message.grfs - message.header_grfs - data, 1), 4)


def _masked(message: Message, *, upper: bool) -> int:
    """The pixels of the message's half of the header's mask."""
    if not message.header_grfs:
        return message.mask
    return message.mask & message.header(HEADER_PIXELS) >> (_LANES if upper else 0)


def _active(mask: int) -> list[int]:
    return [lane for lane in range(_LANES) if mask >> lane & 1]


def _signed(dword: int) -> int:
    return dword - (dword >> 31 << 32)


def _locate(surface: Surface | None, message: Message, coordinates: int, lane: int) -> int | None:
    """GPU address of a pixel's texel; None outside."""
    if surface is None:
        return None
    at = [message.operand(n)[lane] if n < coordinates else 0 for n in range(4)]
    u, v, r, level = at
    if surface.type is SurfaceType.BUFFER:
        return surface.texel_address(0, u, 0, 0) if u < surface.elements else None
    if level >= surface.levels or u >= surface.size(0, level):
        return None
    if surface.type is SurfaceType.D1:
        slice_, v = v if surface.array else 0, 0
    elif v >= surface.size(1, level):
        return None
    elif surface.type is SurfaceType.D3:
        if r >= surface.extent or r + surface.first >= surface.size(2, level):
            return None
        return surface.texel_address(level, u, v, r)
    else:
        slice_ = r if surface.array or surface.type is SurfaceType.CUBE else 0
    return surface.texel_address(level, u, v, slice_) if slice_ < surface.depth else None
