"""A part of one processor: how long to rest after work, so that on average no more is taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """At most ``share`` of a processor, and ``burst`` seconds of its time at once.

    Of any span of s seconds, work that asks `rest` before it begins gets at most
    ``share`` * s + ``burst`` and the rest of one piece that had begun. Times are seconds of any one
    clock that only goes forward. Not for several threads at once.
    """

    share: float
    burst: float
    _paid_at: float = -float("inf")
    """When all that was taken is paid for."""

    def charge(self, cost: float, now: float) -> None:
        """``cost`` seconds of processor time were taken."""
        self._paid_at = max(self._paid_at, now - self.burst / self.share) + cost / self.share

    def rest(self, now: float) -> float:
        """Seconds from now until there is something to spend again; 0: at once."""
        return max(0.0, self._paid_at - now)
