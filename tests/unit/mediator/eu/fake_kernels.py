"""Programs that do nothing but say what was asked of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from mediator.hotpath.interface import never
from mediator.softgpu.address_space import AddressSpace
from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob
from mediator.softgpu.eu.dispatch.running import (
    Abandoned,
    Compiled,
    GroupEnd,
    Pair,
    ProgramCounters,
    Stopping,
)


@dataclass
class FakeGroup:
    """A group that comes back ``rounds`` times before it has ended, as if it had been asked to."""

    kernels: FakeKernels
    group: GroupId
    rounds: int
    held_bytes: int = 1000

    def run(self, space: AddressSpace, _stopping: Stopping) -> GroupEnd:
        self.kernels.spaces.append(space)
        self.kernels.act(self)
        if self.rounds:
            self.rounds -= 1
            return GroupEnd.ASKED
        self.kernels.ended.append(self.group)
        return GroupEnd.ENDED


@dataclass
class FakeKernels:
    """`Kernels`, a `Kernel` and an `Interpreted` in one."""

    rounds: Callable[[GroupId], int] = lambda _group: 0
    act: Callable[[FakeGroup], None] = lambda _group: None
    jobs: list[KernelJob] = field(default_factory=list)
    begun: list[GroupId] = field(default_factory=list)
    ended: list[GroupId] = field(default_factory=list)
    owners: list[Hashable] = field(default_factory=list)
    spaces: list[AddressSpace] = field(default_factory=list)
    counters: ProgramCounters = field(default_factory=ProgramCounters)
    size: int = 0
    """Instructions of the program."""
    unready: int = 0
    """So many times a program is not there when a slice is over."""

    def find(
        self,
        job: KernelJob,
        _space: AddressSpace,
        _stopping: Stopping = never,
        owner: Hashable = None,
    ) -> FakeKernels:
        self.jobs.append(job)
        self.owners.append(owner)
        if self.unready:
            self.unready -= 1
            raise Abandoned
        return self

    @property
    def interpreted(self) -> FakeKernels:
        return self

    def compiled(self, _owner: Hashable) -> Compiled | None:
        return None

    def pair(self, _owner: Hashable, _threads: int) -> Pair | None:
        return None

    def wait(self, _seconds: float, _owner: Hashable) -> bool:
        return False

    def is_small(self, _groups: int) -> bool:
        return True

    def begin(self, _job: KernelJob, group: GroupId, _space: AddressSpace) -> FakeGroup:
        self.begun.append(group)
        return FakeGroup(self, group, self.rounds(group))
