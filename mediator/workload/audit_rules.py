"""What the audit does with each command that stands in a ring or in a privileged batch.

One row for every named command of `gen9/commands.py`; a command without a row is refused. What a
row means is carried out by `command_audit.py`. Source: PRM SKL vol 2a (operands), vol 7
(privilege); `softgpu` shows what each command can reach. Facts only.

Commands of the 2D, 3D, media and video pipelines have no choice of address space: on an engine
with execution lists they work in the context's own, and the page tables are their audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(Enum):
    """What the audit does with a command."""

    PASS = auto()
    """Reaches only the engine, registers of its context, and memory of the context's own space."""
    NO_OPERATION = auto()
    """Taken out: it would act on what vGPUs share (display, power, flushes of the whole GPU)."""
    REFUSE = auto()
    """No driver puts it there, and what it reaches there is not documented."""
    ADDRESSES = auto()
    """Its GGTT addresses must be the vGPU's; see `Rule.addresses`."""
    STORE_DATA = auto()
    """As ADDRESSES; writes all dwords from the fourth on."""
    ATOMIC = auto()
    """As ADDRESSES; 4, 8 or 16 bytes."""
    LOAD_IMMEDIATE = auto()
    """Pairs of register and value, by the register policy."""
    STORE_REGISTER = auto()
    """Register to memory: a virtual register becomes a store of its value."""
    LOAD_REGISTER = auto()
    """Memory to register: left out unless the register may take any value."""
    MOVE_REGISTER = auto()
    """Register to register: as the two above."""
    SEMAPHORE_WAIT = auto()
    """Polls memory, as ADDRESSES, or a register that may be read."""
    STORE_INDEX = auto()
    """Into the status page of the context; that of the engine is the mediator's."""
    PIPE_CONTROL = auto()
    """Post-sync write to memory, to a status page, or to a register."""
    FLUSH_DW = auto()
    """Post-sync write to memory or to a status page."""
    UPDATE_GTT = auto()
    """Done by the virtual GGTT, and taken out."""
    BATCH_START = auto()
    """A privileged batch is copied and audited too."""
    BATCH_END = auto()
    ARBITRATION = auto()
    """Must not keep a batch on the hardware: off for a few commands only."""
    CONDITIONAL_END = auto()
    """Compares memory, as ADDRESSES."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address operand that is in the GGTT when bit ``bit`` of dword ``selector`` is set."""

    low: int
    """Dword with bits 31:0; the next has the upper half."""
    bit: int
    size: int = 4
    """Bytes that the command reaches from there on."""
    align: int = 4
    """The hardware ignores the address bits below this."""
    selector: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. ``dwords``: fewest and most; None where the command table's own minimum is all."""

    kind: Kind
    dwords: tuple[int, int] | None = None
    addresses: tuple[Address, ...] = ()


USE_GGTT: Final = 22
"""Bit of most headers that selects the GGTT."""

_BLITS: Final = """
    XY_SETUP_BLT XY_SETUP_CLIP_BLT XY_SETUP_MONO_PATTERN_SL_BLT XY_PIXEL_BLT XY_SCANLINES_BLT
    XY_TEXT_BLT XY_TEXT_IMMEDIATE_BLT COLOR_BLT XY_FAST_COPY_BLT SRC_COPY_BLT XY_COLOR_BLT
    XY_PAT_BLT XY_MONO_PAT_BLT XY_SRC_COPY_BLT XY_MONO_SRC_COPY_BLT XY_FULL_BLT
    XY_FULL_MONO_SRC_BLT XY_FULL_MONO_PATTERN_BLT XY_FULL_MONO_PATTERN_MONO_SRC_BLT
    XY_MONO_PAT_FIXED_BLT XY_MONO_SRC_COPY_IMMEDIATE_BLT XY_PAT_BLT_IMMEDIATE
    XY_SRC_COPY_CHROMA_BLT XY_FULL_IMMEDIATE_PATTERN_BLT XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT
    XY_PAT_CHROMA_BLT XY_PAT_CHROMA_BLT_IMMEDIATE
"""
_RENDER: Final = """
    STATE_PREFETCH STATE_BASE_ADDRESS STATE_SIP SWTESS_BASE_ADDRESS GPGPU_CSR_BASE_ADDRESS
    3DSTATE_VF_STATISTICS PIPELINE_SELECT MEDIA_VFE_STATE MEDIA_CURBE_LOAD
    MEDIA_INTERFACE_DESCRIPTOR_LOAD MEDIA_GATEWAY_STATE MEDIA_STATE_FLUSH MEDIA_POOL_STATE
    MEDIA_OBJECT MEDIA_OBJECT_PRT MEDIA_OBJECT_WALKER GPGPU_OBJECT GPGPU_WALKER
    MEDIA_OBJECT_GRPID 3DSTATE_CLEAR_PARAMS 3DSTATE_DEPTH_BUFFER 3DSTATE_STENCIL_BUFFER
    3DSTATE_HIER_DEPTH_BUFFER 3DSTATE_VERTEX_BUFFERS 3DSTATE_VERTEX_ELEMENTS
    3DSTATE_INDEX_BUFFER 3DSTATE_VF 3DSTATE_MULTISAMPLE 3DSTATE_CC_STATE_POINTERS
    3DSTATE_SCISSOR_STATE_POINTERS 3DSTATE_VS 3DSTATE_GS 3DSTATE_CLIP 3DSTATE_SF 3DSTATE_WM
    3DSTATE_CONSTANT_VS 3DSTATE_CONSTANT_GS 3DSTATE_CONSTANT_PS 3DSTATE_SAMPLE_MASK
    3DSTATE_CONSTANT_HS 3DSTATE_CONSTANT_DS 3DSTATE_HS 3DSTATE_TE 3DSTATE_DS 3DSTATE_STREAMOUT
    3DSTATE_SBE 3DSTATE_PS 3DSTATE_VIEWPORT_STATE_POINTERS_SF_CLIP
    3DSTATE_VIEWPORT_STATE_POINTERS_CC 3DSTATE_BLEND_STATE_POINTERS
    3DSTATE_DEPTH_STENCIL_STATE_POINTERS 3DSTATE_BINDING_TABLE_POINTERS_VS
    3DSTATE_BINDING_TABLE_POINTERS_HS 3DSTATE_BINDING_TABLE_POINTERS_DS
    3DSTATE_BINDING_TABLE_POINTERS_GS 3DSTATE_BINDING_TABLE_POINTERS_PS
    3DSTATE_SAMPLER_STATE_POINTERS_VS 3DSTATE_SAMPLER_STATE_POINTERS_HS
    3DSTATE_SAMPLER_STATE_POINTERS_DS 3DSTATE_SAMPLER_STATE_POINTERS_GS
    3DSTATE_SAMPLER_STATE_POINTERS_PS 3DSTATE_URB_VS 3DSTATE_URB_HS 3DSTATE_URB_DS
    3DSTATE_URB_GS 3DSTATE_GATHER_CONSTANT_VS 3DSTATE_GATHER_CONSTANT_GS
    3DSTATE_GATHER_CONSTANT_HS 3DSTATE_GATHER_CONSTANT_DS 3DSTATE_GATHER_CONSTANT_PS
    3DSTATE_DX9_CONSTANTF_VS 3DSTATE_DX9_CONSTANTF_PS 3DSTATE_DX9_CONSTANTI_VS
    3DSTATE_DX9_CONSTANTI_PS 3DSTATE_DX9_CONSTANTB_VS 3DSTATE_DX9_CONSTANTB_PS
    3DSTATE_DX9_LOCAL_VALID_VS 3DSTATE_DX9_LOCAL_VALID_PS 3DSTATE_DX9_GENERATE_ACTIVE_VS
    3DSTATE_DX9_GENERATE_ACTIVE_PS 3DSTATE_BINDING_TABLE_EDIT_VS 3DSTATE_BINDING_TABLE_EDIT_GS
    3DSTATE_BINDING_TABLE_EDIT_HS 3DSTATE_BINDING_TABLE_EDIT_DS 3DSTATE_BINDING_TABLE_EDIT_PS
    3DSTATE_VF_INSTANCING 3DSTATE_VF_SGVS 3DSTATE_VF_TOPOLOGY 3DSTATE_WM_CHROMAKEY
    3DSTATE_PS_BLEND 3DSTATE_WM_DEPTH_STENCIL 3DSTATE_PS_EXTRA 3DSTATE_RASTER 3DSTATE_SBE_SWIZ
    3DSTATE_WM_HZ_OP 3DSTATE_COMPONENT_PACKING 3DSTATE_DRAWING_RECTANGLE
    3DSTATE_SAMPLER_PALETTE_LOAD0 3DSTATE_CHROMA_KEY 3DSTATE_POLY_STIPPLE_OFFSET
    3DSTATE_POLY_STIPPLE_PATTERN 3DSTATE_LINE_STIPPLE 3DSTATE_AA_LINE_PARAMS
    3DSTATE_GS_SVB_INDEX 3DSTATE_SAMPLER_PALETTE_LOAD1 3DSTATE_MONOFILTER_SIZE
    3DSTATE_PUSH_CONSTANT_ALLOC_VS 3DSTATE_PUSH_CONSTANT_ALLOC_HS 3DSTATE_PUSH_CONSTANT_ALLOC_DS
    3DSTATE_PUSH_CONSTANT_ALLOC_GS 3DSTATE_PUSH_CONSTANT_ALLOC_PS 3DSTATE_SO_DECL_LIST
    3DSTATE_SO_BUFFER 3DSTATE_BINDING_TABLE_POOL_ALLOC 3DSTATE_GATHER_POOL_ALLOC
    3DSTATE_DX9_CONSTANT_BUFFER_POOL_ALLOC 3DSTATE_SAMPLE_PATTERN 3DPRIMITIVE
"""
_VIDEO: Final = """
    MFX_WAIT MFX_PIPE_MODE_SELECT MFX_SURFACE_STATE MFX_PIPE_BUF_ADDR_STATE
    MFX_IND_OBJ_BASE_ADDR_STATE MFX_BSP_BUF_BASE_ADDR_STATE MFX_STATE_POINTER MFX_QM_STATE
    MFX_FQM_STATE MFD_IT_OBJECT MFX_PAK_INSERT_OBJECT MFX_STITCH_OBJECT MFX_AVC_IMG_STATE
    MFX_AVC_QM_STATE MFX_AVC_DIRECTMODE_STATE MFX_AVC_SLICE_STATE MFX_AVC_REF_IDX_STATE
    MFX_AVC_WEIGHTOFFSET_STATE MFD_AVC_PICID_STATE MFD_AVC_DPB_STATE MFD_AVC_SLICEADDR
    MFD_AVC_BSD_OBJECT MFC_AVC_PAK_OBJECT MFX_VC1_PRED_PIPE_STATE MFX_VC1_DIRECTMODE_STATE
    MFD_VC1_SHORT_PIC_STATE MFD_VC1_LONG_PIC_STATE MFD_VC1_BSD_OBJECT MFX_MPEG2_PIC_STATE
    MFX_MPEG2_QM_STATE MFD_MPEG2_BSD_OBJECT MFC_MPEG2_SLICEGROUP_STATE MFC_MPEG2_PAK_OBJECT
    HCP_PIPE_MODE_SELECT HCP_SURFACE_STATE HCP_PIPE_BUF_ADDR_STATE HCP_IND_OBJ_BASE_ADDR_STATE
    HCP_QM_STATE HCP_FQM_STATE HCP_PIC_STATE HCP_TILE_STATE HCP_REF_IDX_STATE
    HCP_WEIGHTOFFSET_STATE HCP_SLICE_STATE HCP_BSD_OBJECT HCP_PAK_OBJECT HCP_PAK_INSERT_OBJECT
    MFX_JPEG_PIC_STATE MFX_JPEG_HUFF_TABLE_STATE MFD_JPEG_BSD_OBJECT VEBOX_SURFACE_STATE
    VEBOX_STATE VEB_DI_IECP
"""

_PASS: Final = Rule(Kind.PASS)
_NO_OPERATION: Final = Rule(Kind.NO_OPERATION)
_REFUSE: Final = Rule(Kind.REFUSE)

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "MI_NOOP": _PASS,
        "MI_SET_PREDICATE": _PASS,
        "MI_USER_INTERRUPT": _PASS,
        "MI_WAIT_FOR_EVENT": _NO_OPERATION,
        "MI_FLUSH": _PASS,
        "MI_ARB_CHECK": _PASS,
        "MI_RS_CONTROL": _PASS,
        "MI_REPORT_HEAD": _PASS,  # into the context's own status page, which is the guest's
        "MI_ARB_ON_OFF": Rule(Kind.ARBITRATION),
        "MI_URB_ATOMIC_ALLOC": _PASS,
        "MI_BATCH_BUFFER_END": Rule(Kind.BATCH_END),
        "MI_SUSPEND_FLUSH": _NO_OPERATION,
        "MI_PREDICATE": _PASS,
        "MI_TOPOLOGY_FILTER": _PASS,
        "MI_SET_APPID": _NO_OPERATION,
        "MI_RS_CONTEXT": _PASS,
        "MI_LOAD_SCAN_LINES_INCL": _NO_OPERATION,
        "MI_LOAD_SCAN_LINES_EXCL": _NO_OPERATION,
        "MI_DISPLAY_FLIP": _NO_OPERATION,
        "MI_URB_CLEAR": _PASS,
        "MI_MATH": _PASS,  # registers: the context's general purpose registers only
        "MI_SEMAPHORE_SIGNAL": _PASS,
        "MI_SEMAPHORE_WAIT": Rule(Kind.SEMAPHORE_WAIT, (4, 4), (Address(2, USE_GGTT),)),
        "MI_FORCE_WAKEUP": _NO_OPERATION,
        "MI_STORE_DATA_IMM": Rule(Kind.STORE_DATA, None, (Address(1, USE_GGTT),)),
        "MI_STORE_DATA_INDEX": Rule(Kind.STORE_INDEX, (3, 4)),
        "MI_LOAD_REGISTER_IMM": Rule(Kind.LOAD_IMMEDIATE),
        "MI_UPDATE_GTT": Rule(Kind.UPDATE_GTT),
        "MI_STORE_REGISTER_MEM": Rule(Kind.STORE_REGISTER, (4, 4), (Address(2, USE_GGTT),)),
        "MI_FLUSH_DW": Rule(Kind.FLUSH_DW, (2, 5)),
        "MI_CLFLUSH": Rule(Kind.ADDRESSES, (3, 5), (Address(1, USE_GGTT, size=4096, align=4096),)),
        "MI_REPORT_PERF_COUNT": Rule(
            Kind.ADDRESSES, (4, 4), (Address(1, 0, size=256, align=64, selector=1),)
        ),
        "MI_LOAD_REGISTER_MEM": Rule(Kind.LOAD_REGISTER, (4, 4), (Address(2, USE_GGTT),)),
        "MI_LOAD_REGISTER_REG": Rule(Kind.MOVE_REGISTER, (3, 3)),
        "MI_RS_STORE_DATA_IMM": Rule(Kind.PASS, (4, 4)),  # in the context's own space
        "MI_LOAD_URB_MEM": _REFUSE,
        "MI_STORE_URB_MEM": _REFUSE,
        "MI_COPY_MEM_MEM": Rule(Kind.ADDRESSES, (5, 5), (Address(1, 21), Address(3, USE_GGTT))),
        "MI_ATOMIC": Rule(Kind.ATOMIC, (3, 11), (Address(1, USE_GGTT),)),
        "MI_BATCH_BUFFER_START": Rule(Kind.BATCH_START, (3, 3)),
        "MI_CONDITIONAL_BATCH_BUFFER_END": Rule(
            Kind.CONDITIONAL_END, (4, 4), (Address(2, USE_GGTT),)
        ),
        "PIPE_CONTROL": Rule(Kind.PIPE_CONTROL, (2, 6)),
        **dict.fromkeys(f"{_BLITS} {_RENDER} {_VIDEO}".split(), _PASS),
    }
)
"""By the name of the command's row."""
