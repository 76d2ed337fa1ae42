"""A driver that keeps one engine of a GPU busy with requests of a chosen length.

In this process, or in one of its own (`Busy`), so that drivers and the GPU's server do not share
an interpreter. A request is a batch of many calls of one second-level batch: MI_STORE_DATA_IMM on
rcs0, which the software GPU does in C, or small blits on bcs0, which it takes up one by one. It can
be preempted after each call.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.gpu_driver import MI_ARB_CHECK, MI_BATCH_BUFFER_END, Context, GpuDriver
from tests.gpu_driver.commands import batch_start, copy_blit, store_dword
from tests.integration.vgpu_rig import connect

_CALLS, _CALLED, _TARGET, _SOURCE = 0x10_0000, 0x20_0000, 0x4000_0000, 0x5000_0000
_STORES = 1000
_BLITS = 2
_PITCH, _WIDTH, _HEIGHT = 4096, 1024, 32
"""A blit of 128 KiB."""
_BLIT_PAGES = _PITCH * _HEIGHT // 4096
_FEWEST = 4
"""Requests of one measurement, however long they are."""
_CALIBRATION_CALLS = 40
_CALIBRATIONS = 15
_PATIENCE_S = 20.0

ENGINES = ("rcs0", "bcs0")


class Load:
    """Requests of one length on one engine, from two contexts that take turns."""

    def __init__(self, driver: GpuDriver, engine: str, calls: int) -> None:
        """``calls``: calls of the second-level batch in each request; 0: a request without any."""
        self.driver = driver
        self.contexts = [self._context(engine, calls) for _ in range(2)]
        # i915 ends every request with a point of preemption (gen8_emit_wa_tail).
        self.commands = [*(batch_start(_CALLS) if calls else []), MI_ARB_CHECK]

    def _context(self, engine: str, calls: int) -> Context:
        context = self.driver.create_context(engine)
        if calls:
            ram, tables = self.driver.ram, context.tables
            if engine == "rcs0":
                tables.map(_TARGET, ram.allocate())
                called = [d for n in range(_STORES) for d in store_dword(_TARGET + 4 * n, n)]
            else:
                for address in (_TARGET, _SOURCE):
                    tables.map(address, ram.allocate(_BLIT_PAGES), _BLIT_PAGES)
                called = copy_blit(_TARGET, _SOURCE, _PITCH, _WIDTH, _HEIGHT) * _BLITS
            tables.place(_CALLED, [*called, MI_BATCH_BUFFER_END])
            call = [*batch_start(_CALLED, second=True), MI_ARB_CHECK]
            tables.place(_CALLS, [*call * calls, MI_BATCH_BUFFER_END])
        return context

    def serial(self, seconds: float) -> float:
        """Requests a second, each given when the one before is done."""
        driver, context = self.driver, self.contexts[0]
        count, begin = 0, time.perf_counter()
        while count < _FEWEST or time.perf_counter() - begin < seconds:
            driver.wait(driver.run(context, self.commands), patience=_PATIENCE_S)
            count += 1
        rate = count / (time.perf_counter() - begin)
        driver.wait_idle(_PATIENCE_S)
        return rate

    def queued(self, seconds: float, depth: int = 2) -> float:
        """Requests a second, with ``depth`` of them given and not done.

        With two the next is always in the ports.
        """
        driver = self.driver
        turns = cycle(self.contexts)
        requests = deque(driver.run(next(turns), self.commands) for _ in range(depth))
        count, begin = 0, time.perf_counter()
        while count < _FEWEST or time.perf_counter() - begin < seconds:
            driver.wait(requests.popleft(), patience=_PATIENCE_S)
            requests.append(driver.run(next(turns), self.commands))
            count += 1
        rate = count / (time.perf_counter() - begin)
        driver.wait(*requests, patience=_PATIENCE_S)
        driver.wait_idle(_PATIENCE_S)
        return rate


def calibrate(driver: GpuDriver, engine: str) -> float:
    """Seconds that one call takes: long requests less empty ones, the fastest of each."""
    took = []
    for calls in (0, _CALIBRATION_CALLS):
        load = Load(driver, engine, calls)
        took.append(min(1 / load.serial(0) for _ in range(_CALIBRATIONS)))
    return max(took[1] - took[0], 1e-6) / _CALIBRATION_CALLS


@dataclass
class Busy:
    """A `Load` on the GPU at ``path``, in a process of its own; a context manager."""

    path: str | Path
    engine: str
    calls: int
    depth: int = 2
    """Requests given and not done."""

    def __enter__(self) -> Self:
        what = (str(self.path), self.engine, str(self.calls), str(self.depth))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def start(self, seconds: float) -> None:
        """Work for so long; `result` waits for the end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Leave in the middle of the work, without a word."""
        self._process.kill()

    def result(self) -> float:
        """Requests a second."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver at {self.path} failed")
        return float(json.loads(line))


def _main(path: str, engine: str, calls: str, depth: str) -> None:
    guest = connect(path)
    try:
        load = Load(guest.driver, engine, int(calls))
        load.queued(0)
        print(0, flush=True)
        for line in sys.stdin:
            print(json.dumps(load.queued(float(line), int(depth))), flush=True)
    finally:
        guest.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])
