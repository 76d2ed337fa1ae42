"""From 3DPRIMITIVE and the state of the pipeline to the job of a pixel shader.

Source: PRM SKL vol 2a 3DPRIMITIVE, vol 2d BLEND_STATE, vol 7 "Pixel Shader Thread Generation".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.gen9 import render
from mediator.gen9.eu import media, surface_state
from mediator.gen9.eu.formats import ChannelKind
from mediator.gen9.eu.payload import Order
from mediator.gen9.eu.surface_state import SurfaceType, TileMode
from mediator.gen9.eu.walker import ALL_CHANNELS
from mediator.gen9.render import ClampRange
from mediator.gen9.vertices import HEADER_LAYER, HEADER_SLOT, SLOT_DWORDS
from mediator.softgpu.eu.dispatch import clear, media_state, pixels
from mediator.softgpu.eu.dispatch.job import Constants, Grid, KernelJob, Shape
from mediator.softgpu.eu.dispatch.media_state import Bases, Descriptor, FrontEnd
from mediator.softgpu.eu.dispatch.payload import GRF, MOST_GRFS
from mediator.softgpu.eu.messages.surface import decode, minify
from mediator.softgpu.pipeline_state import BASE_ADDRESS
from mediator.softgpu.render import vertices
from mediator.softgpu.render.draw_state import DrawState, Purpose, draw_state
from mediator.softgpu.render.not_built import NotBuilt
from mediator.softgpu.render.rectangle import covered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.messages.surface import Surface
    from mediator.softgpu.pipeline_state import PipelineState
    from mediator.softgpu.render.draw_state import Shader
    from mediator.softgpu.render.vertices import Vertex

_STATE: Final = struct.Struct(f"<{surface_state.STATE_DWORDS}I")
_BLEND: Final = struct.Struct(f"<{render.BLEND_STATE_DWORDS}I")
_MOST_ENTRIES: Final = 32
"""Of a binding table that are looked at before a draw."""
_DRAWN_ON: Final = {SurfaceType.D2, SurfaceType.D3}
_CLAMPED: Final[Mapping[int, frozenset[ChannelKind]]] = {
    ClampRange.UNORM: frozenset({ChannelKind.SNORM, ChannelKind.FLOAT}),
    ClampRange.SNORM: frozenset({ChannelKind.FLOAT}),
}
"""Channels that could hold more."""
_NOTHING: Final[frozenset[ChannelKind]] = frozenset()


@dataclass(frozen=True, slots=True)
class Target:
    """The surface that is drawn on, and whether control data belong to it."""

    surface: Surface
    compressed: bool


@dataclass(frozen=True, slots=True)
class Blend:
    """What BLEND_STATE says: ``writes`` has a bit for each channel, red is bit 0."""

    writes: int
    clamped: frozenset[ChannelKind]
    """Channels whose colours are clamped to less than they could hold."""


@dataclass(frozen=True, slots=True)
class Call:
    """What 3DPRIMITIVE says."""

    start_vertex: int
    instances: int


def call(command: Sequence[int]) -> Call:
    """The operands of a 3DPRIMITIVE with all its dwords. Raises NotBuilt."""
    if len(command) < render.PRIMITIVE_DWORDS:
        raise NotBuilt(f"3DPRIMITIVE of {len(command)} dwords")
    if render.INDIRECT.get(command[0]):
        raise NotBuilt("parameters in registers")
    if render.RANDOM_ACCESS.get(command[1]) or render.END_OFFSET.get(command[1]):
        raise NotBuilt("vertices by index, or as many as a register says")
    count = command[render.VERTEX_COUNT]
    if count != render.RECTLIST_VERTICES:
        raise NotBuilt(f"{count} vertices")
    instances = command[render.INSTANCE_COUNT]
    if not 0 < instances <= render.MOST_LAYERS:
        raise NotBuilt(f"{instances} instances")
    return Call(command[render.START_VERTEX], instances)


def draw_job(state: PipelineState, space: AddressSpace, command: Sequence[int]) -> KernelJob | None:
    """The job of a draw; None if it draws no pixel. Raises NotBuilt, and PageFault where vertices
    or tables cannot be read."""
    found = _state(state)
    asked = call(command)
    if found.purpose is Purpose.RESOLVE:
        return None
    where = media_state.bases(state.command(BASE_ADDRESS))
    corners = _corners(state, space, found, asked)
    blend = _blend(space, where, found)
    target = _target(space, where, found.shader)
    if any(each.kind in blend.clamped for each in target.surface.format.channels):
        raise NotBuilt("colours that are clamped to less than the target holds")
    area = covered(corners, found.bounds)
    clears = found.purpose is Purpose.FAST_CLEAR
    if clears and area is not None:
        area = _cleared(area, target)
    if area is None:
        return None
    shader = found.shader
    simd = clear.SIMD if clears else shader.simd
    width, height = pixels.block_size(simd)
    first = (area.left // width, area.top // height, 0)
    behind = (-(-area.right // width), -(-area.bottom // height), asked.instances)
    return KernelJob(
        kernel=media_state.wrap(where.instruction.address + shader.kernel),
        descriptor=_descriptor(shader),
        bases=where,
        front_end=FrontEnd(
            scratch_base=shader.scratch_base,
            scratch_bytes=media.SCRATCH_UNIT << shader.scratch_code,
            scratch_code=shader.scratch_code,
            threads=shader.threads,
        ),
        grid=Grid(first, behind),
        shape=Shape(simd, 1, 1, 1, ALL_CHANNELS, ALL_CHANNELS),
        constants=_payload(found, corners[0]),
        gpgpu=False,
        pixels=pixels.Pixels(area, shader.vector_mask, blend.writes, clears),
    )


def _state(pipeline: PipelineState) -> DrawState:
    """The state of a draw, decoded again when a packet has changed it. Raises NotBuilt."""
    found = pipeline.decoded
    if found is None:
        try:
            found = draw_state(pipeline.command)
        except NotBuilt as reason:
            found = str(reason)
        pipeline.decoded = found
    if isinstance(found, str):
        raise NotBuilt(found)
    assert isinstance(found, DrawState), "nobody else decodes"
    return found


def _corners(
    state: PipelineState, space: AddressSpace, found: DrawState, asked: Call
) -> list[Vertex]:
    """The three corners, which have their place alone to themselves."""
    corners = [
        vertices.fetch(state.command, space, found.layout, asked.start_vertex + number)
        for number in range(render.RECTLIST_VERTICES)
    ]
    shared = found.attributes.slots
    if any(corner[shared] != corners[0][shared] for corner in corners):
        raise NotBuilt("attributes that differ")
    header = corners[0][HEADER_SLOT]
    if not found.layers and (header[HEADER_LAYER] or asked.instances > 1):
        raise NotBuilt("layers of the vertices' own")
    return corners


def _blend(space: AddressSpace, where: Bases, found: DrawState) -> Blend:
    """BLEND_STATE, which does not blend. Raises NotBuilt."""
    address = media_state.wrap(where.dynamic.address + found.blend)
    head, target, more = _BLEND.unpack(space.read(address, _BLEND.size))
    if any(field.get(head) for field in render.BLEND_COVERAGE):
        raise NotBuilt("BLEND_STATE")
    if render.BLENDS.get(target) or render.LOGIC_OPERATION.get(more):
        raise NotBuilt("blending")
    range_ = render.CLAMP_RANGE.get(more)
    return Blend(
        writes=sum((not field.get(target)) << n for n, field in enumerate(render.WRITES_OFF)),
        clamped=_CLAMPED.get(range_, _NOTHING) if render.CLAMPS.get(more) else _NOTHING,
    )


def _target(space: AddressSpace, where: Bases, shader: Shader) -> Target:
    """The target; it and what else the shader names are of kinds that messages reach."""
    found = None
    if shader.table_entries > _MOST_ENTRIES:
        raise NotBuilt(f"{shader.table_entries} surfaces")
    for number in range(max(1, shader.table_entries)):
        words = _surface_state(space, where, shader.binding_table, number)
        surface = decode(words)
        kind = surface_state.TYPE.get(words[0])
        if number and kind >= SurfaceType.BUFFER:
            continue  # of which messages know all
        if surface is None or (not number and surface.type not in _DRAWN_ON):
            raise NotBuilt(f"surface {number}: {words[0]:#010x}")
        if not number:
            compressed = surface_state.AUXILIARY.get(words[6]) in surface_state.COMPRESSED
            found = Target(surface, compressed)
    assert found is not None, "the first"
    return found


def _cleared(area: pixels.Area, target: Target) -> pixels.Area | None:
    """The pixels for which those of a fast clear's rectangle stand. Raises NotBuilt."""
    surface = target.surface
    unit = render.FAST_CLEAR_UNITS.get(surface.format.size)
    if unit is None or not target.compressed or surface.tiling is not TileMode.Y:
        raise NotBuilt("a fast clear of another kind")
    level = surface.levels - 1
    found = pixels.Area(
        left=area.left * unit[0],
        top=area.top * unit[1],
        right=min(area.right * unit[0], minify(surface.width, level)),
        bottom=min(area.bottom * unit[1], minify(surface.height, level)),
    )
    return found if found.left < found.right and found.top < found.bottom else None


def _surface_state(space: AddressSpace, where: Bases, table: int, number: int) -> tuple[int, ...]:
    at = where.surface.address + table + surface_state.ENTRY_BYTES * number
    entry = space.read(media_state.wrap(at), surface_state.ENTRY_BYTES)
    offset = int.from_bytes(entry, "little") & -surface_state.STATE_BYTES
    return _STATE.unpack(space.read(media_state.wrap(where.surface.address + offset), _STATE.size))


def _descriptor(shader: Shader) -> Descriptor:
    return Descriptor(
        kernel=shader.kernel,
        alternate_float=shader.alternate_float,
        single_program_flow=False,
        keeps_denormals=True,
        rounding=shader.rounding,
        samplers=shader.samplers,
        binding_table=shader.binding_table,
        constant_offset=0,
        own_length=0,
        shared_length=0,
        threads=1,
        slm_bytes=0,
        barrier=False,
    )


def _payload(found: DrawState, corner: Vertex) -> Constants:
    """What threads have from r1 on: room for what is their own, then the attributes."""
    shader, attributes = found.shader, found.attributes
    own = 2 if shader.simd > pixels.HALF else 1
    grfs = max(own, shader.start - 1 + render.ATTRIBUTE_GRFS * attributes.count)
    if grfs > MOST_GRFS or (attributes.count and shader.start <= own):
        raise NotBuilt(f"attributes from r{shader.start} on")
    words = [0] * (grfs * pixels.GRF_DWORDS)
    for number in range(attributes.count):
        grf = shader.start - 1 + render.ATTRIBUTE_GRFS * number
        slot = corner[attributes.first + number]
        for component in range(SLOT_DWORDS):
            at = grf * pixels.GRF_DWORDS + render.ATTRIBUTE_START[component]
            words[at] = slot[component]
    data = struct.pack(f"<{len(words)}I", *words)
    return Constants(data, len(data) // GRF, 0, Order.SHARED_FIRST)
