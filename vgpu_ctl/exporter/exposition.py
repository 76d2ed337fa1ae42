"""The answer to a scrape: Prometheus' text format 0.0.4.

The same as prometheus_client writes of `vgpu_ctl.exporter.collector`, at a fraction of its cost
(`tests/bench/scrape.py`): what stands before a series' value is made once and kept while the
series lasts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from vgpu_ctl.api.objects import Histogram
from vgpu_ctl.exporter import facts
from vgpu_ctl.exporter.buckets import BOUNDS, cumulative
from vgpu_ctl.exporter.facts import FAMILIES, Family, Kind
from vgpu_ctl.exporter.label_text import clean, escape
from vgpu_ctl.exporter.readings import Labels, Reading, readings
from vgpu_ctl.exporter.source import Source, take_snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HEADERS = {
    family: f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}"
    for family in FAMILIES
}


class Exposition:
    """Writes the metrics of ``source``, and of this process. Threads may share it."""

    def __init__(
        self,
        source: Source,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``clock``: seconds, for the duration of a scrape."""
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._templates: dict[tuple[Family, Labels], str] = {}
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def text(self) -> bytes:
        """All metrics as of now; what the source raises passes."""
        with self._lock:
            return self._write(self._clock())

    def _write(self, began: float) -> bytes:
        lines = self._lines(readings(take_snapshot(self._source)))
        duration = lines.pop(facts.SCRAPE_SECONDS)
        text = "\n".join([line for family in lines.values() for line in family]).encode()
        process = generate_latest(self._process)
        duration += [f"{facts.SCRAPE_SECONDS.name} {self._clock() - began!r}", ""]
        return b"\n".join((text, "\n".join(duration).encode())) + process

    def _lines(self, all_readings: Iterable[Reading]) -> dict[Family, list[str]]:
        """The lines of each family; the templates of these readings' series are kept."""
        lines = {family: [header] for family, header in _HEADERS.items()}
        known, kept = self._templates, {}
        for family, labels, value in all_readings:
            series = (family, labels)
            kept[series] = template = known.get(series) or _template(family, labels)
            if isinstance(value, Histogram):
                counts = cumulative(value)
                lines[family].append(template % (*counts, counts[-1], value.total_seconds))
            else:
                lines[family].append(template % value)
        self._templates = kept
        return lines


def _template(family: Family, labels: Labels) -> str:
    """What a reading looks like, with a place for each number."""
    pairs = [
        f'{name}="{escape(clean(value))}"'
        for name, value in zip(family.labels, labels, strict=True)
    ]
    if family.kind is not Kind.HISTOGRAM:
        return _line(family.name, pairs)
    lines = [_line(f"{family.name}_bucket", [*pairs, f'le="{bound}"']) for bound in BOUNDS]
    lines += [_line(f"{family.name}_count", pairs), _line(f"{family.name}_sum", pairs)]
    return "\n".join(lines)


def _line(name: str, pairs: list[str]) -> str:
    labels = f"{{{','.join(pairs)}}}" if pairs else ""
    return f"{name}{labels} ".replace("%", "%%") + "%s"
