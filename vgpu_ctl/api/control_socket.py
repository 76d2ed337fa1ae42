"""The control socket itself: how it is made, and who of those that connect may use it."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from contextlib import suppress
from errno import EADDRINUSE, EEXIST, ERANGE
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmio_trap.vfio_user.peer import Peer

_BACKLOG = 256
_SO_PEERGROUPS = 59
"""Linux: supplementary groups of the peer (unix(7))."""
_GROUPS_BYTES = 1024
"""More Python does not ask for: 256 groups."""


def listen(path: Path, mode: int, group: int | None) -> socket.socket:
    """A listening socket at ``path``, which ``group`` (a number) may use if ``mode`` lets it.

    A socket without a listener is replaced. Raises OSError, EADDRINUSE among them.
    """
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        os.fchmod(listener.fileno(), 0o600)  # until it is who it should be
        listener.bind(str(path))
        bound = True
        if group is not None:
            os.chown(path, -1, group, follow_symlinks=False)
        path.chmod(mode)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        if bound:
            path.unlink(missing_ok=True)
        raise
    return listener


def is_allowed(connection: socket.socket, peer: Peer, group: int | None) -> bool:
    """The socket's mode has let it in; but modes can be changed by accident."""
    if peer.uid in (0, os.geteuid()):
        return True
    if group is None:
        return False
    return group == peer.gid or group in _groups(connection, peer)


def _groups(connection: socket.socket, peer: Peer) -> set[int]:
    """Supplementary groups of the peer, as they were when it connected.

    Who is in more of them than can be asked for has those of the user database.
    """
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as error:
        if error.errno != ERANGE:
            return set()
        try:
            return set(os.getgrouplist(pwd.getpwuid(peer.uid).pw_name, peer.gid))
        except (KeyError, OSError):
            return set()
    return set(struct.unpack(f"{len(raw) // 4}I", raw))


def _remove_stale(path: Path) -> None:
    """Remove a socket without a listener. Raises OSError EADDRINUSE when there is one, or EEXIST.

    A listener that does not accept any more is one, too.
    """
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise OSError(EEXIST, "something that is no socket is there", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(BlockingIOError):
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(EADDRINUSE, "another vgpud listens there", str(path))
