"""Eight drivers share one GPU at the same time, and each verifies its own results."""

from __future__ import annotations

import random
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gpu_driver import ENGINE_BASES, MI_BATCH_BUFFER_END, Context, GpuDriver, Request
from tests.gpu_driver.commands import (
    GREATER_EQUAL,
    atomic_add,
    batch_start,
    color_blit,
    copy_blit,
    copy_dword,
    load_register,
    semaphore_wait,
    store_dword,
    store_register,
)
from tests.integration.vgpu_rig import MEDIATED, Guest, Mode, rig

ENGINES = list(ENGINE_BASES)
GUESTS = 8
ROUNDS = 12
BATCH, SURFACE, COPY = 0x10_0000, 0x4000_0000, 0x5000_0000
PAGES = 4
WIDTH, HEIGHT = 64, 64
"""Pixels of 4 bytes: `PAGES` pages."""


class Worker:
    """One guest's work: each round, one request on each engine, every result looked at.

    All guests have RAM at the same addresses, and values that tell them apart.
    """

    def __init__(self, guest: Guest, number: int) -> None:
        self.driver = guest.driver
        self.number = number
        self.chance = random.Random(number)
        self.contexts = {engine: self.context(engine) for engine in ENGINES}
        self.result = self.driver.ram.allocate()
        self.result_ggtt = self.driver.ggtt_map(self.result)
        self.expected = 0

    def context(self, engine: str) -> Context:
        context = self.driver.create_context(engine)
        for address in (SURFACE, COPY):
            context.tables.map(address, self.driver.ram.allocate(PAGES), PAGES)
        self.batch = context.tables.place(BATCH, [0] * 1024)
        return context

    def run(self) -> None:
        for _ in range(ROUNDS):
            self.round()

    def round(self) -> None:
        value = self.number << 24 | self.chance.getrandbits(24)
        checks = [
            self.user_stores(value),
            self.blit(value),
            self.ring(value),
            self.registers(value),
        ]
        self.driver.wait(*(request for request, _ in checks))
        for _, check in checks:
            check()

    def batch_of(self, engine: str, commands: list[int]) -> tuple[Context, Request]:
        context = self.contexts[engine]
        batch = physical(self.driver, context, BATCH)
        self.driver.ram.write_u32(batch, *commands, MI_BATCH_BUFFER_END)
        return context, self.driver.run(context, batch_start(BATCH))

    def user_stores(self, value: int) -> tuple[Request, Callable[[], None]]:
        commands = [
            d for i in range(100) for d in store_dword(SURFACE + 4 * i, value + i & 0xFFFFFFFF)
        ]
        context, request = self.batch_of("rcs0", commands)
        at = physical(self.driver, context, SURFACE)
        expected = struct.pack("<100I", *(value + i & 0xFFFF_FFFF for i in range(100)))
        return request, lambda: self.same(at, expected)

    def blit(self, value: int) -> tuple[Request, Callable[[], None]]:
        fill = color_blit(SURFACE, 4 * WIDTH, WIDTH, HEIGHT, value)
        copy = copy_blit(COPY, SURFACE, 4 * WIDTH, WIDTH, HEIGHT, fast=bool(value & 1))
        context, request = self.batch_of("bcs0", [*fill, *copy])
        at = physical(self.driver, context, COPY)
        expected = struct.pack("<I", value) * (WIDTH * HEIGHT)
        return request, lambda: self.same(at, expected)

    def ring(self, value: int) -> tuple[Request, Callable[[], None]]:
        """Privileged work, and a wait for the engine of the next."""
        self.expected = self.expected + value & 0xFFFF_FFFF
        at = self.result_ggtt
        commands = [
            *semaphore_wait(at + 0x100, self.rounds(), compare=GREATER_EQUAL, ggtt=True),
            *atomic_add(at, value, ggtt=True),
            *copy_dword(at + 4, at, target_ggtt=True, source_ggtt=True),
        ]
        request = self.driver.run(self.contexts["vcs0"], commands)
        expected = struct.pack("<2I", self.expected, self.expected)
        return request, lambda: self.same(self.result, expected)

    def registers(self, value: int) -> tuple[Request, Callable[[], None]]:
        gpr = ENGINE_BASES["vecs0"] + 0x600
        at = self.result_ggtt
        commands = [
            *load_register((gpr, value), (gpr + 8, value ^ 0xFFFF_FFFF)),
            *store_register(gpr, at + 8, ggtt=True),
            *store_register(gpr + 8, at + 12, ggtt=True),
            *store_dword(at + 0x100, self.rounds(), ggtt=True),
        ]
        request = self.driver.run(self.contexts["vecs0"], commands)
        expected = struct.pack("<2I", value, value ^ 0xFFFF_FFFF)
        return request, lambda: self.same(self.result + 8, expected)

    def rounds(self) -> int:
        return self.contexts["rcs0"].requests

    def same(self, address: int, expected: bytes) -> None:
        found = self.driver.ram.read(address, len(expected))
        assert found == expected, f"guest {self.number}: wrong bytes at {address:#x}"


def physical(driver: GpuDriver, context: Context, address: int) -> int:
    return driver.ram.read_u64(context.tables.slot(address)) & ~0xFFF


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mode", MEDIATED, ids=str)
def test_eight_drivers_share_one_gpu(tmp_path: Path, mode: Mode) -> None:
    """With interrupts and without, all at once."""
    with rig(tmp_path, mode, GUESTS) as made, ExitStack() as stack:
        guests = [stack.enter_context(made.guest(n, msi=bool(n % 2))) for n in range(GUESTS)]
        workers = [Worker(guest, number + 1) for number, guest in enumerate(guests)]
        together = threading.Barrier(GUESTS)

        def work(worker: Worker) -> None:
            together.wait()
            worker.run()

        with ThreadPoolExecutor(GUESTS) as pool:
            for future in [pool.submit(work, worker) for worker in workers]:
                future.result()
        for number in range(GUESTS):
            counters = made.vgpu(number).counters
            assert counters.requests >= 4 * ROUNDS
            assert counters.gpu_ns > 0
            assert counters.rejections == {}
            assert counters.hangs == 0


@pytest.mark.parametrize("mode", MEDIATED, ids=str)
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


@pytest.mark.parametrize("mode", MEDIATED, ids=str)
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
