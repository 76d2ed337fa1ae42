"""Blits: C against Python over random rectangles, page maps with holes, and the dirty log."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.hotpath.interface import Blit, PageFault, Space, Surface, Tiling
from mediator.hotpath.raster_ops import combine
from mediator.softgpu.address_space import AddressSpace
from mediator.softgpu.blitter import _overlap, execute_blit
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables

pytestmark = pytest.mark.modes
"""Long: `make check` leaves them to `make test`."""
native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")

_PAGES = 48
_TABLE_PAGES = 8


def _space(ram: GuestRam, holes: dict[int, str], seed: int) -> AddressSpace:
    """Pages 0 to 47, scattered and full of noise; ``holes`` are those that are not plain memory."""
    chance = random.Random(seed)
    pages = [ram.page() for _ in range(_PAGES)]
    chance.shuffle(pages)
    for physical in pages:
        ram.memory.write(physical, chance.randbytes(PAGE))
    tables = Tables(ram)
    for number, physical in enumerate(pages):
        match holes.get(number):
            case "absent":
                continue
            case "read-only":
                tables.map(number * PAGE, physical, PRESENT)
            case "outside":
                tables.map(number * PAGE, 0x7000_0000, PRESENT | WRITABLE)
            case _:
                tables.map(number * PAGE, physical, PRESENT | WRITABLE)
    return tables.space()


def _surface(low: int, high: int) -> st.SearchStrategy[Surface]:
    tiled = st.sampled_from([128, 512, 1024, -512, 0])
    return st.one_of(
        st.builds(Surface, st.integers(low, high), st.integers(-300, 3000), st.just(Tiling.LINEAR)),
        st.builds(Surface, st.integers(low, high), tiled, st.sampled_from([Tiling.X, Tiling.Y])),
    )


_hole = st.sampled_from(["absent", "read-only", "outside"])
_job = st.builds(
    Blit,
    destination=_surface(0, 30 * PAGE),
    x=st.integers(-100, 1000),
    y=st.integers(-4, 40),
    width=st.integers(1, 3000),
    height=st.integers(1, 24),
    rop=st.one_of(st.sampled_from([0xF0, 0xCC, 0xCC, 0x5A, 0x66, 0xAA]), st.integers(0, 255)),
    pattern=st.one_of(st.integers(0, 2**32 - 1), st.just(0x7777_7777)),
    write_mask=st.sampled_from([0xFFFF_FFFF, 0xFFFF_FFFF, 0xFF00_0000, 0x00FF_FFFF]),
    source=st.one_of(st.none(), _surface(0, 30 * PAGE)),
    source_x=st.integers(-100, 1000),
    source_y=st.integers(-4, 40),
    upwards=st.booleans(),
    staged=st.booleans(),
)


def _outcome(
    blit: Callable[[Space, Blit], None], ram: GuestRam, space: AddressSpace, job: Blit
) -> tuple[object, ...]:
    before = ram.content()
    ram.memory.start_recording()
    fault: object = None
    try:
        blit(space, job)
    except PageFault as raised:
        fault = (raised.address, raised.write, raised.reason)
    dirty = ram.memory.take_dirty()
    ram.memory.stop_recording()
    after = ram.content()
    ram.fill(before)
    return fault, dirty, after


@settings(max_examples=400, deadline=None)
@given(
    job=_job,
    holes=st.dictionaries(st.integers(0, 40), _hole, max_size=2),
    seed=st.integers(),
    stream=st.booleans(),
)
def test_c_and_python_blit_the_same(
    job: Blit, holes: dict[int, str], seed: int, stream: bool
) -> None:
    if job.source is None and job.rop == 0xCC:
        return  # execute_blit gives every operation that names a source one
    if job.source is not None and _overlap(job, job.source):
        job = replace(job, staged=True)  # as execute_blit does
    ram = GuestRam(_PAGES + _TABLE_PAGES)
    space = _space(ram, holes, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "STREAM_BYTES", 0 if stream else native.STREAM_BYTES)
        ours = _outcome(native.blit, ram, space, job)
    assert ours == _outcome(reference.blit, ram, space, job)


@settings(max_examples=100, deadline=None)
@given(
    rop=st.integers(0, 255),
    operands=st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
)
def test_a_raster_operation_is_a_truth_table(rop: int, operands: tuple[int, int, int]) -> None:
    result = combine(rop, *operands, 0xFFFF_FFFF)
    for bit in range(32):
        p, s, d = (operand >> bit & 1 for operand in operands)
        assert result >> bit & 1 == rop >> (4 * p + 2 * s + d) & 1


def _at(surface: Surface, x: int, y: int) -> int:
    """Address of one byte, by the tile pictures of the PRM."""
    if surface.tiling is Tiling.LINEAR:
        return surface.base + y * surface.pitch + x
    wide, high = (512, 8) if surface.tiling is Tiling.X else (128, 32)
    tile = (y // high) * (surface.pitch // wide) + x // wide
    x, y = x % wide, y % high
    within = y * 512 + x if surface.tiling is Tiling.X else (x // 16) * 512 + y * 16 + x % 16
    return surface.base + tile * PAGE + within


_flat = st.builds(Surface, st.integers(0, 9 * PAGE), st.sampled_from([64, 257, 800]))
_tiled = st.builds(
    Surface,
    st.integers(0, 9).map(lambda n: n * PAGE),
    st.just(1024),
    st.sampled_from([Tiling.X, Tiling.Y]),
)


@settings(max_examples=150, deadline=None)
@given(
    destination=st.one_of(_flat, _tiled),
    source=st.one_of(_flat, _tiled),
    same=st.booleans(),
    size=st.tuples(st.integers(1, 60), st.integers(1, 20)),
    to=st.tuples(st.integers(0, 120), st.integers(0, 20)),
    origin=st.tuples(st.integers(0, 120), st.integers(0, 20)),
    depth=st.sampled_from([(0, 1), (1, 2), (3, 4)]),
)
def test_a_copy_is_what_reading_everything_first_gives(
    destination: Surface,
    source: Surface,
    same: bool,
    size: tuple[int, int],
    to: tuple[int, int],
    origin: tuple[int, int],
    depth: tuple[int, int],
) -> None:
    ram = GuestRam(_PAGES + _TABLE_PAGES)
    space = _space(ram, {}, 7)
    code, pixel = depth
    if same:
        source = destination
        if source.pitch < (max(to[0], origin[0]) + size[0]) * pixel:
            return  # a row would run into the next one
    else:
        source = replace(source, base=source.base + 24 * PAGE)
    expected = bytearray(space.read(0, _PAGES * PAGE))
    before = bytes(expected)
    for y in range(size[1]):
        for x in range(size[0] * pixel):
            byte = before[_at(source, origin[0] * pixel + x, origin[1] + y)]
            expected[_at(destination, to[0] * pixel + x, to[1] + y)] = byte
    dword_pitch = [
        s.pitch // (1 if s.tiling is Tiling.LINEAR else 4) for s in (destination, source)
    ]
    if not same and destination.pitch < size[0] * pixel:
        return  # rows of the destination overlap each other: the order shows
    command = [
        0x54F0_0008 | bool(source.tiling) << 15 | bool(destination.tiling) << 11,
        code << 24 | 0xCC << 16 | dword_pitch[0],
        to[1] << 16 | to[0],
        (to[1] + size[1]) << 16 | (to[0] + size[0]),
        destination.base,
        0,
        origin[1] << 16 | origin[0],
        dword_pitch[1],
        source.base,
        0,
    ]
    control = (source.tiling is Tiling.Y) | (destination.tiling is Tiling.Y) << 1
    execute_blit(command, space, control, lambda: False)
    assert space.read(0, _PAGES * PAGE) == bytes(expected)
