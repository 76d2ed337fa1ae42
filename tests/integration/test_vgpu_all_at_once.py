"""Everything at the same time: guests work, others come and go, operators meddle, the GPU restarts.

Each test runs some seconds. What one of its threads finds wrong ends it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from mediator.mediation import Mediation
from mediator.vgpu.trace import Trace
from mediator.vgpu.vgpu import Vgpu
from tests.gpu_driver import ENGINE_BASES
from tests.gpu_driver.commands import ILLEGAL, semaphore_wait
from tests.integration.mode_cases import cases
from tests.integration.test_vgpu_accounting import balance
from tests.integration.test_vgpu_coming_and_going import KINDS, MODES, visiting
from tests.integration.vgpu_rig import Guest, Rig, rig
from tests.integration.vgpu_worker import Worker

SECONDS = 6.0
LONGEST_S = 40.0
"""What a slow machine may take until enough has happened."""
UNANSWERED = 0.2
"""The part of resets that an engine does not answer."""


@pytest.fixture(params=cases(MODES, quick=[]), ids=str)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path, request.param, types=["V9_4", "private"]) as shared:
        yield shared


def mediation(made: Rig) -> Mediation:
    assert made.mediation is not None
    return made.mediation


def together(enough: Callable[[], bool], *steps: Callable[[], object]) -> None:
    """Each step again and again, in a thread of its own, until the time is over or one fails.

    For `SECONDS`, and until ``enough`` has happened, which it must.
    """
    end, ends = threading.Event(), time.monotonic() + LONGEST_S

    def repeat(step: Callable[[], object]) -> None:
        while not end.is_set():
            step()

    with ThreadPoolExecutor(len(steps)) as pool:
        running = [pool.submit(repeat, step) for step in steps]
        failed, _ = wait(running, SECONDS, FIRST_COMPLETED)
        while not failed and not enough() and time.monotonic() < ends:
            failed, _ = wait(running, 0.1, FIRST_COMPLETED)
        end.set()
        for future in running:
            future.result()
    assert enough()


class Visits:
    """One vGPU after another that comes, works, and meets something."""

    def __init__(self, made: Rig, path: Path) -> None:
        self._mediation = mediation(made)
        self._path = path
        self.count = 0

    def __call__(self) -> None:
        kind = KINDS[self.count % len(KINDS)]
        fate = (self.reset, self.lose, self.leave, self.change)[self.count % 4]
        self.count += 1
        with visiting(self._mediation, self._path, kind) as (vgpu, guest):
            worker = Worker(guest, self.count % 100 + 3)
            worker.round()
            fate(vgpu, guest, worker)
            balance(vgpu)

    def reset(self, _vgpu: Vgpu, guest: Guest, _worker: Worker) -> None:
        guest.client.reset()
        guest.new_driver(msi=False).initialise()
        Worker(guest, 2).round()

    def lose(self, vgpu: Vgpu, guest: Guest, worker: Worker) -> None:
        driver, context = guest.driver, worker.contexts["rcs0"]
        driver.run(context, semaphore_wait(worker.result_ggtt, 1, ggtt=True))
        driver.wait_until(lambda: driver.ports["rcs0"].active[:1] == [context], "its start")
        vgpu.lose_work("reset by the operator")
        driver.recover("rcs0", context)
        driver.wait(driver.run(context))

    def leave(self, _vgpu: Vgpu, guest: Guest, worker: Worker) -> None:
        """In the middle of something."""
        wait_for_ever = semaphore_wait(worker.result_ggtt, 1, ggtt=True)
        guest.driver.run(worker.contexts["rcs0"], wait_for_ever)

    def change(self, vgpu: Vgpu, _guest: Guest, worker: Worker) -> None:
        vgpu.dispatcher.set_share(vgpu, 5, 0.3)
        vgpu.trace = Trace()
        worker.round()
        vgpu.trace = None


class Meddler:
    """Reads all sums, which only grow, and changes shares and traces of those that stay."""

    def __init__(self, made: Rig) -> None:
        self._made = made
        self._chance = random.Random(1)
        self._seen: dict[object, int] = {}

    def __call__(self) -> None:
        dispatcher, chance = mediation(self._made).dispatcher, self._chance
        self.grows(dispatcher, dispatcher.busy_ns())
        for name in ENGINE_BASES:
            self.grows(name, dispatcher.world.engine_ns(name))
        for vgpu in (self._made.vgpu(0), self._made.vgpu(1)):
            balance(vgpu)
            self.grows(vgpu, dispatcher.gpu_ns(vgpu))
            self.grows((vgpu, "interrupts"), vgpu.interrupts_delivered)
            for name in ENGINE_BASES:
                self.grows((vgpu, name), dispatcher.world.busy_ns(vgpu, name))
            if chance.random() < 0.2:
                dispatcher.set_share(vgpu, chance.randrange(1, 50), chance.choice((1.0, 0.5, 0.3)))
                vgpu.trace = Trace(1000) if vgpu.trace is None else None
        time.sleep(0.003)

    def grows(self, what: object, value: int) -> None:
        assert value >= self._seen.get(what, 0), what
        self._seen[what] = value


def test_guests_work_while_others_come_and_go_and_operators_meddle(
    made: Rig, tmp_path: Path
) -> None:
    with made.guest(0) as first, made.guest(1) as second:
        workers = [Worker(guest, number + 1) for number, guest in enumerate((first, second))]
        visits = Visits(made, tmp_path / "visitor")
        rounds = (worker.round for worker in workers)
        together(lambda: visits.count > 4, *rounds, visits, Meddler(made))
        for number in range(2):
            counters = made.vgpu(number).counters
            assert (counters.rejections, counters.hangs) == ({}, 0)


def test_a_gpu_that_is_restarted_takes_no_work_of_others(made: Rig, tmp_path: Path) -> None:
    """Engines do not answer resets for one that hangs, nor for those that leave."""
    shared, chance = mediation(made), random.Random(1)
    for engine in shared.host.engines.values():
        engine.reset = lambda real=engine.reset: (  # type: ignore[misc, method-assign]
            chance.random() > UNANSWERED and real()
        )
    with made.guest(0) as hanging, made.guest(1) as working:
        driver, worker = hanging.driver, Worker(working, 1)
        guilty = {name: driver.create_context(name) for name in ("rcs0", "bcs0", "vcs0")}

        def hang() -> None:
            for name, context in guilty.items():
                driver.run(context, [ILLEGAL])
                driver.wait_until(lambda name=name: driver.error(name), "an error")  # type: ignore[misc]
                driver.recover(name, context)

        def visit() -> None:
            with visiting(shared, tmp_path / "visitor", "V9_4") as (_, guest):
                context = guest.driver.create_context("rcs0")
                guest.driver.wait(guest.driver.run(context))
                guest.driver.run(context, semaphore_wait(context.timeline_ggtt, 0, ggtt=True))

        together(lambda: shared.dispatcher.counters.restarts > 1, hang, worker.round, visit)
        counters = made.vgpu(1).counters
        assert (counters.rejections, counters.hangs) == ({}, 0)
