"""What a vGPU gets of the GPU's time: caps, weights that change, an operator who takes work away.

Bounds are loose: the machine has other work too.
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
from tests.integration.vgpu_rig import DIRECT, PAIR, Guest, Rig, rig
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


def used(vgpu: Vgpu, seconds: float) -> float:
    """The part of the wall time in which it has the GPU, from now on."""
    began, before = time.monotonic_ns(), vgpu.dispatcher.gpu_ns(vgpu)
    time.sleep(seconds)
    return (vgpu.dispatcher.gpu_ns(vgpu) - before) / (time.monotonic_ns() - began)


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
        part = used(vgpu, MEASURED_S)
    assert CAP / 2 < part < CAP + 2 * BURST_S
    completes_all(vgpu)


@pytest.mark.modes
def test_a_cap_holds_a_lone_guest_with_short_requests(made: Rig, guest: Guest) -> None:
    """They keep the GPU for less than they take of wall time, and all of them end."""
    vgpu, driver = made.vgpu(0), guest.driver
    set_cap(vgpu, CAP)
    context = driver.create_context("rcs0")
    began, before, count = time.monotonic_ns(), dispatcher(made).gpu_ns(vgpu), 0
    while time.monotonic_ns() - began < MEASURED_S * 1e9:
        driver.wait(driver.run(context, [MI_NOOP] * 64))
        count += 1
    wall = time.monotonic_ns() - began
    assert (dispatcher(made).gpu_ns(vgpu) - before) / wall < CAP + 2 * BURST_S
    assert count > 10
    driver.wait_idle()
    completes_all(vgpu)


@pytest.mark.modes
def test_a_cap_holds_beside_a_guest_without(made: Rig, guest: Guest) -> None:
    vgpu = made.vgpu(0)
    set_cap(vgpu, CAP / 2)
    with neighbour(made) as beside, spinning(guest):
        rounds = beside.rounds
        part = used(vgpu, MEASURED_S)
        assert beside.rounds > rounds
        assert 0 < part < CAP / 2 + 2 * BURST_S
    completes_all(vgpu)


def test_a_cap_that_changes_while_it_spins(made: Rig, guest: Guest) -> None:
    vgpu = made.vgpu(0)
    with spinning(guest):
        assert used(vgpu, MEASURED_S / 4) > 0.7
        set_cap(vgpu, CAP / 4)
        assert used(vgpu, MEASURED_S / 2) < CAP
        set_cap(vgpu, 1.0)
        time.sleep(0.05)
        assert used(vgpu, MEASURED_S / 4) > 0.7
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
        before = turns[0]
        used(vgpu, MEASURED_S)
        # A slice of 4 ms each 200 ms, with a few events for each.
        assert turns[0] - before < 150
    waiting._turn = turn  # type: ignore[method-assign]


@pytest.mark.modes
def test_a_long_request_under_a_small_cap_is_not_reset(made: Rig, guest: Guest) -> None:
    """It cannot be preempted and overruns; nobody else waits, so that it is let do so."""
    vgpu, driver = made.vgpu(0), guest.driver
    set_cap(vgpu, CAP)
    context = driver.create_context("rcs0")
    page = context.tables.place(BATCH, [MI_NOOP, *batch_start(BATCH)])
    request = driver.run(context, batch_start(BATCH))
    time.sleep(1.2)  # three times the watchdog's patience
    driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    driver.wait(request)
    driver.wait_idle()
    completes_all(vgpu)


def test_shares_that_change_under_load_lose_no_request(made: Rig, guest: Guest) -> None:
    worker, vgpu = Worker(guest, 1), made.vgpu(0)
    end = threading.Event()

    def change() -> int:
        count = 0
        while not end.is_set():
            for weight, cap in ((1, 1.0), (30, 0.5), (4, 0.9), (1024, 1.0)):
                dispatcher(made).set_share(vgpu, weight, cap)
                dispatcher(made).set_share(made.vgpu(1), 1025 - weight, 1.0)
                count += 1
                time.sleep(0.002)
        return count

    with neighbour(made) as beside, ThreadPoolExecutor(1) as pool:
        changes = pool.submit(change)
        try:
            for _ in range(8):
                worker.round()
            beside.goes_on(2)
        finally:
            end.set()
        assert changes.result() > 8
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
