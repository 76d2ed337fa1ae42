"""Facts of execution lists: descriptor, context status buffer, status register.

Source: PRM SKL vol 3 "Execlist Submission Port", "Context Descriptor Format" and "Context Status";
the same numbers stand in i915's intel_execlists_submission.c and GVT-g's execlist.h.
"""

from __future__ import annotations

from enum import IntEnum

ELSP_DWORDS = 4
"""One submission: context 1 high, context 1 low, context 0 high, context 0 low."""


class Descriptor(IntEnum):
    """Low dword of a context descriptor, single-bit fields.

    Bits in this package are plain integers (IntEnum): they are combined several times in every
    request, and an IntFlag takes a microsecond for each.
    """

    VALID = 1 << 0
    FORCE_PD_RESTORE = 1 << 1
    FORCE_RESTORE = 1 << 2
    L3LLC_COHERENT = 1 << 5
    PRIVILEGE = 1 << 8


DESCRIPTOR_ADDRESSING_SHIFT = 3
DESCRIPTOR_ADDRESSING_MASK = 0x3
DESCRIPTOR_LRCA_MASK = 0xFFFF_F000
"""GGTT address of the logical ring context, bits 31:12."""


class Addressing(IntEnum):
    """Context descriptor bits 4:3."""

    ADVANCED = 0
    LEGACY_32B = 1
    ADVANCED_AD = 2
    LEGACY_64B = 3


class Event(IntEnum):
    """Low dword of a context status buffer entry."""

    IDLE_TO_ACTIVE = 1 << 0
    PREEMPTED = 1 << 1
    ELEMENT_SWITCH = 1 << 2
    ACTIVE_TO_IDLE = 1 << 3
    CONTEXT_COMPLETE = 1 << 4
    WAIT_SYNC_FLIP = 1 << 5
    WAIT_VBLANK = 1 << 6
    WAIT_SEMAPHORE = 1 << 7
    WAIT_SCANLINE = 1 << 8
    LITE_RESTORE = 1 << 15


CSB_ENTRIES = 6
CSB_RESET_POINTER = CSB_ENTRIES - 1
"""Write pointer after reset: the next entry written is number 0."""
HWSP_CSB_OFFSET = 0x40
"""Bytes into the hardware status page: six qwords, (status, context id)."""
HWSP_CSB_WRITE_POINTER_OFFSET = 0x7C


class Status(IntEnum):
    """EXECLIST_STATUS low dword, single-bit fields."""

    CURRENT_POINTER = 1 << 0
    WRITE_POINTER = 1 << 1
    QUEUE_FULL = 1 << 2
    LIST_1_VALID = 1 << 3
    LIST_0_VALID = 1 << 4
    ARBITRATION_ENABLED = 1 << 16
    LIST_1_ACTIVE = 1 << 17
    LIST_0_ACTIVE = 1 << 18


STATUS_SWITCH_REASON_SHIFT = 5
STATUS_ACTIVE_ELEMENT_SHIFT = 14
