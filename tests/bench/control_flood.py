"""A guest's rounds beside floods of the control socket and of /metrics, against the guest alone.

One `vgpud run` with 16 active vGPUs; on one of them a guest works on all engines and verifies every
result. The attackers are stopped and go on every half second, so that the guest is alone and beside
them in turn. All are processes of their own, and the attackers have the least priority: the
processor time that they burn themselves is not vgpud's fault. Rows: the ratio beside / alone, the
median of all turns; the guest's worst round; what the attackers got a second; and what another
client waited meanwhile for `list` over a connection of its own, as `vgpuctl` does.

    python -m tests.bench.control_flood
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Self

from tests.bench.working_guest import Work, WorkingGuest
from tests.integration.control_attacker import flooding
from tests.integration.control_rig import METRICS, PATIENT_GPU, ControlRig, running
from vgpu_ctl.client import ApiError, DaemonUnreachable

ACTIVE = 16
TURNS = 10
TURN_S = 0.5
SETTLE_S = 2.0
"""After the attack has begun: what a burst may take is over."""
ASK_EVERY_S = 0.1
FLOODS = {
    "60 connections ask for stats": ("stats", [15] * 4),
    "60 connections pipeline stats": ("pipelined", [15] * 4),
    "60 connections change weights": ("changes", [15] * 4),
    "60 connections ask for nobody": ("unknown", [15] * 4),
    "200 connect and leave": ("connections", [50] * 4),
    "200 connect, ask, leave": ("short requests", [50] * 4),
    "4 threads scrape": ("scrapes", [4]),
    "60 threads scrape": ("scrapes", [15] * 4),
}


@dataclass
class Asker:
    """A client that asks now and then, in a thread: how long it waits, and how often in vain."""

    rig: ControlRig
    waited_s: list[float] = field(default_factory=list)
    refused: int = 0
    goes_on: threading.Event = field(default_factory=threading.Event)
    """Set while it asks."""
    _is_over: bool = False

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self.goes_on.set()
        self._thread.join()

    def _run(self) -> None:
        while self.goes_on.wait() and not self._is_over:
            began = time.monotonic()
            try:
                with self.rig.client() as client:
                    client.vgpus()
            except (ApiError, DaemonUnreachable):
                self.refused += 1
            else:
                self.waited_s.append(time.monotonic() - began)
            time.sleep(ASK_EVERY_S)


def prepare(rig: ControlRig, active: int = ACTIVE) -> str:
    """Have ``active`` vGPUs: the socket of the first."""
    with rig.client() as client:
        paths = [client.create(name=f"vm{n:02}", type="V9_16").socket for n in range(active)]
    return paths[0]


def beside(
    rig: ControlRig, guest: WorkingGuest, kind: str, counts: list[int], turns: int = TURNS
) -> dict[str, float]:
    """The guest in turn alone and beside the attack."""
    with rig.client() as client:
        target = client.version().metrics if kind == "scrapes" else str(rig.socket)
    pairs: list[tuple[Work, Work]] = []
    with Asker(rig) as asker, flooding(kind, target, counts) as flood:
        guest.work(SETTLE_S)
        for _ in range(turns):
            asker.goes_on.clear()
            flood.pause()
            alone = guest.work(TURN_S)
            flood.go_on()
            asker.goes_on.set()
            pairs.append((alone, guest.work(TURN_S)))
        answered = flood.end()
    waited_ms = [seconds * 1e3 for seconds in asker.waited_s] or [float("inf")]
    return {
        "ratio": median(
            with_it.rounds_a_second / alone.rounds_a_second for alone, with_it in pairs
        ),
        "alone_rounds": median(alone.rounds_a_second for alone, _ in pairs),
        "worst_ms": max(with_it.worst_s for _, with_it in pairs) * 1e3,
        "alone_worst_ms": max(alone.worst_s for alone, _ in pairs) * 1e3,
        "answered_a_second": answered / (SETTLE_S + turns * TURN_S),
        "list_median_ms": median(waited_ms),
        "list_worst_ms": max(waited_ms),
        "list_refused": asker.refused,
    }


def measure() -> dict[str, dict[str, float]]:
    """A row for each flood; see the module."""
    with (
        tempfile.TemporaryDirectory() as place,
        running(Path(place), METRICS + PATIENT_GPU) as rig,
        WorkingGuest(prepare(rig)) as guest,
    ):
        found = {name: beside(rig, guest, *flood) for name, flood in FLOODS.items()}
    return {
        name: {key: round(value, 3) for key, value in row.items()} for name, row in found.items()
    }


if __name__ == "__main__":
    for name, row in measure().items():
        print(json.dumps({name: row}), flush=True)
