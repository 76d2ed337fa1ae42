"""SAMPLER_STATE: four dwords that say how texels are found and mixed.

Source: PRM SKL vol 2d "SAMPLER_STATE", "SAMPLER_BORDER_COLOR_STATE".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from mediator.gen9.field import Field

STATE_BYTES: Final = 16


class MapFilter(IntEnum):
    """Dword 0, `MAGNIFY` and `MINIFY`; what is not here is taken for LINEAR."""

    NEAREST = 0
    LINEAR = 1
    ANISOTROPIC = 2


class MipFilter(IntEnum):
    """Dword 0, `MIP`."""

    NONE = 0
    NEAREST = 1
    LINEAR = 3


class AddressMode(IntEnum):
    """Dword 3: what a coordinate outside means."""

    WRAP = 0
    MIRROR = 1
    CLAMP = 2
    CUBE = 3
    CLAMP_BORDER = 4
    MIRROR_ONCE = 5
    HALF_BORDER = 6
    MIRROR_101 = 7


class Comparison(IntEnum):
    """Dword 1, `SHADOW`: reference against texel."""

    ALWAYS = 0
    NEVER = 1
    LESS = 2
    EQUAL = 3
    LESS_EQUAL = 4
    GREATER = 5
    NOT_EQUAL = 6
    GREATER_EQUAL = 7


# Dword 0.
DISABLE: Final = Field(31, 31)
MIP: Final = Field(21, 20)
MAGNIFY: Final = Field(19, 17)
MINIFY: Final = Field(16, 14)
BIAS: Final = Field(13, 1)
"""S4.8."""
# Dword 1.
MINIMUM_LOD: Final = Field(31, 20)
MAXIMUM_LOD: Final = Field(19, 8)
"""U4.8."""
SHADOW: Final = Field(3, 1)
# Dword 2.
BORDER: Final = Field(23, 6)
"""64 bytes from the dynamic base on: red, green, blue, alpha as dwords."""
# Dword 3. Rounding, in the order u, v, r: magnified, minified.
ROUND_MAGNIFY: Final = (Field(18, 18), Field(16, 16), Field(14, 14))
ROUND_MINIFY: Final = (Field(17, 17), Field(15, 15), Field(13, 13))
UNNORMALISED: Final = Field(10, 10)
MODES: Final = (Field(8, 6), Field(5, 3), Field(2, 0))
"""Address modes of u, v, r."""

SUBTEXEL_BITS: Final = 8
"""Of a coordinate's fraction."""
