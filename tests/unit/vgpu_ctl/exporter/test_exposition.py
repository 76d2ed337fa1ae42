"""The text of a scrape: the same samples as prometheus_client writes, whatever the labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric, Sample
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.vgpu_ctl.exporter.synthetic import (
    BUILD,
    TYPE,
    SyntheticSource,
    gpu,
    gpu_info,
    histogram,
    vgpu,
    vgpu_info,
)
from vgpu_ctl.api.objects import DaemonInfo, EngineStats, GpuInfo, Stats, TypeInfo, VgpuInfo
from vgpu_ctl.exporter.collector import VgpudCollector
from vgpu_ctl.exporter.exposition import Exposition
from vgpu_ctl.exporter.facts import FAMILIES, Kind

NASTY = 'a"b\\n\\\nc{d="e"},%s%%\t\r\x7f\u00e9\U0001f600'


@dataclass
class Now:
    """A clock that goes when it is told to."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Told:
    """A source that says what it was given."""

    the_stats: Stats
    infos: list[VgpuInfo] = field(default_factory=list)
    gpu_infos: list[GpuInfo] = field(default_factory=list)

    def stats(self) -> Stats:
        return self.the_stats

    def vgpus(self) -> list[VgpuInfo]:
        return self.infos

    def gpus(self) -> list[GpuInfo]:
        return self.gpu_infos

    def types(self) -> list[TypeInfo]:
        return [TYPE]

    def build(self) -> DaemonInfo:
        return BUILD


def parsed(text: bytes) -> dict[str, Metric]:
    """The families of a text; those of the process left out."""
    families = text_string_to_metric_families(text.decode())
    return {family.name: family for family in families if family.name.startswith("vgpud_")}


def samples(text: bytes) -> list[Sample]:
    """All samples of a text, in order."""
    return sorted(
        (sample for family in parsed(text).values() for sample in family.samples),
        key=lambda sample: (sample.name, sorted(sample.labels.items())),
    )


def both(source: Told | SyntheticSource) -> tuple[bytes, bytes]:
    """Our text and prometheus_client's, of the same source at one moment."""
    registry = CollectorRegistry()
    registry.register(VgpudCollector(source, clock=Now()))
    return Exposition(source, clock=Now()).text(), generate_latest(registry)


def test_the_texts_say_the_same() -> None:
    ours, theirs = both(SyntheticSource(Now(), active=3, defined=2))
    assert samples(ours) == samples(theirs)
    assert {name: (f.type, f.documentation) for name, f in parsed(ours).items()} == {
        name: (f.type, f.documentation) for name, f in parsed(theirs).items()
    }


texts = st.text(st.characters(exclude_categories=()), max_size=20)
counts = st.integers(0, 1 << 53)  # What a float holds: prometheus_client makes one of it.
seconds = st.floats(0, 1e12)
engines = st.builds(
    EngineStats,
    queue_depth=counts,
    in_flight=counts,
    oldest_age_seconds=seconds,
    submitted=counts,
    completed=counts,
    preempted=counts,
    failed=st.dictionaries(texts, counts, max_size=2),
    busy_seconds=seconds,
    wait=st.builds(histogram, st.integers(0, 300)),
    latency=st.builds(histogram, st.integers(0, 300)),
)


@settings(max_examples=30)
@given(
    names=st.lists(texts, min_size=4, max_size=4, unique=True),
    domain=texts,
    stats=engines,
    when=seconds,
)
def test_they_do_with_any_label_and_number(
    names: list[str], domain: str, stats: EngineStats, when: float
) -> None:
    name, uuid, gpu_name, engine_name = names
    counters = msgspec.structs.replace(
        vgpu(0, when % 1000), uuid=uuid, name=name, gpu=gpu_name, engines={engine_name: stats}
    )
    info = msgspec.structs.replace(vgpu_info(0), uuid=uuid, name=name, gpu=gpu_name, domain=domain)
    source = Told(Stats(time_seconds=when, gpus=[], vgpus=[counters]), [info])
    ours, theirs = both(source)
    assert samples(ours) == samples(theirs)


def test_a_nasty_label_comes_back_as_it_was() -> None:
    info = msgspec.structs.replace(vgpu_info(0), name=NASTY, domain="\0\ud800")
    text = Exposition(Told(Stats(time_seconds=1.0, gpus=[], vgpus=[]), [info])).text()
    labels = parsed(text)["vgpud_vgpu_info"].samples[0].labels
    assert labels["name"] == NASTY
    assert labels["domain"] == "\N{REPLACEMENT CHARACTER}?"
    assert text.count(b"vgpud_vgpu_info{") == 1


def test_a_line_for_each_family_of_what_it_is() -> None:
    text = Exposition(Told(Stats(time_seconds=1.0, gpus=[], vgpus=[]))).text().decode()
    for family in FAMILIES:
        assert f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n" in text


def test_the_process_is_told_too() -> None:
    text = Exposition(SyntheticSource(Now())).text()
    assert b"\nprocess_cpu_seconds_total " in text
    assert text.endswith(b"\n")
    assert not text.endswith(b"\n\n")


def test_counters_and_buckets_never_go_back() -> None:
    now = Now(0.0)
    exposition = Exposition(SyntheticSource(now), clock=now)
    monotonic = {
        suffixed
        for family in FAMILIES
        if family.kind is not Kind.GAUGE
        for suffixed in (family.name, *(f"{family.name}_{s}" for s in ("bucket", "count", "sum")))
    }
    before: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for _ in range(20):
        now.seconds += 3.7
        after = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for sample in samples(exposition.text())
            if sample.name in monotonic
        }
        assert before.keys() <= after.keys()
        assert all(value <= after[series] for series, value in before.items())
        before = after


def test_buckets_grow_to_the_count() -> None:
    text = Exposition(SyntheticSource(Now())).text()
    for name in ("vgpud_queue_wait_seconds", "vgpud_mmio_trap_latency_seconds"):
        family = parsed(text)[name]
        series: dict[tuple[str, ...], list[Sample]] = {}
        for sample in family.samples:
            key = tuple(value for label, value in sample.labels.items() if label != "le")
            series.setdefault(key, []).append(sample)
        for lines in series.values():
            *buckets, count, total = lines
            values = [bucket.value for bucket in buckets]
            assert values == sorted(values)
            assert buckets[-1].labels["le"] == "+Inf"
            assert values[-1] == count.value > 0
            assert total.value > 0


def test_the_source_is_asked_once_for_a_text() -> None:
    source = SyntheticSource(Now())
    exposition = Exposition(source, clock=Now())
    exposition.text()
    assert source.asked == 1
    exposition.text()
    assert source.asked == 2


def test_nothing_is_kept_of_vgpus_that_are_gone() -> None:
    now = Now()
    source = SyntheticSource(now, active=8)
    exposition = Exposition(source, clock=now)
    exposition.text()
    many = len(exposition._templates)
    source.active, source.defined = 1, 0
    exposition.text()
    assert len(exposition._templates) < many / 3


def test_what_the_source_raises_passes_and_the_next_scrape_works() -> None:
    now = Now()

    class Failing(SyntheticSource):
        def vgpus(self) -> list[VgpuInfo]:
            if self.asked == 1:
                raise RuntimeError("not now")
            return super().vgpus()

    exposition = Exposition(Failing(now), clock=now)
    with pytest.raises(RuntimeError, match="not now"):
        exposition.text()
    assert b"vgpud_vgpu_info{" in exposition.text()


def test_the_duration_covers_the_source() -> None:
    now = Now()

    class Slow(SyntheticSource):
        def stats(self) -> Stats:
            now.seconds += 0.25
            return super().stats()

    text = Exposition(Slow(now), clock=now).text()
    assert parsed(text)["vgpud_scrape_duration_seconds"].samples[0].value == 0.25


def test_a_gpu_without_vgpus() -> None:
    source = Told(Stats(time_seconds=1.0, gpus=[gpu(1.0, 0)], vgpus=[]), [], [gpu_info(0)])
    ours, theirs = both(source)
    assert samples(ours) == samples(theirs)
