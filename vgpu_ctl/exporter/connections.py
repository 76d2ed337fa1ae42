"""The connections that a server has open: how many, and for how long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class Connections:
    """Open connections, at most ``most``, each for at most ``seconds``. For any thread."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        """``clock``: seconds, only forward."""
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: dict[socket.socket, float] = {}
        """When each has to be over."""

    def admit(self, connection: socket.socket) -> bool:
        """Count ``connection``; False when there are enough."""
        with self._lock:
            if len(self._ends) >= self._most:
                return False
            self._ends[connection] = self._clock() + self._seconds
            return True

    def release(self, connection: socket.socket) -> None:
        """It is about to be closed; one that was not admitted is none of ours."""
        with self._lock:
            self._ends.pop(connection, None)

    def end_late(self) -> None:
        """Shut down those whose time is over: what waits for them wakes up and fails."""
        now = self._clock()
        self._end(lambda end: end <= now)

    def end_all(self) -> None:
        """Shut down all."""
        self._end(lambda _end: True)

    def _end(self, is_over: Callable[[float], bool]) -> None:
        # Under the lock: once released, a connection's descriptor may be somebody else's.
        with self._lock:
            for connection, end in self._ends.items():
                if is_over(end):
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
