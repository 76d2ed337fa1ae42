"""A vfio-user connection: messages over one AF_UNIX stream socket, with file descriptors.

One read takes all there is, so posted writes that arrive back to back cost one system call.
A message goes out in one ``sendmsg``: QEMU wants a whole header, and its fds, in its first read.
"""

from __future__ import annotations

import math
import os
import select
import socket
import threading
import time
from array import array
from collections.abc import Callable, Sequence

from mmio_trap.vfio_user.peer import Peer, peer_of
from mmio_trap.vfio_user.protocol import MAX_MSG_FDS, Message, MessageParser, PeerError

_CUT_SHORT = int(socket.MSG_CTRUNC)
"""For the sake of speed: no enum."""
_ANCILLARY_SIZE = socket.CMSG_SPACE((MAX_MSG_FDS + 1) * 4)
"""A read brings the descriptors of one message at most (unix(7)): one more shows there are more."""
PATIENCE_S = 10.0
"""Seconds for a message from its first byte to its last, either way."""


class Connection:
    """One side of a connection. Owns ``sock``; receiving and sending may be different threads.

    A peer may be silent between messages for as long as it likes, but neither stop in the middle
    of one nor leave the other side's unread: each has ``patience`` seconds as a whole, however
    many pieces it comes in.
    """

    def __init__(
        self,
        sock: socket.socket,
        patience: float = PATIENCE_S,
        let_go: Callable[[int], None] = os.close,
    ) -> None:
        """``let_go`` closes descriptors that reach no message."""
        self._sock = sock
        self._patience = patience
        self._parser = MessageParser(let_go)
        self._closing = threading.Lock()

    def receive(self, deadline: float | None = None) -> Message | None:
        """Wait for the next message; None when the peer has closed. The message owns its fds.

        Its first byte may come at any time, or until ``deadline`` (of `time.monotonic`). Raises
        PeerError when the framing is broken or the time is over, OSError when the socket is.
        """
        parser = self._parser
        message = parser.next_message() if parser.is_inside_message else None
        began: float | None = None
        while message is None:
            if parser.is_inside_message:
                began = time.monotonic() if began is None else began
                deadline = began + self._patience
            if deadline is not None:
                self._wait(select.POLLIN, deadline)
            count, ancillary, flags, _ = self._sock.recvmsg_into(
                (parser.room(),), _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC
            )
            fds = _received_fds(ancillary) if ancillary else []
            parser.received(count, fds)
            if flags & _CUT_SHORT:
                raise PeerError(
                    "file descriptors that came were not taken: this process has no number left "
                    "for them (raise its `ulimit -n`), or a security module refused"
                )
            if not count:
                if parser.is_inside_message:
                    raise PeerError("the connection ended inside a message")
                return None
            message = parser.next_message()
        return message

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send one whole message; ``fds`` stay the caller's.

        Raises PeerError when the peer does not take it in time, OSError.
        """
        sent = self._send_some(data, fds)
        if sent == len(data):
            return
        deadline = time.monotonic() + self._patience
        rest = memoryview(data)[sent:]
        while rest:
            self._wait(select.POLLOUT, deadline)
            sent = self._send_some(rest, fds if len(rest) == len(data) else ())
            rest = rest[sent:]

    def _send_some(self, data: bytes | memoryview, fds: Sequence[int]) -> int:
        """Send what there is room for; how many bytes that was."""
        try:
            if not fds:
                return self._sock.send(data, socket.MSG_DONTWAIT)
            return socket.send_fds(self._sock, [data], list(fds), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def _wait(self, event: int, deadline: float) -> None:
        """Wait until the socket is ready for ``event``. Raises PeerError after ``deadline``."""
        poller = select.poll()
        poller.register(self._sock, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(math.ceil(left * 1000)):
            raise PeerError(self._complaint(event))

    def _complaint(self, event: int) -> str:
        if event == select.POLLOUT:
            return f"a reply was not read for {self._patience:g} s"
        if self._parser.is_inside_message:
            return f"a message was not finished in {self._patience:g} s: {self._parser.progress}"
        return f"nothing came for {self._patience:g} s"

    def peer(self) -> Peer:
        """Who is at the other end."""
        return peer_of(self._sock)

    def peer_has_left(self) -> bool:
        """Whether either end is closed; bytes the peer sent may still be waiting. Any thread."""
        with self._closing:
            if self._sock.fileno() < 0:
                return True
            poller = select.poll()
            poller.register(self._sock, 0)
            return bool(poller.poll(0))

    def shut_down(self) -> None:
        """End the connection from another thread: a blocked receive or send returns."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the peer was faster

    def close(self) -> None:
        """Close the socket and every file descriptor that reached no message."""
        self._parser.close()
        with self._closing:
            self._sock.close()


def _received_fds(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array("i")
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
            fds.extend(numbers)
    return fds
