"""Rectangles drawn by a command streamer: each pixel once, as it shall be, and no other."""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.eu.dispatch.host_units import make_pool
from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.outcome import Stop
from tests.unit.mediator.command_bench import ABSENT
from tests.unit.mediator.render import draw_commands as dc
from tests.unit.mediator.render.draw_bench import FILL, INPUT, NAME, DrawBench, area

PREDICATE_RESULT = 0x2418
INVOCATIONS = 0x2290


@pytest.fixture
def bench() -> DrawBench:
    return DrawBench()


@pytest.mark.parametrize("simd", [8, 16])
@pytest.mark.parametrize(
    "corners", [(0, 0, 8, 4), (3, 1, 4, 2), (1, 1, 6, 7), (5, 3, 38, 23), (0, 0, 40, 24)]
)
def test_each_pixel_of_the_rectangle_and_no_other(
    simd: int, corners: tuple[int, int, int, int]
) -> None:
    bench = DrawBench(simd)
    bench.corners(*corners)
    packets = dc.packets()
    if simd == 8:
        packets["PS"][6] = 63 << 23 | 1
    assert bench.draw(packets) is Stop.RING_EMPTY
    assert bench.host.hangs == []
    assert bench.drawn() == area(*corners)
    assert not bench.skipped


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ((0.5, 0.5, 2.5, 1.5), (0, 0, 2, 1)),
        ((0.51, 0.51, 2.51, 1.51), (1, 1, 3, 2)),
        ((-7, -2, 3, 2), (0, 0, 3, 2)),
        ((38, 22, 60, 70), (38, 22, 40, 24)),
        ((6, 5, 2, 1), (2, 1, 6, 5)),
        ((3, 3, 3, 9), (0, 0, 0, 0)),
        ((2.6, 1, 3.4, 3), (0, 0, 0, 0)),
        ((50, 0, 60, 4), (0, 0, 0, 0)),
    ],
)
def test_middles_decide(
    bench: DrawBench, corners: tuple[float, ...], expected: tuple[int, int, int, int]
) -> None:
    left, top, right, bottom = corners
    bench.corners(left, top, right, bottom)
    bench.draw()
    assert bench.drawn() == area(*expected)
    assert not bench.skipped


def test_the_drawing_rectangle_bounds(bench: DrawBench) -> None:
    bench.corners(0, 0, 20, 20)
    packets = dc.packets()
    packets["DRAWING_RECTANGLE"][1:3] = [3 << 16 | 5, 9 << 16 | 12]
    bench.draw(packets)
    assert bench.drawn() == area(5, 3, 13, 10)


def test_layers_by_instances(bench: DrawBench) -> None:
    bench.target(dc.surface(depth=4, extent=3, qpitch=dc.HEIGHT))
    bench.corners(1, 1, 9, 5)
    bench.draw(call=dc.primitive(instances=4))
    assert [bench.drawn(layer) for layer in range(4)] == [area(1, 1, 9, 5)] * 3 + [set()]


def test_channels_that_are_not_written_stay(bench: DrawBench) -> None:
    bench.put(dc.DYNAMIC + dc.BLEND, struct.pack("<3I", 0, 1 << 2 | 1 << 3, 0))
    bench.draw()
    assert bench.pixel(1, 2) == [FILL, 2, INPUT[1], FILL]


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(
    ("code", "off"), [(dc.R32G32B32A32_UINT, 0xF), (dc.R32_UINT, 0xF ^ 1 << 3)]
)
def test_where_no_channel_is_written_nothing_is(
    bench: DrawBench, code: int, off: int, pool: bool
) -> None:
    """Of the second only alpha is on, which it does not have. So the target may be absent."""
    bench.target(_clear_state(code, ABSENT))
    bench.put(dc.DYNAMIC + dc.BLEND, struct.pack("<3I", 0, off, 0))
    for modes in (3, 1 << 8 | 3):
        bench.host.units = ExecutionUnits(ProgramCache(lambda: None), make_pool() if pool else None)
        stop = bench.draw(dc.changed("PS", 6, 63 << 23 | modes))
        while stop is Stop.QUANTUM:
            stop = bench.commands.again()
        assert stop is Stop.RING_EMPTY
    assert bench.host.counters.executed[NAME] == 2


def _clear_state(code: int, address: int) -> bytes:
    """A target with control data: draws and fast clears go to it."""
    state = bytearray(dc.surface(code, tiling=dc.TILE_Y, pitch=1024, address=address))
    struct.pack_into("<I", state, 24, 5)
    return bytes(state)


@pytest.mark.parametrize("tiling", [dc.TILE_X, dc.TILE_Y])
def test_tiles(bench: DrawBench, tiling: int) -> None:
    bench.target(dc.surface(tiling=tiling, pitch=1024), 64 << 10)
    bench.corners(0, 0, 40, 24)
    bench.draw()
    for x, y in ((0, 0), (39, 23), (8, 7), (31, 8), (32, 20)):
        row, column = y, 16 * x
        if tiling == dc.TILE_X:
            at = row // 8 * 8192 + column // 512 * 4096 + row % 8 * 512 + column % 512
        else:
            at = column // 128 * 4096 + column % 128 // 16 * 512 + row * 16
        assert bench.commands.get(dc.TARGET + at, 2) == [x, y]


def test_a_level_of_a_target(bench: DrawBench) -> None:
    bench.target(dc.surface(level=1, width=40, height=24))
    bench.corners(0, 0, 40, 24)
    bench.draw()
    below = [bench.pixel(x, 24 + y)[:2] for x, y in ((0, 0), (19, 11), (20, 0), (0, 12))]
    assert below == [[0, 0], [19, 11], [FILL, FILL], [FILL, FILL]]
    assert bench.drawn() == set()


def test_vertices_from_another_place(bench: DrawBench) -> None:
    bench.put(dc.VERTICES + 24, dc.corners(4, 4, 6, 6))
    packets = dc.changed("VERTEX_BUFFERS", 4, 200)
    bench.draw(packets, dc.primitive(first=2))
    assert bench.drawn() == area(4, 4, 6, 6)


@pytest.mark.parametrize(
    ("name", "dword", "value"),
    [
        ("VF_TOPOLOGY", 1, 4),
        ("VS", 7, 1),
        ("HS", 2, 1 << 31),
        ("TE", 1, 1),
        ("DS", 7, 1),
        ("GS", 7, 1),
        ("STREAMOUT", 1, 1 << 31),
        ("STREAMOUT", 1, 1 << 30),
        ("CLIP", 2, 1 << 31),
        ("SF", 1, 1 << 1),
        ("VF", 0, 0x780C_0200),
        ("RASTER", 1, 1 << 1),
        ("RASTER", 1, 1 << 5),
        ("RASTER", 1, 1 << 18),
        ("RASTER", 1, 1 << 24),
        ("MULTISAMPLE", 1, 1 << 1),
        ("MULTISAMPLE", 1, 1 << 4),
        ("SAMPLE_MASK", 1, 0xFFFE),
        ("WM_DEPTH_STENCIL", 1, 1 << 0),
        ("WM_DEPTH_STENCIL", 1, 1 << 1),
        ("WM_DEPTH_STENCIL", 1, 1 << 2),
        ("WM_DEPTH_STENCIL", 1, 1 << 3),
        ("WM_HZ_OP", 1, 1 << 30),
        ("WM", 1, 1 << 31),
        ("WM", 1, 1 << 11),
        ("WM", 1, 1 << 19),
        ("WM", 1, 1 << 4),
        ("PS_EXTRA", 1, 1 << 8),
        *(("PS_EXTRA", 1, 1 << 31 | 1 << bit) for bit in (30, 29, 26, 24, 23, 6, 5, 3, 0)),
        ("PS_BLEND", 1, 0),
        ("PS_BLEND", 1, 1 << 30 | 1 << 29),
        ("PS_BLEND", 1, 1 << 30 | 1 << 31),
        ("PS_BLEND", 1, 1 << 30 | 1 << 8),
        ("PS", 6, 3 | 1 << 8),
        ("PS", 6, 3 | 2 << 3),
        ("PS", 6, 0),
        ("PS", 3, 33 << 18),
        ("PS", 7, 1),
        ("PS", 7, 125),
        ("BLEND_STATE_POINTERS", 1, dc.BLEND),
        ("SBE", 1, 1 << 28 | 2 << 22 | 1 << 11 | 1 << 5),
        ("SBE", 1, 3 << 28 | 3 << 22 | 1 << 11 | 1 << 5),
        ("SBE", 1, 3 << 28 | 33 << 22 | 31 << 11 | 1 << 5),
        ("SBE", 1, 3 << 28 | 2 << 22 | 1 << 11 | 2 << 5),
        ("SBE", 1, 3 << 28 | 2 << 22 | 1 << 11 | 1 << 5 | 1 << 21),
        ("SBE", 1, 3 << 28 | 2 << 22 | 1 << 11 | 1 << 5 | 1 << 16),
        ("SBE", 2, 1),
        ("SBE", 3, 2),
        ("SBE", 4, 7),
        ("VERTEX_ELEMENTS", 1, 0),
        ("VERTEX_ELEMENTS", 3, 0x80 << 16 | 1 << 25),
        ("VERTEX_ELEMENTS", 3, 0x40 << 16 | 1 << 25 | 1 << 15),
        ("VERTEX_ELEMENTS", 4, 0x0111_0000),
        ("VERTEX_ELEMENTS", 4, 0x7111_0000),
        ("VERTEX_ELEMENTS", 4, 0x5111_0000),
        ("VERTEX_ELEMENTS", 4, 0x1112_0000),
        ("VERTEX_ELEMENTS", 6, 0x1110_0000),
        ("VF_INSTANCING 1", 1, 1 << 8 | 1),
        ("VF_SGVS", 1, 1 << 31),
        ("VF_SGVS", 1, 1 << 31 | 1 << 29 | 1 << 16),
        ("VF_SGVS", 1, 1 << 31 | 1 << 29 | 1 << 15),
        ("DRAWING_RECTANGLE", 3, 1),
    ],
)
def test_what_is_not_built_is_passed_over(
    bench: DrawBench, name: str, dword: int, value: int
) -> None:
    assert bench.draw(dc.changed(name, dword, value)) is Stop.RING_EMPTY
    assert bench.skipped
    assert bench.drawn() == set()


@pytest.mark.parametrize(
    "call",
    [
        dc.primitive(vertices=6),
        dc.primitive(instances=0),
        dc.primitive(instances=2049),
        dc.primitive(flags=1 << 10),
        [0x7B00_0005, 1 << 8 | 0xF, 3, 0, 1, 0, 0],
        [0x7B00_0005, 1 << 9 | 0xF, 3, 0, 1, 0, 0],
        [0x7B00_0003, 0xF, 3, 0, 1],
    ],
)
def test_calls_that_are_not_built(bench: DrawBench, call: list[int]) -> None:
    assert bench.draw(call=call) is Stop.RING_EMPTY
    assert bench.skipped
    assert bench.drawn() == set()


@pytest.mark.parametrize(
    "corners",
    [
        (8, 4, 0, 5, 0, 0),
        (8, 4, 0, 4, 1, 0),
        (8, 4, 0, 4, 0, 70000),
        (float("nan"), 4, 0, 4, 0, 0),
        (float("inf"), 4, 0, 4, 0, 0),
    ],
)
def test_corners_that_are_no_rectangle(bench: DrawBench, corners: tuple[float, ...]) -> None:
    x0, y0, x1, y1, x2, y2 = corners
    bench.put(dc.VERTICES, struct.pack("<9f", x0, y0, 0, x1, y1, 0, x2, y2, 0))
    assert bench.draw() is Stop.RING_EMPTY
    assert bench.skipped
    assert bench.drawn() == set()


def test_attributes_that_differ_from_corner_to_corner(bench: DrawBench) -> None:
    packets = dc.changed("VERTEX_BUFFERS", 5, 1 << 26 | 1 << 14 | 4)
    packets["VERTEX_BUFFERS"][8] = 200
    bench.draw(packets)
    assert bench.skipped


def test_layers_that_vertices_name(bench: DrawBench) -> None:
    """The same number of layers for all, but not by the number of the instance."""
    packets = dc.changed("VF_SGVS", 1, 0)
    bench.draw(packets, dc.primitive(instances=2))
    assert bench.skipped
    bench.host.counters.skipped.clear()
    bench.draw(packets)
    assert bench.drawn() == area(0, 0, 8, 4)


@pytest.mark.parametrize("words", [(1 << 31, 0, 0), (1 << 29, 0, 0), (1 << 27, 0, 0)])
@pytest.mark.parametrize("more", [(0, 0, 0), (0, 1 << 31, 0), (0, 0, 1 << 31)])
def test_blending(
    bench: DrawBench, words: tuple[int, int, int], more: tuple[int, int, int]
) -> None:
    bench.put(dc.DYNAMIC + dc.BLEND, struct.pack("<3I", *(more if any(more) else words)))
    bench.draw()
    assert bench.skipped


FLOAT, UINT, UNORM, SNORM, SMALL_FLOAT = 0x000, 0x002, 0x0C7, 0x0C9, 0x0D3


@pytest.mark.parametrize("clamp", [1, 2, 3])
@pytest.mark.parametrize(
    ("code", "to", "skipped"),
    [
        *((code, 2, False) for code in (FLOAT, UINT, UNORM, SNORM, SMALL_FLOAT)),
        *((UINT, 0, False), (UNORM, 0, False), (SNORM, 1, False), (UNORM, 1, False)),
        *((FLOAT, 0, True), (FLOAT, 1, True), (SMALL_FLOAT, 0, True), (SNORM, 0, True)),
    ],
)
def test_colours_that_are_clamped(
    bench: DrawBench, clamp: int, code: int, to: int, skipped: bool
) -> None:
    """Also where nothing is blended: to 0 (0 to 1), 1 (-1 to 1), 2 (what the target holds)."""
    bench.target(dc.surface(code))
    bench.put(dc.DYNAMIC + dc.BLEND, struct.pack("<3I", 0, 0, to << 2 | clamp))
    assert bench.draw() is Stop.RING_EMPTY
    assert bench.skipped == skipped


@pytest.mark.parametrize("instances", [1, 2])
def test_layers_that_do_not_count(bench: DrawBench, instances: int) -> None:
    """3DSTATE_CLIP makes all of them 0."""
    bench.target(dc.surface(depth=2, qpitch=dc.HEIGHT))
    bench.draw(dc.changed("CLIP", 3, 1 << 5), dc.primitive(instances=instances))
    assert bench.skipped == (instances > 1)
    assert bench.drawn(1) == set()


@pytest.mark.parametrize(
    "state",
    [
        struct.pack("<16I", 7 << 29, *[0] * 15),
        dc.surface(kind=0),
        dc.surface(kind=4),
        dc.surface(0x1FF),
        dc.surface(tiling=1),
    ],
)
def test_targets_that_are_not_built(bench: DrawBench, state: bytes) -> None:
    bench.target(state)
    bench.draw()
    assert bench.skipped


def test_surfaces_of_the_shader_are_looked_at(bench: DrawBench) -> None:
    bench.put(dc.SURFACE + dc.TABLE + 4, struct.pack("<I", 0x140))
    bench.put(dc.SURFACE + 0x140, dc.surface(tiling=1))
    packets = dc.changed("PS", 3, 2 << 18)
    bench.draw(packets)
    assert bench.skipped
    bench.host.counters.skipped.clear()
    bench.put(dc.SURFACE + 0x140, struct.pack("<16I", 7 << 29, *[0] * 15))
    bench.draw(packets)
    assert bench.drawn() == area(0, 0, 8, 4)


@pytest.mark.parametrize(("result", "drawn"), [(0, False), (1, True), (2, False)])
def test_a_predicate(bench: DrawBench, result: int, drawn: bool) -> None:
    bench.host.registers[PREDICATE_RESULT] = result
    bench.draw(call=dc.primitive(flags=1 << 8))
    assert bool(bench.drawn()) == drawn
    assert not bench.skipped


def test_draws_do_not_count_as_compute(bench: DrawBench) -> None:
    bench.draw()
    assert bench.host.registers.get(INVOCATIONS, 0) == 0
    assert bench.host.units.counters.kernels == 1


@pytest.mark.parametrize(
    ("name", "dword", "what"),
    [
        ("VERTEX_BUFFERS", 2, "vertices"),
        ("BASES", 6, "the blend state"),
        ("BASES", 4, "the binding table"),
        ("BASES", 10, "the shader"),
    ],
)
def test_what_is_not_there_is_a_page_fault(
    bench: DrawBench, name: str, dword: int, what: str
) -> None:
    value = ABSENT | (name == "BASES")
    assert bench.draw(dc.changed(name, dword, value)) is Stop.HUNG, what
    [hang] = bench.host.hangs
    assert hang.fault is not None
    assert hang.fault.address >> 12 == ABSENT >> 12
    assert bench.drawn() == set()


def test_a_target_that_is_not_there_is_a_page_fault(bench: DrawBench) -> None:
    bench.target(dc.surface(address=ABSENT))
    assert bench.draw() is Stop.HUNG
    [hang] = bench.host.hangs
    assert hang.fault is not None
    assert (hang.fault.address >> 12, hang.fault.write) == (ABSENT >> 12, True)


def test_a_target_at_the_end_of_the_address_space_wraps(bench: DrawBench) -> None:
    """2^48 bytes, page 0 behind the last; nothing outside of them is reached."""
    bench.target(dc.surface(address=(1 << 48) - 0x1000))
    assert bench.draw() is Stop.HUNG
    [hang] = bench.host.hangs
    assert hang.fault is not None
    assert hang.fault.address == (1 << 48) - 0x1000


@pytest.mark.parametrize("code", [b"\xff" * 64, bytes(64)])
def test_a_shader_that_is_none(bench: DrawBench, code: bytes) -> None:
    bench.put(dc.KERNELS + 0x800, code)
    assert bench.draw() is Stop.HUNG
    assert bench.drawn() == set()


def test_no_draw_in_a_work_around_batch(bench: DrawBench) -> None:
    bench.commands.context.workaround = True
    assert bench.draw() is Stop.RING_EMPTY
    assert bench.skipped
    assert bench.drawn() == set()


def test_nothing_is_drawn_before_there_is_state(bench: DrawBench) -> None:
    assert bench.commands.batch(dc.primitive()) is Stop.RING_EMPTY
    assert bench.skipped


def test_each_draw_has_the_packets_before_it(bench: DrawBench) -> None:
    """Passed over, drawn, passed over: what was decoded for one does not hold for the next."""
    off, on = [0x7810_0007, *[0] * 6, 1, 0], [0x7810_0007, *[0] * 8]
    draw = dc.primitive()
    words = [*dc.flat(dc.packets()), *off, *draw, *draw, *on, *draw, *off, *draw]
    assert bench.commands.batch(words) is Stop.RING_EMPTY
    counters = bench.host.counters
    assert (counters.executed[NAME], counters.skipped[NAME]) == (1, 3)
    assert bench.drawn() == area(0, 0, 8, 4)


def test_a_short_packet_has_zeros_behind(bench: DrawBench) -> None:
    packets = dc.packets()
    packets["PS"] = [0x7820_0002, 0x800, 0, 0]
    assert bench.draw(packets) is Stop.RING_EMPTY
    assert bench.skipped
