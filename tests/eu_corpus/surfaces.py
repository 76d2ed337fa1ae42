"""Surface states for the arguments of a launch. Source: PRM SKL vol 2d "RENDER_SURFACE_STATE"."""

from __future__ import annotations

import struct
from typing import Final

from tests.eu_corpus.case import Image, PixelFormat

STATE_BYTES: Final = 64
_BUFFER, _2D = 4, 1
_RAW = 0x1FF
_FORMATS: Final = {
    PixelFormat.FLOAT: 0x000,
    PixelFormat.UINT32: 0x002,
    PixelFormat.UNORM8: 0x0C7,
    PixelFormat.UINT8: 0x0CB,
}
_IDENTITY_SWIZZLE = 4 << 25 | 5 << 22 | 6 << 19 | 7 << 16
_ALIGNMENTS = 1 << 16 | 1 << 14


def buffer_state(address: int, size: int) -> bytes:
    """A raw buffer of ``size`` bytes (1 to 2 GiB), rounded up to whole dwords."""
    last = (size + 3 & ~3) - 1
    words = [0] * 16
    words[0] = _BUFFER << 29 | _RAW << 18 | _ALIGNMENTS
    words[2] = last & 0x7F | (last >> 7 & 0x3FFF) << 16
    words[3] = (last >> 21 & 0x7FF) << 21
    words[8], words[9] = address & 0xFFFFFFFF, address >> 32
    return struct.pack("<16I", *words)


def image_pitch(image: Image) -> int:
    """Bytes of a row of a linear image."""
    row: int = image.data[0].nbytes
    return -(-row // 64) * 64


def image_state(address: int, image: Image) -> bytes:
    """A linear image of two dimensions."""
    height, width, _ = image.data.shape
    words = [0] * 16
    words[0] = _2D << 29 | _FORMATS[image.format] << 18 | _ALIGNMENTS
    words[2] = (width - 1) | (height - 1) << 16
    words[3] = image_pitch(image) - 1
    words[7] = _IDENTITY_SWIZZLE
    words[8], words[9] = address & 0xFFFFFFFF, address >> 32
    return struct.pack("<16I", *words)
