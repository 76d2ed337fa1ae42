"""Commands that set up the media and GPGPU pipeline, and the interface descriptor. Facts only.

Numbers are dwords of a command, `Field` bits of such a dword. Source: PRM SKL vol 2a (command
reference), vol 2d "INTERFACE_DESCRIPTOR_DATA"; names and places as in Mesa's genxml gen9.xml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediator.gen9.field import Field

# -- STATE_BASE_ADDRESS ------------------------------------------------------------------------

BASE_MODIFY: Final = 1 << 0
"""In the low dword of each base, and in each size: the command changes it."""
BASE_ADDRESS: Final = Field(47, 12)
"""Of the qword of a base."""
BASE_PAGES: Final = Field(31, 12)
"""Of a buffer size: the size in pages."""


@dataclass(frozen=True, slots=True)
class BasePlace:
    """Where STATE_BASE_ADDRESS has a base (low dword; the high one follows) and its size."""

    base: int
    size: int | None = None


GENERAL_STATE: Final = BasePlace(1, 12)
STATELESS_MOCS: Final = 3
SURFACE_STATE: Final = BasePlace(4)
DYNAMIC_STATE: Final = BasePlace(6, 13)
INDIRECT_OBJECT: Final = BasePlace(8, 14)
INSTRUCTION: Final = BasePlace(10, 15)
BINDLESS_SURFACE_STATE: Final = BasePlace(16, 18)
"""Its size is in surface states minus 1, of 64 bytes each, in bits 31:12."""
BASE_PLACES: Final = (
    GENERAL_STATE,
    SURFACE_STATE,
    DYNAMIC_STATE,
    INDIRECT_OBJECT,
    INSTRUCTION,
    BINDLESS_SURFACE_STATE,
)
BASE_ADDRESS_DWORDS: Final = 19

# -- PIPELINE_SELECT ---------------------------------------------------------------------------

SELECT_MASK: Final = Field(15, 8)
"""Which of the bits 7:0 the command changes."""
SELECT: Final = Field(7, 0)

# -- MEDIA_VFE_STATE ---------------------------------------------------------------------------

SCRATCH_SIZE: Final = Field(3, 0)
"""Dword 1: bytes for each thread as a power of two, from `SCRATCH_UNIT` on."""
SCRATCH_UNIT: Final = 1 << 10
SCRATCH_BASE: Final = Field(47, 10)
"""Of dwords 1 and 2: counted from the General State base."""
MAXIMUM_THREADS: Final = Field(31, 16)
"""Dword 3: minus 1."""
CURBE_ALLOCATION: Final = Field(15, 0)
"""Dword 5, in GRFs."""

# -- MEDIA_CURBE_LOAD, MEDIA_INTERFACE_DESCRIPTOR_LOAD -----------------------------------------

LOAD_LENGTH: Final = 2
LOAD_START: Final = 3
"""Dwords of both: bytes, and where they start from the Dynamic State base."""
LOAD_DWORDS: Final = 4
LOAD_BYTES: Final = Field(16, 0)
CURBE_START: Final = Field(31, 6)
DESCRIPTOR_START: Final = Field(31, 6)
CURBE_BYTES: Final = 2032 * 32
"""The most that constants take."""
DESCRIPTOR_BYTES: Final = 32
DESCRIPTORS: Final = 64
"""As many as a walker's index can name."""

# -- the interface descriptor, by dword --------------------------------------------------------

KERNEL_START: Final = Field(47, 6)
"""Of dwords 0 and 1: counted from the Instruction base."""
FLOAT_MODE: Final = Field(16, 16)
"""Dword 2: 0 IEEE-754, 1 alternate."""
SINGLE_PROGRAM_FLOW: Final = Field(18, 18)
DENORMALS: Final = Field(19, 19)
"""Dword 2: 0 flushed, 1 as cr0 says."""
SAMPLERS: Final = Field(31, 5)
"""Dword 3: the sampler table, from the Dynamic State base, in 32 bytes."""
BINDING_TABLE: Final = Field(15, 5)
"""Dword 4: from the Surface State base, in 32 bytes."""
CONSTANT_OFFSET: Final = Field(15, 0)
CONSTANT_LENGTH: Final = Field(31, 16)
"""Dword 5, in GRFs: where constants are read from, and how many for each thread."""
GROUP_THREADS: Final = Field(9, 0)
SLM_SIZE: Final = Field(20, 16)
BARRIER: Final = Field(21, 21)
ROUNDING: Final = Field(23, 22)
"""Dword 6. Rounding as in cr0: nearest even, up, down, to zero."""
CROSS_LENGTH: Final = Field(7, 0)
"""Dword 7: GRFs of constants that all threads of a group share."""

SLM_BYTES: Final = (0, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10)
"""By `SLM_SIZE`; larger codes are reserved."""
SUBSLICE_THREADS: Final = 64
"""The most threads in a group that any Gen9 subslice takes: eight EUs of seven run 56."""
