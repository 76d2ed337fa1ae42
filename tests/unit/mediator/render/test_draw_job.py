"""The job that a draw becomes: which threads, with which registers, for which pixels."""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.eu.dispatch.job import Grid, KernelJob
from mediator.softgpu.eu.dispatch.media_state import Descriptor, FrontEnd
from mediator.softgpu.eu.dispatch.pixels import Area, Pixels
from mediator.softgpu.render.draw import Call, call, draw_job
from mediator.softgpu.render.not_built import NotBuilt
from tests.unit.mediator.render import draw_commands as dc
from tests.unit.mediator.render.draw_bench import DrawBench

THREADS = 63 << 23
CLEARS = 1 << 8
ONES = 0xFFFF_FFFF
BLOCKS = {8: (4, 2), 16: (4, 4), 32: (8, 4)}
"""Pixels of a thread by its width: two, four or eight subspans of two by two."""
WIDTH_BITS = {8: 1, 16: 2, 32: 4}


@pytest.fixture
def bench() -> DrawBench:
    return DrawBench()


def job(
    bench: DrawBench, packets: dc.Packets | None = None, given: list[int] | None = None
) -> KernelJob | None:
    bench.commands.batch(dc.flat(packets or dc.packets()))
    return draw_job(bench.host.pipeline, bench.host.ppgtt, given or dc.primitive())


def made(
    bench: DrawBench, packets: dc.Packets | None = None, given: list[int] | None = None
) -> KernelJob:
    found = job(bench, packets, given)
    assert found is not None
    return found


def alone(simd: int) -> dc.Packets:
    """A shader of one width, which has the first slot."""
    packets = dc.packets()
    packets["PS"][6:8] = [THREADS | WIDTH_BITS[simd], 6 << 16]
    return packets


@pytest.mark.parametrize("simd", [8, 16, 32])
@pytest.mark.parametrize(
    "corners", [(0, 0, 1, 1), (3, 1, 4, 2), (7, 3, 9, 5), (8, 4, 16, 8), (5, 3, 38, 23)]
)
def test_a_thread_for_each_block_that_is_touched(
    bench: DrawBench, simd: int, corners: tuple[int, int, int, int]
) -> None:
    bench.corners(*corners)
    found = made(bench, alone(simd), dc.primitive(instances=5))
    left, top, right, bottom = corners
    width, height = BLOCKS[simd]
    columns = [x // width for x in range(left, right)]
    rows = [y // height for y in range(top, bottom)]
    assert found.grid == Grid((columns[0], rows[0], 0), (columns[-1] + 1, rows[-1] + 1, 5))
    assert found.shape.simd == simd
    assert (found.shape.width, found.shape.height, found.shape.depth) == (1, 1, 1)
    assert (found.shape.right, found.shape.bottom) == (ONES, ONES)
    assert found.pixels == Pixels(Area(*corners), False, 15, False)
    assert not found.gpgpu


def test_what_its_threads_know(bench: DrawBench) -> None:
    packets = dc.packets()
    packets["PS"][3] = 1 << 30 | 1 << 18 | 1 << 16 | 2 << 14
    packets["PS"][4:6] = [0x1234_5000 | 3, 0x7]
    packets["SAMPLERS_PS"][1] = 0x1E0
    found = made(bench, packets)
    assert found.kernel == dc.KERNELS + 0x800
    assert found.descriptor == Descriptor(
        kernel=0x800,
        alternate_float=True,
        single_program_flow=False,
        keeps_denormals=True,
        rounding=2,
        samplers=0x1E0,
        binding_table=dc.TABLE,
        constant_offset=0,
        own_length=0,
        shared_length=0,
        threads=1,
        slm_bytes=0,
        barrier=False,
    )
    assert found.front_end == FrontEnd(
        scratch_base=0x7_1234_5000, scratch_bytes=8 << 10, scratch_code=3, threads=64
    )
    assert found.pixels is not None
    assert found.pixels.whole_subspans


def test_the_kernels_address_wraps_at_48_bits(bench: DrawBench) -> None:
    packets = dc.packets()
    packets["PS"][10:] = [ONES & -64, 0xFFFF]
    assert made(bench, packets).kernel == dc.KERNELS - 64


@pytest.mark.parametrize("off", range(16))
def test_channels_that_are_written(bench: DrawBench, off: int) -> None:
    """Bits that turn off blue, green, red and alpha; red is the first channel."""
    bench.put(dc.DYNAMIC + dc.BLEND, struct.pack("<3I", 0, off, 0))
    pixels = made(bench).pixels
    assert pixels is not None
    red, green, blue, alpha = (not off >> bit & 1 for bit in (2, 1, 0, 3))
    assert pixels.writes == red | green << 1 | blue << 2 | alpha << 3


@pytest.mark.parametrize(
    ("simd", "own", "least"), [(8, 1, 2), (16, 1, 2), (32, 2, 3)], ids=["8", "16", "32"]
)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_registers_of_threads(
    bench: DrawBench, simd: int, own: int, least: int, count: int
) -> None:
    """r1, and r2 of 32 channels, are the thread's own; from the start on each attribute has two.

    In dwords 3, 7, 11 and 15 are its components, the rest says how they change: not at all.
    """
    packets = alone(simd)
    packets["SBE"][1] = 3 << 28 | count << 22 | 1 << 11 | 1 << 5
    inputs = [0x111, 0x222, 0x333, 0x444, 5, 6, 7, 8]
    for start in (least, least + 1, 9, 128 - 2 * count):
        packets["PS"][7] = min(start, 127) << 16
        constants = made(bench, packets).constants
        start = min(start, 127)
        grfs = max(own, start - 1 + 2 * count)
        words = struct.unpack(f"<{8 * grfs}I", constants.data)
        expected = [0] * (8 * grfs)
        for number in range(4 * count):
            at = 8 * (start - 1) + 16 * (number // 4) + (3, 7, 11, 15)[number % 4]
            expected[at] = inputs[number]
        assert list(words) == expected
        assert (constants.shared, constants.own) == (grfs, 0)
    for start in [least - 1, 129 - 2 * count] if count else []:
        packets["PS"][7] = start << 16
        with pytest.raises(NotBuilt, match=f"attributes from r{start} on"):
            job(bench, packets)


def test_a_thread_without_attributes_has_its_own_registers(bench: DrawBench) -> None:
    for simd, own in ((8, 1), (16, 1), (32, 2)):
        packets = alone(simd)
        packets["SBE"][1] = 3 << 28
        packets["PS"][7] = 0
        assert made(bench, packets).constants.data == bytes(32 * own)


@pytest.mark.parametrize("code", [0, 1, 7, 13, 15])
def test_scratch(bench: DrawBench, code: int) -> None:
    assert made(bench, dc.changed("PS", 4, code)).front_end.scratch_bytes == 1024 << code


UNITS = [(0x0D7, 4, (64, 32)), (0x087, 8, (32, 32)), (0x002, 16, (16, 32))]


def clear_target(code: int, level: int = 0, width: int = 200, height: int = 100) -> bytes:
    state = bytearray(
        dc.surface(code, tiling=dc.TILE_Y, pitch=4096, width=width, height=height, level=level)
    )
    struct.pack_into("<I", state, 24, 5)
    return bytes(state)


@pytest.mark.parametrize(("code", "size", "unit"), UNITS, ids=["4", "8", "16"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_pixels_that_a_fast_clear_stands_for(
    bench: DrawBench, code: int, size: int, unit: tuple[int, int], level: int
) -> None:
    """Those of whole units, as far as the target goes."""
    bench.target(clear_target(code, level))
    packets = dc.changed("PS", 6, THREADS | CLEARS | 3)
    across, down = unit
    width, height = 200 >> level, 100 >> level
    assert size * across * down >= 8192
    for left, top, right, bottom in ((0, 0, 1, 1), (1, 0, 2, 1), (0, 1, 3, 9), (0, 0, 90, 90)):
        bench.corners(left, top, right, bottom)
        found = job(bench, packets)
        area = Area(
            left * across, top * down, min(right * across, width), min(bottom * down, height)
        )
        if area.left >= area.right or area.top >= area.bottom:
            assert found is None
            continue
        assert found is not None
        assert found.pixels == Pixels(area, False, 15, True)
        assert found.shape.simd == 16
        assert found.grid.start == (area.left // 4, area.top // 4, 0)
        assert found.grid.end == (-(-area.right // 4), -(-area.bottom // 4), 1)


@pytest.mark.parametrize(("code", "size", "unit"), UNITS, ids=["4", "8", "16"])
def test_a_fast_clear_ends_where_its_target_ends(
    bench: DrawBench, code: int, size: int, unit: tuple[int, int]
) -> None:
    bench.target(clear_target(code, width=2 * unit[0], height=2 * unit[1]))
    packets = dc.changed("PS", 6, THREADS | CLEARS | 3)
    for left, top in ((2, 0), (0, 2), (2, 2)):
        bench.corners(left, top, 3, 3)
        assert job(bench, packets) is None
    bench.corners(1, 1, 2, 2)
    pixels = made(bench, packets).pixels
    assert pixels is not None
    assert pixels.area == Area(unit[0], unit[1], 2 * unit[0], 2 * unit[1])
    assert size * unit[0] in (256, 512)


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 32])
def test_surfaces_that_the_shader_names(bench: DrawBench, entries: int) -> None:
    """Each of them, the target even of none; what messages know is left to them."""
    good, bad, buffer = 0x100, 0x180, 0x1C0
    bench.put(dc.SURFACE + bad, dc.surface(tiling=1))
    bench.put(dc.SURFACE + buffer, struct.pack("<16I", 4 << 29, *[0] * 15))
    packets = dc.changed("PS", 3, entries << 18)
    for wrong in range(34):
        table = [good, *[buffer] * 33]
        table[wrong] = bad
        bench.put(dc.SURFACE + dc.TABLE, struct.pack("<34I", *table))
        if wrong < max(entries, 1):
            with pytest.raises(NotBuilt, match=f"surface {wrong}:"):
                job(bench, packets)
        else:
            assert job(bench, packets) is not None


def test_a_table_names_states_in_whole_ones(bench: DrawBench) -> None:
    bench.put(dc.SURFACE + dc.TABLE, struct.pack("<I", 0x100 | 0x3F))
    assert job(bench) is not None


@pytest.mark.parametrize("instances", [1, 2, 2048])
@pytest.mark.parametrize("first", [0, 7, ONES])
def test_calls(instances: int, first: int) -> None:
    given = dc.primitive(instances=instances, first=first)
    assert call(given) == call([*given, 5]) == Call(first, instances)
    given[0] |= 1 << 8 | 1 << 9
    given[1] |= ONES & ~(1 << 9 | 1 << 8)
    given[5], given[6] = 3, 4
    assert call(given) == Call(first, instances)
