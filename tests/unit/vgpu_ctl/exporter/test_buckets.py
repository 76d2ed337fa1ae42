"""Fine buckets into coarse, cumulative ones: exact."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediator.vgpu.metrics import BUCKETS, WaitHistogram, bucket_range
from vgpu_ctl.api.objects import Histogram
from vgpu_ctl.exporter.buckets import BOUNDS, cumulative
from vgpu_ctl.exporter.facts import BUCKETS_NS

EDGES = [end + step for end in BUCKETS_NS for step in (-1, 0, 1)]


def of(times_ns: list[int]) -> Histogram:
    """What the API says of recorded times."""
    recorded = WaitHistogram()
    for time_ns in times_ns:
        recorded.record(time_ns)
    return Histogram(
        counts={place: count for place, count in enumerate(recorded.counts) if count},
        count=recorded.count,
        total_seconds=recorded.total_ns / 1e9,
        longest_seconds=recorded.longest_ns / 1e9,
    )


def test_no_fine_bucket_lies_across_a_bound() -> None:
    for place in range(BUCKETS - 1):
        times = bucket_range(place)
        assert not any(times.start < end < times.stop for end in BUCKETS_NS)


def test_bounds_are_what_prometheus_writes() -> None:
    assert BOUNDS[0] == "1.024e-06"
    assert BOUNDS[7] == "0.000131072"
    assert BOUNDS[-2:] == ("1.073741824", "+Inf")
    assert len(BOUNDS) == len(BUCKETS_NS) + 1


@given(st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, 1 << 42))))
def test_every_time_is_counted_below_the_bounds_above_it(times_ns: list[int]) -> None:
    *finite, everything = cumulative(of(times_ns))
    assert finite == [sum(time_ns < end for time_ns in times_ns) for end in BUCKETS_NS]
    assert everything == len(times_ns)


def test_an_empty_histogram_is_zeros() -> None:
    assert cumulative(of([])) == [0] * len(BOUNDS)
