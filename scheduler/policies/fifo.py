"""First come, first served, as GPUvm's first scheduler: arrival order, no shares.

The order is that of requests which came to idle vGPUs: a vGPU keeps its place until it has no work
left or has had the GPU for a limit, without which one guest could keep all others out.

The promise is one of time and not of shares: a request waits for one limit and one request of each
vGPU at most, a request that cannot be stopped included. Who overruns is behind all others again,
and that is all: nothing is paid back. It is no policy for guests that do not trust each other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from scheduler.policy import Slice, checked_weight

LIMIT_NS = 100_000_000


@dataclass
class Fifo:
    """Implements `scheduler.policy.Policy`. Weights are accepted and mean nothing."""

    limit_ns: int = LIMIT_NS
    """What one vGPU may have in one go."""
    queue: list[int] = field(default_factory=list)
    """vGPUs with work, the one whose work came first at the head."""
    used_ns: int = 0
    """What the head of the queue has had in this go."""
    known: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.limit_ns < 1:
            raise ValueError(f"limit of {self.limit_ns} ns: 1 is the least")

    def add(self, vgpu: int, weight: int, now_ns: int) -> None:
        """See `Policy.add`."""
        checked_weight(weight)
        if vgpu in self.known:
            raise ValueError(f"vGPU {vgpu} is there already")
        self.known.add(vgpu)

    def remove(self, vgpu: int) -> None:
        """See `Policy.remove`."""
        self.known.remove(vgpu)
        self._leave(vgpu)

    def set_weight(self, vgpu: int, weight: int) -> None:
        """See `Policy.set_weight`."""
        checked_weight(weight)
        self._check(vgpu)

    def arrive(self, vgpu: int, now_ns: int) -> None:
        """See `Policy.arrive`."""
        self._check(vgpu)
        if vgpu not in self.queue:
            self.queue.append(vgpu)

    def pick(
        self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
    ) -> Slice | None:
        """See `Policy.pick`."""
        for vgpu in [vgpu for vgpu in self.queue if vgpu not in ready]:
            self._leave(vgpu)
        for vgpu in sorted(ready):
            self.arrive(vgpu, now_ns)
        if not self.queue:
            return None
        return Slice(self.queue[0], self.limit_ns - self.used_ns)

    def charge(self, vgpu: int, used_ns: int, now_ns: int) -> None:
        """See `Policy.charge`."""
        self._check(vgpu)
        if not self.queue or self.queue[0] != vgpu:
            return  # it left the queue during its turn
        self.used_ns += used_ns
        if self.used_ns >= self.limit_ns:
            self._leave(vgpu)
            self.queue.append(vgpu)

    def _leave(self, vgpu: int) -> None:
        if self.queue and self.queue[0] == vgpu:
            self.used_ns = 0
        if vgpu in self.queue:
            self.queue.remove(vgpu)

    def _check(self, vgpu: int) -> None:
        if vgpu not in self.known:
            raise KeyError(vgpu)
