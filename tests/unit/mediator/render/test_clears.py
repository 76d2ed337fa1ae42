"""Fast clears and resolves of colour: what stands for control data that this GPU does not have."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from mediator.softgpu.eu.dispatch.host_units import make_pool
from mediator.softgpu.eu.dispatch.program_cache import ProgramCache
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.outcome import Stop
from tests.unit.mediator.command_bench import ABSENT
from tests.unit.mediator.render import draw_commands as dc
from tests.unit.mediator.render.draw_bench import FILL, DrawBench

COLOUR = (1, 0x1234_5678, 7, 0xFFFF_FFFF)


@pytest.fixture
def bench() -> DrawBench:
    return DrawBench()


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_resolve_has_nothing_to_do(bench: DrawBench, kind: int) -> None:
    """Nor does it look at anything."""
    packets = dc.changed("PS", 6, 3 | kind << 6)
    packets["VERTEX_BUFFERS"][2] = ABSENT
    assert bench.draw(packets) is Stop.RING_EMPTY
    assert bench.drawn() == set()
    assert not bench.skipped


def clearing(bench: DrawBench, *, auxiliary: int = 5, pool: bool = False, **more: int) -> None:
    """A target whose clear colour is `COLOUR`."""
    state = bytearray(dc.surface(**{"tiling": dc.TILE_Y, "pitch": 1024, **more}))
    struct.pack_into("<I", state, 24, auxiliary)
    struct.pack_into("<4I", state, 48, *COLOUR)
    bench.target(bytes(state), 64 << 10)
    if pool:
        cache = ProgramCache(lambda: None)
        bench.host.units = ExecutionUnits(cache, make_pool())


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("auxiliary", [1, 5])
def test_a_fast_clear_is_written_at_once(bench: DrawBench, auxiliary: int, pool: bool) -> None:
    """One pixel of its rectangle stands for 16 by 32 of sixteen bytes."""
    clearing(bench, auxiliary=auxiliary, pool=pool)
    bench.corners(1, 0, 2, 1)
    bench.put(dc.KERNELS + 0x800, b"\xff" * 64)  # no program runs
    stop = bench.draw(dc.changed("PS", 6, 3 | 1 << 8))
    while stop is Stop.QUANTUM:
        stop = bench.commands.again()
    assert bench.host.hangs == []
    for x in range(dc.WIDTH):
        for y in range(dc.HEIGHT):
            column = 16 * x
            at = column // 128 * 4096 + column % 128 // 16 * 512 + y * 16
            expected = COLOUR if 16 <= x < 32 else (FILL,) * 4
            assert tuple(bench.commands.get(dc.TARGET + at, 4)) == expected, (x, y)
    assert bench.commands.get(dc.TARGET + 16 * 512 + dc.HEIGHT * 16) == [FILL]


@pytest.mark.parametrize(
    "more",
    [
        {"auxiliary": 0},
        {"auxiliary": 3},
        {"tiling": dc.LINEAR},
        {"tiling": dc.TILE_X},
        {"code": 0x10D},
    ],
)
def test_fast_clears_of_another_kind(bench: DrawBench, more: dict[str, Any]) -> None:
    clearing(bench, **more)
    assert bench.draw(dc.changed("PS", 6, 3 | 1 << 8)) is Stop.RING_EMPTY
    assert bench.skipped
    assert bench.drawn() == set()


@pytest.mark.parametrize("pool", [False, True])
def test_a_fast_clear_of_what_is_not_there(bench: DrawBench, pool: bool) -> None:
    clearing(bench, pool=pool, address=ABSENT)
    stop = bench.draw(dc.changed("PS", 6, 3 | 1 << 8))
    while stop is Stop.QUANTUM:
        stop = bench.commands.again()
    assert stop is Stop.HUNG
    [hang] = bench.host.hangs
    assert hang.fault is not None
    assert (hang.fault.address >> 12, hang.fault.write) == (ABSENT >> 12, True)


def test_a_fast_clear_beyond_its_target(bench: DrawBench) -> None:
    clearing(bench)
    bench.corners(3, 1, 9, 9)
    assert bench.draw(dc.changed("PS", 6, 3 | 1 << 8)) is Stop.RING_EMPTY
    assert bench.drawn() == set()
    assert not bench.skipped
