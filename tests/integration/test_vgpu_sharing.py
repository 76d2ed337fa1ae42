"""Eight drivers share one GPU at the same time, and each verifies its own results."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gpu_driver import ENGINE_BASES
from tests.gpu_driver.commands import semaphore_wait
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import MEDIATED, PAIR, Mode, rig
from tests.integration.vgpu_worker import Worker

ENGINES = list(ENGINE_BASES)
GUESTS = 8
ROUNDS = 12


@pytest.mark.parametrize("mode", cases(MEDIATED, quick_strict=PAIR), ids=str)
def test_eight_drivers_share_one_gpu(tmp_path: Path, mode: Mode) -> None:
    """With interrupts and without, all at once."""
    with rig(tmp_path, mode, GUESTS) as made, ExitStack() as stack:
        guests = [stack.enter_context(made.guest(n, msi=bool(n % 2))) for n in range(GUESTS)]
        workers = [Worker(guest, number + 1) for number, guest in enumerate(guests)]
        together = threading.Barrier(GUESTS)

        def work(worker: Worker) -> None:
            together.wait()
            for _ in range(ROUNDS):
                worker.round()

        with ThreadPoolExecutor(GUESTS) as pool:
            for future in [pool.submit(work, worker) for worker in workers]:
                future.result()
        for number in range(GUESTS):
            counters = made.vgpu(number).counters
            assert counters.requests >= 4 * ROUNDS
            assert counters.gpu_ns > 0
            assert counters.rejections == {}
            assert counters.hangs == 0


@pytest.mark.parametrize("mode", cases(MEDIATED, quick_strict=PAIR), ids=str)
def test_one_works_while_others_come_and_go(tmp_path: Path, mode: Mode) -> None:
    with rig(tmp_path, mode, 2) as made, made.guest(0) as steady:
        worker = Worker(steady, 1)
        worker.round()
        for visit in range(6):
            with made.guest(1) as visitor:
                other = Worker(visitor, 2)
                other.round()
                worker.round()
                if visit % 2:  # it leaves in the middle of something
                    other.driver.run(
                        other.contexts["rcs0"], semaphore_wait(other.result_ggtt, 1, ggtt=True)
                    )
            worker.round()


@pytest.mark.parametrize("mode", cases(MEDIATED, quick_strict=PAIR), ids=str)
def test_a_waiting_guest_does_not_hold_the_gpu(tmp_path: Path, mode: Mode) -> None:
    """All engines of one guest wait for ever; another works, at slices' ends."""
    with (
        rig(tmp_path, mode, 2, watchdog_ns=60_000_000_000) as made,
        made.guest(0) as waiting,
        made.guest(1) as working,
    ):
        driver = waiting.driver
        flag = driver.ram.allocate()
        at = driver.ggtt_map(flag)
        requests = [
            driver.run(driver.create_context(engine), semaphore_wait(at, 1, ggtt=True))
            for engine in ENGINES
        ]
        worker = Worker(working, 2)
        for _ in range(3):
            worker.round()
        assert not any(driver.done(request) for request in requests)
        driver.ram.write_u32(flag, 1)
        driver.wait(*requests)
        driver.wait_idle()
