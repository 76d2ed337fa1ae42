"""Each thing that happens on an engine is counted, once and as what it is."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from mediator.gen9 import registers as reg
from mediator.softgpu.engine import Engine
from mediator.softgpu.gpu import GSM_OFFSET
from tests.gpu_driver import (
    MI_ARB_CHECK,
    MI_BATCH_BUFFER_START_PPGTT,
    MI_NOOP,
    Context,
)
from tests.gpu_driver.commands import ILLEGAL
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

BATCH = 0x10_0000
NAME = "vcs0"


@pytest.fixture
def bench() -> Bench:
    return make_bench()


class Tally:
    """What an engine's totals have grown by since the last look."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.before = asdict(engine.totals)

    def take(self) -> dict[str, int]:
        now = asdict(self.engine.totals)
        grown = {name: now[name] - self.before[name] for name in now}
        self.before = now
        return {name: count for name, count in grown.items() if count and name != "busy_ns"}


def steps(engine: Engine) -> None:
    """Up to the next point of arbitration, and on."""
    for _ in range(4):
        engine.step()


def spinner(bench: Bench) -> Context:
    context = bench.driver.create_context(NAME)
    context.tables.place(BATCH, [MI_ARB_CHECK, MI_BATCH_BUFFER_START_PPGTT, BATCH, 0])
    bench.driver.emit(context, [MI_BATCH_BUFFER_START_PPGTT, BATCH, 0, MI_NOOP])
    return context


def test_totals(bench: Bench) -> None:
    driver, engine = bench.driver, bench.gpu.engines[NAME]
    tally = Tally(engine)
    first, second = (driver.create_context(NAME) for _ in range(2))
    for context in (first, second):
        driver.emit(context, [MI_NOOP, MI_NOOP])
    driver.submit(first, second)
    assert tally.take() == {"submissions": 1}
    bench.run(NAME)
    assert tally.take() == {"contexts_completed": 2}
    loops, other = spinner(bench), spinner(bench)
    driver.submit(loops)
    engine.step()
    assert tally.take() == {"submissions": 1}
    driver.submit(loops)
    steps(engine)
    assert tally.take() == {"submissions": 1, "lite_restores": 1}
    driver.submit(other)
    steps(engine)
    assert tally.take() == {"submissions": 1, "preemptions": 1}
    driver.submit(other)
    driver.submit(first)
    assert tally.take() == {"submissions": 1}, "the second came over one that waits"
    page = driver.engine_read(NAME, reg.RING_HWS_PGA)
    bench.gpu.write32(reg.GDRST, reg.GDRST_MEDIA)
    assert tally.take() == {"resets": 1}
    driver.start_engine(NAME, page)
    bad = driver.create_context(NAME)
    driver.emit(bad, [ILLEGAL, MI_NOOP])
    driver.submit(bad)
    bench.run(NAME)
    assert tally.take() == {"submissions": 1, "hangs": 1}
    assert engine.counters.illegal == 1


def test_busy_time_is_that_with_a_context(bench: Bench) -> None:
    driver, engine = bench.driver, bench.gpu.engines[NAME]
    bench.clock.now += 5000
    assert engine.totals.busy_ns == 0
    driver.submit(spinner(bench))
    engine.step()
    bench.clock.now += 7000
    driver.reset(NAME)
    bench.clock.now += 9000
    assert engine.totals.busy_ns == 7000


def test_the_summary_is_the_sum(bench: Bench) -> None:
    gpu = bench.gpu
    before = gpu.summary()
    for number, engine in enumerate(gpu.engines.values()):
        for place, name in enumerate(asdict(engine.totals)):
            setattr(engine.totals, name, 10**place * (number + 1))
    gpu.write(GSM_OFFSET, bytes(8))
    gpu.read_aperture(0, 4)
    gpu.write_aperture(0, bytes(4))
    gpu.read32(reg.GDRST)
    gpu.write32(reg.GEN6_RC_STATE, 1)
    bench.clock.now += 2_500_000_000
    gpu.counters.interrupts = 77
    after = gpu.summary()
    for place, name in enumerate(
        ("submissions", "contexts_completed", "preemptions", "", "hangs", "failures", "resets")
    ):
        if name:
            assert after[name] == 10 * 10**place, name
    grown = {name: after[name] - before[name] for name in ("reads", "writes", "ggtt_writes")}
    assert grown == {"reads": 1, "writes": 1, "ggtt_writes": 1}
    assert after["aperture_accesses"] - before["aperture_accesses"] == 2
    assert after["interrupts"] == 77
    assert after["seconds"] - before["seconds"] == 2.5
    assert after["unknown_registers"] == before["unknown_registers"]
    gpu.read32(0x1F_FFF0)
    gpu.write32(0x1F_FFF0, 1)
    gpu.write32(0x1F_FFF4, 1)
    assert gpu.summary()["unknown_registers"] == before["unknown_registers"] + 2
