"""Which GPU a vGPU goes to, and which GPUs a new configuration keeps. Decisions, no changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.host.hosted_gpu import HostedGpu

if TYPE_CHECKING:
    from mediator.vgpu.vgpu_type import VgpuType
    from vgpu_ctl.config import GpuConfig
    from vgpu_ctl.host.definition import Definition


def choose(gpus: Mapping[str, HostedGpu], definition: Definition, kind: VgpuType) -> HostedGpu:
    """The GPU it is defined for, or the one with most room; the only one says what it lacks.

    One that did not come up is tried again when no other has room.

    Raises ApiError when that one is not there, or none has room.
    """
    if definition.gpu:
        if definition.gpu not in gpus:
            text = f"gpu: there is no {definition.gpu!r} any more: {', '.join(gpus)}"
            raise ApiError(ErrorCode.INVALID, text, field="gpu")
        return gpus[definition.gpu]
    best = max(gpus.values(), key=lambda gpu: _suitability(gpu, kind), default=None)
    if best is None:
        raise ApiError(ErrorCode.NO_CAPACITY, "there is no GPU", field="gpu")
    if best.room(kind) or len(gpus) == 1:
        return best
    reasons = "; ".join(gpu.refusal(kind) for gpu in gpus.values())
    raise ApiError(
        ErrorCode.NO_CAPACITY,
        f"no GPU has room for a vGPU of type {kind.name}: {reasons}",
        field="type",
        hint="stop one of them, or take a smaller type: see `vgpuctl types`",
    )


def _suitability(gpu: HostedGpu, kind: VgpuType) -> tuple[bool, bool, int]:
    room = gpu.room(kind)
    return room > 0, not gpu.failure, room


@dataclass
class Reconfigured:
    """What becomes of the GPUs."""

    gpus: dict[str, HostedGpu] = field(default_factory=dict)
    """In the order of the configuration, those that it has no more last."""
    dropped: list[HostedGpu] = field(default_factory=list)
    """Nobody is on them; some have a successor of their name."""
    problems: list[str] = field(default_factory=list)
    """What cannot change under the vGPUs, for people."""


def reconfigured(gpus: Mapping[str, HostedGpu], configs: Sequence[GpuConfig]) -> Reconfigured:
    """``gpus`` by a new configuration: those in use stay as they are."""
    found = Reconfigured()
    wanted: dict[str, GpuConfig | None] = {config.name: config for config in configs}
    for name in (*wanted, *(name for name in gpus if name not in wanted)):
        gpu, config = gpus.get(name), wanted.get(name)
        if gpu is not None and (config == gpu.config or gpu.holders):
            found.gpus[name] = gpu
            if config != gpu.config:
                verb = "removed" if config is None else "changed"
                text = f"{name} is in use and cannot be {verb}: stop its vGPUs first"
                found.problems.append(text)
            continue
        if gpu is not None:
            found.dropped.append(gpu)
        if config is not None:
            found.gpus[name] = HostedGpu(config, present=not config.pci)
    return found
