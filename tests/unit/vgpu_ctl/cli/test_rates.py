"""What vGPUs did between two readings."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediator.vgpu.metrics import BUCKETS, bucket_of
from tests.unit.vgpu_ctl.cli.samples import compute, engine, gpu_stats, stats, vgpu_stats
from vgpu_ctl.api.objects import Stats, TrapStats
from vgpu_ctl.cli.rates import gpu_usages, quantile_seconds, usages

MS = 1_000_000


def traps(reads: int, writes: int) -> dict[str, TrapStats]:
    return {"register": TrapStats(reads=reads, writes=writes), "gtt": TrapStats(reads=0, writes=1)}


BEFORE = stats(
    100.0,
    vgpu_stats(
        "web",
        1,
        weight=3,
        gpu_seconds=10.0,
        interrupts=5,
        traps=traps(10, 20),
        engines={"rcs0": engine((900 * MS,) * 3, busy_seconds=5.0), "bcs0": engine()},
        compute=compute(
            kernels=10,
            threads=1000,
            groups=90,
            interpreted_groups=5,
            busy_seconds=0.25,
            programs=4,
            program_hits=6,
            compiled=3,
            from_disk=2,
            uncompiled=1,
        ),
    ),
    vgpu_stats("db", 2, weight=1, gpu_seconds=4.0),
    vgpu_stats("idle", 3, weight=8),
    busy_seconds=20.0,
)
AFTER = stats(
    102.0,
    vgpu_stats(
        "web",
        1,
        weight=3,
        gpu_seconds=11.2,
        interrupts=25,
        traps=traps(110, 220),
        hangs=1,
        rejections={"register": 2},
        engines={
            "rcs0": engine(
                (900 * MS,) * 3 + (2 * MS,) * 99 + (50 * MS,),
                busy_seconds=6.0,
                queue_depth=2,
                in_flight=1,
            ),
            "bcs0": engine(failed={"hang": 1}),
        },
        compute=compute(
            kernels=90,
            threads=9000,
            groups=900,
            interpreted_groups=12,
            busy_seconds=0.75,
            programs=12,
            program_hits=78,
            compiled=9,
            from_disk=6,
            uncompiled=3,
        ),
    ),
    vgpu_stats("db", 2, weight=1, gpu_seconds=4.4),
    vgpu_stats("idle", 3, weight=8),
    busy_seconds=21.8,
)


def test_rates() -> None:
    web, db, idle = usages(BEFORE, AFTER)
    assert web.seconds == 2.0
    assert web.gpu_seconds == pytest.approx(1.2)
    assert web.share == pytest.approx(0.75)
    assert db.share == pytest.approx(0.25)
    assert idle.share == 0
    assert web.gpu_busy == pytest.approx(0.9)
    assert (web.requests, web.requests_per_second) == (100, 50.0)
    assert (web.traps, web.traps_per_second) == (300, 150.0)
    assert web.interrupts_per_second == 10.0
    assert (web.queue_depth, web.failed, web.hangs, web.rejections) == (3, 1, 1, 2)
    assert web.engine_seconds == {"rcs0": pytest.approx(1.0), "bcs0": 0.0}


def test_kernels() -> None:
    web, db, _ = usages(BEFORE, AFTER)
    assert (web.kernels, web.kernels_per_second) == (80, 40.0)
    assert (web.threads, web.threads_per_second) == (8000, 4000.0)
    assert web.kernel_seconds == 0.5
    assert (web.programs, web.program_hits, web.hits_per_second) == (8, 72, 36.0)
    assert (web.compiled, web.from_disk, web.uncompiled) == (6, 4, 2)
    assert web.interpreted_groups == 7
    assert (db.kernels, db.threads, db.kernel_seconds, db.program_hits) == (0, 0, 0.0, 0)
    total = usages(None, AFTER)[0]
    assert (total.threads, total.program_hits, total.compiled) == (9000, 78, 9)
    assert (total.threads_per_second, total.hits_per_second) == (None, None)


def test_waits_are_those_of_the_time() -> None:
    web, db, _ = usages(BEFORE, AFTER)
    assert web.wait_p50_seconds == pytest.approx(2e-3, rel=0.03)
    assert web.wait_p99_seconds == pytest.approx(2e-3, rel=0.03)
    assert db.wait_p50_seconds is None
    total = usages(None, AFTER)[0]
    assert total.wait_p99_seconds == pytest.approx(0.9, rel=0.03)


def test_weights_count_for_those_that_compete() -> None:
    web, db, idle = usages(BEFORE, AFTER)
    assert (web.weight_share, db.weight_share) == (0.75, 0.25)
    assert idle.weight_share == 8 / 12  # what it would have, if it began now


def test_in_total() -> None:
    web = usages(None, AFTER)[0]
    assert (web.seconds, web.requests_per_second, web.gpu_busy) == (None, None, None)
    assert web.requests == 103
    assert web.share == pytest.approx(11.2 / 15.6)


def test_one_that_was_started_anew() -> None:
    again = stats(103.0, vgpu_stats("web", 1, gpu_seconds=0.5, engines={"rcs0": engine((MS,))}))
    web = usages(AFTER, again)[0]
    assert web.gpu_seconds == 0.5
    assert web.requests == 1
    assert web.hangs == 0


def test_one_that_came_in_between() -> None:
    web = usages(stats(101.0), AFTER)[0]
    assert web.requests == 103


def test_other_gpus_do_not_count() -> None:
    found = usages(
        stats(0.0),
        stats(1.0, vgpu_stats("a", 1, gpu_seconds=1.0), vgpu_stats("b", 2, gpu="gpu1", weight=9)),
    )
    assert [usage.share for usage in found] == [1.0, None]
    assert [usage.weight_share for usage in found] == [1.0, 1.0]


def test_no_time_no_rate() -> None:
    assert usages(AFTER, AFTER)[0].requests_per_second is None


def test_gpus() -> None:
    before = Stats(time_seconds=0.0, gpus=[gpu_stats(1.0, energy_joules=10.0)], vgpus=[])
    after = Stats(
        time_seconds=2.0, gpus=[gpu_stats(2.0, energy_joules=13.0, world_switches=8)], vgpus=[]
    )
    (gpu,) = gpu_usages(before, after)
    assert (gpu.busy, gpu.watts, gpu.switches_per_second) == (0.5, 1.5, 4.0)
    (anew,) = gpu_usages(after, Stats(time_seconds=4.0, gpus=[gpu_stats(1.0)], vgpus=[]))
    assert anew.busy == 0.5


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
def test_quantiles_are_close(waits_ns: list[int]) -> None:
    """Within a bucket of the exact ones: 3 % or 256 ns."""
    counts = Counter(map(bucket_of, waits_ns))
    found = quantile_seconds(counts, 0.5, max(waits_ns) / 1e9)
    exact = sorted(waits_ns)[(len(waits_ns) + 1) // 2 - 1] / 1e9
    assert found == pytest.approx(exact, rel=0.04, abs=3e-7)


def test_buckets_of_another_version_are_left_out() -> None:
    assert quantile_seconds(Counter({BUCKETS + 5: 3}), 0.5, 1.0) is not None
