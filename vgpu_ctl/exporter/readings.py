"""What each metric family shows of a snapshot. Pure: no text, no clock.

A `Reading` is one series, or all series of one histogram. Label values are as they came: who
writes them into a text escapes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vgpu_ctl.api.objects import (
    ComputeStats,
    DaemonInfo,
    EngineStats,
    GpuInfo,
    GpuStats,
    Histogram,
    ResourceInfo,
    TypeInfo,
    VgpuInfo,
    VgpuState,
    VgpuStats,
)
from vgpu_ctl.exporter import facts
from vgpu_ctl.exporter.facts import Family
from vgpu_ctl.exporter.source import Snapshot

Labels = tuple[str, ...]
Value = int | float | Histogram
Reading = tuple[Family, Labels, Value]
"""Family, values of its labels, value; a Histogram in families of that kind only."""


def readings(snapshot: Snapshot) -> Iterator[Reading]:
    """Everything but the duration of the scrape, in any order; no series comes twice."""
    types = {kind.name: kind for kind in snapshot.types}
    yield facts.CLOCK, (), snapshot.stats.time_seconds
    yield from _build(snapshot.build)
    for vgpu in snapshot.vgpus:
        yield from _vgpu_info(vgpu)
    for stats in snapshot.stats.vgpus:
        yield from _vgpu(stats)
        if stats.type in types:
            yield from _size((stats.gpu, stats.uuid), types[stats.type])
    for gpu in snapshot.gpus:
        yield from _gpu_info(gpu)
    for counters in snapshot.stats.gpus:
        yield from _gpu(counters)
    for kind in snapshot.types:
        for name, count in kind.available.items():
            yield facts.AVAILABLE, (kind.name, name), count


def _build(build: DaemonInfo) -> Iterator[Reading]:
    hotpath = "native" if build.native_hotpath else "python"
    yield facts.BUILD_INFO, (build.version, str(build.api), hotpath), 1


def _vgpu_info(vgpu: VgpuInfo) -> Iterator[Reading]:
    at = (vgpu.gpu, vgpu.uuid)
    yield facts.VGPU_INFO, (*at, vgpu.name, vgpu.type, vgpu.domain), 1
    yield facts.VGPU_UP, at, int(vgpu.state is VgpuState.ACTIVE)
    yield facts.VGPU_ERROR, at, int(vgpu.state is VgpuState.ERROR)


def _vgpu(stats: VgpuStats) -> Iterator[Reading]:
    at = (stats.gpu, stats.uuid)
    yield facts.ATTACHED, at, int(stats.attached)
    yield facts.MEDIATED, at, int(stats.mediated)
    yield facts.WEIGHT, at, stats.weight
    yield facts.CAP, at, stats.cap
    yield facts.ATTACHES, at, stats.attaches
    yield facts.GTT_UPDATES, at, stats.gtt_updates
    yield facts.INTERRUPTS, at, stats.interrupts
    yield from _traps(at, stats)
    yield from _compute(at, stats.compute)
    if stats.mediated:
        yield from _mediation(at, stats)
        for engine, counters in stats.engines.items():
            yield from _engine((*at, engine), counters)


def _compute(at: Labels, stats: ComputeStats) -> Iterator[Reading]:
    yield facts.KERNELS, at, stats.kernels
    yield facts.KERNEL_THREADS, at, stats.threads
    yield facts.KERNEL_GROUPS, (*at, "compiled"), stats.groups - stats.interpreted_groups
    yield facts.KERNEL_GROUPS, (*at, "interpreted"), stats.interpreted_groups
    yield facts.KERNEL_SECONDS, at, stats.busy_seconds
    yield facts.PROGRAMS, (*at, "decoded"), stats.programs
    yield facts.PROGRAMS, (*at, "known"), stats.program_hits
    yield facts.PROGRAMS, (*at, "compiled"), stats.compiled
    yield facts.PROGRAMS, (*at, "disk"), stats.from_disk
    yield facts.PROGRAMS, (*at, "uncompiled"), stats.uncompiled
    yield facts.KERNEL_TROUBLES, (*at, "suspended"), stats.suspended
    yield facts.KERNEL_TROUBLES, (*at, "lost"), stats.lost
    yield facts.KERNEL_TROUBLES, (*at, "fault"), stats.faults
    yield facts.KERNEL_TROUBLES, (*at, "refused"), stats.refused


def _traps(at: Labels, stats: VgpuStats) -> Iterator[Reading]:
    for name in dict.fromkeys((*facts.TRAP_CLASSES, *stats.traps)):
        traps = stats.traps.get(name)
        yield facts.TRAPS, (*at, "read", name), traps.reads if traps else 0
        yield facts.TRAPS, (*at, "write", name), traps.writes if traps else 0


def _mediation(at: Labels, stats: VgpuStats) -> Iterator[Reading]:
    """What is not known of a vGPU that has its GPU to itself."""
    yield facts.GPU_SECONDS, at, stats.gpu_seconds
    yield facts.SWITCHES, at, stats.world_switches
    yield facts.PREEMPTIONS, at, stats.preemptions
    yield facts.TRAP_LATENCY, at, stats.trap_seconds
    yield facts.TRAP_LATENCY_LONGEST, at, stats.trap_seconds.longest_seconds
    yield facts.SHADOW_PAGES, at, stats.shadow_pages
    yield facts.RESETS, (*at, "engine"), stats.engine_resets
    yield facts.RESETS, (*at, "full"), stats.full_resets
    yield facts.HANGS, at, stats.hangs
    yield facts.FAULTS, at, stats.faults
    yield facts.NOTIFICATIONS, at, stats.notifications
    yield from _by_reason(facts.REJECTS, at, facts.REJECT_REASONS, stats.rejections)


def _engine(at: Labels, stats: EngineStats) -> Iterator[Reading]:
    yield facts.QUEUE_DEPTH, at, stats.queue_depth
    yield facts.QUEUE_INFLIGHT, at, stats.in_flight
    yield facts.QUEUE_OLDEST, at, stats.oldest_age_seconds
    yield facts.SUBMITTED, at, stats.submitted
    yield facts.COMPLETED, at, stats.completed
    yield facts.REQUESTS_PREEMPTED, at, stats.preempted
    yield from _by_reason(facts.FAILED, at, facts.FAIL_REASONS, stats.failed)
    yield facts.ENGINE_BUSY, at, stats.busy_seconds
    yield facts.QUEUE_WAIT, at, stats.wait
    yield facts.QUEUE_WAIT_LONGEST, at, stats.wait.longest_seconds
    yield facts.LATENCY, at, stats.latency
    yield facts.LATENCY_LONGEST, at, stats.latency.longest_seconds


def _by_reason(
    family: Family, at: Labels, known: tuple[str, ...], counts: Mapping[str, int]
) -> Iterator[Reading]:
    for reason in dict.fromkeys((*known, *counts)):
        yield family, (*at, reason), counts.get(reason, 0)


def _size(at: Labels, kind: TypeInfo) -> Iterator[Reading]:
    yield facts.APERTURE, (*at, "low"), kind.low_bytes
    yield facts.APERTURE, (*at, "high"), kind.high_bytes
    yield facts.FENCES, at, kind.fences


def _gpu_info(gpu: GpuInfo) -> Iterator[Reading]:
    about = (
        gpu.backend,
        str(gpu.simulated).lower(),
        gpu.pci,
        f"{gpu.device_id:#06x}",
        gpu.description,
        gpu.address_space,
        gpu.ggtt,
    )
    yield facts.GPU_INFO, (gpu.name, *about), 1
    yield facts.GPU_UP, (gpu.name,), int(gpu.state == "ready")
    for state in dict.fromkeys((*facts.GPU_STATES, gpu.state)):
        yield facts.GPU_STATE, (gpu.name, state), int(gpu.state == state)
    yield facts.GPU_VGPUS, (gpu.name,), len(gpu.vgpus)
    for resource in gpu.resources:
        yield from _resource((gpu.name, resource.name), resource)


def _resource(at: Labels, resource: ResourceInfo) -> Iterator[Reading]:
    if resource.unit == "bytes":
        yield facts.RESOURCE_BYTES, at, resource.total
        yield facts.RESOURCE_LEFT_BYTES, at, resource.left
    else:
        yield facts.RESOURCE_SLOTS, at, resource.total
        yield facts.RESOURCE_LEFT_SLOTS, at, resource.left


def _gpu(stats: GpuStats) -> Iterator[Reading]:
    at = (stats.name,)
    yield facts.GPU_ACTIVE, at, int(stats.active)
    yield facts.POLICY, (*at, stats.policy), 1
    yield facts.GPU_BUSY, at, stats.busy_seconds
    for engine, seconds in stats.engine_seconds.items():
        yield facts.GPU_ENGINE_BUSY, (*at, engine), seconds
    yield facts.GPU_SWITCHES, at, stats.world_switches
    yield facts.GPU_PREEMPTIONS, at, stats.preemptions
    yield facts.GPU_RESTARTS, at, stats.restarts
    yield facts.GPU_ENERGY, at, stats.energy_joules
    yield facts.GPU_FREQUENCY, at, stats.frequency_hertz
