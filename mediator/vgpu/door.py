"""The lock of one vGPU, which who holds it again and again does not keep from who waits.

A plain lock that is let go and taken again at once is mostly had by the same thread: one that
waits for it must be woken first. So a guest's long access, which lets go of its lock now and then,
would still keep the dispatcher out for all of its length.
"""

from __future__ import annotations

import threading
from types import TracebackType


class Door:
    """A re-entrant lock. Nobody who asks for it passes the one that waits.

    Of several that wait each is next in its turn or soon after: they wait at a plain lock.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._queue = threading.Lock()
        """Held by the one who is next, while it waits."""

    def __enter__(self) -> None:
        if self._queue.locked() or not self._lock.acquire(blocking=False):
            self.enter()

    def enter(self, timeout_s: float = -1) -> bool:
        """Wait until nobody else is inside, or for so long; the way out is `__exit__`.

        Twice ``timeout_s`` where several wait; below 0 there is no limit.
        """
        free = self._inside or not self._queue.locked()
        if free and self._lock.acquire(blocking=False):
            return True
        if not self._queue.acquire(timeout=timeout_s):
            return False
        try:
            return self._lock.acquire(timeout=timeout_s)
        finally:
            self._queue.release()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the next one in."""
        self._lock.release()

    @property
    def _inside(self) -> bool:
        """The caller's thread has it: the question that `threading.Condition` asks of its lock."""
        owned: bool = self._lock._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001
        return owned

    @property
    def wanted(self) -> bool:
        """Somebody waits."""
        return self._queue.locked()
