"""What is shown of a snapshot: every field, known reasons from the start, no guesses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mediator.errors import Reason
from tests.unit.vgpu_ctl.exporter.synthetic import (
    ENGINES,
    GPU,
    SyntheticSource,
    engine,
    gpu,
    gpu_info,
    histogram,
    uuid,
    vgpu,
    vgpu_info,
)
from vgpu_ctl.api.objects import (
    ComputeStats,
    EngineStats,
    GpuInfo,
    GpuStats,
    Histogram,
    Stats,
    TrapStats,
    TypeInfo,
    VgpuInfo,
    VgpuState,
    VgpuStats,
)
from vgpu_ctl.exporter import facts
from vgpu_ctl.exporter.facts import FAMILIES, Family
from vgpu_ctl.exporter.readings import Labels, Value, readings
from vgpu_ctl.exporter.source import Snapshot, take_snapshot

SNAPSHOT = take_snapshot(SyntheticSource(lambda: 100.0))
AT = (GPU, uuid(0))


def shown(
    *,
    vgpus: list[VgpuStats] | None = None,
    gpus: list[GpuStats] | None = None,
    infos: list[VgpuInfo] | None = None,
    gpu_infos: list[GpuInfo] | None = None,
    types: list[TypeInfo] | None = None,
) -> dict[tuple[Family, Labels], Value]:
    """The readings of these objects and no others, by series."""
    snapshot = Snapshot(
        Stats(time_seconds=1.0, gpus=gpus or [], vgpus=vgpus or []),
        infos or [],
        gpu_infos or [],
        types or [],
        SNAPSHOT.build,
    )
    found = list(readings(snapshot))
    by_series = {(family, labels): value for family, labels, value in found}
    assert len(by_series) == len(found), "a series comes twice"
    return by_series


def changed(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case dict():
            return {key: changed(item) for key, item in value.items()}
        case Histogram() | TrapStats() | EngineStats() | ComputeStats():
            names = [field.name for field in msgspec.structs.fields(value)]
            return msgspec.structs.replace(
                value, **{name: changed(getattr(value, name)) for name in names}
            )
    raise AssertionError(f"no other value for {value!r}")


def of_engine(stats: EngineStats) -> dict[tuple[Family, Labels], Value]:
    """The readings of an engine."""
    return shown(vgpus=[msgspec.structs.replace(vgpu(0, 100.0), engines={"rcs0": stats})])


@pytest.mark.parametrize("name", [f.name for f in msgspec.structs.fields(EngineStats)])
def test_every_field_of_an_engine_is_shown(name: str) -> None:
    stats = engine(100.0, 40.0)
    other = msgspec.structs.replace(stats, **{name: changed(getattr(stats, name))})
    assert of_engine(stats) != of_engine(other)


LABELS = {"uuid", "gpu"}
ONLY_IN_INFO = {"name"}
JOINED = {"type"}
"""It leads to the sizes of the type, if there is one of that name."""


@pytest.mark.parametrize(
    "name", sorted({f.name for f in msgspec.structs.fields(VgpuStats)} - ONLY_IN_INFO - JOINED)
)
def test_every_field_of_a_vgpu_is_shown(name: str) -> None:
    stats = vgpu(0, 100.0)
    other = msgspec.structs.replace(stats, **{name: changed(getattr(stats, name))})
    assert shown(vgpus=[stats]) != shown(vgpus=[other])


@pytest.mark.parametrize("name", [f.name for f in msgspec.structs.fields(ComputeStats)])
def test_every_field_of_what_was_computed_is_shown(name: str) -> None:
    stats = vgpu(0, 100.0)
    compute = msgspec.structs.replace(stats.compute, **{name: getattr(stats.compute, name) + 1})
    other = msgspec.structs.replace(stats, compute=compute)
    assert shown(vgpus=[stats]) != shown(vgpus=[other])


@pytest.mark.parametrize("name", [f.name for f in msgspec.structs.fields(GpuStats)])
def test_every_field_of_a_gpu_is_shown(name: str) -> None:
    stats = gpu(100.0, 2)
    other = msgspec.structs.replace(stats, **{name: changed(getattr(stats, name))})
    assert shown(gpus=[stats]) != shown(gpus=[other])


def test_every_family_but_the_duration_has_a_reading() -> None:
    families = {family for family, _, _ in readings(SNAPSHOT)}
    assert families == set(FAMILIES) - {facts.SCRAPE_SECONDS}


def test_readings_have_the_labels_of_their_family() -> None:
    for family, labels, value in readings(SNAPSHOT):
        assert len(labels) == len(family.labels)
        assert isinstance(value, Histogram) == (family.kind is facts.Kind.HISTOGRAM)


def test_known_reasons_are_there_before_anything_happens() -> None:
    quiet = msgspec.structs.replace(vgpu(0, 0.0), rejections={}, traps={})
    found = shown(vgpus=[quiet])
    for reason in map(str, Reason):
        assert found[facts.REJECTS, (*AT, reason)] == 0
    for name in facts.TRAP_CLASSES:
        assert found[facts.TRAPS, (*AT, "write", name)] == 0
    for reason in facts.FAIL_REASONS:
        assert found[facts.FAILED, (*AT, "rcs0", reason)] == 0


def test_unknown_reasons_are_shown_too() -> None:
    odd = msgspec.structs.replace(
        vgpu(0, 1.0), rejections={"odd": 3}, traps={"doorbell": TrapStats(reads=1, writes=2)}
    )
    found = shown(vgpus=[odd])
    assert found[facts.REJECTS, (*AT, "odd")] == 3
    assert found[facts.TRAPS, (*AT, "read", "doorbell")] == 1


def test_of_passthrough_only_what_is_known_is_shown() -> None:
    whole = msgspec.structs.replace(vgpu(0, 10.0), mediated=False)
    families = {family for family, _ in shown(vgpus=[whole])}
    assert families >= {facts.TRAPS, facts.GTT_UPDATES, facts.INTERRUPTS, facts.ATTACHED}
    assert families.isdisjoint({facts.GPU_SECONDS, facts.QUEUE_DEPTH, facts.REJECTS, facts.RESETS})
    assert facts.TRAP_LATENCY not in families


@pytest.mark.parametrize(
    ("state", "up", "error"),
    [(VgpuState.DEFINED, 0, 0), (VgpuState.ACTIVE, 1, 0), (VgpuState.ERROR, 0, 1)],
)
def test_the_state_of_a_vgpu(state: VgpuState, up: int, error: int) -> None:
    info = vgpu_info(0, state=state, domain="web")
    found = shown(infos=[info])
    at = (info.gpu, info.uuid)
    assert found[facts.VGPU_UP, at] == up
    assert found[facts.VGPU_ERROR, at] == error
    assert found[facts.VGPU_INFO, (*at, "guest0", "V9_16", "web")] == 1


@pytest.mark.parametrize("state", ["ready", "absent", "failed", "unsupported", "molten"])
def test_a_gpu_is_in_one_state(state: str) -> None:
    found = shown(gpu_infos=[msgspec.structs.replace(gpu_info(1), state=state)])
    states = {
        labels[1]: value for (family, labels), value in found.items() if family is facts.GPU_STATE
    }
    assert [name for name, value in states.items() if value] == [state]
    assert set(states) >= set(facts.GPU_STATES)
    assert found[facts.GPU_UP, (GPU,)] == (state == "ready")


def test_resources_by_unit() -> None:
    found = shown(gpu_infos=[gpu_info(2)])
    assert found[facts.RESOURCE_BYTES, (GPU, "mappable GGTT")] == 256 << 20
    assert found[facts.RESOURCE_LEFT_BYTES, (GPU, "mappable GGTT")] == 224 << 20
    assert found[facts.RESOURCE_SLOTS, (GPU, "vGPU slots")] == 31
    assert found[facts.RESOURCE_LEFT_SLOTS, (GPU, "vGPU slots")] == 29


def test_a_vgpu_of_a_type_that_is_gone_has_no_size() -> None:
    families = {family for family, _ in shown(vgpus=[vgpu(0, 1.0)])}
    assert families.isdisjoint({facts.APERTURE, facts.FENCES})


def test_a_gpu_without_pci_and_engines() -> None:
    bare = msgspec.structs.replace(gpu(0.0, 0), engine_seconds={}, active=False)
    found = shown(gpus=[bare])
    assert found[facts.GPU_ACTIVE, (GPU,)] == 0
    assert (facts.GPU_ENGINE_BUSY, (GPU, ENGINES[0])) not in found


def test_the_longest_is_told_beside_the_buckets() -> None:
    stats = msgspec.structs.replace(engine(0.0, 1.0), wait=histogram(100))
    found = of_engine(stats)
    assert found[facts.QUEUE_WAIT, (*AT, "rcs0")] == stats.wait
    assert found[facts.QUEUE_WAIT_LONGEST, (*AT, "rcs0")] == stats.wait.longest_seconds
