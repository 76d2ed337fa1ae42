"""What it costs to look: `vgpuctl list`, a scrape, with 32 vGPUs defined and 16 of them active.

One `vgpud run` with clients on four of its vGPUs, two of which work. Times are of the machine that
runs this; beside them stands what they are measured against: a bare `python -c pass` for the start
of programs, libvirt's hook among them, and the same exposition by prometheus-client's own writer.

    python -m tests.bench.control_plane
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from tests.bench.busy_driver import Busy
from vgpu_ctl.api.objects import DaemonInfo, GpuInfo, Stats, TypeInfo, VgpuInfo
from vgpu_ctl.client import Client
from vgpu_ctl.exporter.collector import VgpudCollector
from vgpu_ctl.exporter.http import LIMITS

DEFINED, ACTIVE, WORKING = 32, 16, 2
PROGRAM_RUNS = 15
SCRAPES = 20
WATCHED_S = 20.0
"""How long the daemon's processor time is watched, with and without a scrape a second."""
WORK_S = 15.0
"""Of the two that work, while they are looked at."""
_CALLS = 20
_PROGRAMS = Path(sys.executable).parent
_CONFIG = '[metrics]\nlisten = ["127.0.0.1:0"]\n'


class _Remote:
    """A daemon's answers as the exporter's source, for prometheus-client's writer."""

    def __init__(self, client: Client) -> None:
        self._stats, self._vgpus = client.stats(), client.vgpus()
        self._gpus, self._types, self._build = client.gpus(), client.types(), client.version()

    def stats(self) -> Stats:
        return self._stats

    def vgpus(self) -> list[VgpuInfo]:
        return self._vgpus

    def gpus(self) -> list[GpuInfo]:
        return self._gpus

    def types(self) -> list[TypeInfo]:
        return self._types

    def build(self) -> DaemonInfo:
        return self._build


@contextmanager
def _daemon(directory: Path) -> Iterator[tuple[int, Client]]:
    """A `vgpud run` of its own: its process id, and a client."""
    config = directory / "vgpud.toml"
    config.write_text(_CONFIG)
    process = subprocess.Popen(
        [
            *(_PROGRAMS / "vgpud", "run", "--config", config),
            *("--runtime-dir", directory / "run", "--state-dir", directory / "state"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        socket = process.stdout.readline().removeprefix("ready ").strip()
        with Client.connect(Path(socket)) as client:
            yield process.pid, client
    finally:
        process.terminate()
        process.wait()


def _populate(client: Client) -> None:
    for number in range(DEFINED):
        kind = "V9_16" if number % 2 else "private"
        make = client.create if number < ACTIVE else client.define
        make(name=f"vm{number:02}", type=kind)


_APART_S = 0.11
"""Two that ask so far apart are not given the same answer."""


def _milliseconds(call: Callable[[], object], times: int, pause: float = 0.0) -> dict[str, float]:
    """Of one call: the median and the worst, in ms. ``pause``: seconds between two."""
    took = []
    for _ in range(times):
        time.sleep(pause)
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1e3)
    return {"median_ms": round(median(took), 1), "worst_ms": round(max(took), 1)}


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _watch(pid: int, each_second: Callable[[], object]) -> float:
    """The part of a core that the daemon takes while ``each_second`` is done."""
    before, ends = _cpu_seconds(pid), time.monotonic() + WATCHED_S
    while time.monotonic() < ends:
        began = time.monotonic()
        each_second()
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))
    return (_cpu_seconds(pid) - before) / WATCHED_S


def _scrape(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def measure() -> dict[str, dict[str, float]]:
    """Rows: start of the program, API calls, scrapes, the daemon's part of a core."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        pid, client = stack.enter_context(_daemon(Path(place)))
        _populate(client)
        environment = {**os.environ, "VGPUD_SOCKET": str(client.path)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: compiled once, and kept

        def program(*command: str | Path) -> Callable[[], object]:
            return lambda: subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=True,
            )

        url = client.version().metrics
        program(_PROGRAMS / "vgpuctl", "list")()
        rows = {
            "python -c pass": _milliseconds(program(sys.executable, "-c", "pass"), PROGRAM_RUNS),
            "vgpuctl list": _milliseconds(program(_PROGRAMS / "vgpuctl", "list"), PROGRAM_RUNS),
            "vgpu-libvirt-hook, no vGPU": _milliseconds(
                program(_PROGRAMS / "vgpu-libvirt-hook", "guest", "prepare", "begin", "-"),
                PROGRAM_RUNS,
            ),
            "API list": _milliseconds(client.vgpus, SCRAPES, _APART_S),
            "API stats": _milliseconds(client.stats, SCRAPES, _APART_S),
            "scrape, nothing works": _milliseconds(lambda: _scrape(url), SCRAPES, LIMITS.kept_s),
        }
        idle = _watch(pid, lambda: None)
        scraped = _watch(pid, lambda: _scrape(url))
        rows["daemon, nothing works"] = {
            "core_idle": round(idle, 4),
            "core_scraped_1_hz": round(scraped, 4),
            "core_of_scrapes": round(scraped - idle, 4),
        }
        for number in range(WORKING):
            busy = stack.enter_context(Busy(client.show(f"vm{number:02}").socket, "rcs0", _CALLS))
            busy.start(WORK_S)
        rows["scrape, two work"] = _milliseconds(lambda: _scrape(url), SCRAPES, pause=LIMITS.kept_s)
        registry = CollectorRegistry()
        registry.register(VgpudCollector(_Remote(client)))
        rows["prometheus-client's writer"] = _milliseconds(
            lambda: generate_latest(registry), SCRAPES
        )
        text = _scrape(url)
        samples = sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))
        rows["exposition"] = {"samples": samples, "bytes": len(text)}
        return rows


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
