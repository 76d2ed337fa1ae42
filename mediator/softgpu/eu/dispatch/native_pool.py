"""Running compiled kernels on host threads: what Python and `native/pool.c` do together.

Importing this raises ImportError where the extensions are not built.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from mediator.gen9.eu.payload import Order
from mediator.hotpath.interface import FAULT_REASONS, FaultKind, PageFault
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.dispatch import payload
from mediator.softgpu.eu.dispatch.job import message_bases
from mediator.softgpu.eu.dispatch.running import KernelFault
from mediator.softgpu.eu.native.worker import NativeWorker, ffi, lib

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob
    from mediator.softgpu.eu.dispatch.running import Compiled, Pair

_SLM_BYTES: Final = 64 << 10
_THREAD_BYTES: Final = ffi.sizeof("struct eu_thread")
_WORKER_BYTES: Final = ffi.sizeof("struct eu_worker")
_CLEAN: Final = bytes(lib.EU_GROUP_THREADS * _THREAD_BYTES)
_MOST_GROUPS: Final = 1 << 62
"""Of a run at a time: more are never done in a life."""
_LOW: Final = (1 << 64) - 1
_REASONS: Final = {
    lib.EU_DEADLOCK: "all threads of a group wait at a barrier that is never complete",
    lib.EU_ENDLESS_WAIT: "a thread waits for a notification that never comes",
    lib.EU_BAD_PROGRAM: "the program went where it must not",
}


class Subslice:
    """Memory for one group at a time: its threads, its SLM, and the worker of a host thread."""

    def __init__(self) -> None:
        self.worker = NativeWorker()
        self.threads: Any = ffi.new("struct eu_thread[]", lib.EU_GROUP_THREADS)
        self.slm: Any = ffi.new("uint8_t[]", _SLM_BYTES)

    def clean(self, threads: int) -> None:
        """Nothing of an earlier job is left in the registers of ``threads`` threads."""
        size = threads * _THREAD_BYTES
        ffi.memmove(self.threads, _CLEAN, size)


class NativePool:
    """Host threads, and subslices for them. ``workers`` of them; the caller's is one."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self._pool: Any = None
        self._free: list[Subslice] = []

    @property
    def handle(self) -> Any:
        """``struct eu_pool *``: threads are made when the first run needs them."""
        if self._pool is None and self.workers > 1:
            made = lib.eu_pool_new(self.workers - 1)
            self._pool = ffi.gc(made, lib.eu_pool_free) if made else None
        return self._pool or ffi.NULL

    def close(self) -> None:
        """End the threads; nobody runs anything."""
        if self._pool is not None:
            ffi.release(self._pool)
            self._pool = None
        self._free.clear()

    def start(self, job: KernelJob, compiled: Compiled, following: GroupId) -> NativeRun:
        """The groups of ``job`` from ``following`` on."""
        return NativeRun(job, compiled, self, following)

    def borrow(self, threads: int) -> Subslice:
        """A subslice whose first ``threads`` threads are clean."""
        found = self._free.pop() if self._free else Subslice()
        found.clean(threads)
        return found

    def give_back(self, subslice: Subslice) -> None:
        """Nobody needs what is in it."""
        if len(self._free) < self.workers:
            self._free.append(subslice)


def _drawn(job: KernelJob) -> tuple[Any, ...]:
    """The last fields of ``struct eu_job``."""
    drawn = job.pixels
    if drawn is None:
        return False, (0, 0), (0, 0), False, 0
    area = drawn.area
    least, most = (area.left, area.top), (area.right, area.bottom)
    return True, least, most, drawn.whole_subspans, drawn.writes


class NativeRun:
    """The groups of one job from ``following`` on, run by a compiled kernel."""

    def __init__(
        self, job: KernelJob, compiled: Compiled, pool: NativePool, following: GroupId
    ) -> None:
        self._job = job
        self._compiled = compiled  # its code stays while this lives
        self._pair: Pair | None = None  # the same
        self._pool = pool
        self._bases: Bases = message_bases(job)
        self._first = job.grid.number(following)
        self._constants: Any = ffi.from_buffer("uint8_t[]", payload.constants_block(job))
        self._subslices = [pool.borrow(job.shape.threads) for _ in range(self._places())]
        self._array: Any = ffi.new("struct eu_subslice[]", len(self._subslices))
        self._struct: Any = self._pack()

    def _places(self) -> int:
        """How many groups may be there at a time: threads have scratch space of their own."""
        job = self._job
        most = job.front_end.threads // job.shape.threads
        left = job.grid.count - self._first
        return max(1, min(self._pool.workers, most, left))

    def _pack(self) -> Any:
        """``struct eu_run``, all fields in the order of `native/pool.h`."""
        job = self._job
        shape, grid, constants = job.shape, job.grid, job.constants
        size = [end - start for start, end in zip(grid.start, grid.end, strict=True)]
        packed = (
            *(ffi.cast("eu_kernel *", self._compiled.address), ffi.NULL, ffi.NULL),
            *(self._constants, constants.shared, constants.own),
            *(constants.order is Order.OWN_FIRST, payload.fixed_r0(job)),
            *(job.front_end.scratch_base & 0xFFFF_FFFF, job.front_end.scratch_bytes),
            *(payload.control(job), (1 << shape.simd) - 1, shape.right, shape.bottom),
            *(shape.width, shape.height, shape.threads, job.descriptor.threads),
            *(job.descriptor.slm_bytes, grid.start, size),
            *_drawn(job),
        )
        for number, subslice in enumerate(self._subslices):
            place = self._array[number]
            place.worker = subslice.worker.struct
            place.threads, place.slm = subslice.threads, subslice.slm
            place.first_slot = number * shape.threads
        left = min(grid.count - self._first, _MOST_GROUPS)
        where = self._first & _LOW, self._first >> 64, left
        return ffi.new("struct eu_run *", (packed, self._array, len(self._subslices), *where))

    @property
    def following(self) -> GroupId | None:
        """The first group that has not begun."""
        return self._job.grid.at(self._first + self._struct.begun)

    @property
    def begun(self) -> int:
        """Groups that have begun, or were given to a host thread that is about to."""
        return int(self._struct.begun)

    @property
    def ended(self) -> int:
        """Groups that have ended."""
        return int(self._struct.groups)

    @property
    def busy_ns(self) -> int:
        """Time of all host threads."""
        return int(self._struct.busy_ns)

    @property
    def held_bytes(self) -> int:
        """Memory of the run while groups have begun and not ended; of those that are idle too."""
        count = len(self._subslices)
        places = [self._array[n] for n in range(count)]
        busy = any(place.busy or place.ahead != place.ahead_end for place in places)
        threads = lib.EU_GROUP_THREADS * _THREAD_BYTES
        size: int = threads + _SLM_BYTES + _WORKER_BYTES
        return busy * count * size

    def pair(self, pair: Pair) -> None:
        """Run threads in pairs from now on, where they go the same way. Not during `advance`."""
        self._pair = pair
        self._struct.job.pair = ffi.cast("eu_kernel *", pair.address)
        self._struct.job.apart = ffi.cast("eu_kernel *", pair.apart)

    def stop(self) -> None:
        """Come back soon from `advance`. Any thread may call it."""
        self._struct.stop = 1

    def allow(self) -> None:
        """What `stop` said holds no longer."""
        self._struct.stop = 0

    def advance(self, space: AddressSpace, until_ns: int, *, begin: bool) -> bool:
        """Go on until CLOCK_MONOTONIC is ``until_ns``, or `stop`; True when all groups have ended.

        Raises PageFault and KernelFault; the run is over then. The caller is inside
        ``space.memory.using()``.
        """
        run = self._struct
        run.until, run.begin = until_ns, begin
        try:
            for subslice in self._subslices:
                subslice.worker.attach(space, self._bases)
            outcome = lib.eu_run_advance(self._pool.handle, run)
        finally:
            for subslice in self._subslices:
                struct = subslice.worker.struct
                space.discarded_writes += struct.statistics[lib.EU_DISCARDED_WRITES]
                struct.statistics[lib.EU_DISCARDED_WRITES] = 0
                subslice.worker.detach()
        if outcome == lib.EU_RUN_FAULT:
            self._raise()
        if outcome == lib.EU_RUN_ENDED:
            self._release()
        return bool(outcome == lib.EU_RUN_ENDED)

    def _raise(self) -> None:
        self._release()
        run = self._struct
        fault = run.fault
        if fault in FAULT_REASONS:
            reason = FAULT_REASONS[FaultKind(fault)]
            raise PageFault(run.fault_address, bool(run.fault_write), reason)
        if fault == lib.EU_ILLEGAL_MESSAGE:
            where = (
                f"SFID {run.fault_address >> 32}, descriptor {run.fault_address & 0xFFFF_FFFF:#x}"
            )
            raise KernelFault(f"a message that no function takes: {where}")
        raise KernelFault(_REASONS.get(fault, f"fault {fault}"))

    def _release(self) -> None:
        for subslice in self._subslices:
            self._pool.give_back(subslice)
        self._subslices = []
