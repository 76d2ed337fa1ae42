"""Render target writes: the texels of a pixel shader's thread.

Twin of ``native/render_target.c``.
"""

from __future__ import annotations

from typing import Final

from mediator.gen9 import render
from mediator.gen9.eu.messages import (
    HEADER_OFFSET,
    TARGET_FUNCTION,
    TARGET_HEADER_GRFS,
    TARGET_INDEX,
    TARGET_MORE,
    TARGET_PER_SAMPLE,
    TARGET_TYPE,
    TARGET_UPPER,
    TARGET_WRITE,
    TargetWrite,
)
from mediator.gen9.eu.surface_state import SurfaceType
from mediator.softgpu.eu.messages.message import GRF_DWORDS, Message, ThreadPixels
from mediator.softgpu.eu.messages.surface import Surface, minify, surface_of
from mediator.softgpu.eu.messages.texel import store_texel

_LANES: Final = {TargetWrite.SIMD16: 16, TargetWrite.SIMD16_REPLICATED: 16, TargetWrite.SIMD8: 8}
_HALF: Final = 16


def render_target(message: Message) -> None:
    """Write the colours of a thread's pixels."""
    pixels = message.sender.pixels
    if not _known(message, pixels):
        message.illegal()
        return
    kind = TargetWrite(TARGET_TYPE.get(message.descriptor))
    first = _HALF if TARGET_UPPER.get(message.descriptor) else 0
    mask, layer, data = pixels.mask >> first, pixels.layer, message.payload
    if message.header_grfs:
        mask = message.payload[GRF_DWORDS + render.PIXEL_MASK] & 0xFFFF
        layer = render.R0_LAYER.get(message.payload[0])
        data = message.payload[TARGET_HEADER_GRFS * GRF_DWORDS :]
    surface = surface_of(message)
    if surface is None:
        return
    surface.first_level = 0  # it is the sampler's alone
    lanes = _LANES[kind]
    for lane in range(lanes):
        if not message.mask & mask & 1 << lane:
            continue
        at = _locate(surface, *_place(message, pixels, first, lane), layer)
        if at is None:
            continue
        step = 1 if kind is TargetWrite.SIMD16_REPLICATED else lanes
        offset = 0 if kind is TargetWrite.SIMD16_REPLICATED else lane
        red, green, blue, alpha = (data[n * step + offset] for n in range(4))
        texel = red, green, blue, alpha
        store_texel(message.memory, surface.format, at, pixels.writes, texel)


def _known(message: Message, pixels: ThreadPixels) -> bool:
    """Not what there is no code for, which would be carried out wrongly."""
    descriptor = message.descriptor
    if not pixels.mask or TARGET_FUNCTION.get(descriptor) != TARGET_WRITE:
        return False
    if TARGET_TYPE.get(descriptor) not in set(TargetWrite) or TARGET_PER_SAMPLE.get(descriptor):
        return False
    return not (
        TARGET_MORE.get(message.header(0)) or TARGET_INDEX.get(message.header(HEADER_OFFSET))
    )


def _place(message: Message, pixels: ThreadPixels, first: int, lane: int) -> tuple[int, int]:
    """The pixel of a lane of the message."""
    if not message.header_grfs:
        return pixels.at(first + lane)
    place = message.payload[GRF_DWORDS + render.SUBSPANS + lane // 4]
    return (place & 0xFFFF) + (lane & 1), (place >> 16) + (lane >> 1 & 1)


def _locate(surface: Surface, x: int, y: int, layer: int) -> int | None:
    """GPU address of a texel; None outside."""
    level = surface.levels - 1
    volume = surface.type is SurfaceType.D3
    slice_ = layer if surface.array or volume else 0
    if surface.type is not SurfaceType.D2 and not volume:
        return None
    if x >= minify(surface.width, level) or y >= minify(surface.height, level):
        return None
    if slice_ >= surface.extent:
        return None
    if volume and slice_ + surface.first >= minify(surface.depth, level):
        return None
    return surface.texel_address(level, x, y, slice_)
