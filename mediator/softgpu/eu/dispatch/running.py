"""How a kernel job runs: interfaces between dispatch, interpreter and translator.

A job runs group by group. Whoever runs it, a thread is what `native/abi.h` calls ``eu_thread``, and
a group that has begun can be left and gone on with at any back edge of its threads.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from mediator.hotpath.interface import never

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.job import GroupId, KernelJob


class GroupEnd(Enum):
    """Why a group came back."""

    ENDED = auto()
    """All its threads have ended."""
    ASKED = auto()
    """`Stopping` said so; it goes on with another call."""


class KernelFault(Exception):
    """A kernel did what hardware does not survive: its context hangs.

    A page fault is a `PageFault` instead.
    """


class Abandoned(Exception):
    """`Stopping` said so before there was a program to run: to be asked for again."""


Stopping = Callable[[], bool]
"""Asked every now and then, at least once in so many thousand instructions."""


class Group(Protocol):
    """A thread group that has begun."""

    def run(self, space: AddressSpace, stopping: Stopping) -> GroupEnd:
        """Go on in ``space``. Raises PageFault and KernelFault; it is not run again after that."""

    @property
    def held_bytes(self) -> int:
        """Memory that it takes while it waits."""


class Interpreted(Protocol):
    """A program as the interpreter runs it."""

    def begin(self, job: KernelJob, group: GroupId, space: AddressSpace) -> Group:
        """Start ``group``: its threads have their payload (`payload.registers`), SLM is zero."""


class Compiled(Protocol):
    """A program as machine code of the host."""

    @property
    def address(self) -> int:
        """Host address of its ``eu_kernel``, valid as long as this object lives."""


class Pair(Protocol):
    """A program as machine code of the host for two threads of a group at a time."""

    @property
    def address(self) -> int:
        """Host address of its ``eu_kernel`` of two threads, valid as long as this object lives."""

    @property
    def apart(self) -> int:
        """The same of that for a thread which has parted from another."""


class Kernel(Protocol):
    """A program, in the forms in which it can run. ``owner`` stands for the guest."""

    @property
    def size(self) -> int:
        """What it takes, in decoded instructions."""

    @property
    def interpreted(self) -> Interpreted:
        """For the interpreter."""

    def compiled(self, owner: Hashable) -> Compiled | None:
        """For the host's processor; None while there is no such form, or for good."""

    def wait(self, seconds: float, owner: Hashable) -> bool:
        """Wait so long for the compiled form; whether it may still come."""

    def pair(self, owner: Hashable, threads: int) -> Pair | None:
        """For two threads at a time; None while that is not there, or for good. ``threads``: so
        many more begin than the last call knew of."""

    def is_small(self, groups: int) -> bool:
        """So many groups are soon interpreted."""


@dataclass
class ProgramCounters:
    """What became of programs since power-on."""

    decoded: int = 0
    """Programs that had not been seen before, or not for long."""
    hits: int = 0
    """Jobs whose program was known."""
    compiled: int = 0
    """Programs that came into use in compiled form."""
    from_disk: int = 0
    """Of those, programs whose code an earlier process had compiled and kept."""
    uncompiled: int = 0
    """Programs that the compiler gave up, and that stay interpreted."""


class Kernels(Protocol):
    """Where programs come from."""

    @property
    def counters(self) -> ProgramCounters:
        """What became of them."""

    def find(
        self,
        job: KernelJob,
        space: AddressSpace,
        stopping: Stopping = never,
        owner: Hashable = None,
    ) -> Kernel:
        """The program of ``job`` as it stands in memory now. ``owner`` stands for the guest.

        Raises PageFault where it cannot be read, KernelFault where it makes no sense, Abandoned
        where ``stopping`` says so meanwhile: a program may be long, and the next call goes on.
        """


class Groups(Protocol):
    """Groups of one job, from one of them on, that compiled code runs."""

    @property
    def following(self) -> GroupId | None:
        """The first group that has not begun."""

    @property
    def begun(self) -> int:
        """Groups that have begun."""

    @property
    def ended(self) -> int:
        """Groups that have ended."""

    @property
    def held_bytes(self) -> int:
        """Memory of groups that have begun and not ended."""

    def pair(self, pair: Pair) -> None:
        """Run threads in pairs from now on, where they go the same way."""

    def stop(self) -> None:
        """Come back soon from `advance`. Any thread may call it."""

    def allow(self) -> None:
        """What `stop` said holds no longer."""

    def advance(self, space: AddressSpace, until_ns: int, *, begin: bool) -> bool:
        """Go on until the clock shows ``until_ns``, or `stop`; True when all groups have ended.

        Raises PageFault and KernelFault; the job is over then. The caller is inside
        ``space.memory.using()``.
        """


class Pool(Protocol):
    """Host threads that run compiled code."""

    def start(self, job: KernelJob, compiled: Compiled, following: GroupId) -> Groups:
        """The groups of ``job`` from ``following`` on."""

    def close(self) -> None:
        """End the threads; nobody runs anything."""
