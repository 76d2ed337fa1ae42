"""A guest's throughput beside one that hangs an engine in a loop, against beside a good one.

Two vGPUs of one software GPU in this process. The measured guest runs verified work on all engines
for a while, beside a guest that works likewise, and beside one that hangs: by an illegal command, a
page fault, or a loop that nothing but a reset ends. The ratio is hang / good: aim > 0.9.

    python -m tests.bench.hang_neighbour
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

from tests.gpu_driver import ENGINE_BASES, MI_BATCH_BUFFER_END, MI_NOOP, Context, GpuDriver
from tests.gpu_driver.commands import ILLEGAL, batch_start, store_dword
from tests.integration.vgpu_rig import SHADOW, Guest, rig
from tests.integration.vgpu_worker import Worker

ENGINES = list(ENGINE_BASES)
ROUNDS = 3
MEASURE_S = 1.0
WATCHDOG_NS = 100_000_000
SLICE_NS = 16_000_000
HANG_CHECK_S = 0.2
"""After so long the guest's driver resets an engine that reports nothing."""
BATCH, NOWHERE = 0x10_0000, 0x1234_5678_9000
HANGS = {
    "illegal_command": [MI_NOOP, ILLEGAL],
    "page_fault": [*store_dword(NOWHERE, 1), MI_BATCH_BUFFER_END],
    "endless_loop": [MI_NOOP, *batch_start(BATCH)],
}


def work(guest: Guest, end: threading.Event) -> None:
    """A guest that behaves."""
    worker = Worker(guest, 2)
    while not end.is_set():
        worker.round()


def hang(commands: list[int]) -> Callable[[Guest, threading.Event], None]:
    """A guest that hangs, sees it, resets the engine, and does it again."""

    def loop(guest: Guest, end: threading.Event) -> None:
        driver = guest.driver
        guilty = {engine: _guilty(driver, engine, commands) for engine in ENGINES}
        while not end.is_set():
            for engine, context in guilty.items():
                driver.run(context, batch_start(BATCH))
                with suppress(AssertionError):
                    driver.wait_until(lambda e=engine: driver.error(e), "", HANG_CHECK_S)  # type: ignore[misc]
                driver.recover(engine, context)

    return loop


def _guilty(driver: GpuDriver, engine: str, commands: list[int]) -> Context:
    context = driver.create_context(engine)
    context.tables.place(BATCH, commands)
    return context


def requests_per_second(beside: Callable[[Guest, threading.Event], None]) -> float:
    """Of the measured guest, while ``beside`` is the other's life."""
    with (
        tempfile.TemporaryDirectory() as directory,
        rig(Path(directory), SHADOW, 2, slice_ns=SLICE_NS, watchdog_ns=WATCHDOG_NS) as made,
        made.guest(0) as measured,
        made.guest(1) as other,
    ):
        end = threading.Event()
        thread = threading.Thread(target=beside, args=(other, end))
        thread.start()
        try:
            worker = Worker(measured, 1)
            worker.round()
            begin, rounds = time.monotonic(), 0
            while (elapsed := time.monotonic() - begin) < MEASURE_S:
                worker.round()
                rounds += 1
        finally:
            end.set()
            thread.join()
    return len(ENGINES) * rounds / elapsed


def measure() -> dict[str, dict[str, float]]:
    """Requests a second on each side, and their ratio, for each kind of hang."""
    found: dict[str, list[float]] = {name: [] for name in ("good", *HANGS)}
    for _ in range(ROUNDS):
        found["good"].append(requests_per_second(work))
        for name, commands in HANGS.items():
            found[name].append(requests_per_second(hang(commands)))
    good = median(found["good"])
    return {
        name: {
            "beside_hang_per_s": round(median(found[name]), 1),
            "beside_good_per_s": round(good, 1),
            "ratio": round(median(found[name]) / good, 2),
        }
        for name in HANGS
    }


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
