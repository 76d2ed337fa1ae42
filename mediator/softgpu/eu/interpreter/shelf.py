"""What was made ready of several kernels, bounded in all.

An instruction that is ready is some fifty objects, and Python's collector, which looks at all there
are, has nobody else run meanwhile.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Ready = TypeVar("Ready")
MOST_READY: Final = 1 << 14
"""Instructions: a second's work to make them ready anew."""


class Shelf(Generic[Ready]):
    """Puts things into the dicts of kernels, and empties all of these when there are too many."""

    def __init__(self, most: int = MOST_READY) -> None:
        self._most = most
        self._count = 0
        self._filled: list[dict[int, Ready]] = []

    def put(self, ready: dict[int, Ready], offset: int, thing: Ready) -> None:
        """Keep ``thing`` in ``ready``, into which nobody else puts anything."""
        if self._count >= self._most:
            for each in self._filled:
                each.clear()
            self._filled.clear()
            self._count = 0
        if not ready:
            self._filled.append(ready)
        ready[offset] = thing
        self._count += 1
