"""Facts of the PVINFO page, by which a mediator and i915 in a guest know of each other.

The page is BAR0 0x78000, 4 KiB. Source: Linux i915 i915_pvinfo.h (since 4.0) and i915_vgpu.c; GVT-g
handlers.c for what a mediator does with it. Offsets are BAR0 offsets.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

PVINFO: Final = 0x78000
PVINFO_SIZE: Final = 0x1000

MAGIC: Final = 0x4776_5447_7654_4776
MAGIC_LO: Final = PVINFO
MAGIC_HI: Final = PVINFO + 0x4
VERSION: Final = PVINFO + 0x8
"""Major version in bits 15:0, minor version in bits 31:16."""
VERSION_1_0: Final = 1
VGT_ID: Final = PVINFO + 0xC
CAPS: Final = PVINFO + 0x10
MAPPABLE_BASE: Final = PVINFO + 0x40
MAPPABLE_SIZE: Final = PVINFO + 0x44
NONMAPPABLE_BASE: Final = PVINFO + 0x48
NONMAPPABLE_SIZE: Final = PVINFO + 0x4C
FENCE_NUM: Final = PVINFO + 0x50

# Written by the guest:
DISPLAY_READY: Final = PVINFO + 0x804
RESERVED: Final = PVINFO + 0x808
"""Four dwords. A guest that writes one says that its resources do not suffice."""
RESERVED_COUNT: Final = 4
G2V_NOTIFY: Final = PVINFO + 0x818
CURSOR_X_HOT: Final = PVINFO + 0x830
CURSOR_Y_HOT: Final = PVINFO + 0x834
CURSOR_NO_HOTSPOT: Final = 0xFFFF_FFFF
PDP: Final = PVINFO + 0x838
"""Four page directory pointers, low dword first; the first is the PML4 of a 4-level table."""
PDP_DWORDS: Final = 8
CONTEXT_DESCRIPTOR_LO: Final = PVINFO + 0x858
CONTEXT_DESCRIPTOR_HI: Final = PVINFO + 0x85C


class Caps(IntFlag):
    """What a guest may use. i915 does not go on without the first two."""

    FULL_PPGTT = 1 << 2
    HWSP_EMULATION = 1 << 3
    HUGE_GTT = 1 << 4
    """64 KiB pages in page tables."""


class Notification(IntEnum):
    """Values that a guest writes to G2V_NOTIFY."""

    PPGTT_L3_CREATE = 2
    PPGTT_L3_DESTROY = 3
    PPGTT_L4_CREATE = 4
    PPGTT_L4_DESTROY = 5
    CONTEXT_CREATE = 6
    CONTEXT_DESTROY = 7
