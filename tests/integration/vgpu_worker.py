"""A guest that works and looks at every result: alone, or in a thread beside another guest."""

from __future__ import annotations

import random
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.gpu_driver import ENGINE_BASES, MI_BATCH_BUFFER_END, Context, Request
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
from tests.integration.vgpu_rig import PATIENCE_S, Guest, Rig

BATCH, SURFACE, COPY = 0x10_0000, 0x4000_0000, 0x5000_0000
PAGES = 4
WIDTH, HEIGHT = 64, 64
"""Pixels of 4 bytes: `PAGES` pages."""
STORES = 100
Begun = list[tuple[Request, Callable[[], None]]]
"""Requests that are under way, and what looks at the result of each."""


class Worker:
    """One guest's work: each round, one request on each engine, every result looked at.

    All guests have RAM at the same addresses, and values that tell them apart.
    """

    def __init__(self, guest: Guest, number: int) -> None:
        self.driver = guest.driver
        self.number = number
        self.chance = random.Random(number)
        self.contexts = {engine: self.context(engine) for engine in ENGINE_BASES}
        self.result = self.driver.ram.allocate()
        self.result_ggtt = self.driver.ggtt_map(self.result)
        self.expected = 0

    def context(self, engine: str) -> Context:
        context = self.driver.create_context(engine)
        for address in (SURFACE, COPY):
            context.tables.map(address, self.driver.ram.allocate(PAGES), PAGES)
        context.tables.place(BATCH, [0] * 1024)
        return context

    def round(self) -> None:
        self.finish(self.begin())

    def begin(self) -> Begun:
        """Submit a round; nothing of this worker may be submitted until it is finished."""
        value = self.number << 24 | self.chance.getrandbits(24)
        return [
            self.user_stores(value),
            self.blit(value),
            self.ring(value),
            self.registers(value),
        ]

    def finish(self, begun: Begun) -> None:
        """Wait for a round, and look at its results."""
        self.driver.wait(*(request for request, _ in begun))
        for _, check in begun:
            check()

    def batch_of(self, engine: str, commands: list[int]) -> tuple[Context, Request]:
        context = self.contexts[engine]
        batch = self.physical(context, BATCH)
        self.driver.ram.write_u32(batch, *commands, MI_BATCH_BUFFER_END)
        return context, self.driver.run(context, batch_start(BATCH))

    def user_stores(self, value: int) -> tuple[Request, Callable[[], None]]:
        commands = [
            d for i in range(STORES) for d in store_dword(SURFACE + 4 * i, value + i & 0xFFFFFFFF)
        ]
        context, request = self.batch_of("rcs0", commands)
        at = self.physical(context, SURFACE)
        expected = struct.pack(f"<{STORES}I", *(value + i & 0xFFFF_FFFF for i in range(STORES)))
        return request, lambda: self.same(at, expected)

    def blit(self, value: int) -> tuple[Request, Callable[[], None]]:
        fill = color_blit(SURFACE, 4 * WIDTH, WIDTH, HEIGHT, value)
        copy = copy_blit(COPY, SURFACE, 4 * WIDTH, WIDTH, HEIGHT, fast=bool(value & 1))
        context, request = self.batch_of("bcs0", [*fill, *copy])
        at = self.physical(context, COPY)
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

    def physical(self, context: Context, address: int) -> int:
        return self.driver.ram.read_u64(context.tables.slot(address)) & ~0xFFF


class Neighbour:
    """A worker in a thread; what it finds wrong is raised at the end."""

    def __init__(self, guest: Guest) -> None:
        self.worker = Worker(guest, 7)
        self.rounds = 0
        self._end = threading.Event()
        self._over = False
        self._round_done = threading.Condition()
        self._pool = ThreadPoolExecutor(1, "neighbour")
        self._work = self._pool.submit(self._run)

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                self.worker.round()
                with self._round_done:
                    self.rounds += 1
                    self._round_done.notify_all()
        finally:
            with self._round_done:
                self._over = True
                self._round_done.notify_all()

    def goes_on(self, rounds: int = 2) -> None:
        """Wait for ``rounds`` more rounds."""
        with self._round_done:
            until = self.rounds + rounds
            assert self._round_done.wait_for(
                lambda: self.rounds >= until or self._over, PATIENCE_S
            ), "the neighbour stands still"
        if self._over:
            self._work.result()

    def stop(self) -> None:
        self._end.set()
        self._pool.shutdown(wait=False)
        self._work.result(PATIENCE_S)


@contextmanager
def neighbour(made: Rig, number: int = 1) -> Iterator[Neighbour]:
    """A guest on vGPU ``number`` that works meanwhile; nothing is held against it at the end."""
    with made.guest(number) as guest:
        beside = Neighbour(guest)
        try:
            beside.goes_on(1)
            yield beside
            beside.goes_on()
        finally:
            beside.stop()
        counters = made.vgpu(number).counters
        assert (counters.rejections, counters.hangs) == ({}, 0)
