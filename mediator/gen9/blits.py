"""Facts of the 2D (blitter) commands that the software GPU executes.

Source: PRM SKL vol 2a "Command Reference: Instructions" (XY_COLOR_BLT, XY_SRC_COPY_BLT,
XY_FAST_COPY_BLT, XY_SETUP_BLT, XY_SETUP_CLIP_BLT) and vol 11 "Blitter".
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

from mediator.gen9.field import Field

OPCODE = Field(28, 22)


class BlitOpcode(IntEnum):
    """Bits 28:22 of a header whose client (bits 31:29) is 2."""

    XY_SETUP_BLT = 0x01
    XY_SETUP_CLIP_BLT = 0x03
    XY_FAST_COPY_BLT = 0x42
    XY_COLOR_BLT = 0x50
    XY_SRC_COPY_BLT = 0x53


BLIT_DWORDS: Final = {
    BlitOpcode.XY_SETUP_BLT: 10,
    BlitOpcode.XY_SETUP_CLIP_BLT: 3,
    BlitOpcode.XY_FAST_COPY_BLT: 10,
    BlitOpcode.XY_COLOR_BLT: 7,
    BlitOpcode.XY_SRC_COPY_BLT: 10,
}
"""Whole length of each command."""

COLOR_LAYOUT: Final = Struct("<I hBB hhhh Q I")
"""XY_COLOR_BLT: header; pitch, raster operation, flags; corners; address; colour."""

COPY_LAYOUT: Final = Struct("<I hBB hhhh Q hh hxx Q")
"""The copies: as above up to the address; source x, y, pitch, address.

Pitches are signed, in bytes when the surface is linear and in dwords when it is tiled. Corners are
signed x, y; the second one is exclusive. The flags are bits 31:24 of dword 1.
"""

CORNERS_LAYOUT: Final = Struct("<hhhh")
"""Two dwords: x1, y1, x2, y2."""

SETUP_CLIP_DWORDS: Final = {BlitOpcode.XY_SETUP_BLT: 2, BlitOpcode.XY_SETUP_CLIP_BLT: 1}
"""Index of the dword with the clip rectangle's first corner; the second follows."""

# XY_COLOR_BLT and XY_SRC_COPY_BLT: header, then flags
WRITE_ALPHA: Final = 1 << 21
WRITE_RGB: Final = 1 << 20
"""Both write enables act at 32 bits a pixel only."""
SOURCE_TILED: Final = 1 << 15
DESTINATION_TILED: Final = 1 << 11
CLIPPING_FLAG: Final = 1 << (30 - 24)
DEPTH_FLAGS = Field(25 - 24, 24 - 24)
DEPTH_BYTES: Final = {0: 1, 1: 2, 2: 2, 3: 4}
"""8 bits; 16 bits 565; 16 bits 1555; 32 bits."""
ALPHA_MASK: Final = 0xFF00_0000
RGB_MASK: Final = 0x00FF_FFFF

# XY_FAST_COPY_BLT: header, then flags
FAST_SOURCE_TILING = Field(21, 20)
FAST_DESTINATION_TILING = Field(14, 13)
FAST_SOURCE_YF_FLAG: Final = 1 << (31 - 24)
FAST_DESTINATION_YF_FLAG: Final = 1 << (30 - 24)
FAST_DEPTH_FLAGS = Field(26 - 24, 24 - 24)
FAST_DEPTH_BYTES: Final = {0: 1, 1: 2, 3: 4, 4: 8, 5: 16}

# BCS_SWCTRL (0x22200): what "tiled" means to XY_COLOR_BLT and XY_SRC_COPY_BLT
SWCTRL_SOURCE_Y: Final = 1 << 0
SWCTRL_DESTINATION_Y: Final = 1 << 1

X_TILE_BYTES: Final = 512
X_TILE_ROWS: Final = 8
Y_TILE_BYTES: Final = 128
Y_TILE_ROWS: Final = 32
Y_TILE_COLUMN_BYTES: Final = 16
"""A Y tile is eight columns of this width, each 32 rows high and contiguous."""
