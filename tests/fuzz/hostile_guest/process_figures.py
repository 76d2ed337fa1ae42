"""What a process holds, as Linux tells it in /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """Of one process at one moment."""

    threads: int
    descriptors: int
    resident_kib: int
    address_space_kib: int
    cpu_s: float
    """Processor time of all its threads so far, in user and kernel mode."""
    children: int = 0
    """Processes that it started and that have not ended."""


def process_figures(pid: int) -> ProcessFigures:
    """Of process ``pid``. Raises OSError when it is gone."""
    process = Path(f"/proc/{pid}")
    lines = (line.split(":", 1) for line in (process / "status").read_text().splitlines())
    status = {name: value.split()[0] for name, value in lines if value.strip()}
    times = (process / "stat").read_text().rpartition(")")[2].split()
    return ProcessFigures(
        threads=int(status["Threads"]),
        descriptors=sum(1 for _ in (process / "fd").iterdir()),
        resident_kib=int(status.get("VmRSS", "0")),
        address_space_kib=int(status.get("VmSize", "0")),
        cpu_s=(int(times[11]) + int(times[12])) / _TICKS,
        children=_children(process),
    )


def _children(process: Path) -> int:
    """Of all its threads, any of which may have started one; a thread may end meanwhile."""
    count = 0
    for task in (process / "task").iterdir():
        with suppress(OSError):
            count += len((task / "children").read_text().split())
    return count
