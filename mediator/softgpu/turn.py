"""Whose turn it is to run Python: engines take turns, so that a trap competes with one of them.

The interpreter runs one thread at a time and picks the next one blindly: a trap that waits beside
four busy engines waits for several of them, twice for each request. Turns are given in the order
of asking. Work that lets go of the interpreter (C) is done `aside`, beside the turns.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turn:
    """A first-come, first-served lock. ``with turn:`` to hold it, ``turn.aside()`` inside."""

    __slots__ = ("_lock", "_taken", "waiting")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self.waiting: deque[threading.Lock] = deque()
        """Who asked and waits, first come first; each waits for its lock."""

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            called = threading.Lock()
            called.acquire()
            self.waiting.append(called)
        called.acquire()  # by who hands the turn over, which stays taken

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self.waiting:
                self.waiting.popleft().release()
            else:
                self._taken = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others take turns meanwhile; back at the end of the queue afterwards."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
