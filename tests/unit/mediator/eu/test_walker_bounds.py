"""Walkers and media objects at the bounds of what makes sense, and how their data is cut."""

from __future__ import annotations

import struct

import pytest

from mediator.softgpu.outcome import Stop
from tests.unit.mediator.eu import media_commands as mc
from tests.unit.mediator.eu.test_walker import INDIRECT, KERNEL_BASE, WalkerBench


@pytest.fixture
def bench() -> WalkerBench:
    return WalkerBench()


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (mc.descriptor(), mc.walker((1, 1, 1), simd_code=2)),
        (mc.descriptor(slm_code=7), mc.walker((1, 1, 1))),
        (mc.descriptor(threads=64, barrier=True), mc.walker((1, 1, 1), width=4, height=4, depth=4)),
        (mc.descriptor(threads=3), mc.walker((1, 1, 1))),
        (mc.descriptor(own=100, shared=27), mc.walker((1, 1, 1))),
        (mc.descriptor(own=127), mc.walker((1, 1, 1))),
        (mc.descriptor(), mc.media_object([0] * 8 * 127)),
        (mc.descriptor(), mc.media_object()),
        (mc.descriptor(), mc.walker((1, 1, 1))[:15]),
        (mc.descriptor(), mc.curbe_load(0, 65024)),
        (mc.descriptor(), mc.descriptor_load(0, 2048)),
    ],
)
def test_state_that_just_makes_sense_does_not_hang(
    bench: WalkerBench, data: bytes, command: list[int]
) -> None:
    assert bench.prepare(data) is Stop.RING_EMPTY
    assert bench.run(command) is Stop.RING_EMPTY
    assert len(bench.kernels.begun) == (command[0] >> 16 in {0x7105, 0x7100})


def test_as_many_threads_as_the_front_end_allows_run(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(threads=8))
    assert bench.run(mc.front_end(threads=8), mc.walker((1, 1, 1), width=8)) is Stop.RING_EMPTY
    assert bench.kernels.ended == [(0, 0, 0)]


def test_each_thread_has_constants_of_its_own_behind_the_shared_ones(bench: WalkerBench) -> None:
    """And no more are read than the descriptor says, from where it says."""
    data = bytes(n % 255 + 1 for n in range(32 * 20))
    bench.prepare(mc.descriptor(threads=3, own=2, shared=1, offset=4), data)
    bench.run(mc.walker((1, 1, 1), width=3))
    assert bench.job.constants.data == data[32 * 4 : 32 * (4 + 1 + 3 * 2)]


@pytest.mark.parametrize("start", [0, 0x40, 0x7F])
def test_indirect_data_starts_at_multiples_of_64(bench: WalkerBench, start: int) -> None:
    bench.prepare(mc.descriptor(own=1))
    bench.put(INDIRECT, bytes(range(1, 129)))
    bench.run(mc.walker((1, 1, 1), indirect=(start, 32)))
    first = start & -64
    assert bench.job.constants.data == bytes(range(1, 129))[first : first + 32]


def test_media_objects_fill_each_part_up_to_whole_registers(bench: WalkerBench) -> None:
    bench.prepare(mc.descriptor(shared=1, own=1), b"\x11" * 96)
    bench.put(INDIRECT, b"\x33" * 64)
    bench.run(mc.media_object(list(range(1, 10)), indirect=(0, 33)))
    job = bench.job
    inline = struct.pack("<9I", *range(1, 10)).ljust(64, b"\0")
    assert job.constants.data == b"\x11" * 64 + inline + (b"\x33" * 33).ljust(64, b"\0")
    assert (job.constants.shared, job.constants.own) == (0, 6)
    assert (job.shape.simd, job.shape.right, job.shape.bottom) == (32, mc.ALL, mc.ALL)
    assert job.kernel == KERNEL_BASE
