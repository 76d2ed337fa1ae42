"""Surface formats: which bits of a texel are which channel, and what they mean.

A format's name says all: channels from the lowest bit on, each with its bits, then the kind of
those before it; X bits belong to nobody, L is red, green and blue at once, I all four. Compressed
formats, palettes, packed YUV and 64-bit channels are left out: this GPU reads 0 from them.

Source: PRM SKL vol 2d "SURFACE_FORMAT". This file imports nothing of the project: the build of the
C runtime reads it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final


class ChannelKind(IntEnum):
    """How the bits of a channel are to be read."""

    ABSENT = 0
    """0; alpha is 1."""
    UNORM = 1
    SNORM = 2
    UINT = 3
    SINT = 4
    FLOAT = 5
    """32 and 16 bits with a sign; 11 and 10 without."""
    USCALED = 6
    SSCALED = 7
    SHARED_EXPONENT = 8
    """9 bits, scaled by the 5 bits at 27."""


@dataclass(frozen=True, slots=True)
class Channel:
    """``bits`` bits of a texel from bit ``shift`` on."""

    kind: ChannelKind = ChannelKind.ABSENT
    bits: int = 0
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Format:
    """A texel of ``size`` bytes; channels in the order red, green, blue, alpha."""

    code: int
    name: str
    size: int
    channels: tuple[Channel, Channel, Channel, Channel]
    srgb: bool
    """Red, green and blue are stored by the sRGB curve."""

    @property
    def integer(self) -> bool:
        """Channels are whole numbers; else they are floats."""
        return any(each.kind in {ChannelKind.UINT, ChannelKind.SINT} for each in self.channels)


_NAMES: Final = {
    0x000: "R32G32B32A32_FLOAT R32G32B32A32_SINT R32G32B32A32_UINT R32G32B32A32_UNORM"
    " R32G32B32A32_SNORM",
    0x006: "R32G32B32X32_FLOAT R32G32B32A32_SSCALED R32G32B32A32_USCALED",
    0x040: "R32G32B32_FLOAT R32G32B32_SINT R32G32B32_UINT R32G32B32_UNORM R32G32B32_SNORM"
    " R32G32B32_SSCALED R32G32B32_USCALED",
    0x080: "R16G16B16A16_UNORM R16G16B16A16_SNORM R16G16B16A16_SINT R16G16B16A16_UINT"
    " R16G16B16A16_FLOAT R32G32_FLOAT R32G32_SINT R32G32_UINT R32_FLOAT_X32",
    0x08A: "L32A32_FLOAT R32G32_UNORM R32G32_SNORM",
    0x08E: "R16G16B16X16_UNORM R16G16B16X16_FLOAT A32X32_FLOAT L32X32_FLOAT I32X32_FLOAT"
    " R16G16B16A16_SSCALED R16G16B16A16_USCALED R32G32_SSCALED R32G32_USCALED",
    0x0C0: "B8G8R8A8_UNORM B8G8R8A8_UNORM_SRGB R10G10B10A2_UNORM R10G10B10A2_UNORM_SRGB"
    " R10G10B10A2_UINT R10G10B10_SNORM_A2_UNORM",
    0x0C7: "R8G8B8A8_UNORM R8G8B8A8_UNORM_SRGB R8G8B8A8_SNORM R8G8B8A8_SINT R8G8B8A8_UINT"
    " R16G16_UNORM R16G16_SNORM R16G16_SINT R16G16_UINT R16G16_FLOAT B10G10R10A2_UNORM"
    " B10G10R10A2_UNORM_SRGB R11G11B10_FLOAT",
    0x0D6: "R32_SINT R32_UINT R32_FLOAT R24X8_UNORM X24G8_UINT",
    0x0DD: "L32_UNORM A32_UNORM L16A16_UNORM I24X8_UNORM L24X8_UNORM A24X8_UNORM I32_FLOAT"
    " L32_FLOAT A32_FLOAT",
    0x0E9: "B8G8R8X8_UNORM B8G8R8X8_UNORM_SRGB R8G8B8X8_UNORM R8G8B8X8_UNORM_SRGB"
    " R9G9B9X5_SHARED B10G10R10X2_UNORM",
    0x0F0: "L16A16_FLOAT R32_UNORM R32_SNORM R10G10B10X2_USCALED R8G8B8A8_SSCALED"
    " R8G8B8A8_USCALED R16G16_SSCALED R16G16_USCALED R32_SSCALED R32_USCALED",
    0x100: "B5G6R5_UNORM B5G6R5_UNORM_SRGB B5G5R5A1_UNORM B5G5R5A1_UNORM_SRGB B4G4R4A4_UNORM"
    " B4G4R4A4_UNORM_SRGB R8G8_UNORM R8G8_SNORM R8G8_SINT R8G8_UINT R16_UNORM R16_SNORM"
    " R16_SINT R16_UINT R16_FLOAT",
    0x111: "I16_UNORM L16_UNORM A16_UNORM L8A8_UNORM I16_FLOAT L16_FLOAT A16_FLOAT L8A8_UNORM_SRGB",
    0x11A: "B5G5R5X1_UNORM B5G5R5X1_UNORM_SRGB R8G8_SSCALED R8G8_USCALED R16_SSCALED R16_USCALED",
    0x124: "A1B5G5R5_UNORM A4B4G4R4_UNORM L8A8_UINT L8A8_SINT",
    0x140: "R8_UNORM R8_SNORM R8_SINT R8_UINT A8_UNORM I8_UNORM L8_UNORM",
    0x149: "R8_SSCALED R8_USCALED",
    0x14C: "L8_UNORM_SRGB",
    0x152: "L8_UINT L8_SINT I8_UINT I8_SINT",
    0x193: "R8G8B8_UNORM R8G8B8_SNORM R8G8B8_SSCALED R8G8B8_USCALED",
    0x19B: "R16G16B16_FLOAT R16G16B16_UNORM R16G16B16_SNORM R16G16B16_SSCALED R16G16B16_USCALED",
    0x1A8: "R8G8B8_UNORM_SRGB",
    0x1B0: "R16G16B16_UINT R16G16B16_SINT",
    0x1B3: "R10G10B10A2_SNORM R10G10B10A2_USCALED R10G10B10A2_SSCALED R10G10B10A2_SINT"
    " B10G10R10A2_SNORM B10G10R10A2_USCALED B10G10R10A2_SSCALED B10G10R10A2_UINT"
    " B10G10R10A2_SINT",
    0x1C8: "R8G8B8_UINT R8G8B8_SINT",
}
"""By the first one's code; those that follow in a text follow in number."""

_KINDS: Final = {
    "UNORM": ChannelKind.UNORM,
    "SNORM": ChannelKind.SNORM,
    "UINT": ChannelKind.UINT,
    "SINT": ChannelKind.SINT,
    "FLOAT": ChannelKind.FLOAT,
    "USCALED": ChannelKind.USCALED,
    "SSCALED": ChannelKind.SSCALED,
    "SHARED": ChannelKind.SHARED_EXPONENT,
}
_PLACES: Final = {"R": (0,), "G": (1,), "B": (2,), "A": (3,), "L": (0, 1, 2), "I": (0, 1, 2, 3)}


def parse(code: int, name: str) -> Format:
    """The format that a name describes."""
    channels = [Channel()] * 4
    waiting: list[tuple[str, int, int]] = []
    shift = 0
    for part in name.removesuffix("_SRGB").split("_"):
        if part in _KINDS:
            for letter, bits, at in waiting:
                for place in _PLACES.get(letter, ()):
                    channels[place] = Channel(_KINDS[part], bits, at)
            waiting = []
            continue
        for letter, digits in re.findall(r"([A-Z])(\d+)", part):
            waiting.append((letter, int(digits), shift))
            shift += int(digits)
    red, green, blue, alpha = channels
    return Format(code, name, shift // 8, (red, green, blue, alpha), name.endswith("_SRGB"))


def _all() -> Iterator[Format]:
    for first, names in _NAMES.items():
        for number, name in enumerate(names.split()):
            yield parse(first + number, name)


FORMATS: Final[Mapping[int, Format]] = MappingProxyType({each.code: each for each in _all()})
"""Every format that this GPU converts, by its code."""

RAW: Final = 0x1FF
"""Of buffers: bytes without a format."""

_READ_TYPED: Final = re.compile(r"R(\d+)(G\1)?(B\1A\1)?_(UINT|SINT|FLOAT)")
_RAW_BY_SIZE: Final = {1: "R8_UINT", 2: "R16_UINT", 4: "R32_UINT", 8: "R32G32_UINT"}
_CODES: Final = {each.name: code for code, each in FORMATS.items()}


def typed_read_code(read: Format) -> int:
    """The code of the format by which typed reads of the data port convert a surface of a format.

    They convert plain integers and floats of equal channels alone; of all others they give the bits
    as they stand, as many as a texel has. Typed writes convert all, samplers too.
    Source: Mesa, src/intel/isl/isl_storage_image.c (what Gen9 can read, and as what the rest is
    read) and src/intel/compiler/brw_nir_lower_storage_image.c ("RAW values").
    """
    if _READ_TYPED.fullmatch(read.name):
        return read.code
    return _CODES.get(_RAW_BY_SIZE.get(read.size, ""), read.code)


FORMAT_CODES: Final = 0x200
