"""A software GPU behind `HostGpu` with its engines running, and worlds of memory to put it into."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field

from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.physical.host import HostEngine, HostGpu
from mediator.physical.soft import SoftDmaSpace, SoftPhysicalGpu
from mediator.softgpu.strictness import KIND, Strictness
from tests.gpu_driver import GSM, Context, GpuDriver, Ram
from tests.gpu_driver.commands import MI_ARB_CHECK, MI_NOOP, batch_start
from tests.gpu_driver.driver import wait_for
from tests.readiness import readable

RAM_SIZE = 4 << 20
BATCH = 0x10_0000
TARGET = 0x20_0000


@dataclass
class World:
    """Memory of one imagined guest, at ``ram.base`` of a space, and a driver for its contexts."""

    space: SoftDmaSpace
    ram: Ram
    driver: GpuDriver


@dataclass
class Events:
    """Status events of one engine as they come, interrupt by interrupt."""

    host: HostGpu
    engine: HostEngine
    seen: list[tuple[int, int]] = field(default_factory=list)
    interrupts: int = 0
    """Event bits of the engine so far."""
    others: set[str] = field(default_factory=set)
    """Other engines that had events."""

    def wait(self, event: int, identity: int, patience: float = 20.0) -> None:
        """Until (event, identity) has come."""
        while (event, identity) not in self.seen:
            ready = readable(self.host.gpu.interrupt_fd, patience)
            assert ready, f"no event {event:#x} of {identity:#x} among {self.seen}"
            self._take()
        self._take()  # interrupts that came before the event, and after the others were taken

    def _take(self) -> None:
        for name, bits in self.host.take_interrupts().items():
            if name == self.engine.facts.name:
                self.interrupts |= bits
            else:
                self.others.add(name)
        self.seen += self.engine.events()


class HostBench:
    """The GPU on a test bench. ``world`` is attached at first."""

    def __init__(self, strictness: Strictness = KIND) -> None:
        self.gpu = SoftPhysicalGpu(KABY_LAKE_GT2, strictness)
        self.host = HostGpu(self.gpu)
        self.spaces: list[SoftDmaSpace] = []
        space = self.gpu.create_space()
        self.spaces.append(space)
        self.host.initialise(space)
        self.world = self.add_ram(space)

    def add_ram(self, space: SoftDmaSpace, base: int = 1 << 30) -> World:
        """New memory at ``base`` of ``space``."""
        fd = os.memfd_create("ram")
        os.ftruncate(fd, RAM_SIZE)
        space.map(base, RAM_SIZE, fd, 0, readable=True, writable=True)
        ram = Ram(memoryview(mmap.mmap(fd, RAM_SIZE)), base)
        os.close(fd)
        return World(space, ram, GpuDriver(self._write, self._read, ram))

    def new_world(self) -> World:
        """Memory in a space of its own, not attached."""
        space = self.gpu.create_space()
        self.spaces.append(space)
        self.host.map_slab(space)
        return self.add_ram(space)

    def events(self, engine: str) -> Events:
        return Events(self.host, self.host.engines[engine])

    def close(self) -> None:
        self.gpu.close()
        for space in self.spaces:
            space.close()
        self.host.close()

    def _write(self, offset: int, data: bytes) -> None:
        if offset >= GSM:
            self.host.write_ggtt((offset - GSM) // 8, data)
        else:
            self.gpu.write32(offset, int.from_bytes(data, "little"))

    def _read(self, offset: int, _count: int) -> bytes:
        return self.gpu.read32(offset).to_bytes(4, "little")


def spinner(world: World, engine: str, *, preemptible: bool = True) -> tuple[Context, int]:
    """A context that loops in a batch, and the guest address of that batch."""
    context = world.driver.create_context(engine)
    first = MI_ARB_CHECK if preemptible else MI_NOOP
    page = context.tables.place(BATCH, [first, *batch_start(BATCH)])
    world.driver.emit(context, batch_start(BATCH))
    return context, page


def wait_until_batch(engine: HostEngine) -> None:
    """Until the engine executes from a batch at `BATCH`."""
    wait_for(lambda: engine.read(0x140) & ~0xFFF == BATCH, "the batch to run")
