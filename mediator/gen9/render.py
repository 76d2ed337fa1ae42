"""State of the 3D pipeline from vertices to the render target, and 3DPRIMITIVE. Facts only.

Numbers are dwords of a command, `Field` bits of such a dword. Source: PRM SKL vol 2a (command
reference), vol 2d BLEND_STATE, vol 7 "3D Media GPGPU Engine"; places as in Mesa's genxml gen9.xml.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final

from mediator.gen9.field import Field


class Packet(IntEnum):
    """Header bits 31:16 of what a draw is made of."""

    VERTEX_BUFFERS = 0x7808
    VERTEX_ELEMENTS = 0x7809
    VF = 0x780C
    MULTISAMPLE = 0x780D
    VS = 0x7810
    GS = 0x7811
    CLIP = 0x7812
    SF = 0x7813
    WM = 0x7814
    CONSTANT_PS = 0x7817
    SAMPLE_MASK = 0x7818
    HS = 0x781B
    TE = 0x781C
    DS = 0x781D
    STREAMOUT = 0x781E
    SBE = 0x781F
    PS = 0x7820
    BLEND_STATE_POINTERS = 0x7824
    BINDING_TABLE_PS = 0x782A
    SAMPLERS_PS = 0x782F
    VF_INSTANCING = 0x7849
    VF_SGVS = 0x784A
    VF_TOPOLOGY = 0x784B
    PS_BLEND = 0x784D
    WM_DEPTH_STENCIL = 0x784E
    PS_EXTRA = 0x784F
    RASTER = 0x7850
    WM_HZ_OP = 0x7852
    DRAWING_RECTANGLE = 0x7900


# -- 3DPRIMITIVE -------------------------------------------------------------------------------

PRIMITIVE_DWORDS: Final = 7
PREDICATED: Final = 1 << 8
INDIRECT: Final = Field(10, 10)
"""Dword 0: the parameters are in registers."""
RANDOM_ACCESS: Final = Field(8, 8)
END_OFFSET: Final = Field(9, 9)
"""Dword 1: vertices by index; their number from a register."""
VERTEX_COUNT: Final = 2
START_VERTEX: Final = 3
INSTANCE_COUNT: Final = 4
START_INSTANCE: Final = 5
BASE_VERTEX: Final = 6
TOPOLOGY: Final = Field(5, 0)
"""3DSTATE_VF_TOPOLOGY dword 1."""
RECTLIST: Final = 0xF
RECTLIST_VERTICES: Final = 3
"""Lower right, lower left, upper left, as Mesa's and IGT's drivers give them."""

# -- stages before the rasteriser: dword and bit that turn each on -----------------------------

STAGE_ENABLES: Final = (
    (Packet.VS, 7, Field(0, 0)),
    (Packet.HS, 2, Field(31, 31)),
    (Packet.TE, 1, Field(0, 0)),
    (Packet.DS, 7, Field(0, 0)),
    (Packet.GS, 7, Field(0, 0)),
    (Packet.STREAMOUT, 1, Field(31, 31)),
    (Packet.STREAMOUT, 1, Field(30, 30)),
    (Packet.CLIP, 2, Field(31, 31)),
    (Packet.SF, 1, Field(1, 1)),
    (Packet.VF, 0, Field(9, 9)),
)
"""Of STREAMOUT also that nothing is drawn, of SF the viewport transformation, of VF that vertex
components are packed."""
FORCE_LAYER_0: Final = Field(5, 5)
"""CLIP dword 3: the layers of vertices do not count."""

# -- 3DSTATE_RASTER, _MULTISAMPLE, _SAMPLE_MASK, _DRAWING_RECTANGLE ----------------------------

SCISSOR: Final = Field(1, 1)
FILL: Final = Field(6, 3)
"""RASTER dword 1. Fill of front and back: 0 is solid."""
FORCED_SAMPLES: Final = Field(20, 18)
CONSERVATIVE: Final = Field(24, 24)
SAMPLES: Final = Field(3, 1)
PIXEL_LOCATION: Final = Field(4, 4)
"""MULTISAMPLE dword 1. Samples as a power of two; 0: pixels are known by their middle."""
FIRST_SAMPLE: Final = Field(0, 0)
"""SAMPLE_MASK dword 1."""
X: Final = Field(15, 0)
Y: Final = Field(31, 16)
"""DRAWING_RECTANGLE dwords 1 (least), 2 (greatest, which belongs to it), 3 (origin)."""

# -- depth and stencil -------------------------------------------------------------------------

DEPTH_TESTS: Final = (Field(0, 0), Field(1, 1), Field(2, 2), Field(3, 3))
"""WM_DEPTH_STENCIL dword 1: depth write, depth test, stencil write, stencil test."""
HZ_OPERATIONS: Final = Field(31, 27)
"""WM_HZ_OP dword 1: clears and resolves of depth and stencil."""

# -- 3DSTATE_SBE -------------------------------------------------------------------------------

ATTRIBUTES: Final = Field(27, 22)
SWIZZLE: Final = Field(21, 21)
READ_LENGTH: Final = Field(15, 11)
READ_OFFSET: Final = Field(10, 5)
FORCED: Final = Field(29, 28)
"""Dword 1: length and offset are in force. Both count two slots of the vertex."""
FORCED_BOTH: Final = 3
PRIMITIVE_ID: Final = Field(19, 16)
"""Dword 1: components that it overrides."""
POINT_SPRITES: Final = 2
FLAT: Final = 3
"""Dwords with a bit for each attribute."""
COMPONENTS: Final = 4
"""Dwords 4 and 5: two bits an attribute, 3 for all four components."""
ALL_COMPONENTS: Final = 3
MOST_ATTRIBUTES: Final = 32

# -- 3DSTATE_WM, _PS_EXTRA, _PS_BLEND ----------------------------------------------------------

WM_STATISTICS: Final = Field(31, 31)
BARYCENTRICS: Final = Field(16, 11)
FORCE_DISPATCH: Final = Field(20, 19)
STIPPLES: Final = Field(4, 3)
"""WM dword 1."""
PS_VALID: Final = Field(31, 31)
NO_TARGET: Final = Field(30, 30)
SAMPLE_MASK_OUT: Final = Field(29, 29)
COMPUTED_DEPTH: Final = Field(27, 26)
SOURCE_DEPTH: Final = Field(24, 24)
SOURCE_W: Final = Field(23, 23)
PER_SAMPLE: Final = Field(6, 6)
COMPUTED_STENCIL: Final = Field(5, 5)
PULLS_BARYCENTRICS: Final = Field(3, 3)
COVERAGE_IN: Final = Field(1, 0)
"""PS_EXTRA dword 1."""
UNUSUAL_SHADER: Final = (
    *(NO_TARGET, SAMPLE_MASK_OUT, COMPUTED_DEPTH, SOURCE_DEPTH, SOURCE_W),
    *(PER_SAMPLE, COMPUTED_STENCIL, PULLS_BARYCENTRICS, COVERAGE_IN),
)
WRITEABLE_TARGET: Final = Field(30, 30)
PS_BLENDS: Final = Field(29, 29)
ALPHA_COVERAGE: Final = Field(31, 31)
ALPHA_TEST: Final = Field(8, 8)
"""PS_BLEND dword 1: copies of BLEND_STATE."""

# -- 3DSTATE_PS --------------------------------------------------------------------------------

KERNELS: Final = (1, 8, 10)
"""Low dwords of three kernel starts, from the Instruction base on; the high ones follow."""
KERNEL_START: Final = Field(47, 6)
VECTOR_MASK: Final = Field(30, 30)
TABLE_ENTRIES: Final = Field(25, 18)
ALTERNATE_FLOAT: Final = Field(16, 16)
ROUNDING: Final = Field(15, 14)
"""Dword 3. How many entries of the binding table the shader uses is a hint."""
SCRATCH: Final = 4
"""Qword, as MEDIA_VFE_STATE has it."""
MOST_THREADS: Final = Field(31, 23)
PUSH_CONSTANTS: Final = Field(11, 11)
FAST_CLEAR: Final = Field(8, 8)
RESOLVE: Final = Field(7, 6)
FAST_CLEAR_UNITS: Final = MappingProxyType({4: (64, 32), 8: (32, 32), 16: (16, 32)})
"""Pixels, by a texel's bytes, for which each pixel of a fast clear's rectangle stands."""
POSITION_OFFSET: Final = Field(4, 3)
WIDTHS: Final = Field(2, 0)
"""Dword 6. Widths 8, 16 and 32 from bit 0 on. Threads minus 1."""
STARTS: Final = (Field(22, 16), Field(14, 8), Field(6, 0))
"""Dword 7: the register at which constants and attributes begin, of each kernel."""
CONSTANT_LENGTHS: Final = (1, 2)
"""CONSTANT_PS: dwords with the lengths of four buffers."""

# -- tables that the packets point at ----------------------------------------------------------

BLEND_POINTER: Final = Field(31, 6)
BLEND_VALID: Final = Field(0, 0)
"""From the Dynamic State base."""
BINDING_TABLE: Final = Field(15, 5)
SAMPLERS: Final = Field(31, 5)
BLEND_STATE_DWORDS: Final = 3
"""Of the header and the first render target."""
BLEND_COVERAGE: Final = (Field(31, 31), Field(29, 29), Field(27, 27))
"""Dword 0: alpha to coverage, alpha to one, alpha test."""
BLENDS: Final = Field(31, 31)
WRITES_OFF: Final = (Field(2, 2), Field(1, 1), Field(0, 0), Field(3, 3))
"""Dword 1. Red, green, blue, alpha."""
LOGIC_OPERATION: Final = Field(31, 31)
CLAMPS: Final = Field(1, 0)
"""After blending, and before: what is not blended is clamped, too."""
CLAMP_RANGE: Final = Field(3, 2)
"""Dword 2."""


class ClampRange(IntEnum):
    """`CLAMP_RANGE`: to what colours are clamped."""

    UNORM = 0
    """0 to 1."""
    SNORM = 1
    """-1 to 1."""
    TARGET = 2
    """What the target can hold."""


# -- what pixel shaders' threads begin with ----------------------------------------------------

R0_TOPOLOGY: Final = Field(4, 0)
R0_LAYER: Final = Field(26, 16)
"""Dword 0 of r0."""
MOST_LAYERS: Final = 1 << 11
SUBSPANS: Final = 2
"""The dword of r1, and of r2 for channels from 16 on, from which on four dwords have the upper left
pixels of four subspans, x below y."""
PIXEL_MASK: Final = 7
"""The dword of r1 and r2 that has the mask of their 16 channels, twice."""
ATTRIBUTE_GRFS: Final = 2
ATTRIBUTE_START: Final = (3, 7, 11, 15)
"""Dwords of an attribute's registers that have the value at the first vertex, one a component; the
other dwords say how it changes."""
