"""The honest neighbour, a process: work on all engines, every result looked at, and its secrets.

Two rounds are under way at any time, so that it always wants the GPU. Its memory is planted with a
secret that its contexts and its GGTT reach, so that whatever escapes could find it; it brings and
takes back a range of memory as a guest with a hot-plugged DIMM does; and it tells of every round.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections import deque
from collections.abc import Callable

from tests.fuzz.hostile_guest.canary import Canary
from tests.fuzz.hostile_guest.child import tell, told_to_stop
from tests.fuzz.hostile_guest.computing_worker import ComputingWorker
from tests.fuzz.hostile_guest.secret import secret_word
from tests.gpu_driver import ENGINE_BASES, MI_BATCH_BUFFER_END, PAGE
from tests.gpu_driver.commands import batch_start, copy_blit
from tests.integration.vgpu_rig import Guest, connect
from tests.integration.vgpu_worker import HEIGHT, WIDTH, Begun, Worker
from tests.unit.mediator.eu.small_programs import Copying

RAM_SIZE = 24 << 20
PLANTED = 8 << 20
"""From here on its RAM is all secret; below, its driver works."""
EXTRA, EXTRA_SIZE = 64 << 20, 1 << 20
"""Memory that comes and goes."""
SECRETS, NEW = 0x7000_0000, 0x7100_0000
"""Where its contexts see the secret, and the memory that comes and goes."""
_EVERY = 32
"""Rounds between two changes of its memory map."""
_SPREAD = 8
"""Rounds between two kernels that have the secret in a register."""
_SPREAD_ROUNDS = 2_000_000
"""Of a loop meanwhile: long enough for the kernel to be left and gone on with."""
_REPORT_S = 0.2


class Neighbour:
    """The guest with its two workers."""

    def __init__(self, guest: Guest, number: int, kernels: bool = False) -> None:
        self.guest, self.kernels = guest, kernels
        self.word = secret_word(number)
        self.canary = Canary(guest.driver.ram.buffer, PLANTED, self.word)
        kind = ComputingWorker if kernels else Worker
        self.workers: list[Worker] = [kind(guest, first + number % 100) for first in (1, 101)]
        self.mover = guest.driver.create_context("bcs0")
        self.mover.tables.map(SECRETS, PLANTED, 16)
        self.mover.tables.map(NEW, EXTRA, 4)
        self.batch = self.mover.tables.place(0x10_0000, [0] * 64)
        self.spreading = Copying(guest.driver, SECRETS, _SPREAD_ROUNDS)
        self.spreading.context.tables.map(SECRETS, PLANTED, 16)
        for worker in self.workers:
            for context in worker.contexts.values():
                context.tables.map(SECRETS, PLANTED, 16)
        guest.driver.ggtt_map(PLANTED, 16)
        guest.driver.ggtt_map(PLANTED, 16, high=True)
        for _ in range(4):
            self.canary.keep(guest.driver.ram.allocate(), PAGE)
        tables = (self.mover, self.spreading.context)
        for context in (*tables, *(c for w in self.workers for c in w.contexts.values())):
            self.canary.keep(context.tables.root, PAGE)
        self.rounds = 0

    def work(self, ends: Callable[[], bool]) -> None:
        """Rounds until ``ends`` says so. Raises AssertionError for a wrong result."""
        begun: deque[tuple[float, Worker, Begun]] = deque()
        spans: list[tuple[float, float]] = []
        told = time.monotonic()
        for worker in self.workers:
            begun.append((time.monotonic(), worker, worker.begin()))
        while begun:
            start, worker, work = begun.popleft()
            worker.finish(work)
            now = time.monotonic()
            spans.append((start, now - start))
            self.rounds += 1
            if now - told > _REPORT_S:
                tell(spans=spans)
                spans, told = [], now
            if not ends():
                begun.append((time.monotonic(), worker, worker.begin()))
                self.canary.look()
                if self.kernels and self.rounds % _SPREAD == 0:
                    self.spread_secret()
                if self.rounds % _EVERY == 0:
                    self.change_memory()
        tell(spans=spans)
        self.canary.look_everywhere()
        self.guest.driver.wait_idle()

    def spread_secret(self) -> None:
        """Have a kernel read the secret: what it leaves in the execution units is nobody else's."""
        driver, copying = self.guest.driver, self.spreading
        driver.wait(driver.run(copying.context, copying.start()))
        assert copying.result == struct.pack("<I", self.word) * 8, "a kernel read wrong bytes"

    def change_memory(self) -> None:
        """Map a range, have the GPU copy secrets into it, and take it back."""
        client, driver = self.guest.client, self.guest.driver
        fd = os.memfd_create("extra", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, EXTRA_SIZE)
            client.dma_map(EXTRA, EXTRA_SIZE, fd)
            try:
                copy = copy_blit(NEW, SECRETS, 4 * WIDTH, WIDTH, HEIGHT)
                driver.ram.write_u32(self.batch, *copy, MI_BATCH_BUFFER_END)
                driver.wait(driver.run(self.mover, batch_start(0x10_0000)))
                expected = struct.pack("<I", self.word) * (WIDTH * HEIGHT)
                assert os.pread(fd, len(expected), 0) == expected, "wrong bytes in new memory"
            finally:
                client.dma_unmap(EXTRA, EXTRA_SIZE)
        finally:
            os.close(fd)


def main(path: str, number: int, rounds: int = 0, kernels: int = 0) -> None:
    """Work on the vGPU at ``path`` until standard input ends, or for so many rounds."""
    guest = connect(path, ram_size=RAM_SIZE)
    try:
        neighbour = Neighbour(guest, number, bool(kernels))
        tell(ready=len(ENGINE_BASES))
        if rounds:
            neighbour.work(lambda: neighbour.rounds >= rounds)
        else:
            neighbour.work(told_to_stop)
        tell(rounds=neighbour.rounds)
    finally:
        guest.close()


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
