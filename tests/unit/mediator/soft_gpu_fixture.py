"""A software GPU in this process, with RAM and a driver; no threads: tests call `step`."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field

from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.gpu import SoftGpu
from mediator.softgpu.strictness import KIND, Strictness
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from tests.gpu_driver import GpuDriver, Ram

RAM_SIZE = 16 << 20
MSI = 1


@dataclass
class Clock:
    """Nanoseconds that move only when told to, or by ``tick`` at every look."""

    now: int = 1_000_000
    tick: int = 0

    def __call__(self) -> int:
        self.now += self.tick
        return self.now


@dataclass
class Bench:
    """The GPU on a test bench."""

    gpu: SoftGpu
    driver: GpuDriver
    memory: GuestMemory
    clock: Clock
    eventfd: int
    interrupts: int = field(default=0)

    def run(self, engine: str, limit: int = 1000) -> None:
        """Step ``engine`` until it has nothing to go on with at once."""
        for _ in range(limit):
            if self.gpu.engines[engine].step() != 0:
                return
        raise AssertionError(f"{engine} still runs after {limit} steps")

    def take_interrupts(self) -> int:
        """How often the message-signalled interrupt fired since the last call."""
        try:
            return os.eventfd_read(self.eventfd)
        except BlockingIOError:
            return 0


def make_bench(
    strictness: Strictness = KIND, units: ExecutionUnits | None = None, ram: int = RAM_SIZE
) -> Bench:
    fd = os.memfd_create("ram")
    os.ftruncate(fd, ram)
    memory = GuestMemory()
    memory.map(0, ram, fd, 0, readable=True, writable=True)
    view = memoryview(mmap.mmap(fd, ram))
    os.close(fd)
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    interrupts = Interrupts((1, 1, 0, 0, 0))
    interrupts.set_triggers(MSI, 0, [os.dup(eventfd)])
    clock = Clock()
    gpu = SoftGpu(memory, interrupts, clock=clock, strictness=strictness, units=units)
    driver = GpuDriver(gpu.write, gpu.read, Ram(view))
    driver.initialise()
    return Bench(gpu, driver, memory, clock, eventfd)
