"""Sampling: from coordinates to a colour. Coordinates have 8 bits below the texel.

Twin of ``native/sampling.c``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mediator.gen9.eu import sampler_state as state
from mediator.gen9.eu.sampler_state import AddressMode, Comparison, MapFilter, MipFilter
from mediator.gen9.eu.surface_state import Select, SurfaceType
from mediator.softgpu.eu.messages.memory import Memory
from mediator.softgpu.eu.messages.message import Unit
from mediator.softgpu.eu.messages.surface import CUBE_FACES, Surface
from mediator.softgpu.eu.messages.texel import (
    FLOAT_ONE,
    NOTHING,
    Texel,
    as_float,
    float_bits,
    load_texel,
)

SUBTEXEL = 1 << state.SUBTEXEL_BITS
_FARTHEST = 2.0**40
"""Beyond this a coordinate says nothing more."""
_NOT_A_NUMBER = 0x7FC0_0000
_GATHER_CORNERS = (2, 3, 1, 0)
"""In the order of the answer: bit 0 is the right one, bit 1 the lower one."""

Colour = list[float]


@dataclass(slots=True)
class SamplerState:
    """SAMPLER_STATE; pairs are (magnified, minified)."""

    disabled: bool
    mip: int
    filters: tuple[int, int]
    rounds: tuple[tuple[bool, ...], tuple[bool, ...]]
    modes: tuple[AddressMode, ...]
    unnormalised: bool
    shadow: Comparison
    bias: float
    minimum_lod: float
    maximum_lod: float
    border: int
    """GPU address of the colour, read where it is needed."""


@dataclass(slots=True)
class Sample:
    """What a pixel asks for; ``gathers`` is the channel of which it wants four texels."""

    at: list[float]
    element: float = 0.0
    lod: float = 0.0
    offset: list[int] = field(default_factory=lambda: [0, 0, 0])
    reference: float | None = None
    gathers: int | None = None


@dataclass(slots=True)
class _Span:
    """The two texels of one direction (None: the border), the second's weight in 256 parts."""

    texels: tuple[int | None, int | None] = (0, 0)
    weight: int = 0


@dataclass(slots=True)
class _Footprint:
    """Where in a level."""

    spans: list[_Span]
    level: int
    slice_: int


def directions(surface: Surface) -> int:
    """How many coordinates say where in a slice or volume."""
    if surface.type is SurfaceType.D1:
        return 1
    return 3 if surface.type is SurfaceType.D3 else 2


def sampler_at(unit: Unit, address: int) -> SamplerState:
    """The sampler state at a GPU address."""
    dwords = [unit.memory.load(address + 4 * n, 4) for n in range(4)]
    return SamplerState(
        disabled=bool(state.DISABLE.get(dwords[0])),
        mip=state.MIP.get(dwords[0]),
        filters=(state.MAGNIFY.get(dwords[0]), state.MINIFY.get(dwords[0])),
        rounds=(
            tuple(bool(each.get(dwords[3])) for each in state.ROUND_MAGNIFY),
            tuple(bool(each.get(dwords[3])) for each in state.ROUND_MINIFY),
        ),
        modes=tuple(AddressMode(each.get(dwords[3])) for each in state.MODES),
        unnormalised=bool(state.UNNORMALISED.get(dwords[3])),
        shadow=Comparison(state.SHADOW.get(dwords[1])),
        bias=state.BIAS.signed(dwords[0]) / 256,
        minimum_lod=state.MINIMUM_LOD.get(dwords[1]) / 256,
        maximum_lod=state.MAXIMUM_LOD.get(dwords[1]) / 256,
        border=unit.bases.dynamic + (dwords[2] & state.BORDER.mask),
    )


def select(surface: Surface, texel: Texel) -> Texel:
    """Channels where the surface wants them."""
    found = []
    for each in surface.select:
        if each >= Select.RED:
            found.append(texel[each - Select.RED])
        elif each == Select.ONE:
            found.append(1 if surface.format.integer else FLOAT_ONE)
        else:
            found.append(0)
    red, green, blue, alpha = found
    return red, green, blue, alpha


def sample_colour(memory: Memory, surface: Surface, sampler: SamplerState, sample: Sample) -> Texel:
    """The colour, channels in their final places."""
    if sample.gathers is not None:
        return _gather(memory, surface, sampler, sample, sample.gathers)
    lod = 0.0 if math.isnan(sample.lod) else sample.lod + sampler.bias
    last = surface.levels - 1.0
    lod = _limit(lod, sampler.minimum_lod, sampler.maximum_lod)
    lod = _limit(lod, surface.minimum_lod, _FARTHEST)
    minified = int(lod > 0)
    if sampler.mip == MipFilter.LINEAR:
        level = math.floor(_limit(lod, 0, last))
    elif sampler.mip == MipFilter.NONE:
        level = 0
    else:
        level = math.floor(_limit(lod + 0.5, 0, last))
    if surface.format.integer:
        return select(surface, _nearest(memory, surface, sampler, sample, level, minified))
    colour = _level_colour(memory, surface, sampler, sample, level, minified)
    part = math.floor((_limit(lod, 0, last) - level) * SUBTEXEL) / SUBTEXEL
    if sampler.mip == MipFilter.LINEAR and part > 0:
        following = _level_colour(memory, surface, sampler, sample, level + 1, minified)
        colour = [
            near * (1 - part) + far * part for near, far in zip(colour, following, strict=True)
        ]
    red, green, blue, alpha = (
        _NOT_A_NUMBER if math.isnan(each) else float_bits(each) for each in colour
    )
    return select(surface, (red, green, blue, alpha))


def fetch_texel(memory: Memory, surface: Surface, at: list[int], level: int) -> Texel:
    """A texel by whole numbers: 0 outside."""
    u, v, r = at
    slice_ = 0
    if surface.type is SurfaceType.BUFFER:
        u &= 0xFFFF_FFFF
        inside = u < surface.elements
        v, level = 0, 0
    else:
        if surface.type is SurfaceType.D1:
            slice_, v = v if surface.array else 0, 0
        elif surface.type in {SurfaceType.D3, SurfaceType.CUBE} or surface.array:
            slice_ = r
        inside = 0 <= level < surface.levels and _within(surface, u, v, slice_, level)
    if not inside:
        return select(surface, NOTHING)
    address = surface.texel_address(level, u, v, slice_)
    return select(surface, load_texel(memory, surface.format, address))


def lod_of(surface: Surface, along_x: list[float], along_y: list[float]) -> float:
    """Level of detail by derivatives."""
    x = y = 0.0
    for n in range(directions(surface)):
        size = surface.size(n, 0)
        x += along_x[n] * size * (along_x[n] * size)
        y += along_y[n] * size * (along_y[n] * size)
    most = x if x > y else y
    if not most > 0:
        return -_FARTHEST
    return _FARTHEST if math.isinf(most) else 0.5 * math.log2(most)


def _within(surface: Surface, u: int, v: int, slice_: int, level: int) -> bool:
    slices = surface.size(2, level) if surface.type is SurfaceType.D3 else surface.depth
    rows = 1 if surface.type is SurfaceType.D1 else surface.size(1, level)
    return 0 <= u < surface.size(0, level) and 0 <= v < rows and 0 <= slice_ < slices


def _limit(value: float, low: float, high: float) -> float:
    """``value`` between the ends; NaN is the lower one."""
    return (value if value < high else high) if value > low else low


def _fixed_point(value: float, *, rounds: bool) -> int:
    """``value`` as a whole number of 1/256 texels; NaN is 0."""
    if math.isnan(value):
        return 0
    return math.floor(_limit(value, -_FARTHEST, _FARTHEST) * SUBTEXEL + (0.5 if rounds else 0.0))


def _inside(index: int, size: int, mode: AddressMode) -> int | None:
    """A texel's number brought inside; None: the border."""
    match mode:
        case AddressMode.WRAP:
            return index % size
        case AddressMode.MIRROR:
            found = index % (2 * size)
            return found if found < size else 2 * size - 1 - found
        case AddressMode.MIRROR_ONCE:
            return min(-1 - index if index < 0 else index, size - 1)
        case AddressMode.MIRROR_101:
            found = index % (2 * size - 2) if size > 1 else 0
            return found if found < size else 2 * size - 2 - found
        case AddressMode.CLAMP_BORDER | AddressMode.HALF_BORDER:
            return index if 0 <= index < size else None
        case _:
            return min(max(index, 0), size - 1)


def _span(
    value: float, size: int, mode: AddressMode, offset: int, *, linear: bool, rounds: bool
) -> _Span:
    at = _fixed_point(value, rounds=rounds)
    if mode is AddressMode.HALF_BORDER:
        at = min(max(at, 0), size * SUBTEXEL - (0 if linear else 1))
    if linear:
        at -= SUBTEXEL // 2
    index, weight = divmod(at, SUBTEXEL)
    index += offset
    texels = _inside(index, size, mode), _inside(index + 1, size, mode)
    return _Span(texels, weight if linear else 0)


def _cube_face(direction: list[float]) -> tuple[int, float, float]:
    """The face that a direction points at, and where on it."""
    x, y, z = direction
    size = abs(x), abs(y), abs(z)
    if size[0] >= size[1] and size[0] >= size[2]:
        face, major, along, down = (1 if x < 0 else 0), size[0], (z if x < 0 else -z), -y
    elif size[1] >= size[2]:
        face, major, along, down = (3 if y < 0 else 2), size[1], x, (-z if y < 0 else z)
    else:
        face, major, along, down = (5 if z < 0 else 4), size[2], (-x if z < 0 else x), -y
    if not major > 0:
        return face, 0.5, 0.5
    return face, along / major * 0.5 + 0.5, down / major * 0.5 + 0.5


def _nearest_whole(value: float, count: int) -> int:
    """An array's element, of ``count``."""
    found = 0.0 if math.isnan(value) else float(round(_limit(value, -1, _FARTHEST)))
    return int(_limit(found, 0, count - 1.0))


def _footprint(
    surface: Surface,
    sampler: SamplerState,
    sample: Sample,
    level: int,
    *,
    minified: int,
    linear: bool,
) -> _Footprint:
    at = list(sample.at)
    slice_ = 0
    cube = surface.type is SurfaceType.CUBE
    if cube:
        cubes = surface.depth // CUBE_FACES
        first = _nearest_whole(sample.element, cubes) if surface.array else 0
        face, at[0], at[1] = _cube_face(sample.at)
        slice_ = first * CUBE_FACES + face
    elif surface.array and surface.type is not SurfaceType.D3:
        slice_ = _nearest_whole(sample.element, surface.depth)
    spans = [_Span(), _Span(), _Span()]
    for n in range(directions(surface)):
        size = surface.size(n, level)
        spans[n] = _span(
            at[n] * size if cube or not sampler.unnormalised else at[n],
            size,
            AddressMode.CUBE if cube else sampler.modes[n],
            sample.offset[n],
            linear=linear,
            rounds=sampler.rounds[minified][n],
        )
    return _Footprint(spans, level, slice_)


def _texel(
    memory: Memory, surface: Surface, sampler: SamplerState, foot: _Footprint, corner: int
) -> Texel:
    u, v, r = (span.texels[corner >> n & 1] for n, span in enumerate(foot.spans))
    if u is None or v is None or r is None:
        red, green, blue, alpha = (memory.load(sampler.border + 4 * n, 4) for n in range(4))
        return red, green, blue, alpha
    slice_ = foot.slice_ + (r if surface.type is SurfaceType.D3 else 0)
    return load_texel(memory, surface.format, surface.texel_address(foot.level, u, v, slice_))


def _compare(function: Comparison, texel: float, reference: float) -> float:
    """The hardware tells where the texel does not pass against the reference."""
    match function:
        case Comparison.ALWAYS:
            passes = True
        case Comparison.NEVER:
            passes = False
        case Comparison.LESS:
            passes = texel < reference
        case Comparison.EQUAL:
            passes = texel == reference
        case Comparison.LESS_EQUAL:
            passes = texel <= reference
        case Comparison.GREATER:
            passes = texel > reference
        case Comparison.NOT_EQUAL:
            passes = texel != reference
        case Comparison.GREATER_EQUAL:
            passes = texel >= reference
    return 0.0 if passes else 1.0


def _compared(sampler: SamplerState, sample: Sample, texel: Texel) -> Texel:
    if sample.reference is None:
        return texel
    found = float_bits(_compare(sampler.shadow, as_float(texel[0]), sample.reference))
    return found, found, found, FLOAT_ONE


def _mix_level(
    memory: Memory,
    surface: Surface,
    sampler: SamplerState,
    sample: Sample,
    level: int,
    minified: int,
) -> Colour:
    foot = _footprint(surface, sampler, sample, level, minified=minified, linear=True)
    bits = directions(surface)
    found = [0.0] * 4
    for corner in range(1 << bits):
        weight = 1
        for n in range(bits):
            second = foot.spans[n].weight
            weight *= second if corner >> n & 1 else SUBTEXEL - second
        if not weight:
            continue
        texel = _compared(sampler, sample, _texel(memory, surface, sampler, foot, corner))
        part = weight / SUBTEXEL**bits
        for n in range(4):
            found[n] += as_float(texel[n]) * part
    return found


def _nearest(
    memory: Memory,
    surface: Surface,
    sampler: SamplerState,
    sample: Sample,
    level: int,
    minified: int,
) -> Texel:
    foot = _footprint(surface, sampler, sample, level, minified=minified, linear=False)
    return _compared(sampler, sample, _texel(memory, surface, sampler, foot, 0))


def _level_colour(
    memory: Memory,
    surface: Surface,
    sampler: SamplerState,
    sample: Sample,
    level: int,
    minified: int,
) -> Colour:
    if sampler.filters[minified] != MapFilter.NEAREST:
        return _mix_level(memory, surface, sampler, sample, level, minified)
    texel = _nearest(memory, surface, sampler, sample, level, minified)
    return [as_float(each) for each in texel]


def _gather(
    memory: Memory, surface: Surface, sampler: SamplerState, sample: Sample, channel: int
) -> Texel:
    foot = _footprint(surface, sampler, sample, 0, minified=0, linear=True)
    red, green, blue, alpha = (
        select(surface, _compared(sampler, sample, _texel(memory, surface, sampler, foot, corner)))[
            channel
        ]
        for corner in _GATHER_CORNERS
    )
    return red, green, blue, alpha
