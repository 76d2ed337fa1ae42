"""How a vGPU's usage looks to people: columns of `stats`, in a time and since the start."""

from __future__ import annotations

from vgpu_ctl.cli.rates import VgpuUsage
from vgpu_ctl.cli.table import Column
from vgpu_ctl.cli.units import duration, percent, rate


def _troubled(count: int) -> str | None:
    return "red" if count else None


def _mediated(usage: VgpuUsage, text: str) -> str:
    """Nothing, for a vGPU of which it is not known."""
    return text if usage.mediated else ""


_NAME = Column[VgpuUsage]("NAME", lambda usage: usage.name)
_GPU = Column[VgpuUsage]("GPU", lambda usage: usage.gpu)
_SHARES = (
    Column[VgpuUsage]("SHARE", lambda usage: _mediated(usage, percent(usage.share)), right=True),
    Column[VgpuUsage](
        "ENTITLED", lambda usage: _mediated(usage, percent(usage.weight_share)), right=True
    ),
)
_WAITS = (
    Column[VgpuUsage]("WAIT P50", lambda usage: duration(usage.wait_p50_seconds), right=True),
    Column[VgpuUsage]("P99", lambda usage: duration(usage.wait_p99_seconds), right=True),
)
_QUEUE = Column[VgpuUsage](
    "QUEUE", lambda usage: _mediated(usage, str(usage.queue_depth)), right=True
)
_TROUBLES = (
    Column[VgpuUsage](
        "FAILED",
        lambda usage: str(usage.failed),
        wide=True,
        right=True,
        colour=lambda usage: _troubled(usage.failed),
    ),
    Column[VgpuUsage](
        "REJECTED",
        lambda usage: str(usage.rejections),
        right=True,
        colour=lambda usage: _troubled(usage.rejections),
    ),
    Column[VgpuUsage](
        "HANGS",
        lambda usage: str(usage.hangs),
        right=True,
        colour=lambda usage: _troubled(usage.hangs),
    ),
    Column[VgpuUsage]("RESETS", lambda usage: str(usage.resets), wide=True, right=True),
)


def _engines(usage: VgpuUsage) -> str:
    """`rcs0 12.0 %`, for each that ran."""
    return ", ".join(
        f"{name} {percent(busy / usage.seconds) if usage.seconds else duration(busy)}"
        for name, busy in usage.engine_seconds.items()
        if busy > 0
    )


_ENGINES = Column[VgpuUsage]("ENGINES", _engines, wide=True)
_PROGRAMS = (
    Column[VgpuUsage]("HITS", lambda usage: str(usage.program_hits), wide=True, right=True),
    Column[VgpuUsage]("COMPILED", lambda usage: str(usage.compiled), wide=True, right=True),
    Column[VgpuUsage]("DISK", lambda usage: str(usage.from_disk), wide=True, right=True),
    Column[VgpuUsage]("UNCOMPILED", lambda usage: str(usage.uncompiled), wide=True, right=True),
    Column[VgpuUsage](
        "INTERPRETED", lambda usage: str(usage.interpreted_groups), wide=True, right=True
    ),
)


def _kernel_part(usage: VgpuUsage) -> str:
    """The part of the time in which threads of kernels ran."""
    return percent(usage.kernel_seconds / usage.seconds) if usage.seconds else ""


RATES: tuple[Column[VgpuUsage], ...] = (
    _NAME,
    _GPU,
    Column("BUSY", lambda usage: percent(usage.gpu_busy), right=True),
    *_SHARES,
    Column("REQ/S", lambda usage: _mediated(usage, rate(usage.requests_per_second)), right=True),
    _QUEUE,
    *_WAITS,
    Column("TRAPS/S", lambda usage: rate(usage.traps_per_second), right=True),
    Column("IRQ/S", lambda usage: rate(usage.interrupts_per_second), right=True),
    Column("KERNELS/S", lambda usage: rate(usage.kernels_per_second), wide=True, right=True),
    Column("THREADS/S", lambda usage: rate(usage.threads_per_second), wide=True, right=True),
    Column("EU", _kernel_part, wide=True, right=True),
    *_PROGRAMS,
    *_TROUBLES,
    _ENGINES,
)
"""In a time. BUSY is the GPU's, SHARE the vGPU's part of what all had."""

TOTALS: tuple[Column[VgpuUsage], ...] = (
    _NAME,
    _GPU,
    Column("GPU TIME", lambda usage: _mediated(usage, duration(usage.gpu_seconds)), right=True),
    *_SHARES,
    Column("REQUESTS", lambda usage: _mediated(usage, str(usage.requests)), right=True),
    _QUEUE,
    *_WAITS,
    Column("TRAPS", lambda usage: str(usage.traps), right=True),
    Column("IRQS", lambda usage: str(usage.interrupts), right=True),
    Column("KERNELS", lambda usage: str(usage.kernels), wide=True, right=True),
    Column("THREADS", lambda usage: str(usage.threads), wide=True, right=True),
    Column("EU TIME", lambda usage: duration(usage.kernel_seconds), wide=True, right=True),
    *_PROGRAMS,
    *_TROUBLES,
    _ENGINES,
)
"""Since the start of each vGPU."""
