"""The columns of `top`, in two views: who has what of the GPU, and what its kernels do. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from vgpu_ctl.api.objects import VgpuInfo, VgpuStats
from vgpu_ctl.cli.rates import VgpuUsage
from vgpu_ctl.cli.table import Column
from vgpu_ctl.cli.units import duration, percent, rate
from vgpu_ctl.cli.vgpu_view import client_text

ENGINES = ("rcs0", "bcs0", "vcs0", "vecs0")
"""The engines with a column; a vGPU has no others."""


class Shown(NamedTuple):
    """What is known of one vGPU."""

    vgpu: VgpuInfo
    usage: VgpuUsage | None
    """Since the last reading. None: it is not active, or came after it."""
    total: VgpuStats | None
    """Since its start."""


def _used(title: str, cell: Callable[[VgpuUsage], str]) -> Column[Shown]:
    """A number of the time between two readings."""
    return Column(title, lambda shown: "" if shown.usage is None else cell(shown.usage), right=True)


def _shared(title: str, cell: Callable[[VgpuUsage], str]) -> Column[Shown]:
    """The same, of what is not known of a vGPU that has its GPU alone."""
    return _used(title, lambda usage: cell(usage) if usage.mediated else "")


def _total(title: str, count: Callable[[VgpuStats], int]) -> Column[Shown]:
    """A count since the vGPU's start."""
    return Column(
        title,
        lambda shown: "" if shown.usage is None or shown.total is None else str(count(shown.total)),
        right=True,
    )


def _part(seconds: float, usage: VgpuUsage) -> str:
    """A part of the time between two readings."""
    return percent(seconds / usage.seconds) if usage.seconds else ""


def _engine(name: str) -> Column[Shown]:
    """The part of the time in which one engine ran the vGPU."""

    def cell(usage: VgpuUsage) -> str:
        busy = usage.engine_seconds.get(name)
        return "" if busy is None else _part(busy, usage)

    return _shared(name.rstrip("0").upper(), cell)


def _who(shown: Shown) -> str:
    """Who uses it, or why nobody does."""
    if shown.usage is None:
        return shown.vgpu.error or shown.vgpu.state.value
    return client_text(shown.vgpu.client) or shown.vgpu.domain


_NAME = Column[Shown]("NAME", lambda shown: shown.vgpu.name)
_GPU = Column[Shown]("GPU", lambda shown: shown.vgpu.gpu)
_SHARE = _shared("SHARE", lambda usage: percent(usage.share))
_EU = _used("EU", lambda usage: _part(usage.kernel_seconds, usage))
_KERNELS = _used("KERN/S", lambda usage: rate(usage.kernels_per_second))
_CLIENT = Column("CLIENT", _who)

SHARING: tuple[Column[Shown], ...] = (
    _NAME,
    _GPU,
    _SHARE,
    _shared("ENTITLED", lambda usage: percent(usage.weight_share)),
    *map(_engine, ENGINES),
    _shared("QUEUE", lambda usage: str(usage.queue_depth)),
    _shared("WAIT P50", lambda usage: duration(usage.wait_p50_seconds)),
    _shared("P99", lambda usage: duration(usage.wait_p99_seconds)),
    _shared("REQ/S", lambda usage: rate(usage.requests_per_second)),
    _used("TRAPS/S", lambda usage: rate(usage.traps_per_second)),
    _KERNELS,
    _EU,
    _total("FAULTS", lambda total: total.faults),
    _total("HANGS", lambda total: total.hangs),
    _CLIENT,
)
"""Who has what of its GPU, and how long it waits."""

KERNELS: tuple[Column[Shown], ...] = (
    _NAME,
    _GPU,
    _SHARE,
    _EU,
    _KERNELS,
    _used("THREADS/S", lambda usage: rate(usage.threads_per_second)),
    _used("HITS/S", lambda usage: rate(usage.hits_per_second)),
    _total("COMPILED", lambda total: total.compute.compiled),
    _total("DISK", lambda total: total.compute.from_disk),
    _total("UNCOMPILED", lambda total: total.compute.uncompiled),
    _total("INTERPRETED", lambda total: total.compute.interpreted_groups),
    _CLIENT,
)
"""What its kernels do. Down to COMPILED it fits 80 columns of a terminal, whole 120."""

VIEWS: Mapping[str, tuple[Column[Shown], ...]] = {"sharing": SHARING, "kernels": KERNELS}
"""By name, in the order that a key goes through."""
