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
idleness earns nothing and costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from scheduler.policy import Slice, checked_weight

SLICE_NS = 16_000_000
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

    def __post_init__(self) -> None:
        if self.slice_ns < 1:
            raise ValueError(f"slice of {self.slice_ns} ns: 1 is the least")

    def add(self, vgpu: int, weight: int, now_ns: int) -> None:
        """See `Policy.add`."""
        if vgpu in self.accounts:
            raise ValueError(f"vGPU {vgpu} is there already")
        self.accounts[vgpu] = Account(checked_weight(weight), self.virtual, self.turns)

    def remove(self, vgpu: int) -> None:
        """See `Policy.remove`."""
        del self.accounts[vgpu]
        self.backlogged.discard(vgpu)

    def set_weight(self, vgpu: int, weight: int) -> None:
        """See `Policy.set_weight`. What it used so far stays divided by the old weight."""
        self.accounts[vgpu].weight = checked_weight(weight)

    def arrive(self, vgpu: int, now_ns: int) -> None:
        """See `Policy.arrive`. The next pick sees who is new; it matters to nothing before."""
        if vgpu not in self.accounts:
            raise KeyError(vgpu)

    def pick(self, ready: Collection[int], now_ns: int) -> Slice | None:
        """See `Policy.pick`."""
        for vgpu in ready:
            if vgpu not in self.backlogged:
                account = self.accounts[vgpu]
                account.virtual = max(account.virtual, self.virtual)
        self.backlogged = set(ready)
        if not ready:
            return None
        vgpu = min(ready, key=self._order)
        account = self.accounts[vgpu]
        self.turns += 1
        account.turn = self.turns
        self.virtual = account.virtual
        return Slice(vgpu, self.slice_ns)

    def charge(self, vgpu: int, used_ns: int, now_ns: int) -> None:
        """See `Policy.charge`."""
        account = self.accounts[vgpu]
        account.virtual += (used_ns << _FRACTION) // account.weight
        if self.backlogged <= {vgpu}:  # nobody else wanted that time, be it ever so long
            self.virtual = max(self.virtual, account.virtual)

    def _order(self, vgpu: int) -> tuple[int, int, int]:
        account = self.accounts[vgpu]
        return account.virtual, account.turn, vgpu
