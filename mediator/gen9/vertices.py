"""Vertex buffers and elements: how the vertex fetcher makes vertices. Facts only.

Numbers are dwords of a command, `Field` bits of such a dword. Source: PRM SKL vol 2a
3DSTATE_VERTEX_BUFFERS, 3DSTATE_VERTEX_ELEMENTS, 3DSTATE_VF_INSTANCING, 3DSTATE_VF_SGVS, vol 2d
VERTEX_BUFFER_STATE, VERTEX_ELEMENT_STATE; places as in Mesa's genxml gen9.xml.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final

from mediator.gen9.field import Field

# -- VERTEX_BUFFER_STATE, four dwords a buffer behind the header -------------------------------

BUFFER_DWORDS: Final = 4
BUFFER_INDEX: Final = Field(31, 26)
ADDRESS_MODIFY: Final = Field(14, 14)
NULL_BUFFER: Final = Field(13, 13)
"""What is read from it is 0."""
PITCH: Final = Field(11, 0)
"""Dword 0. Bytes from a vertex to the next; 0: all have the same."""
BUFFER_ADDRESS: Final = 1
"""The low dword of the GPU address; the high one follows."""
BUFFER_SIZE: Final = 3
"""Bytes; what is read behind them is 0."""

# -- VERTEX_ELEMENT_STATE, two dwords an element behind the header -----------------------------

ELEMENT_DWORDS: Final = 2
ELEMENT_BUFFER: Final = Field(31, 26)
VALID: Final = Field(25, 25)
FORMAT: Final = Field(24, 16)
EDGE_FLAG: Final = Field(15, 15)
OFFSET: Final = Field(11, 0)
"""Dword 0. Bytes from the vertex on."""
CONTROLS: Final = (Field(30, 28), Field(26, 24), Field(22, 20), Field(18, 16))
"""Dword 1: where each of the element's four components comes from."""


class Control(IntEnum):
    """What becomes of a component."""

    NOT_STORED = 0
    SOURCE = 1
    ZERO = 2
    FLOAT_ONE = 3
    INTEGER_ONE = 4
    PRIMITIVE_ID = 7


DWORDS_OF_FORMAT: Final = MappingProxyType(
    {
        0x000: 4,  # R32G32B32A32_FLOAT
        0x001: 4,  # R32G32B32A32_SINT
        0x002: 4,  # R32G32B32A32_UINT
        0x040: 3,  # R32G32B32_FLOAT
        0x041: 3,  # R32G32B32_SINT
        0x042: 3,  # R32G32B32_UINT
        0x085: 2,  # R32G32_FLOAT
        0x086: 2,  # R32G32_SINT
        0x087: 2,  # R32G32_UINT
        0x0D6: 1,  # R32_SINT
        0x0D7: 1,  # R32_UINT
        0x0D8: 1,  # R32_FLOAT
    }
)
"""Formats whose components are dwords that are taken as they stand."""

# -- 3DSTATE_VF_INSTANCING ---------------------------------------------------------------------

INSTANCING_DWORDS: Final = 3
INSTANCING_ELEMENT: Final = Field(5, 0)
INSTANCING_ENABLE: Final = Field(8, 8)
"""Dword 1."""

# -- 3DSTATE_VF_SGVS: values that the system generates -----------------------------------------

INSTANCE_ID: Final = Field(31, 31)
INSTANCE_COMPONENT: Final = Field(30, 29)
INSTANCE_ELEMENT: Final = Field(21, 16)
VERTEX_ID: Final = Field(15, 15)
"""Dword 1: written over a component of an element."""

# -- the vertex (VUE), in slots of four dwords -------------------------------------------------

SLOT_DWORDS: Final = 4
HEADER_SLOT: Final = 0
HEADER_LAYER: Final = 1
"""Dword of the header: render target array index."""
POSITION_SLOT: Final = 1
