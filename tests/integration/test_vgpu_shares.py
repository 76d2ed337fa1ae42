"""What a vGPU gets of the GPU's time: caps, weights that change, an operator who takes work away.

Bounds are loose, since the machine has other work too. A turn during which it stood still is longer
than its slice, and is paid back: parts are looked at until they are as they should be.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mediator.dispatcher import Dispatcher
from mediator.vgpu.vgpu import Vgpu
from tests.gpu_driver import ENGINE_BASES, MI_ARB_CHECK, MI_BATCH_BUFFER_END, MI_NOOP
from tests.gpu_driver.commands import batch_start, semaphore_wait
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import (
    DIRECT,
    PAIR,
    PATIENCE_S,
    SHORT_WATCHDOG_NS,
    Guest,
    Mode,
    Rig,
    rig,
)
from tests.integration.vgpu_worker import Worker, neighbour

BATCH = 0x10_0000
CAP = 0.25
MEASURED_S = 1.0
BURST_S = 0.05
"""What a cap lets pass at once, at most: see `scheduler.cap`."""


@pytest.fixture(params=cases(PAIR, quick=[DIRECT]), ids=str)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path, request.param, 2) as shared:
        yield shared


@pytest.fixture
def guest(made: Rig) -> Iterator[Guest]:
    with made.guest(0) as connected:
        yield connected


def dispatcher(made: Rig) -> Dispatcher:
    assert made.mediation is not None
    return made.mediation.dispatcher


def set_cap(vgpu: Vgpu, value: float) -> None:
    vgpu.dispatcher.set_share(vgpu, vgpu.weight, value)


class Use:
    """The part of the wall time in which a vGPU has the GPU, from now on."""

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu
        self._began, self._before = time.monotonic_ns(), vgpu.dispatcher.gpu_ns(vgpu)

    def seconds(self) -> float:
        """Since it began."""
        return (time.monotonic_ns() - self._began) / 1e9

    def part(self) -> float:
        """So far."""
        used = self._vgpu.dispatcher.gpu_ns(self._vgpu) - self._before
        return used / 1e9 / self.seconds()


def settles(
    vgpu: Vgpu, low: float, high: float, seconds: float = MEASURED_S, step: float = 0.1
) -> None:
    """Its part from now on is between both: after ``seconds``, or when it has paid back."""
    use = Use(vgpu)
    time.sleep(seconds)
    while not low < (part := use.part()) < high:
        assert use.seconds() < seconds + PATIENCE_S, f"{part:.3f}, not {low} to {high}"
        time.sleep(step)


@contextmanager
def spinning(guest: Guest) -> Iterator[None]:
    """A request that loops meanwhile and is done at the end."""
    context = guest.driver.create_context("rcs0")
    page = context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    request = guest.driver.run(context, batch_start(BATCH))
    guest.driver.wait_until(lambda: guest.driver.ports["rcs0"].active == [context], "its start")
    try:
        yield
    finally:
        guest.driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
        guest.driver.wait(request)
        guest.driver.wait_idle()


def completes_all(vgpu: Vgpu) -> None:
    assert (vgpu.counters.rejections, vgpu.counters.hangs) == ({}, 0)
    for counters in vgpu.counters.engines.values():
        assert counters.failed == {}
        assert counters.completed + counters.preempted == counters.submitted


def test_a_cap_holds_a_lone_guest_that_spins(made: Rig, guest: Guest) -> None:
    vgpu = made.vgpu(0)
    set_cap(vgpu, CAP)
    with spinning(guest):
        settles(vgpu, CAP / 2, CAP + 2 * BURST_S)
    completes_all(vgpu)


@pytest.mark.modes
def test_a_cap_holds_a_lone_guest_with_short_requests(made: Rig, guest: Guest) -> None:
    """They keep the GPU for less than they take of wall time, and all of them end."""
    vgpu, driver = made.vgpu(0), guest.driver
    set_cap(vgpu, CAP)
    context = driver.create_context("rcs0")
    use, count = Use(vgpu), 0
    while use.seconds() < MEASURED_S or use.part() >= CAP + 2 * BURST_S or count <= 10:
        assert use.seconds() < PATIENCE_S, (use.part(), count)
        driver.wait(driver.run(context, [MI_NOOP] * 64))
        count += 1
    driver.wait_idle()
    completes_all(vgpu)


@pytest.mark.modes
def test_a_cap_holds_beside_a_guest_without(made: Rig, guest: Guest) -> None:
    vgpu = made.vgpu(0)
    set_cap(vgpu, CAP / 2)
    with neighbour(made) as beside, spinning(guest):
        settles(vgpu, 0, CAP / 2 + 2 * BURST_S)
        beside.goes_on(1)
    completes_all(vgpu)


def test_a_cap_that_changes_while_it_spins(made: Rig, guest: Guest) -> None:
    vgpu = made.vgpu(0)
    with spinning(guest):
        settles(vgpu, 0.7, 1.3, MEASURED_S / 4)
        set_cap(vgpu, CAP / 4)
        settles(vgpu, 0, CAP, MEASURED_S / 2)
        set_cap(vgpu, 1.0)
        settles(vgpu, 0.7, 1.3, MEASURED_S / 4)
    completes_all(vgpu)


@pytest.mark.modes
def test_the_dispatcher_sleeps_while_a_cap_holds_a_guest_back(made: Rig, guest: Guest) -> None:
    """It looks again when there is allowance, and not all the time."""
    vgpu, waiting = made.vgpu(0), dispatcher(made)
    turns, turn = [0], waiting._turn

    def counted() -> None:
        turns[0] += 1
        turn()

    waiting._turn = counted  # type: ignore[method-assign]
    set_cap(vgpu, 0.02)
    with spinning(guest):
        use, before = Use(vgpu), turns[0]
        time.sleep(MEASURED_S)
        # A slice of 4 ms each 200 ms, with a few events for each.
        assert (turns[0] - before) / use.seconds() < 150
    waiting._turn = turn  # type: ignore[method-assign]


@pytest.mark.modes
@pytest.mark.parametrize("mode", PAIR, ids=str)
def test_a_long_request_under_a_small_cap_is_not_reset(tmp_path: Path, mode: Mode) -> None:
    """It cannot be preempted and overruns; nobody else waits, so that it is let do so."""
    with rig(tmp_path, mode, 2, watchdog_ns=SHORT_WATCHDOG_NS) as made, made.guest(0) as guest:
        vgpu, driver = made.vgpu(0), guest.driver
        set_cap(vgpu, CAP)
        context = driver.create_context("rcs0")
        page = context.tables.place(BATCH, [MI_NOOP, *batch_start(BATCH)])
        request = driver.run(context, batch_start(BATCH))
        time.sleep(3 * SHORT_WATCHDOG_NS / 1e9)
        driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
        driver.wait(request)
        driver.wait_idle()
        completes_all(vgpu)


def test_shares_that_change_under_load_lose_no_request(made: Rig, guest: Guest) -> None:
    worker, vgpu = Worker(guest, 1), made.vgpu(0)
    end, changed = threading.Event(), threading.Semaphore(0)

    def change() -> None:
        while not end.is_set():
            for weight, cap in ((1, 1.0), (30, 0.5), (4, 0.9), (1024, 1.0)):
                dispatcher(made).set_share(vgpu, weight, cap)
                dispatcher(made).set_share(made.vgpu(1), 1025 - weight, 1.0)
                changed.release()
                time.sleep(0.002)

    with neighbour(made) as beside, ThreadPoolExecutor(1) as pool:
        changes = pool.submit(change)
        try:
            for _ in range(8):
                assert changed.acquire(timeout=PATIENCE_S)
                worker.round()
            beside.goes_on(2)
        finally:
            end.set()
        changes.result()
    guest.driver.wait_idle()
    completes_all(vgpu)


def test_an_operator_takes_all_work_away_and_the_driver_recovers(made: Rig, guest: Guest) -> None:
    """As after a hang on each engine that had some; a neighbour sees nothing of it."""
    vgpu, driver = made.vgpu(0), guest.driver
    with neighbour(made) as beside:
        for _ in range(3):
            flag = driver.ggtt_map(driver.ram.allocate())
            contexts = {name: driver.create_context(name) for name in ("rcs0", "vcs0")}
            for context in contexts.values():
                driver.run(context, semaphore_wait(flag, 1, ggtt=True))
            for name, context in contexts.items():
                driver.wait_until(
                    lambda name=name, context=context: (  # type: ignore[misc]
                        driver.ports[name].active[:1] == [context]
                    ),
                    "its start",
                )
            hangs = vgpu.counters.hangs
            vgpu.lose_work("reset by the operator")
            assert vgpu.counters.hangs == hangs + 2
            beside.goes_on(1)
            driver.wait(driver.run(driver.create_context("bcs0")))
            for name, context in contexts.items():
                driver.recover(name, context)
                driver.wait(driver.run(context))
            driver.wait_idle()
        for name in contexts:
            assert vgpu.counters.engines[name].failed["hang"] == 3
        assert set(vgpu.counters.engines) == set(ENGINE_BASES)
