"""Where the exporter's numbers come from: one look at everything, for each scrape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vgpu_ctl.api.objects import DaemonInfo, GpuInfo, Stats, TypeInfo, VgpuInfo


class Source(Protocol):
    """What the exporter asks; any thread may call, several at a time."""

    def stats(self) -> Stats:
        """Counters of all active vGPUs and all GPUs."""

    def vgpus(self) -> list[VgpuInfo]:
        """All vGPUs, those that are only defined too."""

    def gpus(self) -> list[GpuInfo]:
        """All GPUs."""

    def types(self) -> list[TypeInfo]:
        """All types."""

    def build(self) -> DaemonInfo:
        """Which vgpud this is."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a source said, each part once.

    The parts are not of one moment: a vGPU that starts or stops meanwhile is in one of them only.
    """

    stats: Stats
    vgpus: list[VgpuInfo]
    gpus: list[GpuInfo]
    types: list[TypeInfo]
    build: DaemonInfo


def take_snapshot(source: Source) -> Snapshot:
    """Ask ``source`` once for each part."""
    return Snapshot(source.stats(), source.vgpus(), source.gpus(), source.types(), source.build())
