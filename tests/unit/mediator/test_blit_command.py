"""2D commands through the command streamer. Pixels: `tests/property/test_blit.py`."""

from __future__ import annotations

import pytest

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import ABSENT, DATA, CommandBench, make_bench

COLOR = 2 << 29 | 0x50 << 22 | 3 << 20 | 5
COPY = 2 << 29 | 0x53 << 22 | 3 << 20 | 8
FAST_COPY = 2 << 29 | 0x42 << 22 | 8
SETUP_CLIP = 2 << 29 | 0x03 << 22 | 1
DEPTH_32 = 3 << 24
CLIPPED = 1 << 30
PITCH = 64


@pytest.fixture
def bench() -> CommandBench:
    return make_bench("BCS")


def fill(value: int, address: int = DATA, flags: int = 0) -> list[int]:
    """Two rows of four pixels."""
    corner = 2 << 16 | 4
    return [COLOR, flags | DEPTH_32 | 0xF0 << 16 | PITCH, 0, corner, address, 0, value]


def test_fill(bench: CommandBench) -> None:
    assert bench.batch(fill(0x55)) is Stop.RING_EMPTY
    assert bench.get(DATA, 5) == [0x55] * 4 + [0]
    assert bench.get(DATA + PITCH, 5) == [0x55] * 4 + [0]
    assert bench.get(DATA + 2 * PITCH) == [0]
    assert bench.host.counters.executed["XY_COLOR_BLT"] == 1


@pytest.mark.parametrize(
    ("header", "flags"), [(COPY, DEPTH_32 | 0xCC << 16), (FAST_COPY, DEPTH_32)]
)
def test_copy(bench: CommandBench, header: int, flags: int) -> None:
    source = DATA + 0x1000
    bench.put(source, [1, 2, 3, 4])
    copy = [header, flags | PITCH, 0, 1 << 16 | 4, DATA, 0, 0, PITCH, source, 0]
    assert bench.run(copy) is Stop.RING_EMPTY
    assert bench.get(DATA, 4) == [1, 2, 3, 4]


def test_the_ring_draws_in_the_contexts_own_space(bench: CommandBench) -> None:
    bench.host.ggtt.write_entry(8 * (DATA >> 12), bytes(8))
    assert bench.run(fill(0x66)) is Stop.RING_EMPTY
    assert bench.get(DATA) == [0x66]


def test_the_clip_rectangle_holds_for_later_commands(bench: CommandBench) -> None:
    clip = [SETUP_CLIP, 1, 1 << 16 | 3]
    assert bench.run([*clip, *fill(0x77, flags=CLIPPED)]) is Stop.RING_EMPTY
    assert bench.get(DATA, 4) == [0, 0x77, 0x77, 0]
    assert bench.get(DATA + PITCH, 4) == [0, 0, 0, 0]
    assert bench.context.clip == (1, 0, 3, 1)


def test_a_blit_into_nothing_faults(bench: CommandBench) -> None:
    assert bench.run(fill(1, ABSENT)) is Stop.HUNG
    assert bench.host.hangs[0].fault is not None


def test_a_blit_cut_off_hangs(bench: CommandBench) -> None:
    assert bench.run([COLOR - 1, *fill(1)[1:-1]]) is Stop.HUNG
    assert bench.host.hangs[0].fault is None


def test_a_setup_cut_off_hangs(bench: CommandBench) -> None:
    assert bench.run([SETUP_CLIP - 1, 0]) is Stop.HUNG


def test_other_blits_are_skipped_and_counted(bench: CommandBench) -> None:
    text = 2 << 29 | 0x26 << 22 | 7
    assert bench.run([text, *[0] * 8, 0]) is Stop.RING_EMPTY
    assert bench.host.counters.skipped == {"XY_TEXT_BLT": 1}


def test_a_blit_that_is_abandoned_goes_on_later(
    bench: CommandBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, True])
    monkeypatch.setattr(
        type(bench.host), "abandon", property(lambda _: next(looks, True), lambda *_: None)
    )
    assert bench.run(fill(0x88)) is Stop.QUANTUM
    assert bench.context.ring.head == 0
    looks = iter([False] * 100)
    assert bench.again() is Stop.RING_EMPTY
    assert bench.get(DATA) == [0x88]


@pytest.mark.parametrize("up", [False, True])
def test_a_blit_draws_each_row_once_however_often_it_pauses(bench: CommandBench, up: bool) -> None:
    """4096 rows of 4 bytes, inverted in place or moved by a row onto themselves."""
    rows, bench.host.pause = 4096, True
    bench.put(DATA, range(rows + 1))
    if up:
        corners = [1 << 16, (rows + 1) << 16 | 1]
        bench.ring([COPY, DEPTH_32 | 0xCC << 16 | 4, *corners, DATA, 0, 0, 4, DATA, 0])
        expected = [0, *range(rows)]
    else:
        bench.ring([COLOR, DEPTH_32 | 0x55 << 16 | 4, 0, rows << 16 | 1, DATA, 0, 0])
        expected = [*(~i & 0xFFFF_FFFF for i in range(rows)), rows]
    stops = [bench.again() for _ in range(5)]
    assert stops == [Stop.QUANTUM] * 4 + [Stop.RING_EMPTY]
    assert bench.get(DATA, rows + 1) == expected


def test_a_work_around_batch_draws_nothing(bench: CommandBench) -> None:
    """It runs with the GPU's lock held."""
    bench.context.workaround = True
    assert bench.run(fill(1)) is Stop.HUNG
    assert bench.get(DATA) == [0]
