"""Kernel jobs made by hand, and programs for them that are Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mediator.gen9.eu.payload import Order
from mediator.softgpu.eu.dispatch.job import Constants, Grid, KernelJob, Shape
from mediator.softgpu.eu.dispatch.media_state import Base, Bases, Descriptor, FrontEnd

KERNEL = 0x12340


def make_job(
    *,
    start: tuple[int, int, int] = (0, 0, 0),
    end: tuple[int, int, int] = (1, 1, 1),
    simd: int = 16,
    size: tuple[int, int, int] = (1, 1, 1),
    right: int = 0xFFFF_FFFF,
    bottom: int = 0xFFFF_FFFF,
    data: bytes = b"",
    shared: int = 0,
    own: int = 0,
    order: Order = Order.SHARED_FIRST,
    slm: int = 0,
    most: int = 168,
    barrier_threads: int | None = None,
    scratch_base: int = 0x10000,
) -> KernelJob:
    """A job; ``size`` are the threads of a group in each direction."""
    width, height, depth = size
    threads = width * height * depth
    return KernelJob(
        kernel=KERNEL,
        descriptor=Descriptor(
            kernel=KERNEL,
            alternate_float=False,
            single_program_flow=False,
            keeps_denormals=True,
            rounding=0,
            samplers=0x1000,
            binding_table=0x40,
            constant_offset=0,
            own_length=own,
            shared_length=shared,
            threads=threads if barrier_threads is None else barrier_threads,
            slm_bytes=slm,
            barrier=True,
        ),
        bases=Bases(*(Base(n << 20, 1 << 20) for n in range(1, 7))),
        front_end=FrontEnd(scratch_base, 2048, 1, most),
        grid=Grid(start, end),
        shape=Shape(simd, width, height, depth, right, bottom),
        constants=Constants(data, shared, own, order),
    )


class PythonKernel:
    """An ``eu_kernel`` that is a Python function of thread, group and worker."""

    def __init__(self, function: Callable[[Any, Any, Any], int]) -> None:
        from mediator.softgpu.eu.native.worker import ffi

        self.raised: list[BaseException] = []

        def guarded(thread: Any, group: Any, worker: Any) -> int:
            try:
                return function(thread, group, worker)
            except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
                self.raised.append(error)
                return 0xFFFF_FFFF

        self._callback = ffi.callback(
            "uint32_t(struct eu_thread *, struct eu_group *, struct eu_worker *)", guarded
        )
        self.address = int(ffi.cast("uintptr_t", self._callback))


WAIT, SPEND = "wait", "spend"


@dataclass
class Script:
    """What the threads of a group do, one list for each: WAIT at the barrier, SPEND the budget.

    A thread ends behind its last step. ``log`` gets (group, thread, step) as steps are begun.
    """

    steps: Sequence[Sequence[str]]
    log: list[tuple[tuple[int, int, int], int, int]]

    def __call__(self, thread: Any, group: Any, worker: Any) -> int:
        """The kernel: resume number n means that step n - 1 is under way."""
        number = int.from_bytes(bytes(thread.grf[32:34]), "little")
        steps = self.steps[number]
        step = thread.resume
        if step and steps[step - 1] == WAIT:
            if not thread.n0[0]:
                return int(step)
            thread.n0[0] -= 1
        while step < len(steps):
            self.log.append(((group.x, group.y, group.z), number, step))
            kind = steps[step]
            step += 1
            if kind == SPEND:
                worker.budget = 0
                return int(step)
            thread.arrived = 1
            group.arrived += 1
            if not thread.n0[0]:
                return int(step)
            thread.n0[0] -= 1
        return 0
