"""Guests whose kernels never leave the GPU idle: each has its share, by the GPU's own accounting.

A turn during which the machine stood still is longer than its slice, and is paid back: parts are
looked at until they are as they should be, and stay so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.gpu_driver.commands import MI_ARB_OFF, load_register
from tests.integration.compiled_kernels import compile_counting
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import (
    PAIR,
    SHORT_WATCHDOG_NS,
    Guest,
    Mode,
    Rig,
    as_strict,
    rig,
)
from tests.unit.mediator.eu.small_programs import Counting

WEIGHTS = (1, 3)
TOLERANCE = 0.03
"""Of each guest's share."""
LONG = 5_000_000
"""Rounds of a loop of three instructions: more than a slice of compiled code."""
LEAST_NS = 2_000_000_000
"""Of GPU time, before parts mean anything."""
LOOKS = 5
"""So often in a row the parts must be right."""
PATIENCE_S = 90
BETWEEN_COMMANDS = load_register((0x2580, 0x6 << 16 | 2 << 1))
"""CS_CHICKEN1: what level of preemption the context wants."""


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The kernel is there as machine code before anything is measured."""
    compile_counting()


class Busy:
    """A guest with two contexts, of which one waits while the other runs: it always wants the GPU.

    Every result is looked at.
    """

    def __init__(self, guest: Guest, count: int) -> None:
        self.driver = guest.driver
        self.works = [Counting(guest.driver, 3, count + n) for n in range(2)]
        self.rounds = 0

    def run(self, end: threading.Event) -> None:
        """Until ``end``. Raises AssertionError for a wrong result."""
        driver = self.driver
        begun = [(work, driver.run(work.context, work.start())) for work in self.works]
        while begun:
            work, request = begun.pop(0)
            driver.wait(request)
            assert work.is_right()
            self.rounds += 1
            if not end.is_set():
                begun.append((work, driver.run(work.context, work.start())))
        driver.wait_idle()


@contextmanager
def working(*all_busy: Busy) -> Iterator[tuple[Busy, ...]]:
    """They work meanwhile, and each has ended a round before it begins."""
    end = threading.Event()
    with ThreadPoolExecutor(len(all_busy)) as pool:
        running = [pool.submit(busy.run, end) for busy in all_busy]
        try:
            ends = time.monotonic() + PATIENCE_S
            while not all(busy.rounds for busy in all_busy):
                assert not any(each.done() for each in running), [each.result() for each in running]
                assert time.monotonic() < ends, [busy.rounds for busy in all_busy]
                time.sleep(0.01)
            yield all_busy
            assert not any(each.done() for each in running), "all work until they are told to end"
        finally:
            end.set()
        for each in running:
            each.result()


def share_out(made: Rig) -> None:
    """Give both guests their weights."""
    for number, weight in enumerate(WEIGHTS):
        vgpu = made.vgpu(number)
        vgpu.dispatcher.set_share(vgpu, weight, 1.0)


def used_ns(made: Rig) -> list[int]:
    """GPU time of each."""
    return [made.vgpu(n).dispatcher.gpu_ns(made.vgpu(n)) for n in range(len(WEIGHTS))]


def shares_settle(made: Rig) -> None:
    """From now on each has its part of the time that all have, within `TOLERANCE`."""
    before, ends, right = used_ns(made), time.monotonic() + PATIENCE_S, 0
    while right < LOOKS:
        time.sleep(0.1)
        used = [now - then for now, then in zip(used_ns(made), before, strict=True)]
        if sum(used) < LEAST_NS:
            assert time.monotonic() < ends, f"only {used} ns of the GPU were used"
            continue
        parts = [each / sum(used) * sum(WEIGHTS) / w for each, w in zip(used, WEIGHTS, strict=True)]
        right = right + 1 if all(abs(part - 1) < TOLERANCE for part in parts) else 0
        assert time.monotonic() < ends, f"shares come to {parts} of what they should be"


@pytest.mark.modes
@pytest.mark.parametrize("mode", cases(PAIR, strict=()), ids=str)
def test_weights_hold_among_guests_that_compute(tmp_path: Path, mode: Mode) -> None:
    """What they get done is as the time that they are given."""
    with rig(tmp_path, mode, 2) as made, ExitStack() as stack:
        guests = [stack.enter_context(made.guest(n)) for n in range(2)]
        light, heavy = (Busy(guest, LONG + 10 * n) for n, guest in enumerate(guests))
        share_out(made)
        with working(light, heavy):
            before = light.rounds, heavy.rounds
            shares_settle(made)
            done = light.rounds - before[0], heavy.rounds - before[1]
        assert done[1] > 2 * done[0] > 0
        for number in range(2):
            counters = made.vgpu(number).counters
            assert (counters.hangs, counters.rejections, counters.compute.lost) == (0, {}, 0)


@pytest.mark.modes
@pytest.mark.parametrize("mode", cases(PAIR, strict=()), ids=str)
def test_an_endless_kernel_gets_its_share_and_no_more(tmp_path: Path, mode: Mode) -> None:
    """It gives way within its one group; the other's rounds are right."""
    with rig(tmp_path, mode, 2) as made, made.guest(0) as endless, made.guest(1) as steady:
        share_out(made)
        forever = Counting(endless.driver, 1000, 0)
        endless.driver.run(forever.context, forever.start())
        with working(Busy(steady, LONG)):
            shares_settle(made)
        assert [made.vgpu(n).counters.hangs for n in range(2)] == [0, 0]
        assert made.vgpu(0).counters.compute.lost == 0
        endless.driver.recover("rcs0", forever.context)


@pytest.mark.modes
@pytest.mark.parametrize("mode", [as_strict(mode) for mode in PAIR], ids=str)
def test_an_endless_kernel_that_cannot_be_preempted_is_reset(tmp_path: Path, mode: Mode) -> None:
    """Its context wants preemption between commands alone, and this GPU heeds that.

    Its neighbour loses nothing, and it goes on after that itself.
    """
    with (
        rig(tmp_path, mode, 2, watchdog_ns=SHORT_WATCHDOG_NS) as made,
        made.guest(0) as endless,
        made.guest(1) as steady,
    ):
        driver = endless.driver
        forever = Counting(driver, 1000, 0)
        driver.run(forever.context, [*BETWEEN_COMMANDS, MI_ARB_OFF, *forever.start()])
        driver.wait_until(lambda: driver.ports["rcs0"].active == [forever.context], "its start")
        with working(Busy(steady, 9)) as (busy,):
            assert busy.rounds
        assert (made.vgpu(0).counters.hangs, made.vgpu(1).counters.hangs) == (1, 0)
        driver.recover("rcs0", forever.context)
        after = Counting(driver, 5, 7)
        driver.wait(driver.run(after.context, after.start()))
        assert after.is_right()
