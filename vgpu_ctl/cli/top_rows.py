"""What `top` shows: pure, from two readings of the counters and the list of vGPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from vgpu_ctl.api.objects import Stats, VgpuInfo, VgpuState
from vgpu_ctl.cli.rates import GpuUsage, VgpuUsage, gpu_usages, usages
from vgpu_ctl.cli.table import Column
from vgpu_ctl.cli.top_views import Shown
from vgpu_ctl.cli.units import frequency, percent, rate


class Reading(NamedTuple):
    """What vgpud said at one moment."""

    stats: Stats
    vgpus: list[VgpuInfo]


class Row(NamedTuple):
    """One vGPU: its cells, and what it is sorted by."""

    vgpu: VgpuInfo
    usage: VgpuUsage | None
    """None: it is not active, or came after the last reading."""
    cells: tuple[str, ...]
    troubled: bool
    """It hung, or something was refused, since the last reading, or it is in its error state."""


SORTS: Mapping[str, Callable[[Row], tuple[float | str, ...]]] = {
    "share": lambda row: (-(_share(row)), row.vgpu.name),
    "name": lambda row: (row.vgpu.name,),
    "queue": lambda row: (-(row.usage.queue_depth if row.usage else -1), row.vgpu.name),
    "wait": lambda row: (-((row.usage and row.usage.wait_p99_seconds) or -1.0), row.vgpu.name),
    "traps": lambda row: (-((row.usage and row.usage.traps_per_second) or -1.0), row.vgpu.name),
    "eu": lambda row: (-((row.usage and row.usage.kernel_seconds) or -1.0), row.vgpu.name),
}
"""The orders that a key goes through; the largest first."""


def rows(before: Reading, after: Reading, sort: str, columns: Sequence[Column[Shown]]) -> list[Row]:
    """All vGPUs, in order."""
    used = {usage.uuid: usage for usage in usages(before.stats, after.stats)}
    totals = {vgpu.uuid: vgpu for vgpu in after.stats.vgpus}
    found = [
        _row(Shown(vgpu, used.get(vgpu.uuid), totals.get(vgpu.uuid)), columns)
        for vgpu in after.vgpus
    ]
    return sorted(found, key=SORTS[sort])


def next_of(names: Iterable[str], name: str) -> str:
    """The name after this one, of an order or of a view."""
    known = list(names)
    return known[(known.index(name) + 1) % len(known)]


def heading(before: Reading, after: Reading) -> str:
    """A line for each GPU: `gpu0 87.0 % busy, 350 MHz, 4.2 W (estimated), 120 switches/s`."""
    used: Sequence[GpuUsage] = gpu_usages(before.stats, after.stats)
    owners = {vgpu.gpu: vgpu.name for vgpu in after.stats.vgpus if not vgpu.mediated}
    lines = [_gpu_line(gpu, owners.get(gpu.name)) for gpu in used]
    return "\n".join(lines) or "no GPU is ready"


def _gpu_line(gpu: GpuUsage, owner: str | None) -> str:
    if owner is not None:  # what it does with it nobody counts
        return f"{gpu.name}  passthrough: {owner}"
    if not gpu.active:
        return f"{gpu.name}  not in use"
    return (
        f"{gpu.name}  {percent(gpu.busy)} busy  {frequency(gpu.frequency_hertz)}  "
        f"{gpu.watts:.1f} W (estimated)  {rate(gpu.switches_per_second)} switches/s  {gpu.policy}"
    )


def _row(shown: Shown, columns: Sequence[Column[Shown]]) -> Row:
    vgpu, usage, _ = shown
    hurt = usage is not None and (usage.hangs > 0 or usage.rejections > 0)
    cells = tuple(column.cell(shown) for column in columns)
    return Row(vgpu, usage, cells, hurt or vgpu.state is VgpuState.ERROR)


def _share(row: Row) -> float:
    return (row.usage.share if row.usage else None) or 0.0
