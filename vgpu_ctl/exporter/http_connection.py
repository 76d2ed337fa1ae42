"""One client of the metrics' HTTP server: a request in, an answer out, and nobody waits for it."""

from __future__ import annotations

import select
import socket
from collections import deque
from contextlib import suppress
from typing import Any

from vgpu_ctl.exporter.request_head import is_complete
from vgpu_ctl.pacing.fair_queue import Party

_CHUNK = 4096
_MOST_BEYOND = 1 << 16


class HttpConnection:
    """Buffers of a client. Times are monotonic seconds. For one thread."""

    def __init__(self, connection: socket.socket, address: Any, now: float) -> None:
        connection.setblocking(False)
        self._socket = connection
        self.address = address
        self.party = Party(address[0] if isinstance(address, tuple) else "")
        self.descriptor = connection.fileno()
        self.idle_since = self.began = now
        self.at_work = False
        """Its answer is being made."""
        self.is_answered = False
        self.received = bytearray()
        self._out: deque[memoryview] = deque()

    def receive(self) -> bool:
        """Take what is there; whether the request is complete. Raises OSError."""
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("it left without a request")
        self.received += data
        return is_complete(self.received)

    def send(self, *parts: bytes) -> None:
        """Answer, as far as the client takes it. Raises OSError."""
        self.is_answered = True
        self._out.extend(memoryview(part) for part in parts if part)
        self.flush()

    def flush(self) -> None:
        """Send what is left. Raises OSError."""
        while self._out:
            try:
                sent = self._socket.send(self._out[0])
            except BlockingIOError:
                return
            if sent < len(self._out[0]):
                self._out[0] = self._out[0][sent:]
            else:
                self._out.popleft()

    @property
    def is_busy(self) -> bool:
        """Its request is there and not answered: it waits for us."""
        return not self.is_answered and is_complete(self.received)

    @property
    def is_over(self) -> bool:
        """It has its answer."""
        return self.is_answered and not self._out

    @property
    def wants(self) -> int:
        """The events of epoll that matter now; 0: none."""
        if self._out:
            return select.EPOLLOUT
        return 0 if self.is_answered or self.is_busy else select.EPOLLIN

    def close(self) -> None:
        """Close it. The client has its answer and sees an end: what it has sent beyond its request
        is taken first, or the kernel would make an error of it.
        """
        with suppress(OSError):
            self._socket.recv(_MOST_BEYOND)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
