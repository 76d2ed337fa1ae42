"""A guest in a process of its own that works on all engines and looks at every result.

python -m tests.bench.working_guest PATH
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.integration.vgpu_rig import connect
from tests.integration.vgpu_worker import Worker


@dataclass(frozen=True)
class Work:
    """What was done in a while."""

    rounds_a_second: float
    worst_s: float
    """The longest round."""


@dataclass
class WorkingGuest:
    """A guest on the vGPU whose socket is at ``path``; a context manager."""

    path: str | Path

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.work(0.2)
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

    def work(self, seconds: float) -> Work:
        """Work for so long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the guest at {self.path} failed")
        return Work(*json.loads(line))


def _work(worker: Worker, seconds: float) -> Work:
    count, worst, began = 0, 0.0, time.monotonic()
    now = began
    while now - began < seconds:
        worker.round()
        before, now = now, time.monotonic()
        worst = max(worst, now - before)
        count += 1
    return Work(count / max(now - began, 1e-9), worst)


def _main(path: str) -> None:
    guest = connect(path)
    try:
        worker = Worker(guest, 2)
        for line in sys.stdin:
            done = _work(worker, float(line))
            print(json.dumps([done.rounds_a_second, done.worst_s]), flush=True)
    finally:
        guest.close()


if __name__ == "__main__":
    _main(sys.argv[1])
