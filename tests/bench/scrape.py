"""What a scrape of vgpud's metrics costs: our text against prometheus_client's generate_latest.

Both sides are processes of their own behind the same HTTP server and export the same counters: 16
vGPUs that are busy on 4 engines each and 16 that are only defined, whose counters were made before.
The two take turns. Wall time is what a client waits for all of the answer; CPU time is the serving
process's, HTTP included, to 10 ms in all. With the URL of a running vgpud and its process id the
same is measured there: what it uses without scrapes is subtracted.

    python -m tests.bench.scrape [URL PID]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

from prometheus_client import CollectorRegistry, generate_latest

from tests.unit.vgpu_ctl.exporter.synthetic import SyntheticSource
from vgpu_ctl.api.objects import DaemonInfo, GpuInfo, Stats, TypeInfo, VgpuInfo
from vgpu_ctl.exporter.collector import VgpudCollector
from vgpu_ctl.exporter.exposition import Exposition
from vgpu_ctl.exporter.http import LIMITS, Limits, MetricsServer, open_listener
from vgpu_ctl.exporter.responses import METRICS
from vgpu_ctl.exporter.source import Snapshot, take_snapshot

ACTIVE = 16
DEFINED = 16
ROUNDS = 5
SCRAPES = 20
"""In one turn of one side."""
WARM_UP = 3
HOUR = 3600.0
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_WAIT_SECONDS = 30.0


class _Replay:
    """A source that repeats what it was given: reading it costs nothing."""

    def __init__(self, snapshots: list[Snapshot]) -> None:
        self._last = snapshots[0]
        self._stats = cycle(snapshot.stats for snapshot in snapshots)

    def stats(self) -> Stats:
        return next(self._stats)

    def vgpus(self) -> list[VgpuInfo]:
        return self._last.vgpus

    def gpus(self) -> list[GpuInfo]:
        return self._last.gpus

    def types(self) -> list[TypeInfo]:
        return self._last.types

    def build(self) -> DaemonInfo:
        return self._last.build


def _source() -> _Replay:
    now = HOUR
    source = SyntheticSource(lambda: now, active=ACTIVE, defined=DEFINED)
    first = take_snapshot(source)
    now += 1
    return _Replay([first, take_snapshot(source)])


def _ours() -> Callable[[], bytes]:
    return Exposition(_source()).text


def _theirs() -> Callable[[], bytes]:
    registry = CollectorRegistry()
    registry.register(VgpudCollector(_source()))
    return lambda: generate_latest(registry)


_NONE = Limits(share=100.0, text_share=100.0, kept_s=0.0, cost_ratio=0.0)
"""Each scrape is made anew, and as soon as it is asked for."""
_SIDES = {"vgpud": _ours, "generate_latest": _theirs}


def _serve(side: str) -> None:
    """Serve one side until standard input ends."""
    with MetricsServer(_SIDES[side](), [open_listener("127.0.0.1", 0)], _NONE) as server:
        host, port = server.addresses[0]
        print(f"http://{host}:{port}{METRICS}", flush=True)
        sys.stdin.read()


@contextmanager
def _served(side: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.bench.scrape", side]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"the server of {side} did not start")
            yield Served(url, process.pid)
        finally:
            process.terminate()


@dataclass
class Served:
    """Something that serves metrics, and what its scrapes took."""

    url: str
    pid: int
    wall_ms: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    answer: bytes = b""

    def cpu(self) -> float:
        """CPU seconds that its process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK

    def once(self) -> None:
        """Scrape, and keep the time."""
        began = time.perf_counter()
        with urllib.request.urlopen(self.url, timeout=_WAIT_SECONDS) as answer:
            self.answer = answer.read()
        self.wall_ms.append((time.perf_counter() - began) * 1e3)

    def turn(self, scrapes: int, pause: float = 0.0) -> None:
        """A few scrapes with ``pause`` seconds before each; their CPU time is added."""
        before = self.cpu()
        for _ in range(scrapes):
            time.sleep(pause)
            self.once()
        self.cpu_seconds += self.cpu() - before

    def row(self) -> dict[str, float]:
        """The figures, in milliseconds a scrape."""
        samples = [line for line in self.answer.splitlines() if not line.startswith(b"#")]
        return {
            "wall_p50_ms": median(self.wall_ms),
            "wall_p99_ms": quantiles(self.wall_ms, n=100)[98],
            "cpu_ms": self.cpu_seconds * 1e3 / len(self.wall_ms),
            "samples": len(samples),
            "kib": len(self.answer) / 1024,
        }


def measure() -> dict[str, dict[str, float]]:
    """Milliseconds of wall and CPU time a scrape on each side, and the ratios to vgpud's."""
    with _served("vgpud") as ours, _served("generate_latest") as theirs:
        for side in (ours, theirs):
            for _ in range(WARM_UP):
                side.once()
            side.wall_ms.clear()
        for _ in range(ROUNDS):
            ours.turn(SCRAPES)
            theirs.turn(SCRAPES)
    rows = {"vgpud": ours.row(), "generate_latest": theirs.row()}
    mine = rows["vgpud"]
    for name in ("wall_p50_ms", "cpu_ms"):
        rows["generate_latest"][f"ratio_{name}"] = rows["generate_latest"][name] / mine[name]
    return rows


def measure_running(url: str, pid: int, seconds: float = 20.0) -> dict[str, dict[str, float]]:
    """The same of a vgpud that runs already, scraped for ``seconds``, less what it uses anyway."""
    served = Served(url, pid)
    served.once()
    served.wall_ms.clear()
    before = served.cpu()
    time.sleep(seconds)
    idle = served.cpu() - before
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        served.turn(1, pause=2 * LIMITS.kept_s)
    took = time.monotonic() - began
    served.cpu_seconds -= idle * took / seconds
    return {"running": served.row()}


def main() -> None:
    """Print the table and, on the last line, the same as JSON; or be one of the two servers."""
    match sys.argv[1:]:
        case [side]:
            _serve(side)
            return
        case [url, pid]:
            result = measure_running(url, int(pid))
        case _:
            result = measure()
    for name, row in result.items():
        print(name, *(f"{key} {value:.2f}" for key, value in row.items()), sep="  ")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
