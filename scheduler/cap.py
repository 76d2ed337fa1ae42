"""Caps: a vGPU gets no more than a part of the GPU's wall time, also when nobody else wants it.

A weight says how those with work share the GPU; a cap is a limit beside it, as in Xen's credit
schedulers. Each vGPU with a cap c < 1 has a token bucket. Its allowance grows by c ns in a ns up
to a burst, and what the vGPU used is taken from it, below zero if need be: who overran pays it
back by waiting. To the policy within, a vGPU without enough allowance is one without work, so what
idleness means there is what being held back means. `LEAST_NS` is enough, and is the least slice;
a slice is as long as the allowance lasts, which grows on during it.

For a cap c that stays as it is, and O, the most that one turn went on beyond its slice:

* In any interval of T ns the vGPU uses at most c * T + c * 100 ms + 4 ms + O.
* With work throughout, and the GPU for itself, it uses at least c * T - 4 ms - O. Beside others it
  is at most c * 100 ms less, if it never waits longer than 100 ms for a turn once it has enough.
* It is held back for at most (4 ms + O) / c at a time.

Time that no slice covered (a long audit) counts as used and is paid back like an overrun, and may
come on top of O.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from scheduler.policy import Idle, Policy, Slice

WINDOW_NS = 100_000_000
"""How long allowance beyond `LEAST_NS` is saved: what came in earlier is lost. As long as the
periods of GVT-g, so a vGPU whose turn comes late, or who works now and then, gets its part."""

LEAST_NS = 4_000_000
"""A vGPU below this allowance waits. A world switch takes 0.6 to 0.9 ms in the median
(docs/performance.md): much shorter slices would be mostly switches. Much longer ones would keep
vGPUs with small caps waiting too long: i915 gives up after 640 ms, and at 1 % this is 400 ms."""


@dataclass
class Bucket:
    """The allowance of one vGPU, kept as the time at which it is nought."""

    cap: float
    """Between 0 and 1, neither included."""
    since_ns: int
    """When this cap was set."""
    zero_ns: int
    """When the allowance is nought: before that a debt, after it savings."""

    def change(self, cap: float, now_ns: int) -> None:
        """Another cap. Savings become what they were if it had been the cap all along.

        A debt is paid back at the higher of both caps: a new one never makes it last longer.
        """
        if cap == self.cap:
            return
        owed = _earned(self.cap, max(self.zero_ns - now_ns, 0))
        self.zero_ns = min(self.zero_ns, now_ns + _time_to_earn(cap, owed))
        self.cap = cap
        self.since_ns = now_ns

    def spend(self, used_ns: int, now_ns: int) -> None:
        """``used_ns`` up to now were used; the part before the cap was set does not count."""
        used_ns = min(used_ns, now_ns - self.since_ns)
        start_ns = now_ns - used_ns
        self.zero_ns = self._zero_at(start_ns) + _time_to_earn(self.cap, used_ns)

    def enough_ns(self) -> int:
        """From when on there is allowance for a slice."""
        return self.zero_ns + _time_to_earn(self.cap, LEAST_NS)

    def lasts_ns(self, now_ns: int) -> int:
        """How long the allowance of now lasts if it is used from now on, rounded down."""
        earn, cost = self.cap.as_integer_ratio()
        return (now_ns - self._zero_at(now_ns)) * earn // (cost - earn)

    def _zero_at(self, now_ns: int) -> int:
        """`zero_ns` as of now: what came in while the bucket was full is lost."""
        return max(self.zero_ns, now_ns - WINDOW_NS - _time_to_earn(self.cap, LEAST_NS))


@dataclass
class Capped:
    """Implements `scheduler.policy.Policy`: those who may run, as ``policy`` chooses among them."""

    policy: Policy
    known: set[int] = field(default_factory=set)
    buckets: dict[int, Bucket] = field(default_factory=dict)
    """Of the vGPUs with a cap below 1."""
    departed: dict[int, Bucket] = field(default_factory=dict)
    """Those of vGPUs that were removed with a debt."""

    def add(self, vgpu: int, weight: int, now_ns: int) -> None:
        """See `Policy.add`. It has no cap."""
        self.policy.add(vgpu, weight, now_ns)
        self.known.add(vgpu)
        self.departed = {n: b for n, b in self.departed.items() if b.zero_ns > now_ns}

    def remove(self, vgpu: int) -> None:
        """See `Policy.remove`. Its cap is forgotten, not what it owes under it."""
        self.policy.remove(vgpu)
        self.known.remove(vgpu)
        if vgpu in self.buckets:
            self.departed[vgpu] = self.buckets.pop(vgpu)

    def set_weight(self, vgpu: int, weight: int) -> None:
        """See `Policy.set_weight`."""
        self.policy.set_weight(vgpu, weight)

    def set_cap(self, vgpu: int, cap: float, now_ns: int) -> None:
        """From now on ``vgpu`` gets at most ``cap`` of the GPU's wall time; 1 is no limit.

        The next pick goes by it. The first cap begins without allowance and without debt. Of a
        turn that goes on meanwhile only the time from now on counts, unless it is charged before.
        Raises ValueError for a cap that is not above 0 and at most 1, KeyError for an unknown
        number.
        """
        checked_cap(cap)
        if vgpu not in self.known:
            raise KeyError(vgpu)
        bucket = self.buckets.pop(vgpu, None) or self.departed.pop(vgpu, None)
        if cap == 1:
            return
        if bucket is None:
            bucket = Bucket(cap, now_ns, now_ns)
        bucket.change(cap, now_ns)
        self.buckets[vgpu] = bucket

    def arrive(self, vgpu: int, now_ns: int) -> None:
        """See `Policy.arrive`."""
        self.policy.arrive(vgpu, now_ns)

    def pick(
        self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
    ) -> Slice | Idle | None:
        """See `Policy.pick`. `Idle` when caps hold all of ``ready`` back, until one may run."""
        enough = {vgpu: self.buckets[vgpu].enough_ns() for vgpu in ready if vgpu in self.buckets}
        held = {vgpu: at_ns for vgpu, at_ns in enough.items() if at_ns > now_ns}
        able = [vgpu for vgpu in ready if vgpu not in held]
        choice = self.policy.pick(able, now_ns, [*held, *barred])
        if isinstance(choice, Slice):
            if choice.vgpu not in self.buckets:
                return choice
            lasts_ns = self.buckets[choice.vgpu].lasts_ns(now_ns)
            return Slice(choice.vgpu, min(choice.length_ns, lasts_ns))
        times = list(held.values())
        if isinstance(choice, Idle):
            return Idle(min([choice.until_ns, *times]), choice.kept_for)
        return Idle(min(times)) if times else None

    def charge(self, vgpu: int, used_ns: int, now_ns: int) -> None:
        """See `Policy.charge`."""
        self.policy.charge(vgpu, used_ns, now_ns)
        if vgpu in self.buckets:
            self.buckets[vgpu].spend(used_ns, now_ns)


def checked_cap(cap: float) -> float:
    """``cap``, which is above 0 and at most 1. Raises ValueError."""
    if not 0 < cap <= 1:
        raise ValueError(f"cap {cap}: must be above 0 and at most 1")
    return cap


def _earned(cap: float, time_ns: int) -> int:
    """The allowance that comes in ``time_ns``, rounded up."""
    earn, cost = cap.as_integer_ratio()
    return -(-time_ns * earn // cost)


def _time_to_earn(cap: float, allowance_ns: int) -> int:
    """How long it takes until ``allowance_ns`` have come in, rounded up."""
    earn, cost = cap.as_integer_ratio()
    return -(-allowance_ns * cost // earn)
