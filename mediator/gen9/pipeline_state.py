"""State commands of the render pipeline that a context keeps, and where its image has them. Facts.

The pages of a render context behind its register state page hold such commands: what the pipeline
was told last of each kind, then what constants and interface descriptors it has loaded, as commands
that carry what they load, then the walker at which the context was interrupted. Source: PRM SKL vol
2a and vol 7 "Logical Ring Context Format"; lengths as in Mesa's genxml gen9.xml. Which commands,
and where they stand, is this model's choice.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

STATE_COMMANDS: Final = MappingProxyType(
    {
        0x6101: 19,  # STATE_BASE_ADDRESS
        0x6102: 3,  # STATE_SIP
        0x6104: 3,  # GPGPU_CSR_BASE_ADDRESS
        0x6904: 1,  # PIPELINE_SELECT
        0x7000: 9,  # MEDIA_VFE_STATE
        0x7808: 133,  # 3DSTATE_VERTEX_BUFFERS
        0x7809: 69,  # 3DSTATE_VERTEX_ELEMENTS
        0x780C: 2,  # 3DSTATE_VF
        0x780D: 2,  # 3DSTATE_MULTISAMPLE
        0x780E: 2,  # 3DSTATE_CC_STATE_POINTERS
        0x780F: 2,  # 3DSTATE_SCISSOR_STATE_POINTERS
        0x7810: 9,  # 3DSTATE_VS
        0x7811: 10,  # 3DSTATE_GS
        0x7812: 4,  # 3DSTATE_CLIP
        0x7813: 4,  # 3DSTATE_SF
        0x7814: 2,  # 3DSTATE_WM
        0x7817: 11,  # 3DSTATE_CONSTANT_PS
        0x7818: 2,  # 3DSTATE_SAMPLE_MASK
        0x781B: 9,  # 3DSTATE_HS
        0x781C: 4,  # 3DSTATE_TE
        0x781D: 11,  # 3DSTATE_DS
        0x781E: 5,  # 3DSTATE_STREAMOUT
        0x781F: 6,  # 3DSTATE_SBE
        0x7820: 12,  # 3DSTATE_PS
        0x7821: 2,  # 3DSTATE_VIEWPORT_STATE_POINTERS_SF_CLIP
        0x7823: 2,  # 3DSTATE_VIEWPORT_STATE_POINTERS_CC
        0x7824: 2,  # 3DSTATE_BLEND_STATE_POINTERS
        0x7826: 2,  # 3DSTATE_BINDING_TABLE_POINTERS_VS
        0x782A: 2,  # 3DSTATE_BINDING_TABLE_POINTERS_PS
        0x782B: 2,  # 3DSTATE_SAMPLER_STATE_POINTERS_VS
        0x782F: 2,  # 3DSTATE_SAMPLER_STATE_POINTERS_PS
        0x7830: 2,  # 3DSTATE_URB_VS
        0x7833: 2,  # 3DSTATE_URB_GS
        0x7849: 102,  # 3DSTATE_VF_INSTANCING, one for each element
        0x784A: 2,  # 3DSTATE_VF_SGVS
        0x784B: 2,  # 3DSTATE_VF_TOPOLOGY
        0x784D: 2,  # 3DSTATE_PS_BLEND
        0x784E: 4,  # 3DSTATE_WM_DEPTH_STENCIL
        0x784F: 2,  # 3DSTATE_PS_EXTRA
        0x7850: 5,  # 3DSTATE_RASTER
        0x7852: 5,  # 3DSTATE_WM_HZ_OP
        0x7900: 4,  # 3DSTATE_DRAWING_RECTANGLE
    }
)
"""Dwords by header bits 31:16, in the order of the image: one behind the other from page 2 on."""

HEADER_FLAGS: Final = MappingProxyType({0x780C: 0xF00})
"""Bits of headers that say something, but for PIPELINE_SELECT's: of 3DSTATE_VF."""

VERTEX_BUFFERS: Final = 0x7808
VERTEX_BUFFER_COUNT: Final = 33
"""The image names all of them in one command; each command of a batch changes those it names."""
INSTANCING: Final = 0x7849
ELEMENT_COUNT: Final = 34
"""Of vertices. INSTANCING says of one element whether it advances by instances, so the image has it
so many times."""

DESCRIPTOR_LOAD: Final = 0x7002
CURBE_LOAD: Final = 0x7001
WALKER: Final = 0x7105
"""Header bits 31:16 of commands with pages of their own."""
COMMAND_PAGES: Final = 1
DESCRIPTOR_PAGES: Final = 1
CURBE_PAGES: Final = 16
WALKER_PAGES: Final = 1
"""Pages of the image from page 2 on; behind them stands the last page of all."""
