"""RENDER_SURFACE_STATE: 16 dwords that say what a binding table entry names, and how it lies.

Source: PRM SKL vol 2d "RENDER_SURFACE_STATE", vol 5 "Surface Layout and Tiling"; layout rules as
Mesa's isl follows them.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final

from mediator.gen9.field import Field

STATE_BYTES: Final = 64
STATE_DWORDS: Final = 16
ENTRY_BYTES: Final = 4
"""Of the binding table; the entry's bits 31:6 are the state's offset from the surface base."""


class SurfaceType(IntEnum):
    """Dword 0, `TYPE`."""

    D1 = 0
    D2 = 1
    D3 = 2
    CUBE = 3
    BUFFER = 4
    STRUCTURED = 5
    SCRATCH = 6
    NULL = 7


class TileMode(IntEnum):
    """Dword 0, `TILE_MODE`."""

    LINEAR = 0
    W = 1
    X = 2
    Y = 3


# Dword 0.
TYPE: Final = Field(31, 29)
ARRAY: Final = Field(28, 28)
FORMAT: Final = Field(27, 18)
VERTICAL_ALIGNMENT: Final = Field(17, 16)
HORIZONTAL_ALIGNMENT: Final = Field(15, 14)
"""2^(n + 1) texels, 1 to 3. Of one-dimensional surfaces it is 64 whatever is here."""
TILE_MODE: Final = Field(13, 12)
LINE_ALIGNMENT_1D: Final = 64
# Dword 1.
QPITCH: Final = Field(14, 0)
"""From a slice to the next, in 4 rows (one-dimensional: 4 texels)."""
# Dword 2. Buffers: elements - 1 are depth | height | width (7 bits).
HEIGHT: Final = Field(29, 16)
WIDTH: Final = Field(13, 0)
BUFFER_WIDTH: Final = Field(6, 0)
# Dword 3.
DEPTH: Final = Field(31, 21)
PITCH: Final = Field(17, 0)
"""Bytes - 1 of a row; of buffers, of an element."""
BUFFER_HEIGHT_SHIFT: Final = 7
BUFFER_DEPTH_SHIFT: Final = 21
# Dword 4.
MINIMUM_ELEMENT: Final = Field(28, 18)
VIEW_EXTENT: Final = Field(17, 7)
SAMPLES: Final = Field(5, 3)
"""2^n."""
# Dword 5.
X_OFFSET: Final = Field(31, 25)
Y_OFFSET: Final = Field(23, 21)
"""Four texels and four rows."""
TILED_RESOURCE: Final = Field(19, 18)
"""Not 0: Y tiles are of another kind."""
YF_TILES: Final = 1
"""Of 4 KiB. 2 is Ys, of 64 KiB, which this GPU does not have."""
MIP_TAIL: Final = Field(11, 8)
"""Of these kinds: the first of the levels that share a tile."""
YF_COLUMNS: Final = MappingProxyType({1: 0xA0F, 2: 0xA8F, 4: 0xA8F, 8: 0xAAF, 16: 0xAAF})
"""By a texel's bytes: the bits of an offset in the tile that count bytes of a row; the others count
rows."""
MINIMUM_LEVEL: Final = Field(7, 4)
LEVELS: Final = Field(3, 0)
"""Last level that can be asked for, counted from the first."""
# Dword 6.
AUXILIARY: Final = Field(2, 0)
COMPRESSED: Final = frozenset({1, 5})
"""Values of `AUXILIARY`: one sample's colour with control data (CCS_D, CCS_E)."""
# Dword 7: where each channel of a result comes from.
SELECT: Final = (Field(27, 25), Field(24, 22), Field(21, 19), Field(18, 16))
"""Red, green, blue, alpha."""
MINIMUM_LOD: Final = Field(11, 0)
"""U4.8."""
# Dwords 9:8 are the base address, 48 bits.
BASE: Final = 8
CLEAR_COLOUR: Final = 12
"""Dwords 12 to 15: what a fast clear means, as a register has it."""


class Select(IntEnum):
    """What a channel of a result is."""

    ZERO = 0
    ONE = 1
    RED = 4
    GREEN = 5
    BLUE = 6
    ALPHA = 7
