"""Counters of GPUs and vGPUs, read once: what the API and the exporter tell."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import compress, count
from typing import TYPE_CHECKING, Any

from mediator.physical.energy import estimate_joules
from mediator.physical.soft import work_of
from mediator.softgpu.function import SoftGpuFunction
from mediator.vgpu.metrics import TRAP_CLASSES, WaitHistogram
from vgpu_ctl.api.objects import (
    ComputeStats,
    EngineStats,
    GpuStats,
    Histogram,
    Stats,
    TrapStats,
    VgpuStats,
)

if TYPE_CHECKING:
    from mediator.physical.compute_work import ComputeWork
    from mediator.vgpu.engine import VirtualEngine
    from mediator.vgpu.vgpu import Vgpu
    from vgpu_ctl.host.host import Host
    from vgpu_ctl.host.hosted_gpu import HostedGpu
    from vgpu_ctl.host.hosted_vgpu import Active, HostedVgpu

_S = 1e9
_NOTHING = Histogram(counts={}, count=0, total_seconds=0.0, longest_seconds=0.0)


def host_stats(host: Host, only: HostedVgpu | None = None) -> Stats:
    """All GPUs, and all active vGPUs or ``only`` one."""
    chosen = host.vgpus if only is None else [only]
    return Stats(
        time_seconds=time.monotonic_ns() / _S,
        gpus=[gpu_stats(gpu) for gpu in host.gpus],
        vgpus=[found for each in chosen if (found := vgpu_stats(each)) is not None],
    )


def gpu_stats(gpu: HostedGpu) -> GpuStats:
    """The counters of one GPU; all 0 while it is not up."""
    mediation = gpu.mediation
    if mediation is None:
        return GpuStats.of_nothing(gpu.name, gpu.config.policy)
    dispatcher = mediation.dispatcher
    counters, world, identity = dispatcher.counters, dispatcher.world, gpu.identity
    engines = {name: world.engine_ns(name) / _S for name in counters.engine_ns}
    return GpuStats(
        name=gpu.name,
        policy=gpu.config.policy,
        busy_seconds=dispatcher.busy_ns() / _S,
        engine_seconds=engines,
        world_switches=counters.world_switches,
        preemptions=counters.preemptions,
        restarts=counters.restarts,
        energy_joules=estimate_joules(
            (dispatcher.clock() - counters.since_ns) / _S,
            engines,
            mediation.host.requested_mhz,  # not that of the moment: the sum must only grow
            identity.maximum_mhz,
        ),
        frequency_hertz=mediation.host.frequency_mhz * 1e6,
        active=True,
    )


def vgpu_stats(hosted: HostedVgpu) -> VgpuStats | None:
    """The counters of one vGPU; None while it is not active."""
    active = hosted.active
    if active is None:
        return None
    vgpu = active.vgpu
    if vgpu is None:
        return _passthrough(hosted, active)
    counters, dispatcher = vgpu.counters, vgpu.dispatcher
    return VgpuStats(
        **_who(hosted, active),
        mediated=True,
        gpu_seconds=dispatcher.gpu_ns(vgpu) / _S,
        world_switches=counters.world_switches,
        preemptions=counters.preemptions,
        traps={
            name: TrapStats(reads=traps.reads, writes=traps.writes)
            for name, traps in counters.traps.items()
        },
        trap_seconds=_histogram(counters.trap_times),
        gtt_updates=counters.gtt_updates,
        shadow_pages=vgpu.addressing.table_pages,
        interrupts=vgpu.interrupts_delivered,
        engine_resets=counters.engine_resets,
        full_resets=counters.full_resets,
        hangs=counters.hangs,
        faults=counters.faults,
        notifications=counters.notifications,
        attaches=counters.attaches,
        rejections={str(reason): count for reason, count in counters.rejections.copy().items()},
        engines={name: _engine(vgpu, engine) for name, engine in vgpu.engines.copy().items()},
        compute=_compute(dispatcher.world.compute_work(vgpu)),
    )


def _who(hosted: HostedVgpu, active: Active) -> dict[str, Any]:
    """The fields of `VgpuStats` that say of whom they are."""
    return {
        "uuid": hosted.uuid,
        "name": hosted.name,
        "gpu": active.gpu.name,
        "type": hosted.definition.type,
        "weight": hosted.weight,
        "cap": hosted.definition.cap,
        "attached": active.client is not None,
    }


def _engine(vgpu: Vgpu, engine: VirtualEngine) -> EngineStats:
    counters = engine.counters
    with vgpu.lock:  # so that what was submitted is what waits, runs, and has ended; guests wait
        elements = [(e.requests, e.admitted_ns, e.started_ns) for e in engine.lists.elements]
        submitted, completed = counters.submitted, counters.completed
        preempted, failed = counters.preempted, counters.failed.copy()
    oldest = min((admitted for _, admitted, _ in elements if admitted), default=0)
    return EngineStats(
        queue_depth=sum(requests for requests, _, started in elements if not started),
        in_flight=sum(requests for requests, _, started in elements if started),
        oldest_age_seconds=(vgpu.clock() - oldest) / _S if oldest else 0.0,
        submitted=submitted,
        completed=completed,
        preempted=preempted,
        failed={str(why): count for why, count in failed.items()},
        busy_seconds=vgpu.dispatcher.world.busy_ns(vgpu, engine.name) / _S,
        wait=_histogram(counters.waits),
        latency=_histogram(counters.latency),
    )


def _passthrough(hosted: HostedVgpu, active: Active) -> VgpuStats:
    """Of a GPU that one client owns only the traps are known."""
    assert isinstance(active.device, SoftGpuFunction), "it is not mediated"
    gpu = active.device.gpu
    traps = dict.fromkeys(TRAP_CLASSES, TrapStats(reads=0, writes=0))
    if gpu is not None:
        traps["register"] = TrapStats(reads=gpu.registers.reads, writes=gpu.registers.writes)
        traps["gtt"] = TrapStats(reads=0, writes=gpu.counters.ggtt_writes)
    return VgpuStats(
        **_who(hosted, active),
        mediated=False,
        gpu_seconds=0.0,
        world_switches=0,
        preemptions=0,
        traps=traps,
        trap_seconds=_NOTHING,
        gtt_updates=0 if gpu is None else gpu.counters.ggtt_writes,
        shadow_pages=0,
        interrupts=0 if gpu is None else gpu.counters.interrupts,
        engine_resets=0,
        full_resets=0,
        hangs=0,
        faults=0,
        notifications=0,
        attaches=active.server.clients,
        rejections={},
        engines={},
        compute=ComputeStats.of_nothing() if gpu is None else _compute(work_of(gpu)),
    )


def _compute(work: ComputeWork) -> ComputeStats:
    counts = asdict(work)
    return ComputeStats(busy_seconds=counts.pop("busy_ns") / _S, **counts)


def _histogram(histogram: WaitHistogram) -> Histogram:
    by_bucket = histogram.counts.copy()
    counts = {bucket: by_bucket[bucket] for bucket in compress(count(), by_bucket)}
    return Histogram(
        counts=counts,
        count=sum(counts.values()),
        total_seconds=histogram.total_ns / _S,
        longest_seconds=histogram.longest_ns / _S,
    )
