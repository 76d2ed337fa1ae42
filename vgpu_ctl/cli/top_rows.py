"""What `top` shows: pure, from two readings of the counters and the list of vGPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from vgpu_ctl.api.objects import Stats, VgpuInfo, VgpuState
from vgpu_ctl.cli.rates import GpuUsage, VgpuUsage, gpu_usages, usages
from vgpu_ctl.cli.units import duration, frequency, percent, rate
from vgpu_ctl.cli.vgpu_view import client_text

ENGINES = ("rcs0", "bcs0", "vcs0", "vecs0")
"""The engines with a column; a vGPU has no others."""


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


COLUMNS = (
    "NAME", "GPU", "SHARE", "ENTITLED", *(name.rstrip("0").upper() for name in ENGINES), "QUEUE",
    "WAIT P50", "P99", "REQ/S", "TRAPS/S", "KERN/S", "EU", "FAULTS", "HANGS", "CLIENT",
)  # fmt: skip
LEFT = {"NAME", "GPU", "CLIENT"}
"""Columns of text; the others are of numbers."""

SORTS: Mapping[str, Callable[[Row], tuple[float | str, ...]]] = {
    "share": lambda row: (-(_share(row)), row.vgpu.name),
    "name": lambda row: (row.vgpu.name,),
    "queue": lambda row: (-(row.usage.queue_depth if row.usage else -1), row.vgpu.name),
    "wait": lambda row: (-((row.usage and row.usage.wait_p99_seconds) or -1.0), row.vgpu.name),
    "traps": lambda row: (-((row.usage and row.usage.traps_per_second) or -1.0), row.vgpu.name),
}
"""The orders that a key goes through; the largest first."""


def rows(before: Reading, after: Reading, sort: str) -> list[Row]:
    """All vGPUs, in order."""
    used = {usage.uuid: usage for usage in usages(before.stats, after.stats)}
    since_start = {vgpu.uuid: (vgpu.faults, vgpu.hangs) for vgpu in after.stats.vgpus}
    found = [
        _row(vgpu, used.get(vgpu.uuid), since_start.get(vgpu.uuid, (0, 0))) for vgpu in after.vgpus
    ]
    return sorted(found, key=SORTS[sort])


def next_sort(sort: str) -> str:
    """The order after this one."""
    names = list(SORTS)
    return names[(names.index(sort) + 1) % len(names)]


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


def _row(vgpu: VgpuInfo, usage: VgpuUsage | None, since_start: tuple[int, int]) -> Row:
    faults, hangs = since_start
    error = vgpu.state is VgpuState.ERROR
    if usage is None:
        blank = ("",) * (len(COLUMNS) - 3)
        state = vgpu.error or vgpu.state.value
        return Row(vgpu, None, (vgpu.name, vgpu.gpu, *blank, state), error)
    numbers = (
        percent(usage.share),
        percent(usage.weight_share),
        *(_busy(usage, name) for name in ENGINES),
        str(usage.queue_depth),
        duration(usage.wait_p50_seconds),
        duration(usage.wait_p99_seconds),
        rate(usage.requests_per_second),
    )
    if not usage.mediated:  # passthrough: only traps are known
        numbers = ("",) * len(numbers)
    cells = (
        vgpu.name,
        vgpu.gpu,
        *numbers,
        rate(usage.traps_per_second),
        rate(usage.kernels_per_second),
        percent(usage.kernel_seconds / usage.seconds) if usage.seconds else "",
        str(faults),
        str(hangs),
        client_text(vgpu.client) or vgpu.domain,
    )
    return Row(vgpu, usage, cells, error or usage.hangs > 0 or usage.rejections > 0)


def _busy(usage: VgpuUsage, engine: str) -> str:
    """The part of the time in which one engine ran it."""
    if not usage.seconds or engine not in usage.engine_seconds:
        return ""
    return percent(usage.engine_seconds[engine] / usage.seconds)


def _share(row: Row) -> float:
    return (row.usage.share if row.usage else None) or 0.0
