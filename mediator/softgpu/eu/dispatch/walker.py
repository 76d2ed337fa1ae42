"""From a command that starts threads to the kernel job that it asks for.

Source: PRM SKL vol 2a GPGPU_WALKER, MEDIA_OBJECT. State with which hardware would start nothing, or
would never come to an end, is a `BadState`: its context hangs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mediator.gen9.eu import media, walker
from mediator.gen9.eu.payload import Order
from mediator.softgpu.eu.dispatch import media_state
from mediator.softgpu.eu.dispatch.job import Constants, Grid, KernelJob, Shape
from mediator.softgpu.eu.dispatch.media_state import BadState, Bases, Descriptor
from mediator.softgpu.eu.dispatch.payload import GRF, MOST_GRFS
from mediator.softgpu.pipeline_state import BASE_ADDRESS, FRONT_END

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import GroupId
    from mediator.softgpu.pipeline_state import PipelineState


def walker_job(
    state: PipelineState, space: AddressSpace, command: Sequence[int], groups: GroupId
) -> KernelJob:
    """The job of a GPGPU_WALKER with all its dwords; ``groups``: its dimensions.

    Raises BadState, and PageFault where indirect data cannot be read.
    """
    if len(command) < walker.WALKER_DWORDS:
        raise BadState(f"GPGPU_WALKER of {len(command)} dwords")
    found = _descriptor(state, walker.DESCRIPTOR_INDEX.get(command[1]))
    where = media_state.bases(state.command(BASE_ADDRESS))
    shape = _shape(command)
    _check_group(shape, found)
    x, y, z = (command[at] for at in walker.STARTS)
    job = KernelJob(
        kernel=media_state.wrap(where.instruction.address + found.kernel),
        descriptor=found,
        bases=where,
        front_end=media_state.front_end(state.command(FRONT_END)),
        grid=Grid((x, y, z), groups),
        shape=shape,
        constants=_constants(state, space, where, command, found, shape.threads),
    )
    if job.front_end.threads < shape.threads:
        raise BadState(f"{shape.threads} threads in a group, {job.front_end.threads} allowed")
    return job


def object_job(state: PipelineState, space: AddressSpace, command: Sequence[int]) -> KernelJob:
    """The job of a MEDIA_OBJECT: one thread. Raises as `walker_job`.

    Its constants come first, then the data in the command, then indirect data.
    """
    if len(command) < walker.OBJECT_INLINE:
        raise BadState(f"MEDIA_OBJECT of {len(command)} dwords")
    found = _descriptor(state, walker.DESCRIPTOR_INDEX.get(command[walker.OBJECT_DESCRIPTOR]))
    where = media_state.bases(state.command(BASE_ADDRESS))
    length = (found.shared_length + found.own_length) * GRF
    data = state.constants[found.constant_offset :][:length].ljust(length, b"\0")
    inline = command[walker.OBJECT_INLINE :]
    data += _whole(struct.pack(f"<{len(inline)}I", *inline))
    size = walker.INDIRECT_LENGTH.get(command[walker.OBJECT_INDIRECT_LENGTH])
    start = command[walker.OBJECT_INDIRECT_START]
    data += _whole(_indirect(space, where, start, size))
    constants = Constants(data, 0, len(data) // GRF, Order.SHARED_FIRST)
    _check_payload(constants)
    return KernelJob(
        kernel=media_state.wrap(where.instruction.address + found.kernel),
        descriptor=found,
        bases=where,
        front_end=media_state.front_end(state.command(FRONT_END)),
        grid=Grid((0, 0, 0), (1, 1, 1)),
        shape=Shape(32, 1, 1, 1, walker.ALL_CHANNELS, walker.ALL_CHANNELS),
        constants=constants,
        gpgpu=False,
    )


def _descriptor(state: PipelineState, index: int) -> Descriptor:
    at = index * media.DESCRIPTOR_BYTES
    data = state.descriptors[at : at + media.DESCRIPTOR_BYTES]
    if len(data) < media.DESCRIPTOR_BYTES:
        raise BadState(f"interface descriptor {index} was not loaded")
    return media_state.descriptor(data)


def _shape(command: Sequence[int]) -> Shape:
    word = command[walker.SHAPE]
    code = walker.SIMD.get(word)
    if code >= len(walker.SIMD_WIDTHS):
        raise BadState(f"GPGPU_WALKER: SIMD size code {code} is reserved")
    return Shape(
        simd=walker.SIMD_WIDTHS[code],
        width=walker.WIDTH_MAXIMUM.get(word) + 1,
        height=walker.HEIGHT_MAXIMUM.get(word) + 1,
        depth=walker.DEPTH_MAXIMUM.get(word) + 1,
        right=command[walker.RIGHT_MASK],
        bottom=command[walker.BOTTOM_MASK],
    )


def _check_group(shape: Shape, found: Descriptor) -> None:
    if shape.threads > media.SUBSLICE_THREADS:
        raise BadState(f"a group of {shape.threads} threads fits no subslice")
    if not found.threads:
        raise BadState("interface descriptor: groups of no threads")
    if found.threads != shape.threads and (found.barrier or found.slm_bytes):
        raise BadState(f"{shape.threads} threads walk in groups of {found.threads}")


def _constants(
    state: PipelineState,
    space: AddressSpace,
    where: Bases,
    command: Sequence[int],
    found: Descriptor,
    threads: int,
) -> Constants:
    size = walker.INDIRECT_LENGTH.get(command[walker.INDIRECT_DATA])
    if size:
        data = _indirect(space, where, command[walker.INDIRECT_DATA + 1], size)
        order = Order.OWN_FIRST
    else:
        length = (found.shared_length + found.own_length * threads) * GRF
        data = state.constants[found.constant_offset :][:length]
        order = Order.SHARED_FIRST
    constants = Constants(data, found.shared_length, found.own_length, order)
    _check_payload(constants)
    return constants


def _check_payload(constants: Constants) -> None:
    if constants.shared + constants.own > MOST_GRFS:
        raise BadState(f"{constants.shared + constants.own} registers of constants")


def _indirect(space: AddressSpace, where: Bases, start: int, size: int) -> bytes:
    if not size:
        return b""
    address = where.indirect.address + (start & walker.INDIRECT_START.mask)
    return space.read(media_state.wrap(address), size)


def _whole(data: bytes) -> bytes:
    """``data`` filled up to whole GRFs."""
    return data.ljust(-len(data) // GRF * -GRF, b"\0")
