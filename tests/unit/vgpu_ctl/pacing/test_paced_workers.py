"""Workers: they do all jobs, fairly, and outlive one that fails."""

from __future__ import annotations

import threading
import time

import pytest

from vgpu_ctl.pacing.fair_queue import Party
from vgpu_ctl.pacing.pace import Pace
from vgpu_ctl.pacing.paced_workers import PacedWorkers

PATIENCE_S = 30.0


def spend(seconds: float) -> None:
    """Take processor time."""
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


def test_jobs_are_done_by_turns() -> None:
    workers = PacedWorkers("worker", 1, lambda: Pace(1.0, 1.0))
    done, is_over = [], threading.Event()
    for number in range(3):
        workers.submit(Party(1, 1), lambda n=number: done.append(("many", n)))  # type: ignore[misc]
    workers.submit(Party(2, 2), lambda: done.append(("one", 0)))
    workers.submit(Party(1, 1), is_over.set)
    workers.start()
    assert is_over.wait(PATIENCE_S)
    workers.stop()
    assert done.index(("one", 0)) <= 1
    assert [each for each in done if each[0] == "many"] == [("many", n) for n in range(3)]


def test_one_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    workers = PacedWorkers("worker", 1, lambda: Pace(1.0, 1.0))
    is_over = threading.Event()
    workers.start()
    workers.submit(Party(1, 1), lambda: 1 / 0)  # type: ignore[arg-type]
    workers.submit(Party(1, 1), is_over.set)
    assert is_over.wait(PATIENCE_S)
    workers.stop()
    assert "ZeroDivisionError" in caplog.text


def test_they_keep_to_their_pace() -> None:
    """Two workers in sum: 50 ms of processor time at a tenth take half a second less the burst."""
    pace = Pace(0.1, 0.01)
    workers = PacedWorkers("worker", 2, lambda: pace)
    is_over = threading.Semaphore(0)

    def job() -> None:
        spend(0.005)
        is_over.release()

    began = time.monotonic()
    workers.start()
    for number in range(10):
        workers.submit(Party(number, 1), job)
    for _ in range(10):
        assert is_over.acquire(timeout=PATIENCE_S)
    assert time.monotonic() - began > 0.25
    workers.stop()


def test_one_that_never_started_stops() -> None:
    workers = PacedWorkers("worker", 2, lambda: Pace(1.0, 1.0))
    workers.submit(Party(1, 1), lambda: None)
    workers.stop()
