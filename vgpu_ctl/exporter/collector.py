"""vgpud's metrics as a collector of prometheus_client, for any registry of that library.

This is the plain form of the answer; `vgpu_ctl.exporter.exposition` writes the same faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from vgpu_ctl.api.objects import Histogram
from vgpu_ctl.exporter import facts
from vgpu_ctl.exporter.buckets import BOUNDS, cumulative
from vgpu_ctl.exporter.facts import FAMILIES, Family, Kind
from vgpu_ctl.exporter.label_text import clean
from vgpu_ctl.exporter.readings import Labels, Value, readings
from vgpu_ctl.exporter.source import Source, take_snapshot

_CLASSES = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


class VgpudCollector(Collector):
    """Asks ``source`` once for each collection."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.perf_counter) -> None:
        """``clock``: seconds, for the duration of a scrape."""
        self._source = source
        self._clock = clock

    def describe(self) -> Iterator[Metric]:
        """The families without samples."""
        return (_family(family) for family in FAMILIES)

    def collect(self) -> Iterator[Metric]:
        """The families with their samples; what the source raises passes."""
        began = self._clock()
        metrics = {family: _family(family) for family in FAMILIES}
        for family, labels, value in readings(take_snapshot(self._source)):
            _add(metrics[family], labels, value)
        _add(metrics[facts.SCRAPE_SECONDS], (), self._clock() - began)
        yield from metrics.values()


def _family(family: Family) -> Metric:
    made: Metric = _CLASSES[family.kind](family.name, family.help, labels=family.labels)
    return made


def _add(metric: Metric, labels: Labels, value: Value) -> None:
    cleaned = [clean(label) for label in labels]
    if isinstance(value, Histogram):
        assert isinstance(metric, HistogramMetricFamily)
        buckets = list(zip(BOUNDS, cumulative(value), strict=True))
        metric.add_metric(cleaned, buckets, value.total_seconds)
    else:
        assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)
        metric.add_metric(cleaned, value)
