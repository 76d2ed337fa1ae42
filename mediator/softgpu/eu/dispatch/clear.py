"""Fast clears: what stands in the place of a program, which hardware does not run either.

Hardware notes in its control data which blocks have the clear colour. This GPU has no such data: it
writes the colour at once. The twin in C is ``eu_clear`` of ``native/render_target.c``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from mediator.gen9.eu.messages import (
    MESSAGE_LENGTH,
    TARGET_FUNCTION,
    TARGET_TYPE,
    TARGET_WRITE,
    SharedFunction,
    TargetWrite,
)
from mediator.gen9.eu.surface_state import CLEAR_COLOUR, ENTRY_BYTES, STATE_BYTES
from mediator.hotpath.interface import PageFault
from mediator.softgpu.eu.dispatch.group_messages import group_messages
from mediator.softgpu.eu.dispatch.interpreted import draw_block
from mediator.softgpu.eu.dispatch.job import message_bases
from mediator.softgpu.eu.dispatch.media_state import wrap
from mediator.softgpu.eu.dispatch.payload import GRF
from mediator.softgpu.eu.dispatch.running import GroupEnd, KernelFault
from mediator.softgpu.eu.interpreter.threads import BLOCK
from mediator.softgpu.eu.message_port import Call

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob
    from mediator.softgpu.eu.dispatch.running import Compiled, Pair, Stopping

SIMD: Final = 16
"""Pixels of a thread."""
_DESCRIPTOR: Final = (
    MESSAGE_LENGTH.put(1)
    | TARGET_FUNCTION.put(TARGET_WRITE)
    | TARGET_TYPE.put(TargetWrite.SIMD16_REPLICATED)
)
_COLOUR_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class NativeClear:
    """``eu_clear``."""

    address: int


@cache
def _native() -> NativeClear | None:
    try:
        from mediator.softgpu.eu.native.worker import ffi, lib
    except ImportError:
        return None
    return NativeClear(int(ffi.cast("uintptr_t", ffi.addressof(lib, "eu_clear"))))


class ClearKernel:
    """The `Kernel` of fast clears."""

    size = 0
    """Instructions."""

    @property
    def interpreted(self) -> ClearKernel:
        """Itself: `begin`."""
        return self

    def compiled(self, _owner: Hashable) -> Compiled | None:
        """In C, where the extension is."""
        return _native()

    def wait(self, _seconds: float, _owner: Hashable) -> bool:
        """Nothing comes later."""
        return False

    def pair(self, _owner: Hashable, _threads: int) -> Pair | None:
        """A group is one thread."""
        return None

    def is_small(self, _groups: int) -> bool:
        """Nobody is to wait."""
        return True

    def begin(self, job: KernelJob, group: GroupId, _space: AddressSpace) -> ClearedBlock:
        """One block of pixels."""
        return ClearedBlock(job, group)


class ClearedBlock:
    """A block of pixels that gets the clear colour."""

    held_bytes = 0

    def __init__(self, job: KernelJob, group: GroupId) -> None:
        self._job = job
        self._group = group

    def run(self, space: AddressSpace, _stopping: Stopping) -> GroupEnd:
        """Write it. Raises PageFault and KernelFault."""
        job = self._job
        assert job.pixels is not None, "a draw"
        bases = message_bases(job)
        entry = int.from_bytes(space.read(bases.binding_table, ENTRY_BYTES), "little")
        state = bases.surface + (entry & -STATE_BYTES)
        colour = space.read(wrap(state + 4 * CLEAR_COLOUR), _COLOUR_BYTES)
        thread = np.zeros(1, BLOCK)
        mask = draw_block(thread[0], job.pixels, SIMD, self._group)
        none = np.zeros(0, np.uint8)
        payload = np.frombuffer(colour.ljust(GRF, b"\0"), np.uint8)
        messages = group_messages(space, bases, 0)
        try:
            sfid = SharedFunction.RENDER_CACHE_PORT
            fault = messages.send(Call(thread, sfid, _DESCRIPTOR, 0, payload, none, none, mask))
        finally:
            space.discarded_writes += messages.take_discarded()
            messages.close()
        if fault is None:
            return GroupEnd.ENDED
        if fault.address is not None:
            raise PageFault(fault.address, fault.write, fault.reason)
        raise KernelFault(fault.reason)
