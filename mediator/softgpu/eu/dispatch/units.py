"""The execution units of one GPU: they run kernel jobs, a slice at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.hotpath.interface import never
from mediator.softgpu.address_space import PageFault
from mediator.softgpu.eu.dispatch.clear import ClearKernel
from mediator.softgpu.eu.dispatch.interrupted import NO_TOKEN
from mediator.softgpu.eu.dispatch.run import Run, Slice
from mediator.softgpu.eu.dispatch.running import KernelFault
from mediator.softgpu.eu.dispatch.suspended import PART_SHIFT, Suspended

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.interrupted import Interrupted
    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob
    from mediator.softgpu.eu.dispatch.running import Kernel, Kernels, Pool, Stopping

SLICE_NS: Final = 4_000_000
"""So long threads run before the engine looks at its lists and at the memory map."""
DRAIN_NS: Final = 1_000_000
"""So long groups that have begun may take to end before their context is switched out."""


@dataclass
class UnitCounters:
    """What the execution units have done since power-on."""

    kernels: int = 0
    """Kernel jobs that ended."""
    groups: int = 0
    """Thread groups that ended."""
    interpreted_groups: int = 0
    """Groups that the interpreter ran."""
    threads: int = 0
    busy_ns: int = 0
    """Time during which threads ran."""
    suspended: int = 0
    """Contexts switched out in the middle of a thread group."""
    lost: int = 0
    """Of those, contexts whose groups were gone when they came back."""
    faults: int = 0
    """Jobs that ended in a page fault."""
    refused: int = 0
    """Jobs with impossible state, or whose program did what no program may."""


class ExecutionUnits:
    """The execution units. One engine's thread uses them at a time."""

    def __init__(
        self,
        kernels: Kernels,
        pool: Pool | None = None,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Without a ``pool`` everything is interpreted."""
        self.counters = UnitCounters()
        self.suspended = Suspended()
        self.programs = kernels.counters
        self._kernels = kernels
        self._pool = pool
        self._now = now
        self._channels = 0
        self._running: Run | None = None

    def begin(
        self,
        job: KernelJob,
        space: AddressSpace,
        following: GroupId | None,
        image: int,
        *,
        leaving: bool,
        abandoned: Stopping,
    ) -> Run:
        """A run of ``job`` from group ``following`` on, or from its first if that is None.

        ``image``: GGTT address of the context's image. ``leaving`` and ``abandoned`` as in
        `advance`. Raises PageFault and KernelFault for a program that cannot be had, and Abandoned
        if a slice is over before it is there.
        """
        first = job.grid.first if following is None else job.grid.inside(following)
        end = self._now() + (DRAIN_NS if leaving else SLICE_NS)
        owner = id(self), image >> PART_SHIFT  # the translator is that of all GPUs
        kernel: Kernel
        if job.pixels is not None and job.pixels.clears:
            kernel = ClearKernel()
        else:
            kernel = self.program(job, space, lambda: abandoned() or self._now() >= end, owner)
        return Run(job, kernel, space, first, self._pool, owner)

    def program(
        self,
        job: KernelJob,
        space: AddressSpace,
        stopping: Stopping = never,
        owner: Hashable = None,
    ) -> Kernel:
        """The program of ``job``. Raises PageFault, KernelFault and Abandoned."""
        return self._kernels.find(job, space, stopping, owner)

    def advance(self, run: Run, *, leaving: bool, abandoned: Stopping) -> bool:
        """Let ``run`` go on for a slice; True when it has ended.

        ``leaving``: its context is to be switched out, so only what has begun goes on, and not for
        long. ``abandoned`` ends the slice early. Raises PageFault and KernelFault.
        """
        start = self._now()
        end = start + (DRAIN_NS if leaving else SLICE_NS)
        before = run.done.groups, run.done.interpreted, run.done.threads, run.done.channels
        counters = self.counters
        self._running = run
        try:
            piece = Slice(lambda: abandoned() or self._now() >= end, end, begin=not leaving)
            ended = run.advance(piece)
        except PageFault:
            counters.faults += 1
            raise
        finally:
            self._running = None
            counters.busy_ns += self._now() - start
            counters.groups += run.done.groups - before[0]
            counters.interpreted_groups += run.done.interpreted - before[1]
            counters.threads += run.done.threads - before[2]
            self._channels += run.done.channels - before[3]
        counters.kernels += ended
        return ended

    def stop(self) -> None:
        """What runs is to come back, since ``abandoned`` says so now. Any thread may call it."""
        running = self._running
        if running is not None:
            running.stop()

    def close(self) -> None:
        """End the host threads; nobody runs anything."""
        if self._pool is not None:
            self._pool.close()

    def suspend(self, run: Run, image: int) -> bytes:
        """Keep what ``run`` has begun while its context, saved at ``image``, is away: a token."""
        if not run.held_bytes:
            return NO_TOKEN
        self.counters.suspended += 1
        return self.suspended.put(run, image)

    def claim(self, token: bytes, space: AddressSpace) -> Run:
        """The run that was suspended under ``token``. Raises KernelFault if it is not there."""
        run = self.suspended.take(token)
        if run is None:
            self.counters.lost += 1
            raise KernelFault("the thread groups that had begun are gone")
        run.attach(space)
        return run

    def forget(self, interrupted: Interrupted) -> None:
        """Its context does not go on there."""
        self.suspended.take(interrupted.token)

    def take_channels(self) -> int:
        """Channels that were dispatched since the last call."""
        taken, self._channels = self._channels, 0
        return taken
