"""What the packets of the 3D pipeline say of a draw, decoded.

Source: PRM SKL vol 2a. A packet that asks for what is not built is `NotBuilt`, with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from mediator.gen9 import render
from mediator.gen9.eu import media
from mediator.gen9.render import Packet
from mediator.gen9.vertices import POSITION_SLOT
from mediator.softgpu.render.not_built import NotBuilt
from mediator.softgpu.render.vertices import elements, layers_by_instance

if TYPE_CHECKING:
    from mediator.gen9.field import Field
    from mediator.softgpu.render.vertices import Element, Packets


@dataclass(frozen=True, slots=True)
class Shader:
    """The pixel shader in the width in which it is run. Offsets in bytes, ``start`` a GRF."""

    kernel: int
    """From the Instruction base on."""
    simd: int
    start: int
    """Where the attributes begin."""
    vector_mask: bool
    """Channels of pixels that are not covered run, too, beside covered ones."""
    alternate_float: bool
    rounding: int
    scratch_base: int
    scratch_code: int
    threads: int
    """The most that run at a time."""
    table_entries: int
    """Of the binding table, as the driver has it."""
    binding_table: int
    """From the Surface State base on."""
    samplers: int
    """From the Dynamic State base on."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What of a vertex goes to the shader: ``count`` slots from ``first`` on."""

    count: int
    first: int

    @property
    def slots(self) -> slice:
        """Their places in the vertex."""
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The drawing rectangle, in pixels; its last row and column belong to it."""

    left: int
    top: int
    right: int
    bottom: int


class Purpose(Enum):
    """What a rectangle does with its target."""

    DRAW = "draw"
    FAST_CLEAR = "fast clear"
    """Its blocks are noted as cleared, 3DSTATE_PS's shader writes nothing."""
    RESOLVE = "resolve"
    """What is noted elsewhere is written into the surface. Here nothing is noted anywhere."""


@dataclass(frozen=True, slots=True)
class DrawState:
    """All that is the same for all draws until a packet comes."""

    shader: Shader
    attributes: Attributes
    layout: tuple[Element, ...]
    """Of the vertices, up to the last slot that is looked at."""
    layers: bool
    """The number of the instance is that of its layer."""
    bounds: Bounds
    blend: int
    """BLEND_STATE, from the Dynamic State base on."""
    purpose: Purpose


def draw_state(packets: Packets) -> DrawState:
    """The state of a draw. Raises NotBuilt."""
    _check_geometry(packets)
    _check_tests(packets)
    attributes = _attributes(packets(Packet.SBE))
    return DrawState(
        shader=_shader(packets),
        attributes=attributes,
        layout=_layout(packets, attributes),
        layers=layers_by_instance(packets)
        and not render.FORCE_LAYER_0.get(packets(Packet.CLIP)[3]),
        bounds=_bounds(packets(Packet.DRAWING_RECTANGLE)),
        blend=_blend(packets(Packet.BLEND_STATE_POINTERS)[1]),
        purpose=_purpose(packets(Packet.PS)[6]),
    )


def _purpose(modes: int) -> Purpose:
    if render.FAST_CLEAR.get(modes):
        return Purpose.FAST_CLEAR
    return Purpose.RESOLVE if render.RESOLVE.get(modes) else Purpose.DRAW


def _blend(word: int) -> int:
    if not render.BLEND_VALID.get(word):
        raise NotBuilt("no BLEND_STATE")
    return word & render.BLEND_POINTER.mask


def _refuse(word: int, field: Field, what: str) -> None:
    if field.get(word):
        raise NotBuilt(what)


def _check_geometry(packets: Packets) -> None:
    """Vertices go through as they are, and make rectangles."""
    topology = render.TOPOLOGY.get(packets(Packet.VF_TOPOLOGY)[1])
    if topology != render.RECTLIST:
        raise NotBuilt(f"topology {topology:#x}")
    for packet, dword, enable in render.STAGE_ENABLES:
        _refuse(packets(packet)[dword], enable, f"3DSTATE_{packet.name}")
    raster = packets(Packet.RASTER)[1]
    for field in (render.SCISSOR, render.FILL, render.FORCED_SAMPLES, render.CONSERVATIVE):
        _refuse(raster, field, "3DSTATE_RASTER")
    samples = packets(Packet.MULTISAMPLE)[1]
    _refuse(samples, render.SAMPLES, "several samples")
    _refuse(samples, render.PIXEL_LOCATION, "pixels by their corner")
    if not render.FIRST_SAMPLE.get(packets(Packet.SAMPLE_MASK)[1]):
        raise NotBuilt("no sample")


def _check_tests(packets: Packets) -> None:
    """Every pixel goes to the shader, and what that writes to the target."""
    for field in render.DEPTH_TESTS:
        _refuse(packets(Packet.WM_DEPTH_STENCIL)[1], field, "depth or stencil")
    _refuse(packets(Packet.WM_HZ_OP)[1], render.HZ_OPERATIONS, "3DSTATE_WM_HZ_OP")
    wm = packets(Packet.WM)[1]
    for field in (
        *(render.WM_STATISTICS, render.BARYCENTRICS),
        *(render.FORCE_DISPATCH, render.STIPPLES),
    ):
        _refuse(wm, field, "3DSTATE_WM")
    extra = packets(Packet.PS_EXTRA)[1]
    if not render.PS_VALID.get(extra):
        raise NotBuilt("no pixel shader")
    for field in render.UNUSUAL_SHADER:
        _refuse(extra, field, "3DSTATE_PS_EXTRA")
    blend = packets(Packet.PS_BLEND)[1]
    if not render.WRITEABLE_TARGET.get(blend):
        raise NotBuilt("no render target")
    for field in (render.PS_BLENDS, render.ALPHA_COVERAGE, render.ALPHA_TEST):
        _refuse(blend, field, "3DSTATE_PS_BLEND")


def _shader(packets: Packets) -> Shader:
    words = packets(Packet.PS)
    modes = words[6]
    _refuse(modes, render.POSITION_OFFSET, "position offsets")
    if render.PUSH_CONSTANTS.get(modes):
        constants = packets(Packet.CONSTANT_PS)
        if any(constants[at] for at in render.CONSTANT_LENGTHS):
            raise NotBuilt("push constants")
    simd, slot = _width(render.WIDTHS.get(modes))
    low = render.KERNELS[slot]
    scratch = words[render.SCRATCH] | words[render.SCRATCH + 1] << 32
    return Shader(
        kernel=(words[low] | words[low + 1] << 32) & render.KERNEL_START.mask,
        simd=simd,
        start=render.STARTS[slot].get(words[7]),
        vector_mask=bool(render.VECTOR_MASK.get(words[3])),
        alternate_float=bool(render.ALTERNATE_FLOAT.get(words[3])),
        rounding=render.ROUNDING.get(words[3]),
        scratch_base=scratch & media.SCRATCH_BASE.mask,
        scratch_code=media.SCRATCH_SIZE.get(words[render.SCRATCH]),
        threads=render.MOST_THREADS.get(modes) + 1,
        table_entries=render.TABLE_ENTRIES.get(words[3]),
        binding_table=packets(Packet.BINDING_TABLE_PS)[1] & render.BINDING_TABLE.mask,
        samplers=packets(Packet.SAMPLERS_PS)[1] & render.SAMPLERS.mask,
    )


def _width(widths: int) -> tuple[int, int]:
    """Of the widths that there are, which runs, and in which of the three slots it stands.

    Hardware runs any; here 16, which has the fewest threads of those that all shaders have.
    """
    eight, sixteen, thirty_two = (bool(widths >> bit & 1) for bit in range(3))
    if sixteen:
        return 16, 2 if eight or thirty_two else 0
    if eight:
        return 8, 0
    if thirty_two:
        return 32, 0
    raise NotBuilt("a pixel shader of no width")


def _attributes(sbe: tuple[int, ...]) -> Attributes:
    """All flat: the same in the whole rectangle."""
    count = render.ATTRIBUTES.get(sbe[1])
    if count > render.MOST_ATTRIBUTES:
        raise NotBuilt(f"{count} attributes")
    if render.FORCED.get(sbe[1]) != render.FORCED_BOTH:
        raise NotBuilt("attributes by the lengths of the stage before")
    _refuse(sbe[1], render.SWIZZLE, "attributes in another order")
    _refuse(sbe[1], render.PRIMITIVE_ID, "primitive ids")
    if count > 2 * render.READ_LENGTH.get(sbe[1]):
        raise NotBuilt("attributes that are not read")
    every = (1 << count) - 1
    if sbe[render.FLAT] & every != every or sbe[render.POINT_SPRITES] & every:
        raise NotBuilt("attributes that are interpolated")
    components = sbe[render.COMPONENTS] | sbe[render.COMPONENTS + 1] << 32
    if ~components & ((1 << 2 * count) - 1):
        raise NotBuilt("attributes without all components")
    return Attributes(count, 2 * render.READ_OFFSET.get(sbe[1]))


def _layout(packets: Packets, attributes: Attributes) -> tuple[Element, ...]:
    every = elements(packets)
    needed = max(attributes.slots.stop, POSITION_SLOT + 1)
    if len(every) < needed:
        raise NotBuilt(f"vertices of {len(every)} elements")
    return tuple(every[:needed])


def _bounds(rectangle: tuple[int, ...]) -> Bounds:
    least, greatest, origin = rectangle[1:]
    if origin:
        raise NotBuilt("a drawing rectangle with an origin")
    return Bounds(
        left=render.X.get(least),
        top=render.Y.get(least),
        right=render.X.get(greatest),
        bottom=render.Y.get(greatest),
    )
