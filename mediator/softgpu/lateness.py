"""How late an engine takes the list that waits in its submission port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.softgpu.streamer import SLICE
from mediator.softgpu.strictness import AT_OLD_TAIL, LONGEST_DELAY

if TYPE_CHECKING:
    from mediator.softgpu.strictness import ListDelay


class Lateness:
    """Commands that one engine still carries out before it takes the list."""

    __slots__ = ("_at_old_tail", "_delay", "_name", "left")

    def __init__(self, delay: ListDelay | None, name: str) -> None:
        """``delay`` is asked for each list of the engine called ``name``; None: never late."""
        self._delay = delay
        self._name = name
        self._at_old_tail = False
        self.left = 0

    @property
    def anywhere(self) -> bool:
        """A list may be taken between any two commands, not at arbitration points alone."""
        return self._delay is not None

    def submitted(self, *, busy: bool) -> None:
        """A list waits from now on; an engine that is not busy takes it at once."""
        self.left = self._delay(self._name) if busy and self._delay is not None else 0
        self._at_old_tail = self.left == AT_OLD_TAIL
        if self._at_old_tail:
            self.left = LONGEST_DELAY

    def limit(self, quantum: int) -> int:
        """Commands of the next run, for which ``quantum`` would be the number otherwise."""
        return min(self.left, SLICE) if self.left else quantum

    def count(self, commands: int) -> None:
        """So many were carried out."""
        self.left = max(0, self.left - commands)

    def drained(self) -> None:
        """The running context is at its tail, or waits; a wait may never end."""
        if self._at_old_tail:
            self.left = 0

    def forget(self) -> None:
        """No list waits any more."""
        self.left = 0
