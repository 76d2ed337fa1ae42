"""The many fine buckets of a histogram as the few, cumulative ones of the metrics."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from mediator.vgpu.metrics import BUCKETS, bucket_range
from vgpu_ctl.api.objects import Histogram
from vgpu_ctl.exporter.facts import BUCKETS_NS

BOUNDS = (*(repr(end / 1e9) for end in BUCKETS_NS), "+Inf")
"""The label `le` of each bucket: its upper end in seconds."""
_PLACE = tuple(bisect_right(BUCKETS_NS, bucket_range(fine).start) for fine in range(BUCKETS))
"""For each fine bucket the first of ``BOUNDS`` that includes it; it never lies across one."""


def cumulative(histogram: Histogram) -> list[int]:
    """For each of ``BOUNDS``, how many times were below it.

    The last is the number of all, by the buckets: `Histogram.count` may be a moment older or newer.
    """
    counts = [0] * len(BOUNDS)
    for fine, count in histogram.counts.items():
        counts[_PLACE[fine]] += count
    return list(accumulate(counts))
