"""The cost of a world switch, in each address space and GGTT mode.

Two drivers, each a process of its own, keep one engine busy with requests of half a millisecond.
``switch``: from the first submission of the mediator's idle context to an engine until the first
submission of the other vGPU's, seen at the engines of the host. ``loss``: the throughput of both
drivers together against that of one alone, which never leaves the hardware; by length of slice.

    python -m tests.bench.world_switch
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest.mock import patch

from mediator.mediation import Mediation
from tests.bench.busy_driver import Busy, calibrate
from tests.integration.vgpu_rig import MEDIATED, NATIVE, Mode, rig

ENGINE = "rcs0"
REQUEST_S = 0.5e-3
DEPTH = 64
"""Requests given and not done: two slices of the longest."""
SLICES_MS = (1, 4, 16)
SECONDS = 0.4
ROUNDS = 2
_US = 1e6


class _Switches:
    """Times between the idle context's submission and the next one of a guest."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began: float | None = None
        self._of_idle = False

    def submit_idle(self, submit: Callable[[], None]) -> None:
        if self._began is None:
            self._began = time.perf_counter()
        self._of_idle = True
        submit()
        self._of_idle = False

    def submit(self, submit: Callable[..., None], *descriptors: int) -> None:
        if self._began is not None and not self._of_idle:
            self.seconds.append(time.perf_counter() - self._began)
            self._began = None
        submit(*descriptors)


@contextmanager
def _watched(mediation: Mediation) -> Iterator[_Switches]:
    """Hears of submissions to the engines of the host, the mediator's own ones apart."""
    switches = _Switches()
    with ExitStack() as stack:
        for engine in mediation.dispatcher.host.engines.values():
            replaced: dict[str, Any] = {
                "submit": partial(switches.submit, engine.submit),
                "submit_idle": partial(switches.submit_idle, engine.submit_idle),
            }
            for name, by in replaced.items():
                stack.enter_context(patch.object(engine, name, by))
        yield switches


def _calls() -> int:
    """Calls of a request of the length wanted."""
    with (
        tempfile.TemporaryDirectory() as directory,
        rig(Path(directory), NATIVE) as made,
        made.guest() as guest,
    ):
        return max(1, round(REQUEST_S / calibrate(guest.driver, ENGINE)))


def _work(*busy: Busy) -> float:
    """Requests a second of all of them together."""
    for driver in busy:
        driver.start(SECONDS)
    return sum(driver.result() for driver in busy)


def _measure_slice(mode: Mode, slice_ms: int, calls: int) -> dict[str, float]:
    alone, both, taken, spent = [], [], 0, 0.0
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        made = stack.enter_context(rig(Path(directory), mode, 2, slice_ns=slice_ms * 1_000_000))
        assert made.mediation is not None
        switches = stack.enter_context(_watched(made.mediation))
        first, second = (
            stack.enter_context(Busy(path, ENGINE, calls, DEPTH)) for path in made.paths
        )
        switches.seconds.clear()
        for _ in range(ROUNDS):
            alone.append(_work(first))
            before, begin = made.mediation.dispatcher.counters.world_switches, time.perf_counter()
            both.append(_work(first, second))
            spent += time.perf_counter() - begin
            taken += made.mediation.dispatcher.counters.world_switches - before
        loss = 1 - median(both) / median(alone)
        return {
            "switch_p50_us": round(median(switches.seconds) * _US, 1),
            "switch_p99_us": round(quantiles(switches.seconds, n=100)[98] * _US, 1),
            "switches_per_s": round(taken / spent, 1),
            "alone_per_s": round(median(alone), 1),
            "both_per_s": round(median(both), 1),
            "loss": round(loss, 3),
        }


def measure() -> dict[str, dict[str, float]]:
    """For each mode and slice: microseconds of a switch and loss of throughput; then ratios."""
    calls = _calls()
    rows = {}
    cost: dict[str, float] = {}
    for mode in MEDIATED:
        of_mode = []
        for slice_ms in SLICES_MS:
            row = _measure_slice(mode, slice_ms, calls)
            rows[f"{mode} slice {slice_ms} ms"] = row
            of_mode.append(row["switch_p50_us"])
        cost[str(mode)] = median(of_mode)
    rows["ratios"] = {
        f"shadow / direct, {ggtt}": round(cost[f"shadow-{ggtt}"] / cost[f"direct-{ggtt}"], 3)
        for ggtt in ("ballooned", "private")
    } | {
        f"ballooned / private, {space}": round(
            cost[f"{space}-ballooned"] / cost[f"{space}-private"], 3
        )
        for space in ("shadow", "direct")
    }
    return rows


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
