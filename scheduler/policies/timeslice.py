"""Weighted time slices with debt, after gVirt's render scheduler (USENIX ATC 2014).

gVirt's rules: a slice of 16 ms, one frame at 60 Hz, since a world switch costs far more than that
of a processor; shares by weight; a guest that cannot be stopped in time is charged what it used
and makes up for it later. GVT-g kept these books in periods of 100 ms that were forgotten each
second, and left the GPU idle when all had spent theirs. Here each vGPU has a virtual time
instead, the time it used divided by its weight, and the one furthest behind is next. That is
start-time fair queueing (Goyal, Vin, Cheng; SIGCOMM 1996), and gives bounds:

* For vGPUs i and j with work throughout an interval, |W_i/w_i - W_j/w_j| <= C_i/w_i + C_j/w_j,
  with W the time used in it and C the longest turn, slice plus overrun.
* A vGPU with work gets its next turn after at most the sum over all others j of
  w_j/w_i * C_i + C_j.

A vGPU that comes back from idle starts at the present virtual time or, if it still had debt, later:
idleness earns nothing and costs nothing. Nor does going away and coming back as a new client.

**Very long turns.** What a turn takes beyond eight slices (128 ms) while others wait is charged
half as much again, so W above is then more than was used. With turns of 16 ms and 250 ms of
patience two vGPUs of one weight would get an equal part of the time in the long run, but an
interval of 2 s can hold a turn more of one than of the other, and the one that keeps to its slices
is due 0.9 of its part in any of them.

**Short pauses.** A guest that waits for each of its requests is idle for an instant after each. If
the GPU went to the next at once, one who cannot be stopped in time would get a turn of any length
for every such instant, and would never pay. So the GPU is kept free for who is behind and will be
back at once (anticipatory scheduling; Iyer, Druschel; SOSP 2001):

* It is kept from a vGPU that is ahead: for half of the time that the other is behind, 2 ms at most;
  or for all of it, 50 ms at most, if the one ahead overran its slice in its last turn.
* It is kept only for who came back that soon of late, and only until then: who does not come loses
  its place, as everybody who comes back from idle does.
* That time is charged to whom it was kept for, so nobody can keep others waiting for nothing.

So beside somebody who overruns, a vGPU with pauses up to 50 ms gets done what it would get done
with the GPU to itself in its part of the time. C in the bounds above is then no less than the
longest pause for which the GPU was kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from scheduler.policy import Idle, Slice, checked_weight

SLICE_NS = 16_000_000
LONGEST_PAUSE_NS = 50_000_000
"""The longest pause for which the GPU is kept from a vGPU that overran."""
_OVERRUN = 8
"""A turn that is longer than the slice by one part in so many has overrun it."""
_LONG_SLICES = 8
"""What a turn takes beyond so many slices while others wait is charged half as much again."""
_FRACTION = 20
"""Bits of virtual time below a nanosecond, so that dividing by weights loses nothing."""


@dataclass
class Account:
    """What one vGPU has had."""

    weight: int
    virtual: int
    """Time used divided by weight, in ns << 20, on the scale that all vGPUs share."""
    turn: int = 0
    """Number of its last turn: of two that are as far, the one that waited longer goes first."""
    used_ns: int = 0
    """What was charged since that turn began."""
    left_ns: int | None = None
    """Since when it is idle; None while it has work, or was not seen to finish it."""
    pause_ns: int = 0
    """How long it is idle between two requests, a mean in which the last counts most."""

    def note_return(self, now_ns: int) -> None:
        """Work has come to it; if it was idle, that was a pause."""
        if self.left_ns is not None:
            pause_ns = min(max(now_ns - self.left_ns, 0), 4 * LONGEST_PAUSE_NS)
            self.pause_ns = (3 * self.pause_ns + pause_ns) // 4
            self.left_ns = None

    def spend(self, used_ns: int) -> None:
        """It has had ``used_ns``."""
        self.virtual += (used_ns << _FRACTION) // self.weight


@dataclass
class Timeslice:
    """Implements `scheduler.policy.Policy`."""

    slice_ns: int = SLICE_NS
    accounts: dict[int, Account] = field(default_factory=dict)
    virtual: int = 0
    """Where vGPUs that come from idle start: what the present turn began with, or what it came to
    when nobody else had work. Nobody with work is behind it."""
    turns: int = 0
    backlogged: set[int] = field(default_factory=set)
    """The vGPUs with work at the last pick."""
    arrived: set[int] = field(default_factory=set)
    """Those that had none then, and to whom work has come since; it may be done."""
    wanted_ns: int | None = None
    """Since when there are such."""
    kept: tuple[int, int] | None = None
    """For whom the GPU is kept free, and since when."""
    departed: dict[int, Account] = field(default_factory=dict)
    """Of vGPUs that were removed."""

    def __post_init__(self) -> None:
        if self.slice_ns < 1:
            raise ValueError(f"slice of {self.slice_ns} ns: 1 is the least")

    def add(self, vgpu: int, weight: int, now_ns: int) -> None:
        """See `Policy.add`. What the number owed when it was removed, it owes."""
        if vgpu in self.accounts:
            raise ValueError(f"vGPU {vgpu} is there already")
        account = self.departed.pop(vgpu, Account(checked_weight(weight), self.virtual))
        account.weight, account.turn = checked_weight(weight), self.turns
        account.virtual = max(account.virtual, self.virtual)
        self.accounts[vgpu] = account

    def remove(self, vgpu: int) -> None:
        """See `Policy.remove`."""
        self.departed[vgpu] = account = self.accounts.pop(vgpu)
        account.left_ns = None
        self.backlogged.discard(vgpu)
        self.arrived.discard(vgpu)
        if self.kept is not None and self.kept[0] == vgpu:
            self.kept = None

    def set_weight(self, vgpu: int, weight: int) -> None:
        """See `Policy.set_weight`. What it used so far stays divided by the old weight."""
        self.accounts[vgpu].weight = checked_weight(weight)

    def arrive(self, vgpu: int, now_ns: int) -> None:
        """See `Policy.arrive`."""
        self.accounts[vgpu].note_return(now_ns)
        if self.kept is not None and self.kept[0] == vgpu:
            self.accounts[vgpu].spend(max(now_ns - self.kept[1], 0))
            self.kept = None
        if vgpu not in self.backlogged:
            self.arrived.add(vgpu)
            if self.wanted_ns is None:
                self.wanted_ns = now_ns

    def pick(
        self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
    ) -> Slice | Idle | None:
        """See `Policy.pick`."""
        for vgpu in (self.backlogged | self.arrived).difference(ready):
            self.accounts[vgpu].left_ns = None if vgpu in barred else now_ns
        for vgpu in ready:
            if vgpu not in self.backlogged:
                self.arrive(vgpu, now_ns)
                account = self.accounts[vgpu]
                account.virtual = max(account.virtual, self.virtual)
        self.backlogged = set(ready)
        self.arrived.clear()
        self.wanted_ns = None
        if not ready:
            return None
        vgpu = min(ready, key=self._order)
        account = self.accounts[vgpu]
        kept = self._keep(account, now_ns)
        if kept is not None:
            return kept
        self.turns += 1
        account.turn, account.used_ns = self.turns, 0
        self.virtual = account.virtual
        return Slice(vgpu, self.slice_ns)

    def charge(self, vgpu: int, used_ns: int, now_ns: int) -> None:
        """See `Policy.charge`."""
        account = self.accounts[vgpu]
        free_ns = self._unwanted(vgpu, used_ns, now_ns)
        begin = account.virtual + (free_ns << _FRACTION) // account.weight
        account.used_ns += used_ns
        beyond_ns = max(account.used_ns - _LONG_SLICES * self.slice_ns, 0)
        account.spend(used_ns + min(beyond_ns, used_ns - free_ns) // 2)
        if free_ns:
            self.virtual = max(self.virtual, begin)

    def _unwanted(self, vgpu: int, used_ns: int, now_ns: int) -> int:
        """How much of the time that ``vgpu`` used up to now nobody else had work for."""
        if not self.backlogged <= {vgpu}:
            return 0
        waited_ns = 0 if self.wanted_ns is None else now_ns - self.wanted_ns
        return min(max(used_ns - waited_ns, 0), used_ns)

    def _keep(self, ahead: Account, now_ns: int) -> Idle | None:
        """Whether the GPU is kept from ``ahead``, the next in order; None: it may have it."""
        tolerated_ns = self.slice_ns // _OVERRUN
        overran = ahead.used_ns > self.slice_ns + tolerated_ns
        most_ns = LONGEST_PAUSE_NS if overran else tolerated_ns
        found: tuple[int, int, int] | None = None
        for vgpu, account in self.accounts.items():
            if account.left_ns is None or account.virtual >= ahead.virtual:
                continue
            behind_ns = (ahead.virtual - account.virtual) * account.weight >> _FRACTION
            worth_ns = behind_ns if overran else behind_ns // 2
            patience_ns = min(worth_ns, most_ns)
            until_ns = account.left_ns + patience_ns
            if account.pause_ns <= patience_ns and now_ns < until_ns:
                candidate = (account.virtual, vgpu, until_ns)
                found = candidate if found is None else min(found, candidate)
        if found is None:
            self.kept = None
            return None
        _, vgpu, until_ns = found
        if self.kept is None or self.kept[0] != vgpu:
            self.kept = (vgpu, now_ns)
        return Idle(until_ns, vgpu)

    def _order(self, vgpu: int) -> tuple[int, int, int]:
        account = self.accounts[vgpu]
        return account.virtual, account.turn, vgpu
