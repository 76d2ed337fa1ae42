"""The methods of the control API: one row each, with what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from vgpu_ctl.api.objects import (
    DaemonInfo,
    Event,
    EventKind,
    GpuInfo,
    Stats,
    TraceChunk,
    TypeInfo,
    VgpuInfo,
)


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters; an unknown one is refused."""


class NoParams(Params, frozen=True, kw_only=True):
    """A method without parameters."""


class VgpuParams(Params, frozen=True, kw_only=True):
    """A method on one vGPU."""

    vgpu: str
    """Name or UUID."""


class DefineParams(Params, frozen=True, kw_only=True):
    """A new vGPU. What is left out is the type's or the daemon's choice."""

    name: str
    type: str
    uuid: str = ""
    gpu: str = ""
    """Empty: the GPU with room."""
    weight: int | None = None
    """1 to 1024; null: that of its type."""
    cap: float | None = None
    """0.01 to 1; null or 1: no limit."""
    autostart: bool = False


class CreateParams(DefineParams, frozen=True, kw_only=True):
    """A new vGPU that is started at once."""

    transient: bool = False
    """Keep no definition: gone when it is stopped."""


class StopParams(VgpuParams, frozen=True, kw_only=True):
    """Stop or destroy."""

    force: bool = False
    """Also while a client is attached, which loses its GPU for good."""


class ModifyParams(VgpuParams, frozen=True, kw_only=True):
    """What changes; None: stays. `weight`, `cap` and `autostart` also while it is active."""

    weight: int | Literal["type"] | None = None
    """1 to 1024, or "type": that of its type again."""
    cap: float | None = None
    """0.01 to 1; 1: no limit."""
    autostart: bool | None = None
    type: str | None = None
    gpu: str | None = None
    name: str | None = None


class ResetParams(VgpuParams, frozen=True, kw_only=True):
    """What is reset."""

    level: str = "engines"
    """`engines`: what runs is lost, and the guest's driver recovers as after a hang; `function`: a
    function-level reset, after which a guest needs to probe its GPU anew."""


class ClaimParams(VgpuParams, frozen=True, kw_only=True):
    """Keep a vGPU, started if need be, for a libvirt domain: no other gets it meanwhile. The claim
    ends with `release`, when the domain's QEMU has left, or 2 minutes later if none comes."""

    domain: str
    """Name of the domain, 1 to 1024 characters."""
    domain_uuid: str


class ReleaseParams(VgpuParams, frozen=True, kw_only=True):
    """End a claim; a vGPU that it had started is stopped. No claim is no error."""

    domain_uuid: str = ""
    """Only if this domain has it; empty: whoever has."""


class StatsParams(Params, frozen=True, kw_only=True):
    """Whose counters."""

    vgpu: str = ""
    """Name or UUID; empty: all."""


class EventsParams(Params, frozen=True, kw_only=True):
    """Which events."""

    vgpu: str = ""
    """Name or UUID; empty: all."""
    kinds: list[EventKind] = []
    """Empty: all but `slices`."""


class TraceParams(VgpuParams, frozen=True, kw_only=True):
    """How long to trace."""

    seconds: float
    """Above 0, at most 600."""


class Method(NamedTuple):
    """One method. No dataclass: their module alone would cost every start of `vgpuctl` 5 ms."""

    params: type[Params]
    result: Any
    """Type of the result, or of each where it streams."""
    writes: bool = False
    """It changes something."""
    streams: bool = False
    waits: bool = False
    """It may wait for a guest's lock."""


METHODS: Mapping[str, Method] = {
    "version": Method(NoParams, DaemonInfo),
    "gpus": Method(NoParams, list[GpuInfo]),
    "types": Method(NoParams, list[TypeInfo]),
    "list": Method(NoParams, list[VgpuInfo]),
    "show": Method(VgpuParams, VgpuInfo),
    "create": Method(CreateParams, VgpuInfo, writes=True),
    "define": Method(DefineParams, VgpuInfo, writes=True),
    "start": Method(VgpuParams, VgpuInfo, writes=True),
    "stop": Method(StopParams, VgpuInfo, writes=True),
    "destroy": Method(StopParams, None, writes=True),
    "undefine": Method(VgpuParams, None, writes=True),
    "modify": Method(ModifyParams, VgpuInfo, writes=True),
    "reset": Method(ResetParams, VgpuInfo, writes=True),
    "claim": Method(ClaimParams, VgpuInfo, writes=True),
    "release": Method(ReleaseParams, VgpuInfo, writes=True),
    "stats": Method(StatsParams, Stats, waits=True),
    "events": Method(EventsParams, Event, streams=True),
    "trace": Method(TraceParams, TraceChunk, streams=True, waits=True),
    "reload": Method(NoParams, None, writes=True),
}
