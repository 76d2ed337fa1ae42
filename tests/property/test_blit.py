"""Blits: C against Python over rectangles, page maps and rights that are all edges."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mediator.hotpath import reference
from mediator.hotpath.interface import Blit, PageFault, Space, Surface, Tiling
from mediator.hotpath.raster_ops import combine
from mediator.softgpu.address_space import AddressSpace
from mediator.softgpu.blitter import _overlap, execute_blit
from tests.guest_ram import PRESENT, WRITABLE, GuestRam, Tables
from tests.property.page_world import MIDDLE, PAGE, RAM, Pages, Ram, pages

native = pytest.importorskip("mediator.hotpath.native", reason="the C hot path is not built")


@pytest.fixture(scope="module")
def ram() -> Iterator[Ram]:
    made = Ram()
    yield made
    made.close()


_PITCHES = {
    Tiling.X: (512, 1024, -512, 0, 640),
    Tiling.Y: (128, 256, 512, -128, 0, 192),
}
_OFFSETS = (0, 0, 0, 1, 4, 63, 64, PAGE - 64, PAGE - 5, PAGE - 1)


@st.composite
def _surface(draw: st.DrawFn, base: int, width: int) -> Surface:
    """A surface near the pages; rows that just join, overlap, or end with a page."""
    page = draw(st.sampled_from([-1, 0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8, 9, 12]))
    at = (base + page * PAGE) % (1 << 48)
    tiling = draw(st.sampled_from([Tiling.LINEAR, Tiling.LINEAR, Tiling.X, Tiling.Y]))
    if tiling is not Tiling.LINEAR:
        return Surface(at, draw(st.sampled_from(_PITCHES[tiling])), tiling)
    end = -width % PAGE
    offset = draw(st.sampled_from([*_OFFSETS, end, end + 1, max(end - 1, 0)]))
    pitch = st.sampled_from([width, width, width + 1, width - 1, -width, PAGE, PAGE - 1, 0])
    return Surface(at + offset, draw(pitch), tiling)


@st.composite
def _jobs(draw: st.DrawFn) -> tuple[Pages, Blit]:
    world = draw(pages())
    width = draw(
        st.sampled_from([1, 2, 3, 4, 7, 8, 9, 12, 16, 63, 64, 65, 128, 130, 512, 515])
        | st.integers(60, 300)
        | st.sampled_from([PAGE - 1, PAGE, PAGE + 1, PAGE + 4, 2 * PAGE, 2 * PAGE + 68])
    )
    source = draw(st.none() | _surface(world.base, width) | _surface(world.base, width))
    rops = st.sampled_from([0xF0, 0xF0, 0x5A, 0xAA, 0x00])
    if source is not None:
        rops = st.sampled_from([0xCC] * 6 + [0x66, 0xB8, 0xCA, 0xF0])
    job = Blit(
        destination=draw(_surface(world.base, width)),
        x=draw(st.sampled_from([0, 0, 0, 1, -1, 15, 17, 130, -3])),
        y=draw(st.sampled_from([0, 0, 0, 1, -1, 7, 31])),
        width=width,
        height=draw(st.sampled_from([1, 1, 2, 3, 4] if width > 600 else [1, 2, 5, 9, 34])),
        rop=draw(st.one_of(rops, rops, rops, st.integers(0, 255))),
        pattern=draw(st.sampled_from([0x7777_7777, 0x0123_4567, 0xFFFF_FF00])),
        write_mask=draw(st.sampled_from([0xFFFF_FFFF] * 3 + [0xFF00_0000, 0x00FF_FF00])),
        source=source,
        source_x=draw(st.sampled_from([0, 0, 0, 1, -1, 15, 17, 130, -3])),
        source_y=draw(st.sampled_from([0, 0, 0, 1, -1, 7, 31])),
        upwards=draw(st.booleans()),
        staged=draw(st.sampled_from([False, False, True])),
    )
    if source is None and ((job.rop >> 2) & 0x33) != (job.rop & 0x33):
        job = replace(job, rop=0xF0)  # execute_blit gives what names a source one
    if source is not None and _overlap(job, source, world.mask):
        job = replace(job, staged=True)  # as execute_blit does
    return world, job


def _outcome(
    blit: Callable[[Space, Blit], int], ram: Ram, space: Space, job: Blit, recording: bool
) -> tuple[object, ...]:
    ram.fill()
    if recording:
        ram.memory.start_recording()
    try:
        result: object = blit(space, job)
    except PageFault as raised:
        result = (raised.address, raised.write, raised.reason)
    dirty = None
    if recording:
        dirty = ram.memory.take_dirty()
        ram.memory.stop_recording()
    return result, dirty, ram.content()


def _wide(first: int = MIDDLE, flags: int = 3) -> Pages:
    """Sixteen pages in a row, over the seam of two ranges."""
    return Pages(tuple(RAM + (8 + n) * PAGE | flags for n in range(16)), "ppgtt", first)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("offset", [0, 1, 6, 60, 63])
def test_every_length_from_every_alignment(
    ram: Ram, stream: bool, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole words and lines and what is left of them, in each of the loops."""
    monkeypatch.setattr(native, "STREAM_BYTES", 0 if stream else native.STREAM_BYTES)
    space = _wide().space(ram)
    source = Surface((MIDDLE + 9) * PAGE + 3, 512)
    for width in (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 63, 64, 65, 100, 127, 128, 131, 200, 255):
        for rop, mask in ((0xCC, 0xFFFF_FFFF), (0xF0, 0xFFFF_FFFF), (0xCA, 0xFFFF_FFFF),
                          (0xCC, 0xFF00_FF0F), (0xF0, 0x00FF_0000)):  # fmt: skip
            target = Surface(MIDDLE * PAGE + offset, 512)
            job = Blit(target, 0, 0, width, 2, rop, 0x0123_4567, mask, source)
            for each in (job, replace(job, source=None)) if rop == 0xF0 else (job,):
                ours = _outcome(native.blit, ram, space, each, False)
                assert ours == _outcome(reference.blit, ram, space, each, False)


@pytest.mark.parametrize("byte", range(4))
@pytest.mark.parametrize("value", [0x00, 0x01, 0x7F, 0xFF])
def test_a_pattern_is_a_byte_only_if_all_four_are(ram: Ram, byte: int, value: int) -> None:
    """Patterns of one byte are filled another way; those that differ in one place are not."""
    space = _wide().space(ram)
    whole = value * 0x0101_0101
    for pattern in (whole, whole & ~(0xFF << 8 * byte), whole ^ 1 << 8 * byte):
        for more in (0, 0x100):
            job = Blit(Surface(MIDDLE * PAGE, 512), 0, 0, 64, 2, 0xF0, pattern ^ more)
            ours = _outcome(native.blit, ram, space, job, False)
            assert ours == _outcome(reference.blit, ram, space, job, False)


@settings(max_examples=400, deadline=None)
@given(drawn=_jobs(), stream=st.booleans(), recording=st.booleans())
@example(  # rows without a gap over the seam of two ranges, and of two page tables
    (_wide(), Blit(Surface(MIDDLE * PAGE, PAGE), 0, 0, PAGE, 16, 0xF0, 0x0102_0304)), False, True
)
@example(  # the page after a span is known, and the next row goes to another
    (
        Pages(tuple(RAM + (15 - n) * PAGE | 3 for n in range(16)), "ppgtt", MIDDLE),
        Blit(
            Surface(MIDDLE * PAGE, 2 * PAGE), 0, 0, 16, 4, 0xCC, 0, 0xFFFF_FFFF,
            Surface((MIDDLE + 8) * PAGE, 3 * PAGE // 2),
        ),
    ),
    False,
    True,
)  # fmt: skip
@example(  # pages that go on for guest and host, and may be written by turns
    (
        Pages(tuple(RAM + n * PAGE | (3 if n % 2 else 1) for n in range(16)), "ppgtt", MIDDLE),
        Blit(Surface(MIDDLE * PAGE, PAGE), 0, 0, PAGE, 16, 0xF0, 0x0102_0304),
    ),
    False,
    True,
)
@example(
    (
        Pages(tuple(RAM + n * PAGE | (1 if n % 2 else 3) for n in range(16)), "ppgtt", MIDDLE),
        Blit(Surface(MIDDLE * PAGE, PAGE), 0, 0, PAGE, 16, 0xF0, 0x0102_0304),
    ),
    True,
    False,
)
@example(  # rows of tiles as wide as a tile's row are not one long row
    (_wide(), Blit(Surface(MIDDLE * PAGE, 128, Tiling.Y), 0, 0, 128, 40, 0xF0, 7)), False, False
)
@example(
    (
        _wide(),
        Blit(
            Surface(MIDDLE * PAGE, 512), 0, 0, 512, 9, 0xCC, 0, 0xFFFF_FFFF,
            Surface((MIDDLE + 8) * PAGE, 512, Tiling.X),
        ),
    ),
    False,
    False,
)  # fmt: skip
@example(  # a page that follows on the host is not the page that follows for the GPU
    (
        Pages(tuple(RAM + (15 - n) * PAGE | 3 for n in range(16)), "ppgtt", MIDDLE),
        Blit(Surface(MIDDLE * PAGE, PAGE), 0, 0, PAGE, 16, 0xF0, 0x0102_0304),
    ),
    False,
    True,
)
@example(
    (
        _wide(),
        Blit(
            Surface(MIDDLE * PAGE, 100), 0, 0, 100, 300, 0xCC, 0, 0xFFFF_FFFF,
            Surface((MIDDLE + 8) * PAGE + 60, 100),
        ),
    ),
    True,
    True,
)  # fmt: skip
@example(  # what is written begins below the end of the space and wraps onto what is read
    (
        Pages(tuple(RAM + (15 + n) * PAGE | 3 for n in range(16)), "ggtt", 0),
        Blit(
            Surface((1 << 48) - PAGE, 0, Tiling.Y), 130, 0, PAGE - 1, 2, 0xB8, 7, 0xFFFF_FFFF,
            Surface(2 * PAGE + 1, PAGE - 2), 130, 0, upwards=True, staged=True,
        ),
    ),
    False,
    False,
)  # fmt: skip
def test_c_and_python_blit_the_same(
    ram: Ram, drawn: tuple[Pages, Blit], stream: bool, recording: bool
) -> None:
    world, job = drawn
    space = world.space(ram)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "STREAM_BYTES", 0 if stream else native.STREAM_BYTES)
        ours = _outcome(native.blit, ram, space, job, recording)
    assert ours == _outcome(reference.blit, ram, space, job, recording)


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


_PAGES = 48
_TABLE_PAGES = 8


def _scattered(ram: GuestRam) -> AddressSpace:
    """Pages 0 to 47, scattered and full of noise."""
    chance = random.Random(7)
    frames = [ram.page() for _ in range(_PAGES)]
    chance.shuffle(frames)
    tables = Tables(ram)
    for number, frame in enumerate(frames):
        ram.memory.write(frame, chance.randbytes(PAGE))
        tables.map(number * PAGE, frame, PRESENT | WRITABLE)
    return tables.space()


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


@settings(max_examples=80, deadline=None)
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
    space = _scattered(ram)
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
