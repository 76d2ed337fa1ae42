"""Facts of the 2D (blitter) commands that the software GPU executes.

Source: PRM SKL vol 2a "Command Reference: Instructions" (XY_COLOR_BLT, XY_SRC_COPY_BLT,
XY_FAST_COPY_BLT, XY_SETUP_BLT, XY_SETUP_CLIP_BLT) and vol 11 "Blitter". Field names end in the
number of the dword they lie in.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from mediator.gen9.field import Field

OPCODE_0 = Field(28, 22)


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

# Rectangles and addresses, every command: corners are signed, the second one is exclusive.
X = Field(15, 0)
Y = Field(31, 16)
PITCH = Field(15, 0)
"""Signed; in bytes when the surface is linear, in dwords when it is tiled."""

SETUP_CLIP_DWORDS: Final = {BlitOpcode.XY_SETUP_BLT: 2, BlitOpcode.XY_SETUP_CLIP_BLT: 1}
"""Index of the dword with the clip rectangle's first corner; the second follows."""

# XY_COLOR_BLT and XY_SRC_COPY_BLT
WRITE_ALPHA_0: Final = 1 << 21
WRITE_RGB_0: Final = 1 << 20
"""Both write enables act at 32 bits a pixel only."""
SOURCE_TILED_0: Final = 1 << 15
DESTINATION_TILED_0: Final = 1 << 11
CLIPPING_1: Final = 1 << 30
DEPTH_1 = Field(25, 24)
RASTER_OPERATION_1 = Field(23, 16)
DEPTH_BYTES: Final = {0: 1, 1: 2, 2: 2, 3: 4}
"""8 bits; 16 bits 565; 16 bits 1555; 32 bits."""
ALPHA_MASK: Final = 0xFF00_0000
RGB_MASK: Final = 0x00FF_FFFF

# XY_FAST_COPY_BLT
FAST_SOURCE_TILING_0 = Field(21, 20)
FAST_DESTINATION_TILING_0 = Field(14, 13)
FAST_SOURCE_YF_1: Final = 1 << 31
FAST_DESTINATION_YF_1: Final = 1 << 30
FAST_DEPTH_1 = Field(26, 24)
FAST_DEPTH_BYTES: Final = {0: 1, 1: 2, 3: 4, 4: 8, 5: 16}

# BCS_SWCTRL (0x22200): what "tiled" means to XY_COLOR_BLT and XY_SRC_COPY_BLT
SWCTRL_DESTINATION_Y: Final = 1 << 0
SWCTRL_SOURCE_Y: Final = 1 << 1

X_TILE_BYTES: Final = 512
X_TILE_ROWS: Final = 8
Y_TILE_BYTES: Final = 128
Y_TILE_ROWS: Final = 32
Y_TILE_COLUMN_BYTES: Final = 16
"""A Y tile is eight columns of this width, each 32 rows high and contiguous."""
