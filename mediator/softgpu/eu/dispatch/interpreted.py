"""Thread groups of a kernel job in the interpreter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from mediator.gen9.eu.payload import SR0_DISPATCH_MASK
from mediator.hotpath.interface import PageFault
from mediator.softgpu.eu.dispatch import payload, pixels
from mediator.softgpu.eu.dispatch.group_messages import group_messages
from mediator.softgpu.eu.dispatch.job import message_bases
from mediator.softgpu.eu.dispatch.running import GroupEnd, KernelFault
from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
from mediator.softgpu.eu.interpreter.interpreter import Interpreter, Kernel, State
from mediator.softgpu.eu.interpreter.shelf import Shelf
from mediator.softgpu.eu.interpreter.threads import BLOCK, Threads
from mediator.softgpu.eu.messages.python_messages import SLM_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob
    from mediator.softgpu.eu.dispatch.pixels import Pixels
    from mediator.softgpu.eu.dispatch.running import Stopping
    from mediator.softgpu.eu.interpreter.interpreter import Fault, Prepared
    from mediator.softgpu.eu.isa.instruction import Instruction

_BUDGET: Final = 512
"""Instructions between two questions whether to stop: a few milliseconds."""


class InterpretedProgram:
    """A program for the interpreter. ``at`` gives the instruction at an offset; ``shelf`` is for
    what is made ready of all programs."""

    def __init__(
        self, at: Callable[[int], Instruction], shelf: Shelf[Prepared] | None = None
    ) -> None:
        surroundings = Surroundings(clock=time.monotonic_ns)
        self._kernel = Kernel(at, surroundings, Shelf() if shelf is None else shelf)

    def begin(self, job: KernelJob, group: GroupId, space: AddressSpace) -> InterpretedGroup:
        """Start ``group``: its threads have their payload, its local memory is zero."""
        threads = Threads(job.shape.threads)
        for number in range(threads.count):
            block = threads.blocks[number]
            first = payload.registers(job, group, number, number)
            block["grf"][: len(first)] = np.frombuffer(first, np.uint8)
            mask = payload.dispatch_mask(job.shape, number)
            if job.pixels is not None:
                mask = draw_block(block, job.pixels, job.shape.simd, group)
            block["dispatch_mask"] = block["sr0"][SR0_DISPATCH_MASK] = mask
            block["cr0"][0] = payload.control(job)
            block["scratch_slot"] = number
        return InterpretedGroup(self._kernel, job, threads, space)


class InterpretedGroup:
    """A group that has begun."""

    def __init__(
        self, kernel: Kernel, job: KernelJob, threads: Threads, space: AddressSpace
    ) -> None:
        self._messages = group_messages(space, message_bases(job), job.descriptor.slm_bytes)
        self._messages.close()
        self._interpreter = Interpreter(kernel, threads, self._messages)
        self.held_bytes = threads.count * BLOCK.itemsize + SLM_BYTES

    def run(self, space: AddressSpace, stopping: Stopping) -> GroupEnd:
        """Go on. Raises PageFault and KernelFault; it is not run again after that."""
        interpreter = self._interpreter
        self._messages.attach(space)
        try:
            while True:
                state = interpreter.run(_BUDGET)
                if state is State.ENDED:
                    return GroupEnd.ENDED
                if state is State.FAULTED:
                    assert interpreter.fault is not None, "a reason"
                    _raise(interpreter.fault)
                if stopping():
                    return GroupEnd.ASKED
        finally:
            space.discarded_writes += self._messages.take_discarded()
            self._messages.close()


def draw_block(block: np.void, drawn: Pixels, simd: int, group: GroupId) -> int:
    """Tell the thread's messages what it draws; the channels that run."""
    place = pixels.block(drawn, simd, group)
    block["pixel_mask"], block["pixel_writes"] = place.covered, drawn.writes
    block["pixel_x"], block["pixel_y"], block["pixel_layer"] = place.x, place.y, place.layer
    return pixels.channels(drawn, place.covered)


def _raise(fault: Fault) -> None:
    message = fault.message
    if message is not None and message.address is not None:
        raise PageFault(message.address, message.write, message.reason)
    raise KernelFault(f"{fault.reason} (at {fault.offset:#x} of the program)")
