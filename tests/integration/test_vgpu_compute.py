"""Guests compute at once: each gets its own answers, whoever else computes, however long."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from mediator.port import Load
from mediator.vgpu.trace import Trace
from mediator.vgpu.vgpu import Vgpu
from tests.integration.compiled_kernels import compile_counting
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import MEDIATED, NATIVE, PAIR, SHADOW, Mode, rig
from tests.unit.mediator.eu.small_programs import Copying, Counting

GUESTS = 2
LONG = 20_000_000
"""Rounds of a loop of three instructions: several slices of compiled code."""
SHORT = 50
ROUNDS = 100
PATIENCE_S = 60
ELSEWHERE = 0x1_2345_6000
SECRET = b"nobody else may see this, ever!!"


@pytest.mark.parametrize("mode", cases([NATIVE, *MEDIATED], [NATIVE, SHADOW]), ids=str)
def test_a_guest_computes(tmp_path: Path, mode: Mode) -> None:
    with rig(tmp_path, mode) as made, made.guest() as guest:
        for count in (SHORT, 7):
            work = Counting(guest.driver, 12, count)
            guest.driver.wait(guest.driver.run(work.context, work.start()))
            assert work.is_right()
        if not mode.native:
            vgpu = made.vgpu(0)
            compute = vgpu.dispatcher.world.compute_work(vgpu)
            assert (compute.kernels, compute.threads, compute.groups) == (2, 24, 24)
            assert compute.programs == 1
            assert made.vgpu(0).counters.rejections == {}


@pytest.mark.parametrize("mode", cases(MEDIATED, [SHADOW]), ids=str)
def test_a_trace_tells_what_was_computed(tmp_path: Path, mode: Mode) -> None:
    """Also of a guest that nobody takes the GPU from, so that no slice of it ever ends.

    The dispatcher looks late: the kernel has ended when it sees that its list was taken.
    """
    with rig(tmp_path, mode) as made, made.guest() as guest:
        driver, trace = guest.driver, Trace()
        work = Counting(driver, 12, SHORT)
        world = made.vgpu(0).dispatcher.world
        serve = world.serve

        def serve_late(vgpu: Vgpu) -> None:
            ends = time.monotonic() + PATIENCE_S
            while world.ports["rcs0"].waiting is Load.GUEST and time.monotonic() < ends:
                if world.host.gpu.compute_work.kernels:
                    break
                time.sleep(0.001)
            serve(vgpu)

        world.serve = serve_late  # type: ignore[method-assign]
        made.vgpu(0).trace = trace
        driver.wait(driver.run(work.context, work.start()))
        driver.wait_idle()
        driver.wait(driver.run(driver.create_context("bcs0")))
        driver.wait_idle()
        made.vgpu(0).trace = None
        records = trace.take()
        assert any(record.track == "bcs0 busy" for record in records)
        told = [(record.track, record.detail) for record in records if "kernels" in record.detail]
        assert [track for track, _ in told] == ["rcs0 busy"]
        assert told[0][1].startswith("1 kernels, 12 threads")


@pytest.mark.parametrize("mode", cases(PAIR, [SHADOW]), ids=str)
def test_two_guests_compute_at_once(tmp_path: Path, mode: Mode) -> None:
    """Their groups last longer than a slice, so they are suspended in the middle, and go on."""
    compile_counting()
    with rig(tmp_path, mode, GUESTS) as made, ExitStack() as stack:
        guests = [stack.enter_context(made.guest(n)) for n in range(GUESTS)]
        works = [Counting(guest.driver, 3, LONG + n) for n, guest in enumerate(guests)]
        together = threading.Barrier(GUESTS)

        def work(number: int) -> bool:
            together.wait()
            driver = guests[number].driver
            driver.wait(driver.run(works[number].context, works[number].start()))
            return works[number].is_right()

        for _ in range(ROUNDS):
            with ThreadPoolExecutor(GUESTS) as pool:
                assert all(pool.map(work, range(GUESTS)))
            counters = [made.vgpu(n).counters for n in range(GUESTS)]
            if all(each.compute.suspended for each in counters):
                break
        for each in counters:
            assert each.compute.suspended > 0, "both were interrupted within a group"
            assert each.compute.lost == 0
            assert each.hangs == 0
            assert each.rejections == {}


@pytest.mark.parametrize("mode", cases(PAIR, [SHADOW]), ids=str)
def test_an_endless_kernel_costs_a_neighbour_nothing(tmp_path: Path, mode: Mode) -> None:
    with rig(tmp_path, mode, 2) as made, made.guest(0) as endless, made.guest(1) as steady:
        forever = Counting(endless.driver, 1000, 0)
        endless.driver.run(forever.context, forever.start())
        for count in (SHORT, 7, 9):
            work = Counting(steady.driver, 5, count)
            steady.driver.wait(steady.driver.run(work.context, work.start()))
            assert work.is_right()
        assert made.vgpu(0).counters.hangs == 0, "it gave way whenever it was asked to"
        endless.driver.recover("rcs0", forever.context)
        after = Counting(endless.driver, 5, SHORT)
        endless.driver.wait(endless.driver.run(after.context, after.start()))
        assert after.is_right()
        assert made.vgpu(1).counters.hangs == 0


@pytest.mark.parametrize("mode", cases(PAIR, [SHADOW]), ids=str)
def test_a_kernel_sees_its_own_memory_alone(tmp_path: Path, mode: Mode) -> None:
    """The same address leads to what the context has mapped there, or to a page fault."""
    with rig(tmp_path, mode, 2) as made, made.guest(0) as curious, made.guest(1) as owner:
        owned, read = Copying(owner.driver, ELSEWHERE), Copying(curious.driver, ELSEWHERE)
        page = owner.driver.ram.allocate()
        owner.driver.ram.write(page, SECRET)
        owned.context.tables.map(ELSEWHERE, page)
        vgpu, driver = made.vgpu(0), curious.driver
        for faults in (1, 2):  # before the units have had the secret in a register, and after
            driver.run(read.context, read.start())
            driver.wait_until(lambda: driver.error("rcs0"), "the page fault to be reported")
            driver.wait_until(lambda: driver.ports["rcs0"].active == [read.context], "promotion")
            assert vgpu.dispatcher.world.compute_work(vgpu).faults == faults
            assert read.result == bytes(32)
            driver.recover("rcs0", read.context)
            owner.driver.wait(owner.driver.run(owned.context, owned.start()))
            assert owned.result == SECRET
        assert made.vgpu(1).counters.hangs == 0
