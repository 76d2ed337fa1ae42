"""How many lines of the log one guest may cause: it could cause a hundred thousand a second.

What is not written is counted all the same, where it is counted at all.
"""

from __future__ import annotations

from collections.abc import Callable

BURST = 100
"""Lines at once."""
PER_SECOND = 20
"""Lines a second in the long run."""
_SECOND_NS = 1_000_000_000


class LogBudget:
    """A token bucket. Times are nanoseconds of ``clock``. Its owner keeps threads apart."""

    def __init__(
        self, clock: Callable[[], int], burst: int = BURST, per_second: int = PER_SECOND
    ) -> None:
        self._clock = clock
        self._each_ns = _SECOND_NS // per_second
        self._saved_ns = (burst - 1) * self._each_ns
        self._due_ns = clock() - self._saved_ns
        """When the next line is due if none had been saved."""
        self._left_out = 0

    def take(self) -> bool:
        """Whether one more line may be written."""
        now = self._clock()
        if self._due_ns > now:
            self._left_out += 1
            return False
        self._due_ns = max(self._due_ns, now - self._saved_ns) + self._each_ns
        return True

    def take_left_out(self) -> int:
        """How many lines were left out since the last call."""
        found, self._left_out = self._left_out, 0
        return found
