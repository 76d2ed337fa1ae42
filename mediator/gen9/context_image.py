"""The logical ring context image of Gen9: which register stands in which dword.

The register state page (page 1 of the image; page 0 is the per-process status page) is a batch of
MI_LOAD_REGISTER_IMM blocks, ended by MI_BATCH_BUFFER_END. Its head is the layout that i915 builds
itself (gt/intel_lrc.c, gen9_rcs_offsets and gen9_xcs_offsets; PRM SKL vol 7 "Register State
Context"). The tail of the render engine's image is private to the hardware; here it holds the
registers that a Gen9 render context keeps (IGT gem_ctx_isolation, i915 context workarounds, GVT-g
engine MMIO list), with the OA and flexible EU counters where i915_perf.c expects them.
Dword indexes count from the start of the register state page. No behaviour here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from mediator.gen9 import registers as reg
from mediator.gen9.engines import EngineClass

STATE_OFFSET = 0x1000
"""Bytes from the context's address (LRCA) to its register state page."""
STATE_DWORDS = 1024

INDIRECT_CONTEXT_OFFSET = 0x26 << 6
"""INDIRECT_CTX_OFFSET of Gen9: how far a restore has come, in cache lines of the image (bits 15:6),
when the indirect context batch runs. Elsewhere it might cut a command of the image in two."""

_LRI = 0x1100_0000
_LRI_POSTED = 1 << 12
BATCH_BUFFER_END = 0x0500_0000


class ContextControl(IntEnum):
    """RING_CONTEXT_CONTROL (MASKED), as it stands in the image."""

    RESTORE_INHIBIT = 1 << 0
    RS_ENABLE = 1 << 1
    SAVE_INHIBIT = 1 << 2
    INHIBIT_SYNC_SWITCH = 1 << 3


class ImageIndex(IntEnum):
    """Dword index of a value that every engine's image has."""

    CONTEXT_CONTROL = 0x03
    RING_HEAD = 0x05
    RING_TAIL = 0x07
    RING_START = 0x09
    RING_CTL = 0x0B
    BB_ADDR_UDW = 0x0D
    BB_ADDR = 0x0F
    BB_STATE = 0x11
    SBB_ADDR_UDW = 0x13
    SBB_ADDR = 0x15
    SBB_STATE = 0x17
    BB_PER_CTX_PTR = 0x19
    INDIRECT_CTX = 0x1B
    INDIRECT_CTX_OFFSET = 0x1D
    CTX_TIMESTAMP = 0x23
    PDP3_UDW = 0x25
    PDP3_LDW = 0x27
    PDP2_UDW = 0x29
    PDP2_LDW = 0x2B
    PDP1_UDW = 0x2D
    PDP1_LDW = 0x2F
    PDP0_UDW = 0x31
    PDP0_LDW = 0x33
    POWER_STATE = 0x43
    """R_PWR_CLK_STATE on the render engine, SWCTRL on the others."""
    EXCC = 0x53
    MI_MODE = 0x55
    INSTPM = 0x57
    TIMESTAMP = 0x5D
    BB_START_ADDR_UDW = 0x5F
    BB_START_ADDR = 0x61
    BB_OFFSET = 0x65
    PREDICATE_RESULT_1 = 0x67
    CS_GPR0 = 0x69
    IPEHR = 0xA9


@dataclass(frozen=True, slots=True)
class ImageRegister:
    """One register of the image: its offset in dword ``index - 1``, its value in ``index``."""

    index: int
    offset: int
    relative: bool = True
    """Whether ``offset`` counts from the engine's base rather than from BAR0."""
    masked: bool = False
    """The hardware saves a MASKED register with all of its write-enable bits set."""

    def address(self, mmio_base: int) -> int:
        """BAR0 offset for the engine at ``mmio_base``."""
        return self.offset + mmio_base if self.relative else self.offset


@dataclass(frozen=True, slots=True)
class Block:
    """One MI_LOAD_REGISTER_IMM: ``header`` in dword ``index``, then pairs of offset and value."""

    index: int
    header: int
    registers: tuple[ImageRegister, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The register state page of one engine class; ``end`` holds MI_BATCH_BUFFER_END."""

    blocks: tuple[Block, ...]
    end: int

    @property
    def registers(self) -> tuple[ImageRegister, ...]:
        """All registers in the order of the image."""
        return tuple(register for block in self.blocks for register in block.registers)


_MASKED_RELATIVE = frozenset(
    {
        reg.RING_CONTEXT_CONTROL,
        reg.RING_SWCTRL,
        reg.RING_EXCC,
        reg.RING_MI_MODE,
        reg.RING_INSTPM,
    }
)


def _block(
    index: int,
    offsets: Sequence[int],
    *,
    posted: bool = True,
    relative: bool = True,
    masked: bool = False,
) -> Block:
    header = _LRI | (2 * len(offsets) - 1) | (_LRI_POSTED if posted else 0)
    return Block(
        index,
        header,
        tuple(
            ImageRegister(
                index + 2 + 2 * i,
                offset,
                relative,
                masked or (relative and offset in _MASKED_RELATIVE),
            )
            for i, offset in enumerate(offsets)
        ),
    )


_RING = (
    reg.RING_CONTEXT_CONTROL,
    reg.RING_HEAD,
    reg.RING_TAIL,
    reg.RING_START,
    reg.RING_CTL,
    reg.RING_BB_ADDR_UDW,
    reg.RING_BB_ADDR,
    reg.RING_BB_STATE,
    reg.RING_SBB_ADDR_UDW,
    reg.RING_SBB_ADDR,
    reg.RING_SBB_STATE,
    reg.RING_BB_PER_CTX_PTR,
    reg.RING_INDIRECT_CTX,
    reg.RING_INDIRECT_CTX_OFFSET,
)
_PAGE_DIRECTORY = (
    reg.RING_CTX_TIMESTAMP,
    *(
        offset
        for n in (3, 2, 1, 0)
        for offset in (reg.RING_PDP0_UDW + 8 * n, reg.RING_PDP0_LDW + 8 * n)
    ),
)
_EXECUTION = (
    reg.RING_EXCC,
    reg.RING_MI_MODE,
    reg.RING_INSTPM,
    reg.RING_PR_CTR_CTL,
    reg.RING_PR_CTR_THRSH,
    reg.RING_TIMESTAMP,
    reg.RING_BB_START_ADDR_UDW,
    reg.RING_BB_START_ADDR,
    reg.RING_BB_ADDR_DIFF,
    reg.RING_BB_OFFSET,
    reg.MI_PREDICATE_RESULT_1,
    *range(reg.RING_CS_GPR, reg.RING_CS_GPR + 8 * reg.RING_CS_GPR_COUNT, 4),
    reg.RING_IPEHR,
)

RENDER_MASKED_REGISTERS: dict[int, str] = {
    0x2088: "FF_SLICE_CHICKEN",
    0x2090: "3D_CHICKEN3",
    0x20D8: "CS_DEBUG_MODE2",
    0x2580: "CS_CHICKEN1",
    0x7000: "CACHE_MODE_0",
    0x7004: "CACHE_MODE_1",
    0x7008: "GT_MODE",
    0x7010: "COMMON_SLICE_CHICKEN1",
    0x7014: "COMMON_SLICE_CHICKEN2",
    0x7300: "HDC_CHICKEN0",
    0x7304: "HDC_CHICKEN1",
    0x83A4: "VF_GUARDBAND",
    0xE100: "HALF_SLICE_CHICKEN1",
    0xE180: "HALF_SLICE_CHICKEN2",
    0xE184: "HALF_SLICE_CHICKEN3",
    0xE188: "HALF_SLICE_CHICKEN5",
    0xE194: "HALF_SLICE_CHICKEN7",
    0xE4F0: "ROW_CHICKEN",
}
"""Chicken registers that a render context keeps (BAR0 offsets, MASKED)."""

RENDER_PREDICATE_REGISTERS: tuple[int, ...] = tuple(range(0x2400, 0x241C, 4))
"""MI_PREDICATE SRC0, SRC1, DATA and RESULT of the render engine."""


def _wide(offset: int, name: str) -> dict[int, str]:
    return {offset: name, offset + 4: f"{name}_UDW"}


RENDER_STATE_REGISTERS: dict[int, str] = {
    **_wide(0x2290, "GPGPU_THREADS_DISPATCHED"),
    **_wide(0x22C8, "PS_INVOCATION_COUNT_SLICE0"),
    **_wide(0x22D8, "PS_DEPTH_COUNT_SLICE0"),
    **_wide(0x22F0, "PS_INVOCATION_COUNT_SLICE1"),
    **_wide(0x22F8, "PS_DEPTH_COUNT_SLICE1"),
    **_wide(0x2300, "HS_INVOCATION_COUNT"),
    **_wide(0x2308, "DS_INVOCATION_COUNT"),
    **_wide(0x2310, "IA_VERTICES_COUNT"),
    **_wide(0x2318, "IA_PRIMITIVES_COUNT"),
    **_wide(0x2320, "VS_INVOCATION_COUNT"),
    **_wide(0x2328, "GS_INVOCATION_COUNT"),
    **_wide(0x2330, "GS_PRIMITIVES_COUNT"),
    **_wide(0x2338, "CL_INVOCATION_COUNT"),
    **_wide(0x2340, "CL_PRIMITIVES_COUNT"),
    **_wide(0x2348, "PS_INVOCATION_COUNT"),
    **_wide(0x2350, "PS_DEPTH_COUNT"),
    0x2420: "3DPRIM_END_OFFSET",
    0x2430: "3DPRIM_START_VERTEX",
    0x2434: "3DPRIM_VERTEX_COUNT",
    0x2438: "3DPRIM_INSTANCE_COUNT",
    0x243C: "3DPRIM_START_INSTANCE",
    0x2440: "3DPRIM_BASE_VERTEX",
    **_wide(0x2448, "PS_INVOCATION_COUNT_SLICE2"),
    **_wide(0x2450, "PS_DEPTH_COUNT_SLICE2"),
    0x2500: "GPGPU_DISPATCHDIMX",
    0x2504: "GPGPU_DISPATCHDIMY",
    0x2508: "GPGPU_DISPATCHDIMZ",
    **_wide(0x4DE0, "TRTT_L3_POINTER"),
    0x4DE8: "TRTT_NULL_DETECT",
    0x4DEC: "TRTT_INVALID_DETECT",
    0x4DF0: "TRTT_VIRTUAL_ADDRESS",
    0x4DF4: "TRTT_ENABLE",
    0x4DFC: "TRTT_CHICKEN",
    **{
        k: v for n in range(4) for k, v in _wide(0x5200 + 8 * n, f"SO_NUM_PRIMS_WRITTEN{n}").items()
    },
    **{
        k: v
        for n in range(4)
        for k, v in _wide(0x5240 + 8 * n, f"SO_PRIM_STORAGE_NEEDED{n}").items()
    },
    **{0x5280 + 4 * n: f"SO_WRITE_OFFSET{n}" for n in range(4)},
    0x7034: "L3CNTLREG",
    0xE400: "TD_CTL",
    0xE404: "TD_CTL2",
}
"""Plain registers that a render context keeps (BAR0 offsets)."""

OA_REGISTERS: dict[int, str] = {0x2360: "OACTXCONTROL", 0x2364: "OACTXID"}
FLEXIBLE_EU_REGISTERS: dict[int, str] = {
    offset: f"EU_PERF_CNTL{n}"
    for n, offset in enumerate((0xE458, 0xE558, 0xE658, 0xE758, 0xE45C, 0xE55C, 0xE65C))
}

OA_INDEX = 0x128
"""Dword of the offset of OA context control; i915_perf.c writes the value after it."""
FLEXIBLE_EU_INDEX = 0x3DE
"""Dword of the offset of EU_PERF_CNTL0."""

_HEAD = (_block(0x01, _RING), _block(0x21, _PAGE_DIRECTORY))
_OTHER = Layout(
    (*_HEAD, _block(0x41, (reg.RING_SWCTRL,)), _block(0x51, _EXECUTION)),
    end=0xAA,
)
_RENDER = Layout(
    (
        *_HEAD,
        _block(0x41, (reg.RING_R_PWR_CLK_STATE,), posted=False),
        _block(0x51, _EXECUTION),
        _block(OA_INDEX - 1, tuple(OA_REGISTERS), relative=False),
        _block(0x130, tuple(RENDER_MASKED_REGISTERS), relative=False, masked=True),
        _block(
            0x180,
            (*RENDER_PREDICATE_REGISTERS, *RENDER_STATE_REGISTERS),
            relative=False,
        ),
        _block(FLEXIBLE_EU_INDEX - 1, tuple(FLEXIBLE_EU_REGISTERS), relative=False),
    ),
    end=0x3EC,
)

LAYOUTS: dict[EngineClass, Layout] = {
    "RCS": _RENDER,
    "BCS": _OTHER,
    "VCS": _OTHER,
    "VECS": _OTHER,
}
"""The register state page by engine class."""
