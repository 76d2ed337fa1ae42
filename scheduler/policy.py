"""The interface of scheduling policies: which vGPU has the GPU next, and for how long.

A policy is pure: no threads, no clock, no I/O. Who calls it holds its own lock. Times are
nanoseconds of one clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Slice:
    """``vgpu`` may have the GPU for ``length_ns`` (more than 0), or until it has no more work."""

    vgpu: int
    length_ns: int


@dataclass(frozen=True, slots=True)
class Idle:
    """None of those with work may run before ``until_ns``, which is later than now.

    So it is until work comes to another vGPU or a limit is changed: then ask again at once.
    """

    until_ns: int
    kept_for: int | None = None
    """The vGPU for which the GPU is kept free: it may run if its work comes before then."""


class Policy(Protocol):
    """Chooses among vGPUs, known by their numbers. One vGPU at a time has the whole GPU.

    A turn is ``pick``, then the vGPU runs, then ``charge``; a slice is a wish, and what really was
    used is charged afterwards, be it more or less. A number that was not added raises KeyError.
    """

    def add(self, vgpu: int, weight: int, now_ns: int) -> None:
        """A new vGPU, idle so far. Raises ValueError for a known number or a weight below 1."""

    def remove(self, vgpu: int) -> None:
        """``vgpu`` is gone, whatever it was doing."""

    def set_weight(self, vgpu: int, weight: int) -> None:
        """From now on ``vgpu`` is due ``weight`` parts. Raises ValueError for one below 1."""

    def arrive(self, vgpu: int, now_ns: int) -> None:
        """Work has come to ``vgpu``, which was idle or had other work queued or running."""

    def pick(
        self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
    ) -> Slice | Idle | None:
        """The next turn goes to one of ``ready``; None only without any.

        These are all vGPUs with work but ``barred``, which a limit keeps back: they are as without
        work, and nobody waits for them. `Idle` comes from a policy that limits vGPUs, as
        `scheduler.cap.Capped`, or keeps the GPU free for one that will be back at once.
        """

    def charge(self, vgpu: int, used_ns: int, now_ns: int) -> None:
        """``vgpu`` has had the GPU for ``used_ns`` and has let go of it."""


def checked_weight(weight: int) -> int:
    """``weight``, which is 1 or more. Raises ValueError."""
    if weight < 1:
        raise ValueError(f"weight {weight}: 1 is the least")
    return weight
