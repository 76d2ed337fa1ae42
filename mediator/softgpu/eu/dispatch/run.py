"""A kernel job under way: groups that have begun, and the first that has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.softgpu.eu.dispatch.payload import group_channels
from mediator.softgpu.eu.dispatch.running import GroupEnd

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob
    from mediator.softgpu.eu.dispatch.running import Group, Groups, Kernel, Pool, Stopping

INSTRUCTION_BYTES: Final = 400
"""Of a decoded one, about."""
_PATIENCE_S: Final = 1e-3
_MOST_PATIENCE_S: Final = 20.0
"""So long a job that is not small waits for its program to be compiled, rather than be
interpreted."""


@dataclass(slots=True)
class Done:
    """What has been done, in numbers."""

    groups: int = 0
    """Groups that have ended."""
    interpreted: int = 0
    """Of those, groups that the interpreter ran."""
    threads: int = 0
    """Threads that have begun."""
    channels: int = 0
    """Channels of those threads."""


@dataclass(frozen=True, slots=True)
class Slice:
    """How far a run may go. ``stopping`` becomes true at ``until_ns`` of the clock, or earlier.

    Without ``begin`` only groups that have begun go on.
    """

    stopping: Stopping
    until_ns: int
    begin: bool


class Run:
    """One job. Between two calls of `advance` it holds still, for as long as one likes.

    Groups are interpreted until the program is there as machine code.
    """

    def __init__(
        self,
        job: KernelJob,
        kernel: Kernel,
        space: AddressSpace,
        following: GroupId | None,
        pool: Pool | None = None,
        owner: Hashable = None,
    ) -> None:
        self.job = job
        self.kernel = kernel
        self._owner = owner
        if job.descriptor.alternate_float:
            pool = None  # a float mode that only the interpreter has
        self._waits = pool is not None and not kernel.is_small(job.grid.count)
        self.done = Done()
        self._following = following
        self._space = space
        self._pool = pool
        self._waited_s = 0.0
        self._group: Group | None = None
        self._native: Groups | None = None
        # A barrier of other threads than all would be complete at other times.
        self._pairs = 1 < job.shape.threads == job.descriptor.threads
        self._coming = job.grid.count * job.shape.threads
        """Threads of which the kernel has not been told."""
        self._channels = group_channels(job.shape)

    @property
    def following(self) -> GroupId | None:
        """The first group that has not begun."""
        return self._following if self._native is None else self._native.following

    @property
    def held_bytes(self) -> int:
        """Memory of groups that have begun and not ended."""
        if self._native is not None:
            return self._native.held_bytes
        return 0 if self._group is None else self._group.held_bytes

    @property
    def kept_bytes(self) -> int:
        """The same with the program, which others may keep too."""
        return self.held_bytes + INSTRUCTION_BYTES * self.kernel.size

    def attach(self, space: AddressSpace) -> None:
        """Go on in the address space of the engine that has the context now."""
        self._space = space

    def stop(self) -> None:
        """Come back soon from `advance`. Any thread may call it; ``stopping`` says so too."""
        native = self._native
        if native is not None:
            native.stop()

    def advance(self, piece: Slice) -> bool:
        """Go on for a slice; True when the job has ended.

        Raises PageFault and KernelFault; the run is over then.
        """
        while self._native is None:
            if self._group is None:
                if self._following is None:
                    return True
                if not piece.begin or piece.stopping():
                    return False
                self._begin(self._following)
            elif not self._go_on(piece.stopping):
                return False
        return self._advance_native(self._native, piece)

    def _begin(self, group: GroupId) -> None:
        pool = self._pool
        compiled = None if pool is None else self.kernel.compiled(self._owner)
        if pool is not None and compiled is not None:
            self._native = pool.start(self.job, compiled, group)
            return
        if self._waits:
            self._waits = self._wait()
            return
        self._group = self.kernel.interpreted.begin(self.job, group, self._space)
        self._following = self.job.grid.after(group)
        self._count_begun(1)

    def _wait(self) -> bool:
        """Much is to be done: wait for the compiler for a moment; whether to wait on."""
        self._waited_s += _PATIENCE_S
        return self.kernel.wait(_PATIENCE_S, self._owner) and self._waited_s < _MOST_PATIENCE_S

    def _go_on(self, stopping: Stopping) -> bool:
        """Let the group that has begun go on; False if it has not ended."""
        assert self._group is not None, "no group has begun"
        if self._group.run(self._space, stopping) is GroupEnd.ASKED:
            return False
        self._group = None
        self.done.groups += 1
        self.done.interpreted += 1
        return True

    def _advance_native(self, native: Groups, piece: Slice) -> bool:
        begun, ended = native.begun, native.ended
        if self._pairs:
            self._pair(native)
        native.allow()
        if piece.stopping():  # asked for between the last slice and `allow`
            return False
        try:
            return native.advance(self._space, piece.until_ns, begin=piece.begin)
        finally:
            self._count_begun(native.begun - begun)
            self.done.groups += native.ended - ended

    def _pair(self, native: Groups) -> None:
        """Let threads run in pairs, if there is code for that."""
        found = self.kernel.pair(self._owner, self._coming)
        self._coming = 0
        if found is not None:
            native.pair(found)
            self._pairs = False

    def _count_begun(self, groups: int) -> None:
        self.done.threads += groups * self.job.shape.threads
        self.done.channels += groups * self._channels
