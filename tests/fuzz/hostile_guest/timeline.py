"""What happened when, in seconds of the monotonic clock, which all processes share. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

WINDOW_S = 2.0
"""The share of a guest is promised over any window of this length."""
_STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Phase:
    """A span of a trial."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Span:
    """A round of verified work, or time that the machine took: when it began, how long it was."""

    start: float
    seconds: float

    @property
    def end(self) -> float:
        return self.start + self.seconds


@dataclass
class Timeline:
    """Spans in the order of their ends."""

    spans: list[Span] = field(default_factory=list)
    _ends: list[float] = field(default_factory=list)

    def add(self, start: float, seconds: float) -> None:
        self.spans.append(Span(start, seconds))
        self._ends.append(start + seconds)

    def within(self, phase: Phase) -> Sequence[Span]:
        """Spans that ended in ``phase``."""
        first, last = (bisect_left(self._ends, at) for at in (phase.start, phase.end))
        return self.spans[first:last]

    def rate(self, phase: Phase) -> float:
        """Spans ended in a second of ``phase``, the parts of those that were under way included."""
        if phase.seconds <= 0:
            return 0.0
        return (self._progress(phase.end) - self._progress(phase.start)) / phase.seconds

    def lowest_rate(self, phase: Phase, window: float = WINDOW_S) -> float:
        """The least `rate` of any ``window`` within ``phase``; of all of it when it is shorter."""
        if phase.seconds <= window:
            return self.rate(phase)
        count = int((phase.seconds - window) / _STEP_S) + 1
        firsts = (phase.start + _STEP_S * number for number in range(count))
        return min(self.rate(Phase(first, first + window)) for first in firsts)

    def longest(self, phase: Phase) -> Span:
        """The longest span that ended in ``phase``, or one of no length."""
        return max(
            self.within(phase), key=lambda span: span.seconds, default=Span(phase.start, 0.0)
        )

    def overlap(self, span: Span) -> float:
        """Seconds of ``span`` that spans of this timeline cover, which do not overlap."""
        total = 0.0
        for own in self.spans[bisect_left(self._ends, span.start) :]:
            if own.start >= span.end:
                break
            total += max(0.0, min(own.end, span.end) - max(own.start, span.start))
        return total

    def _progress(self, at: float) -> float:
        """Spans ended at ``at``, with the part of the next: time since the last end by its gap."""
        done = bisect_right(self._ends, at)
        if not 0 < done < len(self._ends):
            return float(done)
        before, after = self._ends[done - 1], self._ends[done]
        return done + (at - before) / (after - before) if after > before else float(done)
