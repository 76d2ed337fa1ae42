"""Counters of a vGPU, and the histogram against exact quantiles."""

from __future__ import annotations

import json
from dataclasses import asdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediator.vgpu.metrics import (
    BUCKETS,
    Failure,
    TrapCounters,
    VgpuCounters,
    WaitHistogram,
    bucket_of,
    bucket_range,
)

times = st.one_of(st.integers(0, 1 << 12), st.integers(0, 1 << 39))


def histogram(values: list[int]) -> WaitHistogram:
    """A histogram of these times."""
    made = WaitHistogram()
    for value in values:
        made.record(value)
    return made


def test_buckets_follow_each_other() -> None:
    assert BUCKETS < 500
    end = 0
    for bucket in range(BUCKETS):
        times_of = bucket_range(bucket)
        assert times_of.start == end
        assert bucket_of(times_of.start) == bucket_of(times_of.stop - 1) == bucket
        end = times_of.stop
    assert bucket_of(end) == bucket_of(1 << 60) == BUCKETS - 1
    assert bucket_of(-1) == 0


@given(st.lists(times, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_within_five_per_cent(values: list[int], part: float) -> None:
    due = part * len(values)
    exact = next(v for n, v in enumerate(sorted(values), 1) if n >= due)
    found = histogram(values).quantile(part)
    assert abs(found - exact) <= max(0.05 * exact, 256)
    assert found <= max(values)


@given(st.lists(times), st.lists(times))
def test_merging_is_recording_both(one: list[int], other: list[int]) -> None:
    merged = histogram(one)
    merged.merge(histogram(other))
    assert merged == histogram(one + other)
    assert merged.count == len(one) + len(other)


def test_without_values() -> None:
    assert histogram([]).quantile(0.5) == 0
    with pytest.raises(ValueError, match="0 to 1"):
        histogram([]).quantile(1.5)


def test_a_time_past_the_last_bucket() -> None:
    assert histogram([1 << 50]).quantile(1) == 1 << 50


def test_the_summary_is_json() -> None:
    counters = VgpuCounters(gpu_ns=1_500_000_000)
    counters.traps["gtt"] = TrapCounters(2, 4)
    counters.traps["register"] = TrapCounters(0, 1)
    counters.engines["rcs0"].submitted, counters.engines["vcs0"].submitted = 2, 1
    counters.reject("register")
    counters.reject("register")
    counters.reject("address")
    counters.engines["rcs0"].waits.record(2_000_000)
    counters.engines["vcs0"].waits.record(1_000_000)
    summary = counters.to_summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["rejections"] == {"address": 1, "register": 2}
    assert (summary["requests"], summary["gpu_seconds"]) == (3, 1.5)
    assert (summary["reads"], summary["writes"]) == (2, 5)
    assert summary["wait_p99_ms"] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (VgpuCounters(engines={}), "engines"),
        (VgpuCounters(traps={"config": TrapCounters()}), "trap classes"),
        (VgpuCounters(trap_times=WaitHistogram([0, 0])), "buckets"),
    ],
)
def test_counters_from_elsewhere_must_be_whole(changed: VgpuCounters, message: str) -> None:
    VgpuCounters().check()
    with pytest.raises(ValueError, match=message):
        changed.check()


def test_counters_are_plain_data() -> None:
    counters = VgpuCounters(hangs=3)
    counters.engines["bcs0"].waits.record(77_777)
    counters.engines["bcs0"].fail(Failure.HANG, 2)
    plain = json.loads(json.dumps(asdict(counters)))
    assert msgspec.convert(plain, VgpuCounters) == counters


def test_the_summary_number_by_number() -> None:
    counters = VgpuCounters(
        submissions=11,
        gpu_ns=1_234_567_891,
        notifications=12,
        engine_resets=13,
        full_resets=14,
        hangs=15,
        world_switches=16,
    )
    waits = counters.engines["bcs0"].waits
    for _ in range(98):
        waits.record(1_000_000)
    for value in (40_000_000, 50_123_456):
        waits.record(value)
    summary = counters.to_summary()
    assert summary["gpu_seconds"] == 1.234568
    assert summary["wait_p50_ms"] == round(waits.quantile(0.5) / 1e6, 3) == pytest.approx(1, 0.05)
    assert summary["wait_p99_ms"] == round(waits.quantile(0.99) / 1e6, 3) == pytest.approx(40, 0.05)
    assert summary["wait_max_ms"] == 50.123
    names = "submissions notifications engine_resets full_resets hangs world_switches kernels"
    assert [summary[name] for name in names.split()] == [11, 12, 13, 14, 15, 16, 0]


@pytest.mark.parametrize("name", ["waits", "latency"])
@pytest.mark.parametrize("engine", ["rcs0", "vecs0"])
def test_every_histogram_from_elsewhere_must_be_whole(engine: str, name: str) -> None:
    counters = VgpuCounters()
    getattr(counters.engines[engine], name).counts.append(0)
    with pytest.raises(ValueError, match="buckets"):
        counters.check()
