"""The sampler's messages. Twin of ``native/sampler.c``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from mediator.gen9.eu.messages import (
    GATHER_CHANNEL,
    HEADER_OFFSET,
    HEADER_SCRATCH_SIZE,
    SAMPLER_CHANNELS_OFF,
    SAMPLER_HALF,
    SAMPLER_INDEX,
    SAMPLER_OFFSET_R,
    SAMPLER_OFFSET_U,
    SAMPLER_OFFSET_V,
    SAMPLER_SIMD,
    SAMPLER_STATES,
    SAMPLER_TYPE,
)
from mediator.gen9.eu.messages import Sampler as Kind
from mediator.gen9.eu.sampler_state import STATE_BYTES
from mediator.gen9.eu.surface_state import SurfaceType
from mediator.softgpu.eu.messages.message import DWORD, GRF_DWORDS, Message
from mediator.softgpu.eu.messages.sampling import (
    Sample,
    SamplerState,
    directions,
    fetch_texel,
    lod_of,
    sample_colour,
    sampler_at,
)
from mediator.softgpu.eu.messages.surface import CUBE_FACES, Surface, surface_of
from mediator.softgpu.eu.messages.texel import NOTHING, Texel, as_float, narrow_float

_LANES_OF_MODE = {1: 8, 2: 16}
_WITHOUT_SAMPLER = {Kind.LD, Kind.LD_LZ, Kind.RESINFO, Kind.SAMPLEINFO}
_UNKNOWN = {Kind.LOD}
_COMPARE = {Kind.SAMPLE_C, Kind.SAMPLE_B_C, Kind.SAMPLE_L_C, Kind.SAMPLE_C_LZ, Kind.GATHER4_C}
_WITH_LEVEL = {Kind.SAMPLE_B, Kind.SAMPLE_L, Kind.SAMPLE_B_C, Kind.SAMPLE_L_C}
_GATHER = {Kind.GATHER4, Kind.GATHER4_C}


@dataclass(slots=True)
class _Request:
    """A sampler message, taken apart."""

    message: Message
    kind: Kind
    lanes: int
    surface: Surface | None
    sampler: SamplerState | None
    offset: list[int]
    channel: int

    def parameter(self, number: int, lane: int) -> int:
        return int(self.message.operand(0)[number * self.lanes + lane])

    def real(self, number: int, lane: int) -> float:
        return as_float(self.parameter(number, lane))


def sampler_port(message: Message) -> None:
    """Carry out a message of the sampler."""
    lanes = _LANES_OF_MODE.get(SAMPLER_SIMD.get(message.descriptor))
    code = SAMPLER_TYPE.get(message.descriptor)
    if lanes is None or code not in set(Kind) - _UNKNOWN:
        message.illegal()
        return
    header = message.header(HEADER_OFFSET)
    surface = surface_of(message)
    sampler = None
    if surface is not None and code not in _WITHOUT_SAMPLER:
        sampler = sampler_at(message.unit, _state_of(message))
    offsets = SAMPLER_OFFSET_U, SAMPLER_OFFSET_V, SAMPLER_OFFSET_R
    request = _Request(
        message,
        Kind(code),
        lanes,
        surface,
        sampler,
        [each.signed(header) for each in offsets],
        GATHER_CHANNEL.get(header),
    )
    _respond(request, ~SAMPLER_CHANNELS_OFF.get(header) & 0xF)


def _state_of(message: Message) -> int:
    """GPU address of the sampler's state: a header says itself where they are."""
    bases = message.unit.bases
    table = bases.sampler_table
    if message.header_grfs:
        table = bases.dynamic + (message.header(HEADER_SCRATCH_SIZE) & SAMPLER_STATES.mask)
    return table + SAMPLER_INDEX.get(message.descriptor) * STATE_BYTES


def _respond(request: _Request, enabled: int) -> None:
    message = request.message
    half = SAMPLER_HALF.get(message.descriptor)
    grfs = 1 if half else request.lanes // GRF_DWORDS
    channels = [n for n in range(4) if enabled >> n & 1]
    words = memoryview(message.response_bytes).cast("H")
    for lane in range(request.lanes):
        if not message.mask >> lane & 1:
            continue
        texel = _answer(request, lane)
        for place, n in enumerate(channels):
            if half:
                words[place * 2 * GRF_DWORDS + lane] = _halved(request, texel[n])
            else:
                message.response[place * grfs * GRF_DWORDS + lane] = texel[n]


def _halved(request: _Request, value: int) -> int:
    """As 16 bits: floats are rounded, whole numbers cut off."""
    whole = request.kind in {Kind.RESINFO, Kind.SAMPLEINFO}
    whole = whole or (request.surface is not None and request.surface.format.integer)
    return value & 0xFFFF if whole else narrow_float(value, 10, signed=True)


def _answer(request: _Request, lane: int) -> Texel:
    surface, sampler, memory = request.surface, request.sampler, request.message.memory
    if surface is None:
        return NOTHING
    match request.kind:
        case Kind.LD | Kind.LD_LZ:
            return _load(request, surface, lane)
        case Kind.RESINFO:
            return _sizes(surface, request.parameter(0, lane))
        case Kind.SAMPLEINFO:
            return 1, 0, 0, 0
        case _:
            if sampler is None or sampler.disabled or surface.type is SurfaceType.BUFFER:
                return NOTHING
            return sample_colour(memory, surface, sampler, _sample(request, surface, lane))


def _sample(request: _Request, surface: Surface, lane: int) -> Sample:
    """A pixel's parameters: reference, bias or level, coordinates, element.

    Of SAMPLE_D each coordinate comes with its derivatives.
    """
    sample = Sample([0.0, 0.0, 0.0], offset=request.offset)
    along_x, along_y = [0.0] * 3, [0.0] * 3
    numbers = count()
    if request.kind in _COMPARE:
        sample.reference = request.real(next(numbers), lane)
    if request.kind in _WITH_LEVEL:
        sample.lod = request.real(next(numbers), lane)
    cube = surface.type is SurfaceType.CUBE
    for n in range(3 if cube else directions(surface)):
        sample.at[n] = request.real(next(numbers), lane)
        if request.kind is Kind.SAMPLE_D:
            along_x[n] = request.real(next(numbers), lane)
            along_y[n] = request.real(next(numbers), lane)
    sample.element = request.real(next(numbers), lane)
    if request.kind is Kind.SAMPLE_D:
        sample.lod = lod_of(surface, along_x, along_y)
    if request.kind in _GATHER:
        sample.gathers = request.channel
    return sample


def _load(request: _Request, surface: Surface, lane: int) -> Texel:
    """The level comes third; LD_LZ has none."""
    third, level = 2, 0
    if request.kind is Kind.LD:
        third, level = 3, _signed(request.parameter(2, lane))
    at = [request.parameter(n, lane) for n in (0, 1, third)]
    moved = [_signed(n + by & DWORD) for n, by in zip(at, request.offset, strict=True)]
    return fetch_texel(request.message.memory, surface, moved, level)


def _sizes(surface: Surface, level: int) -> Texel:
    if surface.type is SurfaceType.BUFFER:
        return surface.elements & DWORD, 0, 0, 0
    if level >= surface.levels:
        return 0, 0, 0, surface.levels
    depth = surface.depth // (CUBE_FACES if surface.type is SurfaceType.CUBE else 1)
    slices = depth if surface.array else 0
    width = surface.size(0, level)
    if surface.type is SurfaceType.D1:
        return width, slices, 0, surface.levels
    if surface.type is SurfaceType.D3:
        slices = surface.size(2, level)
    return width, surface.size(1, level), slices, surface.levels


def _signed(dword: int) -> int:
    return dword - (dword >> 31 << 32)
