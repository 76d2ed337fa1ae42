"""Registers that a batch without privilege may write. Facts only.

Source: PRM SKL vol 7 "User Mode Privileged Commands" and the tables of user mode registers that
follow it; IGT gem_ctx_isolation checks the same list on hardware. RING_FORCE_TO_NONPRIV adds up
to twelve more at run time. Registers are read without restriction.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from mediator.gen9.registers import RING_CS_GPR, RING_CS_GPR_COUNT, RING_NOPID, RING_SWCTRL

_COMMON: Final = (
    (RING_NOPID, 1),
    (RING_CS_GPR, 2 * RING_CS_GPR_COUNT),
)
"""Every engine, relative to its base: first register, dwords."""

_RENDER: Final = (
    (0x20C0, 1),  # INSTPM
    (0x20D8, 1),  # CS_DEBUG_MODE2
    (0x2158, 1),  # BB_OFFSET
    (0x2290, 2),  # GPGPU_THREADS_DISPATCHED
    (0x22C8, 2),  # PS_INVOCATION_COUNT_0
    (0x22D8, 2),  # PS_DEPTH_COUNT_0
    (0x22F0, 2),  # PS_INVOCATION_COUNT_1
    (0x22F8, 2),  # PS_DEPTH_COUNT_1
    (0x2300, 18),  # HS_INVOCATION_COUNT .. CL_PRIMITIVES_COUNT, 64 bits each
    (0x2360, 2),  # OA_CTX_CONTROL, OACTXID
    (0x23BC, 1),  # MI_PREDICATE_RESULT_2
    (0x2400, 8),  # MI_PREDICATE_SRC0, SRC1, DATA, RESULT, RESULT_1
    (0x2420, 1),  # 3DPRIM_END_OFFSET
    (0x2430, 5),  # 3DPRIM_START_VERTEX .. 3DPRIM_BASE_VERTEX
    (0x2448, 4),  # PS_INVOCATION_COUNT_2, PS_DEPTH_COUNT_2
    (0x2500, 3),  # GPGPU_DISPATCHDIMX, Y, Z
    (0x2B00, 1),  # OA_CONTROL
    (0x5200, 8),  # SO_NUM_PRIMS_WRITTEN0..3
    (0x5240, 8),  # SO_PRIM_STORAGE_NEEDED0..3
    (0x5280, 4),  # SO_WRITE_OFFSET0..3
    (0x7000, 3),  # CACHE_MODE_0, CACHE_MODE_1, GT_MODE
    (0x7034, 1),  # L3CNTLREG
    (0x91B8, 4),  # PERF_CNT_1, PERF_CNT_2
    (0xE400, 2),  # TD_CTL, TD_CTL2
)
_BLITTER: Final = ((0x22000 + RING_SWCTRL, 1),)
_VIDEO: Final = ((0x12800, 64),)  # MFC status registers

_BY_CLASS: Final = {"RCS": _RENDER, "BCS": _BLITTER, "VCS": _VIDEO, "VECS": ()}


@cache
def user_registers(engine_class: str, mmio_base: int) -> frozenset[int]:
    """BAR0 offsets that user batches of the engine with base ``mmio_base`` may write."""
    common = ((mmio_base + first, count) for first, count in _COMMON)
    ranges = (*common, *_BY_CLASS[engine_class])
    return frozenset(first + 4 * i for first, count in ranges for i in range(count))
