"""GPUs, types, vGPUs and counters such as vgpud reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mediator.vgpu.metrics import bucket_of
from vgpu_ctl.api.objects import (
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

MIB = 1 << 20


def uuid(number: int) -> str:
    """A UUID, always the same for a number."""
    return f"00000000-0000-4000-8000-{number:012d}"


def daemon(path: Path, metrics: str = "") -> DaemonInfo:
    """What `version` says."""
    return DaemonInfo(
        version="9.9",
        api=1,
        pid=42,
        started=1_700_000_000.0,
        socket=str(path),
        metrics=metrics,
        config="",
        state_dir="/state",
        runtime_dir="/run/vgpud",
        native_hotpath=True,
    )


GPU = GpuInfo(
    name="gpu0",
    backend="softgpu",
    state="ready",
    simulated=True,
    device_id=0x5912,
    description="Kaby Lake GT2",
    address_space="shadow",
    ggtt="ballooned",
    policy="timeslice",
    vgpus=["web"],
    resources=[
        ResourceInfo(
            name="aperture",
            unit="bytes",
            total=256 * MIB,
            left=192 * MIB,
            holders={"web": 64 * MIB},
        ),
        ResourceInfo(name="slots", unit="slots", total=31, left=30),
    ],
)

TYPES = (
    TypeInfo(
        name="V9_4",
        kind="ballooned",
        low_bytes=64 * MIB,
        high_bytes=448 * MIB,
        fences=32,
        weight=4,
        memory_limit_bytes=32 << 30,
        available={"gpu0": 3},
    ),
    TypeInfo(
        name="V9_1",
        kind="ballooned",
        low_bytes=256 * MIB,
        high_bytes=1792 * MIB,
        fences=32,
        weight=16,
        memory_limit_bytes=32 << 30,
        available={"gpu0": 0},
    ),
)


def vgpu(name: str, number: int = 1, *, active: bool = False, **fields: Any) -> VgpuInfo:
    """A persistent vGPU."""
    given: dict[str, Any] = {
        "uuid": uuid(number),
        "name": name,
        "type": "V9_4",
        "state": VgpuState.ACTIVE if active else VgpuState.DEFINED,
        "persistent": True,
        "autostart": False,
        "weight": 4,
        "cap": 1.0,
        "gpu": "gpu0" if active else "",
        "socket": f"/run/vgpud/{name}.sock" if active else "",
    }
    given |= fields
    given.setdefault("place", given["socket"] or f"/run/vgpud/{name}.sock")
    return VgpuInfo(**given)


def histogram(*waits_ns: int) -> Histogram:
    """Of these times."""
    counts: dict[int, int] = {}
    for wait in waits_ns:
        counts[bucket_of(wait)] = counts.get(bucket_of(wait), 0) + 1
    return Histogram(
        counts=counts,
        count=len(waits_ns),
        total_seconds=sum(waits_ns) / 1e9,
        longest_seconds=max(waits_ns, default=0) / 1e9,
    )


def engine(waits_ns: tuple[int, ...] = (), **fields: Any) -> EngineStats:
    """An engine whose requests waited so long, and are complete."""
    given: dict[str, Any] = {
        "queue_depth": 0,
        "in_flight": 0,
        "oldest_age_seconds": 0.0,
        "submitted": len(waits_ns),
        "completed": len(waits_ns),
        "preempted": 0,
        "failed": {},
        "busy_seconds": 0.0,
        "wait": histogram(*waits_ns),
        "latency": histogram(),
    }
    return EngineStats(**(given | fields))


def vgpu_stats(name: str, number: int = 1, **fields: Any) -> VgpuStats:
    """Counters of a vGPU that did nothing."""
    given: dict[str, Any] = {
        "uuid": uuid(number),
        "name": name,
        "gpu": "gpu0",
        "type": "V9_4",
        "weight": 4,
        "cap": 1.0,
        "attached": False,
        "mediated": True,
        "gpu_seconds": 0.0,
        "world_switches": 0,
        "preemptions": 0,
        "traps": {"register": TrapStats(reads=0, writes=0)},
        "trap_seconds": histogram(),
        "gtt_updates": 0,
        "shadow_pages": 0,
        "interrupts": 0,
        "engine_resets": 0,
        "full_resets": 0,
        "hangs": 0,
        "faults": 0,
        "notifications": 0,
        "attaches": 0,
        "rejections": {},
        "engines": {"rcs0": engine()},
    }
    return VgpuStats(**(given | fields))


def compute(**fields: int | float) -> ComputeStats:
    """What execution units did; nothing beside what is given."""
    return msgspec.structs.replace(ComputeStats.of_nothing(), **fields)


def gpu_stats(busy_seconds: float = 0.0, **fields: Any) -> GpuStats:
    """Counters of the GPU."""
    given: dict[str, Any] = {
        "name": "gpu0",
        "policy": "timeslice",
        "busy_seconds": busy_seconds,
        "engine_seconds": {},
        "world_switches": 0,
        "preemptions": 0,
        "restarts": 0,
        "energy_joules": 0.0,
        "frequency_hertz": 350e6,
        "active": True,
    }
    return GpuStats(**(given | fields))


def stats(time_seconds: float, *vgpus: VgpuStats, busy_seconds: float = 0.0) -> Stats:
    """A reading."""
    return Stats(time_seconds=time_seconds, gpus=[gpu_stats(busy_seconds)], vgpus=list(vgpus))


def type_named(name: str) -> TypeInfo:
    """A type like the first."""
    return msgspec.structs.replace(TYPES[0], name=name)
