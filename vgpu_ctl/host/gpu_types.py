"""The types of vGPU that this daemon offers: those built in, and those of its configuration."""

from __future__ import annotations

from collections.abc import Mapping

from mediator.physical.partition import APERTURE_SIZE, GIB, MIB
from mediator.vgpu.vgpu_type import LEAST_WINDOW, PASSTHROUGH, PRIVATE, TYPES, Kind, VgpuType
from vgpu_ctl.config import TypeConfig

_WIDEST = 256 * GIB


def offered_types(configured: Mapping[str, TypeConfig]) -> dict[str, VgpuType]:
    """All types by name; a configured one takes the place of a built-in one of its name."""
    return {**TYPES, **{name: _type(name, config) for name, config in configured.items()}}


def with_used_types(
    offered: Mapping[str, VgpuType], used: Mapping[str, VgpuType]
) -> tuple[dict[str, VgpuType], list[str]]:
    """``offered``, and what active vGPUs are of beside it (``used``, by vGPU), which is told, too.

    The texts are for people.
    """
    kept = {kind.name: kind for kind in used.values() if kind.name not in offered}
    users = {name: [vgpu for vgpu, kind in used.items() if kind.name == name] for name in kept}
    problems = [
        f"type {name} is in use and cannot be removed: stop {', '.join(vgpus)} first"
        for name, vgpus in users.items()
    ]
    return {**offered, **kept}, problems


def _type(name: str, config: TypeConfig) -> VgpuType:
    kind = Kind(config.kind)
    like = PASSTHROUGH if kind is Kind.PASSTHROUGH else PRIVATE
    low = like.low if config.low_mib is None else config.low_mib
    high = like.high if config.high_mib is None else config.high_mib
    if config.window_gib is not None:
        window = config.window_gib * GIB
    else:
        window = _window(low) if kind is Kind.BALLOONED else LEAST_WINDOW
    return VgpuType(name, kind, low, high, config.weight, window, config.fences)


def _window(low_mib: int) -> int:
    """The window of a ballooned type: its part of the aperture, of 256 GiB, a power of two."""
    part = _WIDEST * low_mib * MIB // APERTURE_SIZE
    return max(LEAST_WINDOW, 1 << part.bit_length() - 1)
