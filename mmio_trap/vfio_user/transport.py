"""A vfio-user connection: messages over one AF_UNIX stream socket, with file descriptors.

One read takes all there is, so posted writes that arrive back to back cost one system call.
A message goes out in one ``sendmsg``: QEMU wants a whole header, and its fds, in its first read.
"""

from __future__ import annotations

import select
import socket
import threading
from array import array
from collections.abc import Sequence

from mmio_trap.vfio_user.peer import Peer, peer_of
from mmio_trap.vfio_user.protocol import Message, MessageParser, PeerError

_MAX_READ_FDS = 32
"""Descriptors taken from one read; what a peer sends beyond is a broken peer."""
_ANCILLARY_SIZE = socket.CMSG_SPACE(_MAX_READ_FDS * 4)


class Connection:
    """One side of a connection. Owns ``sock``; receiving and sending may be different threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parser = MessageParser()
        self._closing = threading.Lock()

    def receive(self) -> Message | None:
        """Wait for the next message; None when the peer has closed. The message owns its fds.

        Raises PeerError when the framing is broken, OSError when the socket is.
        """
        parser = self._parser
        message = parser.next_message() if parser.is_inside_message else None
        while message is None:
            count, ancillary, flags, _ = self._sock.recvmsg_into(
                (parser.room(),), _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC
            )
            fds = _received_fds(ancillary) if ancillary else []
            parser.received(count, fds)
            if flags & socket.MSG_CTRUNC:
                raise PeerError(f"more than {_MAX_READ_FDS} file descriptors at once")
            if not count:
                if parser.is_inside_message:
                    raise PeerError("the connection ended inside a message")
                return None
            message = parser.next_message()
        return message

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send one whole message; ``fds`` stay the caller's. Raises OSError."""
        if not fds:
            self._sock.sendall(data)
            return
        sent = socket.send_fds(self._sock, [data], list(fds))
        if sent < len(data):
            self._sock.sendall(data[sent:])

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
