"""Threads that do jobs for others, fairly, and for a part of one processor in all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from vgpu_ctl.pacing.fair_queue import FairQueue, Party
from vgpu_ctl.pacing.pace import Pace

_LOG = logging.getLogger(__name__)


class PacedWorkers:
    """Some threads for jobs that may wait for something. `submit` is for any thread."""

    def __init__(self, name: str, threads: int, pace: Callable[[], Pace]) -> None:
        """``pace`` says by which pace work goes at the moment; each is charged with all of it."""
        self._pace = pace
        self._changed = threading.Condition()
        self._queue: FairQueue[Callable[[], None]] = FairQueue()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._run, name=name, daemon=True) for _ in range(threads)
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End once what has begun is done; what waits is dropped. Started or not."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def submit(self, party: Party, job: Callable[[], None]) -> None:
        """Have ``job`` done for ``party``, which pays for it. It should not raise."""
        with self._changed:
            self._queue.push(party, job)
            self._changed.notify()

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            party, job = taken
            began = time.thread_time()
            try:
                job()
            except Exception:  # noqa: BLE001 - our bug; the others' jobs go on
                _LOG.exception("a job of a control client failed")
            cost = time.thread_time() - began
            with self._changed:
                self._queue.charge(party, cost)
                self._pace().charge(cost, time.monotonic())

    def _next(self) -> tuple[Party, Callable[[], None]] | None:
        """The next job, when it is time for it; None at the end."""
        with self._changed:
            while not self._stopped:
                if not self._queue:
                    self._changed.wait()
                elif rest := self._pace().rest(time.monotonic()):
                    self._changed.wait(rest)
                else:
                    return self._queue.pop()
            return None
