"""Many draws in a row: what they count for, where their context may leave, what is said again."""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.outcome import Stop
from tests.unit.mediator.render import draw_commands as dc
from tests.unit.mediator.render.draw_bench import NAME, DrawBench, area

COUNT = 30


@pytest.fixture
def bench() -> DrawBench:
    return DrawBench()


def test_packets_are_given_anew_after_a_reset_within_a_batch(bench: DrawBench) -> None:
    """What was said last before it counts for nothing, though it is the same."""
    packets = dc.flat(dc.packets())
    bench.commands.batch(packets)
    write = bench.host.write_register

    def reset(offset: int, value: int) -> None:
        write(offset, value)
        bench.host.pipeline.reset()

    bench.host.write_register = reset  # type: ignore[method-assign]
    load = [0x22 << 23 | 1, 0x2600, 1]
    words = [*packets, *load, *dc.primitive(), *packets, *dc.primitive()]
    assert bench.commands.batch(words) is Stop.RING_EMPTY
    counters = bench.host.counters
    assert (counters.executed[NAME], counters.skipped[NAME]) == (1, 1)
    assert bench.drawn() == area(0, 0, 8, 4)


def test_a_packet_that_is_said_again_counts_again(bench: DrawBench) -> None:
    bench.commands.batch([0x7814_0000, 5] * 3)
    assert bench.host.counters.skipped["3DSTATE_WM"] == 3
    assert bench.host.pipeline.command(0x7814) == (0x7814_0000, 5)


def _heavy() -> dc.Packets:
    """Much to look at: vertices of 34 elements, 32 surfaces."""
    packets = dc.packets()
    element = [1 << 26 | 1 << 25 | 16, 0x1111_0000]
    packets["VERTEX_ELEMENTS"] = [0x7809_0043, *packets["VERTEX_ELEMENTS"][1:5], *element * 32]
    packets["SBE"][1] = 3 << 28 | 32 << 22 | 16 << 11 | 1 << 5
    packets["SBE"][3:6] = [0xFFFF_FFFF] * 3
    packets["PS"][3] = 32 << 18
    return packets


@pytest.mark.parametrize(
    ("packets", "most"), [(dc.packets(), 5), (dc.changed("VS", 7, 1), COUNT), (_heavy(), 1)]
)
@pytest.mark.parametrize("corners", [(0, 0, 0, 0), (0, 0, 8, 4), (float("nan"), 0, 8, 4)])
def test_draws_use_up_a_quantum(
    bench: DrawBench, packets: dc.Packets, most: int, corners: tuple[float, ...]
) -> None:
    """What is looked at costs time, be it drawn, empty or not built; the first alone finds the
    last. Each is done once."""
    left, top, right, bottom = corners
    bench.corners(left, top, right, bottom)
    for number in range(32):
        bench.put(dc.SURFACE + dc.TABLE + 4 * number, struct.pack("<I", 0x100))
    bench.commands.batch(dc.flat(packets))
    assert bench.commands.batch(dc.primitive() * COUNT) in (Stop.QUANTUM, Stop.RING_EMPTY)
    counters = bench.host.counters
    runs = 1
    while bench.commands.again(quantum=512) is not Stop.RING_EMPTY:
        runs += 1
        assert counters.executed[NAME] + counters.skipped[NAME] <= 10 + most * runs
    assert counters.executed[NAME] + counters.skipped[NAME] == COUNT
    assert runs >= COUNT // most - 10
    assert bench.host.hangs == []


@pytest.mark.parametrize(
    ("arbitration", "level", "leaves"),
    [(True, 0, True), (True, 1, True), (True, 2, False), (False, 0, False)],
)
@pytest.mark.parametrize("corners", [(0, 0, 0, 0), (0, 0, 8, 4)])
def test_a_draw_waits_for_who_wants_the_engine(
    bench: DrawBench, arbitration: bool, level: int, leaves: bool, corners: tuple[int, ...]
) -> None:
    """Where threads may be left, draws that have none are no obstacle either."""
    left, top, right, bottom = corners
    bench.corners(left, top, right, bottom)
    bench.commands.context.arbitration = arbitration
    bench.host.attention, bench.host.preemption_level = True, level
    assert bench.draw() is (Stop.ATTENTION if leaves else Stop.RING_EMPTY)
    assert (bench.drawn() == set()) == (leaves or not right)
    bench.host.attention = False
    assert bench.commands.again() is Stop.RING_EMPTY
    assert bench.drawn() == area(left, top, right, bottom)
