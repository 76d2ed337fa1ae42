"""A vGPU carried to another process, and the pages that were written since a mark."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from mediator.vgpu.state import decode, encode
from mmio_trap.vfio_user.client import Client
from tests.gpu_driver import ENGINE_BASES, MI_BATCH_BUFFER_END, PAGE, GpuDriver, Request
from tests.gpu_driver.commands import (
    batch_start,
    color_blit,
    load_register,
    semaphore_wait,
    store_dword,
    store_register,
)
from tests.gpu_driver.driver import write_port
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import DIRECT, MEDIATED, PATIENCE_S, RAM_SIZE, Guest, Mode, Rig, rig
from tests.integration.vgpu_worker import Worker, neighbour

ENGINES = list(ENGINE_BASES)
BATCH, TARGET = 0x10_0000, 0x4000_0000


@pytest.fixture(params=cases(MEDIATED, quick=[DIRECT]), ids=str)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


@contextmanager
def fresh_process(directory: Path, mode: Mode) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Another mediator: the socket of its vGPU, and what has it load a state."""
    assert mode.address_space is not None
    assert mode.ggtt is not None
    command = [sys.executable, "-m", "tests.integration.loaded_vgpu", str(directory)]
    process = subprocess.Popen(
        [*command, mode.address_space, mode.ggtt],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def load(path: Path) -> None:
        stdin.write(f"{path}\n")
        stdin.flush()
        assert stdout.readline() == "loaded\n"

    try:
        yield stdout.readline().strip(), load
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()


def take_over(guest: Guest, path: str) -> Client:
    """Another connection for the same RAM, interrupt and driver."""
    client = Client.connect(path)
    client.negotiate()
    client.dma_map(guest.ram.address, guest.ram.size, guest.ram.fd)
    client.enable_msi(guest.eventfd)
    driver = guest.driver
    driver.write = lambda offset, data: client.region_write(0, offset, data, posted=True)
    driver.read = lambda offset, count: client.region_read(0, offset, count)
    for ports in driver.ports.values():
        ports.write = partial(write_port, driver.write)
    return client


def carry(made: Rig, path: Path) -> None:
    """Park vGPU 0 and save its state."""
    vgpu = made.vgpu(0)
    vgpu.park(PATIENCE_S)
    state = vgpu.save()
    assert encode(decode(state)) == state
    path.write_bytes(state)


@pytest.mark.parametrize("moment", ["idle", "waiting", "two lists"])
def test_a_saved_vgpu_goes_on_in_a_fresh_process(tmp_path: Path, mode: Mode, moment: str) -> None:
    """Requests, registers, GGTT and interrupts: the driver does not notice."""
    state, other = tmp_path / "state", tmp_path / "other"
    other.mkdir()
    with (
        rig(tmp_path, mode) as made,
        made.guest() as guest,
        fresh_process(other, mode) as (path, load),
    ):
        driver, worker = guest.driver, Worker(guest, 3)
        worker.round()
        driver.wait_idle()
        flag = driver.ram.allocate()
        at = driver.ggtt_map(flag)
        waiting: list[Request] = []
        if moment != "idle":
            waiting = start_waiting(driver, at)
        if moment == "two lists":
            waiting.append(driver.run(driver.create_context("rcs0", priority=0)))
        before = {offset: driver.read32(offset) for offset in (0x2080, 0x22080, 0x229C, 0x2238)}
        carry(made, state)
        client = take_over(guest, path)
        load(state)
        assert {offset: driver.read32(offset) for offset in before} == before
        assert not any(driver.done(request) for request in waiting)
        driver.ram.write_u32(flag, 1)
        driver.wait(*waiting)
        for _ in range(3):
            worker.round()
        driver.wait_idle()
        if waiting:
            assert driver.ram.read_u32(flag + 8) == 0x7E57
        client.close()


def start_waiting(driver: GpuDriver, at: int) -> list[Request]:
    """A request in the middle of a privileged batch, with values in registers."""
    context = driver.create_context("rcs0")
    gpr = ENGINE_BASES["rcs0"] + 0x600
    page = driver.ram.allocate()
    batch = [
        *load_register((gpr, 0x7E57)),
        *store_dword(at + 4, 1, ggtt=True),
        *semaphore_wait(at, 1, ggtt=True),
        *store_register(gpr, at + 8, ggtt=True),
        MI_BATCH_BUFFER_END,
    ]
    driver.ram.write_u32(page, *batch)
    request = driver.run(context, batch_start(driver.ggtt_map(page), ggtt=True))
    driver.wait_until(lambda: bool(driver.ports["rcs0"].active), "the batch")
    return [request]


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "version"])
def test_a_bad_state_is_refused_and_changes_nothing(
    tmp_path: Path, mode: Mode, damage: str
) -> None:
    with rig(tmp_path, mode) as made, made.guest() as guest:
        vgpu = made.vgpu(0)
        Worker(guest, 3).round()
        guest.driver.wait_idle()
        vgpu.park(PATIENCE_S)
        good = vgpu.save()
        vgpu.unpark()
        state = decode(good)
        state.version += 1
        bad = {
            "empty": b"",
            "cut": good[: len(good) // 2],
            "noise": os.urandom(200),
            "version": encode(state),
        }
        with pytest.raises(ValueError, match=r"state"):
            vgpu.load(bad[damage])
        Worker(guest, 4).round()


def test_parked_and_unparked(tmp_path: Path, mode: Mode) -> None:
    """Meanwhile nothing runs; afterwards everything does. A neighbour does not notice."""
    with rig(tmp_path, mode, 2) as made, neighbour(made) as beside, made.guest(0) as guest:
        driver, worker = guest.driver, Worker(guest, 3)
        worker.round()
        driver.wait_idle()
        made.vgpu(0).park(PATIENCE_S)
        request = driver.run(driver.create_context("rcs0"))
        beside.goes_on()
        assert not driver.done(request)
        made.vgpu(0).unpark()
        driver.wait(request)
        worker.round()


def test_dirty_pages_are_those_that_changed(tmp_path: Path, mode: Mode) -> None:
    """The driver writes nothing after the mark: every change is the GPU's or the mediator's."""
    with rig(tmp_path, mode) as made, made.guest(msi=False) as guest:
        driver, vgpu = guest.driver, made.vgpu(0)
        lists = []
        for engine in ENGINES:
            context = driver.create_context(engine)
            target = driver.ram.allocate(16)
            context.tables.map(TARGET, target, 16)
            work = [*store_dword(TARGET, 1), *store_dword(TARGET + 5 * PAGE, 1)]
            if engine == "bcs0":
                work += color_blit(TARGET + 8 * PAGE, 512, 128, 64, 0xC01034)
            context.tables.place(BATCH, [*work, MI_BATCH_BUFFER_END])
            lists.append((driver.add_request(context, batch_start(BATCH)), context))
        before = guest.content()
        vgpu.start_recording()
        for _, context in lists:
            driver.submit(context)
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            complete = all(driver.engine_read(e, 0x3A0) & 7 == 1 for e in ENGINES)
            if complete and all(driver.done(request) for request, _ in lists):
                break
        vgpu.park(PATIENCE_S)
        after = guest.content()
        dirty = vgpu.take_dirty()
        vgpu.stop_recording()
        vgpu.unpark()
        changed = [
            at // PAGE
            for at in range(0, RAM_SIZE, PAGE)
            if before[at : at + PAGE] != after[at : at + PAGE]
        ]
        assert len(changed) >= 4 * 4 + 8
        assert dirty == changed
        assert vgpu.take_dirty() == []
