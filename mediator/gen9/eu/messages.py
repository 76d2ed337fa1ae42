"""Messages of the execution units: shared functions, descriptors, types, atomic operations.

Source: PRM SKL vol 2d "Structures" (MD_*, MDC_*, MH_*), vol 7 "Shared Functions"; the same numbers
are in Mesa's brw_eu_defines.h and in the OpenCL compiler's encoder. What the manual leaves open and
a driver's code decides is said at its place.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from mediator.gen9.field import Field


class SharedFunction(IntEnum):
    """Who carries a message out (SFID)."""

    NULL = 0
    SAMPLER = 2
    GATEWAY = 3
    SAMPLER_CACHE_PORT = 4
    RENDER_CACHE_PORT = 5
    URB = 6
    THREAD_SPAWNER = 7
    VIDEO_MOTION = 8
    CONSTANT_CACHE_PORT = 9
    DATA_PORT_0 = 10
    PIXEL_INTERPOLATOR = 11
    DATA_PORT_1 = 12


# Every descriptor.
MESSAGE_LENGTH: Final = Field(28, 25)
"""GRFs of the payload."""
RESPONSE_LENGTH: Final = Field(24, 20)
"""GRFs that come back."""
HEADER_PRESENT: Final = Field(19, 19)
BINDING_TABLE_INDEX: Final = Field(7, 0)

# Extended descriptor.
MORE_LENGTH: Final = Field(9, 6)
"""GRFs of the payload's second part."""
BINDLESS_STATE: Final = Field(31, 12)
"""Of `BINDLESS`: the surface state's number from the bindless base on, in 64 bytes."""

# Binding table indices with a meaning of their own.
LAST_TABLE_ENTRY: Final = 239
BINDLESS: Final = 252
STATELESS_NON_COHERENT: Final = 253
SHARED_LOCAL_MEMORY: Final = 254
LOCAL_MASK: Final = 0xFFFF
"""Bits of an offset into it that count: the OpenCL compiler's start at 0x10000000."""
STATELESS: Final = 255

# Headers: dword and meaning.
HEADER_ADDRESS: Final = 0
"""Block messages of 64-bit addresses: dwords 1:0."""
HEADER_OFFSET: Final = 2
"""Data port: one more offset, in the message's own unit. Sampler: channels and texel offsets."""
HEADER_SCRATCH_SIZE: Final = 3
"""Data port: `SCRATCH_SIZE`. Sampler: offset of the sampler states from the dynamic base."""
HEADER_BASE: Final = 5
"""Of the stateless surface. Block and untyped messages take `BASE_KIB` alone, scattered ones all;
Mesa's scratch header relies on both."""
HEADER_PIXELS: Final = 7
"""Data port 1's surface messages: a mask of 16 channels."""
SCRATCH_SIZE: Final = Field(3, 0)
"""2^n KiB that the thread may use."""
BASE_KIB: Final = Field(31, 10)


class Port1(IntEnum):
    """Data port 1, by `PORT_1_TYPE`. GLOBAL: 64-bit addresses."""

    UNTYPED_READ = 0x01
    UNTYPED_ATOMIC = 0x02
    MEDIA_BLOCK_READ = 0x04
    TYPED_READ = 0x05
    TYPED_ATOMIC = 0x06
    UNTYPED_WRITE = 0x09
    MEDIA_BLOCK_WRITE = 0x0A
    TYPED_WRITE = 0x0D
    GLOBAL_SCATTERED_READ = 0x10
    GLOBAL_READ = 0x11
    GLOBAL_ATOMIC = 0x12
    GLOBAL_BLOCK_READ = 0x14
    GLOBAL_BLOCK_WRITE = 0x15
    GLOBAL_WRITE = 0x19
    GLOBAL_SCATTERED_WRITE = 0x1A
    UNTYPED_FLOAT_ATOMIC = 0x1B
    GLOBAL_FLOAT_ATOMIC = 0x1D


PORT_1_TYPE: Final = Field(18, 14)
CHANNELS_OFF: Final = Field(11, 8)
"""Surface reads and writes: a set bit leaves the channel out (x is the lowest)."""
SURFACE_MODE: Final = Field(13, 12)
"""Untyped: 1 is 16 channels, 2 is 8. Typed: 1 the lower, 2 the upper 8 pixels of the header's mask.
0 is SIMD4x2, which no compiler for Gen9 uses."""
ATOMIC_OPERATION: Final = Field(11, 8)
ATOMIC_MODE: Final = Field(12, 12)
"""Untyped: 1 is 8 channels, else 16. Typed: the upper 8 pixels. Global: 1 is qwords."""
ATOMIC_RETURNS: Final = Field(13, 13)
GLOBAL_ELEMENT: Final = Field(9, 8)
"""Global scattered: 0 bytes, 1 dwords, 2 qwords."""
GLOBAL_ELEMENTS: Final = Field(11, 10)
"""2^n elements a channel; of bytes all in one dword."""
GLOBAL_SIMD16: Final = Field(12, 12)
GLOBAL_BLOCK_KIND: Final = Field(12, 11)
"""0: address of whole OWords, 1: of whole dwords (reads alone)."""


class Port0(IntEnum):
    """Data port 0, by `PORT_0_TYPE`; the read-only ports have the first four too."""

    BLOCK_READ = 0
    UNALIGNED_BLOCK_READ = 1
    DUAL_BLOCK_READ = 2
    DWORD_SCATTERED_READ = 3
    BYTE_SCATTERED_READ = 4
    QWORD_SCATTERED_READ = 5
    FENCE = 7
    BLOCK_WRITE = 8
    DUAL_BLOCK_WRITE = 10
    DWORD_SCATTERED_WRITE = 11
    BYTE_SCATTERED_WRITE = 12
    QWORD_SCATTERED_WRITE = 13


SAMPLER_CACHE_BLOCK_READ: Final = 4
"""Of the read-only ports: unaligned."""
SAMPLER_CACHE_MEDIA_READ: Final = 5
PORT_0_TYPE: Final = Field(17, 14)
SCRATCH: Final = Field(18, 18)
"""Set: a scratch block message, whose other fields are the next four."""
SCRATCH_WRITE: Final = Field(17, 17)
SCRATCH_BY_CHANNEL: Final = Field(16, 16)
SCRATCH_GRFS: Final = Field(13, 12)
"""2^n."""
SCRATCH_OFFSET: Final = Field(11, 0)
"""GRFs."""
BLOCK_SIZE: Final = Field(10, 8)
BLOCK_DWORDS: Final = (4, 4, 8, 16, 32)
"""By `BLOCK_SIZE`: an OWord in the register's low half, one in its high half, 2, 4, 8 OWords."""
HIGH_HALF: Final = 1
DUAL_BLOCK_SIZE: Final = Field(9, 8)
DUAL_BLOCK_OWORDS: Final = {0: 1, 2: 4}
DWORD_SCATTERED_MODE: Final = Field(9, 8)
"""2 is 8 channels, 3 is 16."""
SCATTERED_SIMD16: Final = Field(8, 8)
"""Byte and qword scattered."""
SCATTERED_SIZE: Final = Field(11, 10)
"""2^n bytes, or qwords, a channel."""
OWORD: Final = 16


class Gateway(IntEnum):
    """Functions of the message gateway, by `GATEWAY_FUNCTION`."""

    OPEN = 0
    CLOSE = 1
    GET_TIMESTAMP = 3
    BARRIER = 4


GATEWAY_FUNCTION: Final = Field(2, 0)


class AtomicOperation(IntEnum):
    """What an integer atomic writes, of the old value and one or two operands."""

    AND = 1
    OR = 2
    XOR = 3
    MOVE = 4
    INCREMENT = 5
    DECREMENT = 6
    ADD = 7
    SUBTRACT = 8
    """Old minus operand."""
    REVERSE_SUBTRACT = 9
    SIGNED_MAXIMUM = 10
    SIGNED_MINIMUM = 11
    MAXIMUM = 12
    MINIMUM = 13
    COMPARE_WRITE = 14
    """The second operand where the first is found."""
    PRE_DECREMENT = 15
    """Gives back the new value; all others the old one."""


class FloatAtomicOperation(IntEnum):
    """The same for 32-bit floats."""

    MAXIMUM = 1
    MINIMUM = 2
    COMPARE_WRITE = 3


class Sampler(IntEnum):
    """The sampler's messages, by `SAMPLER_TYPE`. LZ: of level 0, C: compared with a reference."""

    SAMPLE = 0
    SAMPLE_B = 1
    SAMPLE_L = 2
    SAMPLE_C = 3
    SAMPLE_D = 4
    SAMPLE_B_C = 5
    SAMPLE_L_C = 6
    LD = 7
    GATHER4 = 8
    LOD = 9
    RESINFO = 10
    SAMPLEINFO = 11
    GATHER4_C = 16
    SAMPLE_LZ = 24
    SAMPLE_C_LZ = 25
    LD_LZ = 26


SAMPLER_TYPE: Final = Field(16, 12)
SAMPLER_INDEX: Final = Field(11, 8)
SAMPLER_SIMD: Final = Field(18, 17)
"""1 is 8 channels, 2 is 16."""
SAMPLER_HALF: Final = Field(30, 30)
"""16-bit results."""
SAMPLER_CHANNELS_OFF: Final = Field(15, 12)
"""Header dword 2: a set bit leaves a channel of the result out (red is the lowest)."""
SAMPLER_OFFSET_U: Final = Field(11, 8)
SAMPLER_OFFSET_V: Final = Field(7, 4)
SAMPLER_OFFSET_R: Final = Field(3, 0)
"""Header dword 2: signed texels."""
GATHER_CHANNEL: Final = Field(17, 16)
"""Header dword 2."""
SAMPLER_STATES: Final = Field(31, 5)
"""Header dword 3 and r0.3: where the sampler states are."""

# Render target writes, which are of the render cache's port.
TARGET_FUNCTION: Final = Field(17, 14)
TARGET_WRITE: Final = 12
TARGET_TYPE: Final = Field(10, 8)


class TargetWrite(IntEnum):
    """By `TARGET_TYPE`. Others have two colours a pixel."""

    SIMD16 = 0
    SIMD16_REPLICATED = 1
    """One colour for all pixels."""
    SIMD8 = 4


TARGET_UPPER: Final = Field(11, 11)
"""Without a header: the channels from 16 on."""
TARGET_PER_SAMPLE: Final = Field(13, 13)
TARGET_HEADER_GRFS: Final = 2
"""Copies of r0 and r1: layer, subspans and mask of pixels stand there as in the payload."""
TARGET_MORE: Final = Field(14, 11)
"""Header dword 0: alpha of target 0, a sample mask, depth or stencil in the payload."""
TARGET_INDEX: Final = Field(2, 0)
"""Header dword 2."""

# Media blocks: header dwords 0 and 1 are signed x (bytes) and y (rows).
MEDIA_X: Final = 0
MEDIA_Y: Final = 1
MEDIA_SIZE: Final = 2
MEDIA_WIDTH: Final = Field(5, 0)
"""Header dword 2: bytes - 1."""
MEDIA_HEIGHT: Final = Field(21, 16)
"""Header dword 2: rows - 1."""
