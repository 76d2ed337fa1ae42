"""Commands that start threads: GPGPU_WALKER, MEDIA_OBJECT. Facts only.

Numbers are dwords of a command, `Field` bits of such a dword. Source: PRM SKL vol 2a; places as in
Mesa's genxml gen9.xml. That rows of groups begin anew at the starting value, rather than at 0, is
what compute-runtime relies on where it splits a range that does not divide
(dispatch_info_builder.h).
"""

from __future__ import annotations

from typing import Final

from mediator.gen9.field import Field

# -- GPGPU_WALKER ------------------------------------------------------------------------------

WALKER_DWORDS: Final = 15
PREDICATED: Final = 1 << 8
INDIRECT_DIMENSIONS: Final = 1 << 10
"""Dword 0: the number of groups is in `DISPATCH_DIMENSIONS` rather than in the command."""
DISPATCH_DIMENSIONS: Final = (0x2500, 0x2504, 0x2508)
"""GPGPU_DISPATCHDIMX, Y and Z: BAR0 offsets."""
DESCRIPTOR_INDEX: Final = Field(5, 0)
INDIRECT_DATA: Final = 2
INDIRECT_LENGTH: Final = Field(16, 0)
INDIRECT_START: Final = Field(31, 6)
"""Dwords 2 and 3: data counted from the Indirect Object base, in place of constants."""
SHAPE: Final = 4
SIMD: Final = Field(31, 30)
DEPTH_MAXIMUM: Final = Field(21, 16)
HEIGHT_MAXIMUM: Final = Field(13, 8)
WIDTH_MAXIMUM: Final = Field(5, 0)
"""Dword 4: threads of a group in each direction, minus 1."""
SIMD_WIDTHS: Final = (8, 16, 32)
"""By `SIMD`."""
STARTS: Final = (5, 8, 11)
ENDS: Final = (7, 10, 12)
"""Dwords of x, y and z: the first group, and the one behind the last."""
RIGHT_MASK: Final = 13
BOTTOM_MASK: Final = 14
ALL_CHANNELS: Final = 0xFFFF_FFFF

# -- MEDIA_OBJECT ------------------------------------------------------------------------------

OBJECT_DESCRIPTOR: Final = 1
OBJECT_INDIRECT_LENGTH: Final = 2
OBJECT_INDIRECT_START: Final = 3
OBJECT_INLINE: Final = 6
"""The first dword of the data that the thread gets."""

# -- statistics --------------------------------------------------------------------------------

THREADS_DISPATCHED: Final = 0x2290
"""64 bits at this BAR0 offset: CS_INVOCATION_COUNT, channels that were dispatched."""
PREEMPTION_LEVELS: Final = 0x2580
"""CS_CHICKEN1: BAR0 offset."""
PREEMPTION_LEVEL: Final = Field(2, 1)
"""Where work of the media pipeline may be interrupted: 0 in a thread, 1 between groups, 2 between
commands."""
