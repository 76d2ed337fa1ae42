"""What vGPUs did between two readings of all counters: for `stats` and `top`. Pure.

Counters only grow, so what happened is their difference. Those of a vGPU that was started anew
begin at 0 again; then all of them are new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mediator.vgpu.metrics import BUCKETS, WaitHistogram
from vgpu_ctl.api.objects import GpuStats, Object, Stats, VgpuStats

_NS = 1_000_000_000


class VgpuUsage(Object, frozen=True, kw_only=True):
    """What one vGPU had and did in a time. Parts of a whole are 0 to 1."""

    time_seconds: float
    """When the time ended, on the clock of `Stats`."""
    seconds: float | None
    """Its length; None: all the time since the vGPU was started, and no rate is known."""
    name: str
    uuid: str
    gpu: str
    type: str
    weight: int
    cap: float
    attached: bool
    mediated: bool
    """False for passthrough: only traps are known of it."""
    gpu_seconds: float
    """How long it had the GPU."""
    share: float | None
    """Its part of what all vGPUs of the GPU had together; None: none had any."""
    weight_share: float
    """What its weight entitles it to, against those that used the GPU or waited for it."""
    gpu_busy: float | None
    """The part of the time in which the GPU was busy, for whomever; None: not known."""
    engine_seconds: dict[str, float]
    """How long each engine ran something of it."""
    queue_depth: int
    """Requests that wait now, or are on the hardware."""
    requests: int
    """Requests completed."""
    requests_per_second: float | None
    failed: int
    wait_p50_seconds: float | None
    """From a request's submission to the hardware: half of them waited no longer."""
    wait_p99_seconds: float | None
    traps: int
    traps_per_second: float | None
    interrupts: int
    interrupts_per_second: float | None
    rejections: int
    hangs: int
    faults: int
    resets: int
    kernels: int
    """Kernels that ended on execution units."""
    kernels_per_second: float | None
    threads: int
    """Threads of kernels that began."""
    threads_per_second: float | None
    kernel_seconds: float
    """How long threads of kernels ran."""
    interpreted_groups: int
    """Thread groups that no compiled code ran."""
    programs: int
    """Programs that had not been seen before, or not for long."""
    program_hits: int
    """Kernels whose program was known."""
    hits_per_second: float | None
    compiled: int
    """Programs that came into use in compiled form."""
    from_disk: int
    """Of those, programs that an earlier process had compiled."""
    uncompiled: int
    """Programs that the compiler gave up."""


class GpuUsage(Object, frozen=True, kw_only=True):
    """What one GPU did in a time."""

    name: str
    policy: str
    active: bool
    busy: float
    """Part of the time."""
    watts: float
    """Estimated."""
    frequency_hertz: float
    switches_per_second: float


@dataclass(frozen=True, slots=True)
class _Work:
    """Sums over a vGPU's engines and kinds of traps."""

    gpu_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    engines: dict[str, float] = field(default_factory=dict)
    waits: Counter[int] = field(default_factory=Counter)
    """By bucket."""
    kernel_seconds: float = 0.0

    def since(self, before: _Work) -> _Work:
        """What came after ``before``; all, if a counter went back since."""
        went_back = any(self.counts[name] < count for name, count in before.counts.items())
        if went_back or self.gpu_seconds < before.gpu_seconds:
            return self
        return _Work(
            self.gpu_seconds - before.gpu_seconds,
            Counter({name: count - before.counts[name] for name, count in self.counts.items()}),
            {name: busy - before.engines.get(name, 0.0) for name, busy in self.engines.items()},
            self.waits - before.waits,
            self.kernel_seconds - before.kernel_seconds,
        )


_NOTHING = _Work()


def usages(before: Stats | None, after: Stats) -> list[VgpuUsage]:
    """What each vGPU did between two readings, or, without the first, since its start."""
    seconds = after.time_seconds - before.time_seconds if before is not None else None
    first = {vgpu.uuid: _work(vgpu) for vgpu in before.vgpus} if before is not None else {}
    done = [(now, _work(now).since(first.get(now.uuid, _NOTHING))) for now in after.vgpus]
    busy = {gpu.name: gpu.busy for gpu in gpu_usages(before, after)} if before is not None else {}
    return [
        _usage(
            now,
            work,
            _Group.around(now, done),
            seconds,
            after.time_seconds,
            busy.get(now.gpu) if now.mediated else None,
        )
        for now, work in done
    ]


def gpu_usages(before: Stats, after: Stats) -> list[GpuUsage]:
    """What each GPU did between two readings."""
    seconds = after.time_seconds - before.time_seconds
    first = {gpu.name: gpu for gpu in before.gpus}
    return [_gpu_usage(first.get(now.name), now, seconds) for now in after.gpus]


def quantile_seconds(counts: Counter[int], part: float, longest_seconds: float) -> float | None:
    """The time that ``part`` (0 to 1) of the values in these buckets do not exceed; None: none."""
    if not counts.total():
        return None
    buckets = [counts[bucket] for bucket in range(BUCKETS)]
    return WaitHistogram(buckets, 0, round(longest_seconds * _NS)).quantile(part) / _NS


@dataclass(frozen=True, slots=True)
class _Group:
    """The vGPUs of one GPU, as far as they compete."""

    gpu_seconds: float
    weight: int

    @classmethod
    def around(cls, one: VgpuStats, all_of_them: Iterable[tuple[VgpuStats, _Work]]) -> _Group:
        """Those that used the GPU of ``one`` or wait for it, and itself."""
        group = [(now, work) for now, work in all_of_them if now.gpu == one.gpu]
        rivals = [
            now.weight
            for now, work in group
            if work.gpu_seconds > 0 or _queue_depth(now) or now is one
        ]
        return cls(sum(work.gpu_seconds for _, work in group), sum(rivals))


def _work(vgpu: VgpuStats) -> _Work:
    engines = vgpu.engines
    counts = Counter(
        requests=sum(engine.completed for engine in engines.values()),
        failed=sum(sum(engine.failed.values()) for engine in engines.values()),
        traps=sum(kind.reads + kind.writes for kind in vgpu.traps.values()),
        interrupts=vgpu.interrupts,
        rejections=sum(vgpu.rejections.values()),
        hangs=vgpu.hangs,
        faults=vgpu.faults,
        resets=vgpu.engine_resets + vgpu.full_resets,
        kernels=vgpu.compute.kernels,
        threads=vgpu.compute.threads,
        programs=vgpu.compute.programs,
        program_hits=vgpu.compute.program_hits,
        compiled=vgpu.compute.compiled,
        interpreted_groups=vgpu.compute.interpreted_groups,
        from_disk=vgpu.compute.from_disk,
        uncompiled=vgpu.compute.uncompiled,
    )
    waits: Counter[int] = Counter()
    for engine in engines.values():
        waits.update(engine.wait.counts)
    busy = {name: engine.busy_seconds for name, engine in engines.items()}
    return _Work(vgpu.gpu_seconds, counts, busy, waits, vgpu.compute.busy_seconds)


def _usage(
    now: VgpuStats,
    work: _Work,
    group: _Group,
    seconds: float | None,
    time_seconds: float,
    gpu_busy: float | None,
) -> VgpuUsage:
    longest = max((engine.wait.longest_seconds for engine in now.engines.values()), default=0.0)
    counts = work.counts
    return VgpuUsage(
        time_seconds=time_seconds,
        seconds=seconds,
        name=now.name,
        uuid=now.uuid,
        gpu=now.gpu,
        type=now.type,
        weight=now.weight,
        cap=now.cap,
        attached=now.attached,
        mediated=now.mediated,
        gpu_seconds=work.gpu_seconds,
        share=work.gpu_seconds / group.gpu_seconds if group.gpu_seconds > 0 else None,
        weight_share=now.weight / group.weight if group.weight else 0.0,
        gpu_busy=gpu_busy,
        engine_seconds=work.engines,
        queue_depth=_queue_depth(now),
        requests=counts["requests"],
        requests_per_second=_rate(counts["requests"], seconds),
        failed=counts["failed"],
        wait_p50_seconds=quantile_seconds(work.waits, 0.5, longest),
        wait_p99_seconds=quantile_seconds(work.waits, 0.99, longest),
        traps=counts["traps"],
        traps_per_second=_rate(counts["traps"], seconds),
        interrupts=counts["interrupts"],
        interrupts_per_second=_rate(counts["interrupts"], seconds),
        rejections=counts["rejections"],
        hangs=counts["hangs"],
        faults=counts["faults"],
        resets=counts["resets"],
        kernels=counts["kernels"],
        kernels_per_second=_rate(counts["kernels"], seconds),
        threads=counts["threads"],
        threads_per_second=_rate(counts["threads"], seconds),
        kernel_seconds=work.kernel_seconds,
        interpreted_groups=counts["interpreted_groups"],
        programs=counts["programs"],
        program_hits=counts["program_hits"],
        hits_per_second=_rate(counts["program_hits"], seconds),
        compiled=counts["compiled"],
        from_disk=counts["from_disk"],
        uncompiled=counts["uncompiled"],
    )


def _gpu_usage(before: GpuStats | None, now: GpuStats, seconds: float) -> GpuUsage:
    if before is None or before.busy_seconds > now.busy_seconds:  # new, or brought up anew
        before = GpuStats.of_nothing(now.name, now.policy)
    return GpuUsage(
        name=now.name,
        policy=now.policy,
        active=now.active,
        busy=min(_rate(now.busy_seconds - before.busy_seconds, seconds) or 0.0, 1.0),
        watts=_rate(now.energy_joules - before.energy_joules, seconds) or 0.0,
        frequency_hertz=now.frequency_hertz,
        switches_per_second=_rate(now.world_switches - before.world_switches, seconds) or 0.0,
    )


def _rate(count: float, seconds: float | None) -> float | None:
    """``count`` a second; None where no time has passed."""
    return count / seconds if seconds else None


def _queue_depth(vgpu: VgpuStats) -> int:
    return sum(engine.queue_depth + engine.in_flight for engine in vgpu.engines.values())
