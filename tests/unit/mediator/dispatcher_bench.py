"""A mediated software GPU whose dispatcher is moved by hand: two guests, and no dispatcher thread.

What a thread would do when it is woken, a test does with `Bench.turn`; between two of them the
engines of the software GPU go on, as hardware does.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.gen9.interrupts import EngineInterrupt
from mediator.mediation import Mediation
from mediator.physical.soft import SoftPhysicalGpu
from mediator.port import Port
from mediator.softgpu.gpu import SoftGpu
from mediator.softgpu.strictness import KIND, Strictness
from mediator.vgpu.vgpu import Vgpu
from mediator.vgpu.vgpu_type import type_for
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from scheduler.policies.timeslice import Timeslice
from tests.gpu_driver import MI_ARB_CHECK, Context, GpuDriver, Ram
from tests.gpu_driver.commands import batch_start

CONTEXT_SWITCH = 1 << EngineInterrupt.CONTEXT_SWITCH
BATCH = 0x10_0000
"""GPU address of a spinner's batch."""
PATIENCE_S = 30.0
_RAM_SIZE = 16 << 20
_SLICE_NS = 4_000_000
_POLL_S = 0.0003


class Guest:
    """A client of a vGPU with RAM from address 0 on, and a driver that looks at memory."""

    def __init__(self, vgpu: Vgpu) -> None:
        self.vgpu = vgpu
        memory = GuestMemory()
        fd = os.memfd_create("ram")
        os.ftruncate(fd, _RAM_SIZE)
        vgpu.attach(memory, Interrupts((1, 1, 0, 1, 1)))
        memory.map(0, _RAM_SIZE, fd, 0, readable=True, writable=True)
        self.driver = GpuDriver(
            lambda offset, data: vgpu.region_write(0, offset, data),
            lambda offset, count: vgpu.region_read(0, offset, count),
            Ram(memoryview(mmap.mmap(fd, _RAM_SIZE)), 0),
        )
        os.close(fd)
        self.driver.initialise()

    def spinner(self, engine: str) -> Context:
        """A context that loops in a batch until it is preempted."""
        context = self.driver.create_context(engine)
        context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
        self.driver.emit(context, batch_start(BATCH))
        return context

    def spin(self, engine: str) -> None:
        """Submit a spinner."""
        self.driver.submit(self.spinner(engine))

    def engine_done(self, engine: str) -> bool:
        """Whether the guest has seen the end of all that it submitted on ``engine``."""
        self.driver.process()
        return self.driver.ports[engine].idle


class Bench:
    """Two guests, `a` and `b`. The clock is `skip_ns` ahead of the real one, until it is held.

    The watchdog waits so long that only a test which skips time meets it.
    """

    def __init__(
        self,
        address_space: Literal["shadow", "direct"] = "shadow",
        strictness: Strictness = KIND,
        ggtt: Literal["ballooned", "private"] = "ballooned",
    ) -> None:
        gpu = SoftPhysicalGpu(KABY_LAKE_GT2, strictness)
        self.mediation = Mediation.evenly(
            gpu, 2, type_for(2).name, Timeslice(_SLICE_NS), address_space, ggtt
        )
        self.dispatcher = self.mediation.dispatcher
        self.skip_ns = 0
        self._held_ns = 0
        self.dispatcher.clock = self.dispatcher.world._clock = self.clock
        self.dispatcher.world._patience_ns = int(PATIENCE_S * 1e9)
        self.host = self.mediation.host
        self._gpu = gpu
        self.a, self.b = (Guest(vgpu) for vgpu in self.mediation.vgpus)

    @property
    def hardware(self) -> SoftGpu:
        """The software GPU: another one after a restart."""
        return self._gpu._gpu

    def close(self) -> None:
        """The guests leave, the GPU stops."""
        for guest in (self.a, self.b):
            guest.vgpu.detach()
        self.mediation.stop()

    def clock(self) -> int:
        """Nanoseconds."""
        return (self._held_ns or time.monotonic_ns()) + self.skip_ns

    def hold_clock(self) -> None:
        """From now on time goes by `skip_ns` alone, for vGPUs too."""
        self._held_ns = time.monotonic_ns()
        for guest in (self.a, self.b):
            guest.vgpu.clock = self.clock

    # -- the dispatcher, step by step -----------------------------------------------------------

    def turn(self) -> None:
        """What the dispatcher's thread does each time that it is woken."""
        self.dispatcher._turn()

    def serve(self, guest: Guest) -> None:
        """Serve the interrupts of the hardware, which is in the world of ``guest``."""
        with self.locked(guest):
            self.dispatcher.world.serve(guest.vgpu)

    def serve_status(self, guest: Guest, engine: str) -> None:
        """Serve the status entries of an engine, before their interrupt has come."""
        with self.locked(guest):
            self.dispatcher.world._status_events(guest.vgpu, engine)

    def end_slice(self, guest: Guest) -> None:
        """The slice of ``guest`` is over."""
        with self.locked(guest):
            self.dispatcher.world.end(guest.vgpu)

    def port(self, engine: str) -> Port:
        """What the dispatcher knows of an engine of the hardware."""
        return self.dispatcher.world.ports[engine]

    @contextmanager
    def locked(self, guest: Guest) -> Iterator[None]:
        """All that the dispatcher's thread holds while it works for ``guest``."""
        with guest.vgpu.memory.using(), guest.vgpu.lock, self.dispatcher.lock:
            yield

    @contextmanager
    def interrupts(self, *taken: dict[str, int]) -> Iterator[None]:
        """The hardware has these interrupts, one after another, and none thereafter."""
        real, following = self.host.take_interrupts, iter(taken)
        self.host.take_interrupts = lambda: next(following, {})  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.host.take_interrupts = real  # type: ignore[method-assign]

    # -- waiting --------------------------------------------------------------------------------

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until ``condition`` holds."""
        self._until(condition, self.turn)

    def hardware_does(self, condition: Callable[[], bool]) -> None:
        """Until ``condition`` holds by what the hardware does alone."""
        self._until(condition, lambda: None)

    def hardware_idle(self, *engines: str) -> None:
        """Until the hardware's ``engines`` have nothing to do."""
        self.hardware_does(lambda: all(self.hardware.engines[name].idle for name in engines))

    def run(
        self, guest: Guest, engine: str, commands: Sequence[int], context: Context | None = None
    ) -> Context:
        """Run a request to its end; its context."""
        chosen = context or guest.driver.create_context(engine)
        request = guest.driver.run(chosen, commands)
        self.until(lambda: guest.engine_done(engine) and guest.driver.done(request))
        return chosen

    def _until(self, condition: Callable[[], bool], step: Callable[[], None]) -> None:
        ends = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < ends, "in vain"
            step()
            time.sleep(_POLL_S)


@contextmanager
def running(bench: Bench) -> Iterator[Bench]:
    """``bench``, closed at the end."""
    try:
        yield bench
    finally:
        bench.close()
