"""What a thread finds in its registers when it begins. Facts only.

Source: PRM SKL vol 7 "GPGPU Thread Payload", "Media Thread Payload". The order of the blocks behind
r0 is as programs of Mesa (constants by CURBE) and of compute-runtime (indirect data) read them.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from mediator.gen9.field import Field

R0_GROUP_X: Final = 1
R0_BARRIER: Final = 2
R0_SAMPLERS: Final = 3
R0_BINDING_TABLE: Final = 4
R0_THREAD: Final = 5
R0_GROUP_Y: Final = 6
R0_GROUP_Z: Final = 7
"""Dwords of r0."""

BARRIER_ID: Final = Field(27, 24)
SAMPLER_TABLE: Final = Field(31, 5)
SCRATCH_SIZE: Final = Field(3, 0)
"""Dword 3: as a power of two from 1 KiB on."""
BINDING_TABLE: Final = Field(15, 5)
FFTID: Final = Field(8, 0)
GPGPU_DISPATCH: Final = Field(9, 9)
SCRATCH_POINTER: Final = Field(31, 10)
"""Dword 5: where the thread's scratch space begins, from the General State base."""
SR0_DISPATCH_MASK: Final = 2
"""Dword of sr0: the channels that were dispatched."""


class Order(Enum):
    """Which block of constants follows r0: memory has the shared one first in any case."""

    SHARED_FIRST = "shared first"
    """Constants from the CURBE."""
    OWN_FIRST = "own first"
    """Indirect data."""
