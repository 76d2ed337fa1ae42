"""The registers with which a thread begins.

Source: PRM SKL vol 7 "GPGPU Thread Payload". The twin in C is in `native/group.c`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mediator.gen9.eu import control_register, payload
from mediator.gen9.eu.payload import Order
from mediator.softgpu.eu.dispatch import pixels

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob, Shape

GRF: Final = 32
_R0: Final = struct.Struct("<8I")
MOST_GRFS: Final = 127
"""Behind r0."""


def fixed_r0(job: KernelJob) -> list[int]:
    """r0 of every thread, without its group and its scratch space."""
    words = [0] * 8
    tables = job.descriptor
    words[payload.R0_SAMPLERS] = tables.samplers | job.front_end.scratch_code
    words[payload.R0_BINDING_TABLE] = tables.binding_table
    words[payload.R0_THREAD] = payload.GPGPU_DISPATCH.put(int(job.gpgpu))
    return words


def scratch_pointer(job: KernelJob, slot: int) -> int:
    """Where scratch space ``slot`` (FFTID) begins: 32 bits from the General State base on."""
    front = job.front_end
    return (front.scratch_base + slot * front.scratch_bytes) & payload.SCRATCH_POINTER.mask


def dispatch_mask(shape: Shape, thread: int) -> int:
    """Channels of thread number ``thread`` of a group."""
    mask = (1 << shape.simd) - 1
    row = thread // shape.width
    if thread % shape.width == shape.width - 1:
        mask &= shape.right
    if shape.height > 1 and row % shape.height == shape.height - 1:
        mask &= shape.bottom
    return mask


@lru_cache(256)
def group_channels(shape: Shape) -> int:
    """Channels of all threads of a group together."""
    return sum(dispatch_mask(shape, thread).bit_count() for thread in range(shape.threads))


def control(job: KernelJob) -> int:
    """cr0.0 of a thread that begins.

    Denormals of doubles are kept: Mesa's compiler leaves that bit as a thread finds it, and
    OpenCL's doubles want it set.
    """
    found = job.descriptor
    return (
        control_register.KEEP_DF.mask
        | control_register.ROUNDING.put(found.rounding)
        | control_register.ALTERNATE.put(int(found.alternate_float))
    )


def constants_block(job: KernelJob) -> bytes:
    """The constants of all threads of a group, as long as they say they are."""
    constants = job.constants
    size = (constants.shared + constants.own * job.shape.threads) * GRF
    return constants.data[:size].ljust(size, b"\0")


def registers(job: KernelJob, group: GroupId, thread: int, slot: int) -> bytes:
    """r0 and what follows it, as whole GRFs, for a thread in scratch space ``slot``."""
    words = fixed_r0(job)
    drawn = b""
    if job.pixels is not None:
        place = pixels.block(job.pixels, job.shape.simd, group)
        words[0] = pixels.first_dword(place.layer)
        more = pixels.words(place, job.shape.simd)
        drawn = struct.pack(f"<{len(more)}I", *more)
    else:
        words[payload.R0_GROUP_X], words[payload.R0_GROUP_Y], words[payload.R0_GROUP_Z] = group
    words[payload.R0_THREAD] |= scratch_pointer(job, slot) | payload.FFTID.put(slot)
    constants, data = job.constants, constants_block(job)
    begin = (constants.shared + thread * constants.own) * GRF
    shared, own = data[: constants.shared * GRF], data[begin : begin + constants.own * GRF]
    blocks = (shared, own) if constants.order is Order.SHARED_FIRST else (own, shared)
    return _R0.pack(*words) + drawn + b"".join(blocks)[len(drawn) :]
