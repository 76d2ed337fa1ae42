"""A lock for what many use and few change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Many users or one change. Entered by users; a change that waits lets no new user in."""

    __slots__ = ("_condition", "_lock", "_users", "changing")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._users = 0
        self.changing = False

    def __enter__(self) -> None:
        with self._lock:
            while self.changing:
                self._condition.wait()
            self._users += 1

    def enter(self, timeout_s: float | None = None) -> bool:
        """Become a user, unless a change goes on for so long; the way out is `__exit__`."""
        with self._lock:
            if self.changing and not self._condition.wait_for(self._is_open, timeout_s):
                return False
            self._users += 1
        return True

    def _is_open(self) -> bool:
        return not self.changing

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self.changing and not self._users:
                self._condition.notify_all()

    @contextmanager
    def change(self) -> Iterator[None]:
        """While inside, nobody else is."""
        with self._lock:
            while self.changing:
                self._condition.wait()
            self.changing = True
            while self._users:
                self._condition.wait()
        try:
            yield
        finally:
            with self._lock:
                self.changing = False
                self._condition.notify_all()
