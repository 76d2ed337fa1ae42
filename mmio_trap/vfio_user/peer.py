"""Who is at the other end of a UNIX socket. For clients of vgpud, too: imports next to nothing."""

from __future__ import annotations

import socket
from struct import Struct
from typing import NamedTuple

_UCRED = Struct("iII")


class Peer(NamedTuple):
    """The peer as it was when it connected, or began to listen (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


def peer_of(sock: socket.socket) -> Peer:
    """The peer of a connected AF_UNIX stream socket."""
    return Peer(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
