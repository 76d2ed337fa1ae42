"""What the control API speaks of: GPUs, types, vGPUs, their counters, events, trace records.

Times are seconds, sizes bytes, parts of a whole 0 to 1. Field names are stable: `vgpuctl -o json`
prints these objects.
"""

from __future__ import annotations

from enum import Enum
from typing import Self

import msgspec


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """What all objects have in common: keyword-only, immutable."""


class VgpuState(Enum):
    """Where a vGPU is in its life; whether a definition is kept is `VgpuInfo.persistent`."""

    DEFINED = "defined"
    """Kept on disk; has no resources and no socket."""
    ACTIVE = "active"
    """Has its part of a GPU and a socket on which it waits for a client or serves one."""
    ERROR = "error"
    """Was active and cannot be any more; ``error`` says why. `stop` or `start` leads out."""


class ClientInfo(Object, frozen=True, kw_only=True):
    """Who is attached to a vGPU: the peer of its socket (SO_PEERCRED)."""

    pid: int
    uid: int
    command: str
    """Name of the program, as far as it can be found out."""
    since: float
    """Seconds since the epoch."""


class VgpuInfo(Object, frozen=True, kw_only=True):
    """One vGPU of this host."""

    uuid: str
    name: str
    type: str
    state: VgpuState
    persistent: bool
    """Its definition is on disk; a transient one is gone when it is stopped."""
    autostart: bool
    weight: int
    cap: float
    """The most it may have of its GPU's time; 1 is no limit."""
    gpu: str = ""
    """The GPU it is on; while it is not active the one it was defined for, empty: any."""
    socket: str = ""
    """Path of its vfio-user socket; empty while there is none."""
    client: ClientInfo | None = None
    domain: str = ""
    """The libvirt domain that has it or has claimed it, as far as known."""
    guard: str = ""
    """A file beside `place` that keeps a QEMU which has it open from being saved or moved."""
    error: str = ""
    """Why it is not active although it should be."""
    own_weight: int | None = None
    """The weight that it was given; null: none, and `weight` is that of its type."""
    wanted_gpu: str = ""
    """The GPU it was defined for, wherever it is; empty: any."""
    place: str = ""
    """What `socket` is whenever the vGPU is active: for machines that are started later."""


class GpuInfo(Object, frozen=True, kw_only=True):
    """One GPU of this host."""

    name: str
    backend: str
    """`softgpu`, or empty for a GPU that is there and that vgpud cannot drive."""
    state: str
    """`ready`, `absent` (gone, or not there yet), `failed`, or `unsupported`."""
    simulated: bool
    device_id: int
    """PCI device id."""
    description: str
    pci: str = ""
    """PCI address, where there is one."""
    address_space: str = ""
    ggtt: str = ""
    policy: str = ""
    vgpus: list[str] = []
    """Names of the vGPUs that are active on it."""
    resources: list[ResourceInfo] = []
    detail: str = ""
    """Why it is not ready."""


class ResourceInfo(Object, frozen=True, kw_only=True):
    """Something that a GPU has a limited amount of."""

    name: str
    unit: str
    """`bytes` or `slots`."""
    total: int
    left: int
    holders: dict[str, int] = {}
    """Name of the vGPU: what it has of it."""


class TypeInfo(Object, frozen=True, kw_only=True):
    """One type of vGPU."""

    name: str
    kind: str
    """`ballooned`: a part of the global GTT; `private`: all of it in its turn; `passthrough`."""
    low_bytes: int
    """Mappable graphics memory, in the aperture."""
    high_bytes: int
    fences: int
    weight: int
    """What a vGPU of it weighs unless it is told otherwise."""
    memory_limit_bytes: int
    """Guest physical addresses that the GPU can reach in shadow mode end here."""
    available: dict[str, int]
    """Name of each GPU that is ready: how many more would fit now."""


class EngineStats(Object, frozen=True, kw_only=True):
    """One virtual engine since its vGPU was started."""

    queue_depth: int
    """Requests admitted and not yet on the hardware."""
    in_flight: int
    """Requests on the hardware's engine, or interrupted there by the end of a slice."""
    oldest_age_seconds: float
    """Since the oldest of both was submitted; 0 without any."""
    submitted: int
    completed: int
    preempted: int
    """Taken back by the guest's own driver in favour of others; it submits them again."""
    failed: dict[str, int]
    """By reason: `refused`, `hang`, `reset`, `client-gone`."""
    busy_seconds: float
    wait: Histogram
    """From submission to the first time on the hardware."""
    latency: Histogram
    """From submission to the end."""


class Histogram(Object, frozen=True, kw_only=True):
    """Times, in the buckets of `mediator.vgpu.metrics`."""

    counts: dict[int, int]
    """By number of bucket; empty ones are left out."""
    count: int
    total_seconds: float
    longest_seconds: float


class TrapStats(Object, frozen=True, kw_only=True):
    """Accesses of one class that reached vgpud."""

    reads: int
    writes: int


class ComputeStats(Object, frozen=True, kw_only=True):
    """What execution units did for a vGPU since it was started."""

    kernels: int
    """Kernels that ended."""
    threads: int
    """Threads that began."""
    groups: int
    """Thread groups that ended."""
    interpreted_groups: int
    """Of those, groups that no compiled code ran."""
    busy_seconds: float
    """Time during which threads ran."""
    programs: int
    """Programs that had not been seen before, or not for long."""
    program_hits: int
    """Kernels whose program was known."""
    compiled: int
    """Programs that came into use in compiled form."""
    suspended: int
    """Contexts that were switched out in the middle of a thread group."""
    lost: int
    """Of those, contexts whose thread groups were gone when they came back."""
    faults: int
    """Kernels that ended in a page fault."""
    refused: int
    """Kernels that made no sense, or whose program did what no program may."""
    from_disk: int = 0
    """Of the compiled programs, those that an earlier process had compiled and kept on disk."""
    uncompiled: int = 0
    """Programs that the compiler gave up: they are always interpreted."""

    @classmethod
    def of_nothing(cls) -> Self:
        """Nothing was computed."""
        return cls(**dict.fromkeys(cls.__struct_fields__, 0))


class VgpuStats(Object, frozen=True, kw_only=True):
    """Counters of an active vGPU since it was started."""

    uuid: str
    name: str
    gpu: str
    type: str
    weight: int
    cap: float
    attached: bool
    mediated: bool
    """False for passthrough: then only traps are known."""
    gpu_seconds: float
    world_switches: int
    preemptions: int
    """Slices that ended while it had more to do."""
    traps: dict[str, TrapStats]
    """By class: `register`, `gtt`, `aperture`, `config`."""
    trap_seconds: Histogram
    """From a trap's arrival at the vGPU to its answer."""
    gtt_updates: int
    shadow_pages: int
    """Pages of shadow page tables now."""
    interrupts: int
    engine_resets: int
    full_resets: int
    hangs: int
    faults: int
    """Page faults among the hangs."""
    notifications: int
    attaches: int
    """Clients served so far."""
    rejections: dict[str, int]
    """What the audit refused, by reason."""
    engines: dict[str, EngineStats]
    compute: ComputeStats = ComputeStats.of_nothing()
    """Of passthrough since its GPU was powered on or reset."""


class GpuStats(Object, frozen=True, kw_only=True):
    """Counters of one GPU since it was brought up."""

    name: str
    policy: str
    busy_seconds: float
    engine_seconds: dict[str, float]
    """By engine: the sum over all vGPUs that ever ran."""
    world_switches: int
    preemptions: int
    restarts: int
    """Times the GPU had to be brought up from cold."""
    energy_joules: float
    """Estimated from engine activity and frequency; measured by nothing."""
    frequency_hertz: float
    active: bool
    """It has been brought up."""

    @classmethod
    def of_nothing(cls, name: str, policy: str) -> Self:
        """Of a GPU that is not up: all 0."""
        return cls(
            name=name,
            policy=policy,
            busy_seconds=0.0,
            engine_seconds={},
            world_switches=0,
            preemptions=0,
            restarts=0,
            energy_joules=0.0,
            frequency_hertz=0.0,
            active=False,
        )


class Stats(Object, frozen=True, kw_only=True):
    """All counters at one moment."""

    time_seconds: float
    """A clock that only goes forward; differences are meant."""
    gpus: list[GpuStats]
    vgpus: list[VgpuStats]


class EventKind(Enum):
    """What can happen."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    MODIFIED = "modified"
    CREATED = "created"
    """Defined or transient, and started: ready for a client."""
    STARTED = "started"
    STOPPED = "stopped"
    ATTACHED = "attached"
    DETACHED = "detached"
    CLAIMED = "claimed"
    """A libvirt domain is going to use it: ``data.domain``."""
    RELEASED = "released"
    HANG = "hang"
    RESET = "reset"
    REJECTION = "rejection"
    """The audit refused something."""
    ERROR = "error"
    """A vGPU is in its error state."""
    SLICES = "slices"
    """Each second, for each vGPU that used its GPU: what it had of it. Only on request."""
    GPU_ADDED = "gpu-added"
    GPU_REMOVED = "gpu-removed"
    RELOADED = "reloaded"
    DROPPED = "dropped"
    """The listener was too slow: ``data.count`` events are missing here."""


class Event(Object, frozen=True, kw_only=True):
    """Something that happened."""

    time: float
    """Seconds since the epoch."""
    kind: EventKind
    vgpu: str = ""
    """Name; empty when no vGPU is concerned."""
    uuid: str = ""
    gpu: str = ""
    data: dict[str, str | int | float | bool] = {}


class TraceRecord(Object, frozen=True, kw_only=True, array_like=True):
    """One thing in a trace. On the wire an array, since there are many."""

    track: str
    """`traps`, `interrupts`, `slices`, the name of an engine (requests), or that and `busy`."""
    name: str
    start_ns: int
    duration_ns: int
    """-1: an instant."""
    detail: str = ""


class TraceChunk(Object, frozen=True, kw_only=True):
    """Part of a trace."""

    records: list[TraceRecord]
    dropped: int = 0
    """Records that had no room, so far."""


class DaemonInfo(Object, frozen=True, kw_only=True):
    """Which vgpud this is."""

    version: str
    api: int
    pid: int
    started: float
    """Seconds since the epoch."""
    socket: str
    metrics: str
    """URL of the metrics; empty: not served."""
    config: str
    """Path of the configuration file; empty: none was read."""
    state_dir: str
    runtime_dir: str
    native_hotpath: bool
    """The C routines are used, not their Python twins."""
    kernels_interpreted: str = ""
    """Why compute kernels are interpreted, which is slow; empty: they are compiled."""
