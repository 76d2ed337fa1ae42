"""A vgpud that is not there: counters of busy vGPUs as a function of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mediator.errors import Reason
from mediator.vgpu.metrics import bucket_of
from vgpu_ctl.api.objects import (
    ClientInfo,
    ComputeStats,
    DaemonInfo,
    EngineStats,
    GpuInfo,
    GpuStats,
    Histogram,
    ResourceInfo,
    Stats,
    TrapStats,
    TypeInfo,
    VgpuInfo,
    VgpuState,
    VgpuStats,
)

GPU = "gpu0"
ENGINES = ("rcs0", "bcs0", "vcs0", "vecs0")
MIB = 1 << 20
TYPE = TypeInfo(
    name="V9_16",
    kind="ballooned",
    low_bytes=16 * MIB,
    high_bytes=112 * MIB,
    fences=32,
    weight=1,
    memory_limit_bytes=16 << 30,
    available={GPU: 3},
)
BUILD = DaemonInfo(
    version="0.2.0",
    api=1,
    pid=4242,
    started=1.7e9,
    socket="/run/vgpud/control.sock",
    metrics="http://localhost:9446/metrics",
    config="",
    state_dir="/var/lib/vgpud",
    runtime_dir="/run/vgpud",
    native_hotpath=True,
)
_SPREAD_NS = tuple(round(300 * 1.17**step) for step in range(100))
"""Times from 300 ns to 1.7 s: a hundred fine buckets, more than a busy vGPU has."""


def uuid(number: int) -> str:
    """The UUID of vGPU ``number``."""
    return f"6ba7b810-9dad-41d1-80b4-{number:012x}"


def histogram(count: int) -> Histogram:
    """``count`` times, spread evenly over ``_SPREAD_NS``."""
    each, more = divmod(count, len(_SPREAD_NS))
    counts: dict[int, int] = {}
    total = longest = 0
    for place, nanoseconds in enumerate(_SPREAD_NS):
        here = each + (place < more)
        if here:
            fine = bucket_of(nanoseconds)
            counts[fine] = counts.get(fine, 0) + here
            total += here * nanoseconds
            longest = nanoseconds
    return Histogram(
        counts=counts, count=count, total_seconds=total / 1e9, longest_seconds=longest / 1e9
    )


def engine(seconds: float, rate: float) -> EngineStats:
    """An engine that completes ``rate`` requests a second for ``seconds``."""
    done = int(seconds * rate)
    return EngineStats(
        queue_depth=1 + done % 5,
        in_flight=done % 3,
        oldest_age_seconds=0.001 * (done % 7),
        submitted=done + 6,
        completed=done,
        preempted=done // 50,
        failed={"hang": int(seconds / 60)},
        busy_seconds=done * 0.0005,
        wait=histogram(done),
        latency=histogram(done),
    )


def vgpu(number: int, seconds: float, *, weight: int = 1) -> VgpuStats:
    """A vGPU that has been busy for ``seconds``."""
    ticks = int(seconds * 100)
    return VgpuStats(
        uuid=uuid(number),
        name=f"guest{number}",
        gpu=GPU,
        type=TYPE.name,
        weight=weight,
        cap=0.5,
        attached=True,
        mediated=True,
        gpu_seconds=seconds * 0.06 * weight,
        world_switches=ticks,
        preemptions=ticks // 2,
        traps={
            name: TrapStats(reads=ticks * 3 + place, writes=ticks * 2 + place)
            for place, name in enumerate(("register", "gtt", "aperture", "config"))
        },
        trap_seconds=histogram(ticks * 5),
        gtt_updates=ticks * 4,
        shadow_pages=40 + ticks % 10,
        interrupts=ticks * 2,
        engine_resets=int(seconds / 60),
        full_resets=int(seconds / 600),
        hangs=int(seconds / 60),
        faults=int(seconds / 120),
        notifications=2,
        attaches=1,
        rejections={Reason.ADDRESS: int(seconds / 30)},
        engines={
            name: engine(seconds, 40.0 * weight / (place + 1)) for place, name in enumerate(ENGINES)
        },
        compute=ComputeStats(
            kernels=ticks,
            threads=ticks * 64,
            groups=ticks * 8,
            interpreted_groups=ticks // 3,
            busy_seconds=seconds * 0.3,
            programs=9,
            program_hits=ticks - 9 if ticks > 9 else 0,
            compiled=7,
            suspended=ticks // 50,
            lost=ticks // 5000,
            faults=ticks // 6000,
            refused=ticks // 7000,
            from_disk=5,
            uncompiled=2,
        ),
    )


def vgpu_info(number: int, *, state: VgpuState = VgpuState.ACTIVE, domain: str = "") -> VgpuInfo:
    """What is said of vGPU ``number``."""
    active = state is VgpuState.ACTIVE
    return VgpuInfo(
        uuid=uuid(number),
        name=f"guest{number}",
        type=TYPE.name,
        state=state,
        persistent=True,
        autostart=False,
        weight=1,
        cap=0.5,
        gpu=GPU if active else "",
        socket=f"/run/vgpud/guest{number}.sock" if active else "",
        client=ClientInfo(pid=17, uid=64055, command="qemu", since=1.7e9) if active else None,
        domain=domain,
    )


def gpu(seconds: float, vgpus: int) -> GpuStats:
    """A GPU that has been busy for ``seconds``."""
    return GpuStats(
        name=GPU,
        policy="timeslice",
        busy_seconds=seconds * 0.9,
        engine_seconds={name: seconds * 0.3 / (place + 1) for place, name in enumerate(ENGINES)},
        world_switches=int(seconds * 100) * vgpus,
        preemptions=int(seconds * 50) * vgpus,
        restarts=int(seconds / 3600),
        energy_joules=seconds * 12.5,
        frequency_hertz=1.15e9,
        active=True,
    )


def gpu_info(vgpus: int) -> GpuInfo:
    """What is said of the GPU with ``vgpus`` active on it."""
    low = 256 * MIB
    names = [f"guest{number}" for number in range(vgpus)]
    holders = dict.fromkeys(names, TYPE.low_bytes)
    return GpuInfo(
        name=GPU,
        backend="softgpu",
        state="ready",
        simulated=True,
        device_id=0x5912,
        description="software Gen9 GPU",
        pci="0000:00:02.0",
        address_space="shadow",
        ggtt="ballooned",
        policy="timeslice",
        vgpus=names,
        resources=[
            ResourceInfo(
                name="mappable GGTT",
                unit="bytes",
                total=low,
                left=low - vgpus * TYPE.low_bytes,
                holders=holders,
            ),
            ResourceInfo(name="vGPU slots", unit="slots", total=31, left=31 - vgpus),
        ],
    )


@dataclass
class SyntheticSource:
    """``active`` busy vGPUs and ``defined`` more that are not started, at ``clock`` seconds."""

    clock: Callable[[], float]
    active: int = 2
    defined: int = 1
    domains: dict[int, str] = field(default_factory=lambda: {0: "web"})
    asked: int = 0
    """How often for counters."""

    def stats(self) -> Stats:
        """The counters now."""
        self.asked += 1
        now = self.clock()
        return Stats(
            time_seconds=now,
            gpus=[gpu(now, self.active)],
            vgpus=[vgpu(number, now, weight=1 + number % 2) for number in range(self.active)],
        )

    def vgpus(self) -> list[VgpuInfo]:
        """Active ones first."""
        active = [vgpu_info(n, domain=self.domains.get(n, "")) for n in range(self.active)]
        numbers = range(self.active, self.active + self.defined)
        return [*active, *(vgpu_info(number, state=VgpuState.DEFINED) for number in numbers)]

    def gpus(self) -> list[GpuInfo]:
        """One."""
        return [gpu_info(self.active)]

    def types(self) -> list[TypeInfo]:
        """One."""
        return [TYPE]

    def build(self) -> DaemonInfo:
        """Always the same."""
        return BUILD
