"""One client of the control socket: lines in, replies out, and nobody waits for it."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from vgpu_ctl.api.messages import MAX_REQUEST
from vgpu_ctl.pacing.fair_queue import Party

if TYPE_CHECKING:
    from mmio_trap.vfio_user.peer import Peer
    from vgpu_ctl.api.streams import Stream

REQUEST_S = 10.0
"""From the first byte of a request to its last."""
SEND_S = 10.0
"""For a client to take a reply."""


class NoRequest(Exception):
    """What came can be no request; the text says why."""


class Connection:
    """Buffers and deadlines of a client. Times are monotonic seconds. For one thread."""

    def __init__(self, connection: socket.socket, peer: Peer, *, allowed: bool, now: float) -> None:
        connection.setblocking(False)
        self._socket = connection
        self.peer = peer
        self.party = Party(peer.uid, peer.pid)
        self.allowed = allowed
        self.descriptor = connection.fileno()
        self.identity = 0
        """Of the request that is being answered; 0 before it is known."""
        self.is_queued = False
        """It waits for its turn."""
        self.at_work = False
        """A worker has its request."""
        self.stream: Stream | None = None
        """What it listens to."""
        self.is_ending = False
        """It is closed once the reply is out."""
        self.watched = 0
        """The events that it is watched for."""
        self.idle_since = now
        self._received = bytearray()
        self._begun_at: float | None = None
        """When the first byte of an unfinished request came."""
        self._out = memoryview(b"")
        self._sending_since: float | None = None
        """Since when the reply is on its way."""
        self._has_left = False

    # -- in ---------------------------------------------------------------------------------------

    def receive(self, now: float) -> None:
        """Take what is there, a request's length at most. Raises OSError."""
        try:
            data = self._socket.recv(MAX_REQUEST)
        except BlockingIOError:
            return
        if not data:
            self._has_left = True
            return
        self._received += data
        if self.has_line:
            self._begun_at = None
        elif self._begun_at is None:
            self._begun_at = now

    @property
    def has_line(self) -> bool:
        """A request is there, or the beginning of one that is too long."""
        return b"\n" in self._received or len(self._received) >= MAX_REQUEST

    def take_line(self, now: float) -> bytes:
        """The request that is there. Raises NoRequest."""
        end = self._received.find(b"\n", 0, MAX_REQUEST)
        if end < 0:
            raise NoRequest(f"a request has more than {MAX_REQUEST} bytes")
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        if self._received and not self.has_line:
            self._begun_at = now
        return line

    # -- out --------------------------------------------------------------------------------------

    @property
    def is_sending(self) -> bool:
        """Part of a reply has not been taken."""
        return bool(self._out)

    def send(self, line: bytes, now: float) -> None:
        """Send ``line`` as far as the client takes it. Raises OSError. Not `is_sending`."""
        assert not self._out, "one reply at a time"
        self._out = memoryview(line)
        self._sending_since = now
        self.flush(now)

    def flush(self, now: float) -> None:
        """Send what is left. Raises OSError."""
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                return
            self._out = self._out[sent:]
        self._out = memoryview(b"")
        self._sending_since = None
        self.idle_since = now

    # -- when it is over --------------------------------------------------------------------------

    def late(self, now: float) -> str:
        """What the client has taken too long for; empty: nothing. Raises TimeoutError when it takes
        no reply, so that none need be sent.
        """
        if self._sending_since is not None and now - self._sending_since > SEND_S:
            raise TimeoutError(f"a reply was not taken within {SEND_S:.0f} s")
        if self._begun_at is not None and now - self._begun_at > REQUEST_S and not self.is_busy:
            return f"a request was not complete within {REQUEST_S:.0f} s"
        return ""

    @property
    def has_deadline(self) -> bool:
        """Whether `late` is to be asked."""
        return self._sending_since is not None or self._begun_at is not None

    @property
    def is_busy(self) -> bool:
        """It waits for its turn, a worker, or a stream: it is not the client's turn."""
        return self.is_queued or self.at_work or self.stream is not None

    @property
    def is_over(self) -> bool:
        """There is nothing more to do for it."""
        if self.is_sending or self.at_work:
            return False
        return self.is_ending or (self._has_left and not self.is_queued and not self.has_line)

    @property
    def wants(self) -> int:
        """The events of epoll that matter now; 0: none."""
        if self.is_sending:
            return select.EPOLLOUT
        if self.stream is not None:
            return 0 if self.is_queued else select.EPOLLRDHUP
        return 0 if self.is_busy or self.is_over else select.EPOLLIN

    def close(self) -> None:
        """Close it; what it listened to ends."""
        if self.stream is not None:
            self.stream.close()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
