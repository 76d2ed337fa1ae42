"""Sockets given to vgpud as systemd gives them (sd_listen_fds(3))."""

from __future__ import annotations

import socket
import sys

_SCRIPT = (
    "import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', "
    "LISTEN_FDNAMES='control')\nos.execv(sys.argv[2], sys.argv[2:])"
)


def giving_control(listener: socket.socket) -> tuple[str, ...]:
    """Words before a command that gets ``listener`` as its control socket."""
    return sys.executable, "-c", _SCRIPT, str(listener.fileno())
