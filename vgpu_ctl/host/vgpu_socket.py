"""The vfio-user sockets of vGPUs: where they are, whose they are, and what can be wrong with it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.config import SocketsConfig, gid_of, uid_of
from vgpu_ctl.config_file import ConfigError
from vgpu_ctl.directories import DirectoryError, check_not_everybodys, make_passable
from vgpu_ctl.host.migration_guard import put_guard

if TYPE_CHECKING:
    from mmio_trap.vfio_user.server import Server
    from vgpu_ctl.paths import Paths

LONGEST_PATH = 107
"""Bytes in the path of a UNIX socket (sun_path, with its final zero, has 108)."""
_HINTS = {
    errno.EADDRINUSE: "another program listens there: stop it",
    errno.EEXIST: "something that is no socket is there: remove it",
    errno.EPERM: "only root can give a socket to another user",
}


def socket_path(sockets: SocketsConfig, paths: Paths, name: str) -> Path:
    """Where the socket of the vGPU ``name`` is while that is active."""
    directory = Path(sockets.directory) if sockets.directory else paths.runtime / "vgpus"
    return directory / f"{name}.sock"


def check_length(path: Path) -> None:
    """Raises ApiError INVALID when no socket can have that path."""
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise ApiError(
            ErrorCode.INVALID,
            f"name: its socket {path} has {length} bytes, {LONGEST_PATH} are allowed",
            field="name",
            hint="take a shorter name, or a shorter sockets.directory",
        )


def socket_owner(sockets: SocketsConfig) -> tuple[int, int] | None:
    """User and group of vGPU sockets; None: this process's. Raises ApiError for nobody."""
    if not sockets.owner and not sockets.group:
        return None
    try:
        return (
            uid_of(sockets.owner) if sockets.owner else -1,
            gid_of(sockets.group) if sockets.group else -1,
        )
    except ConfigError as error:
        raise ApiError(ErrorCode.FAILED, f"sockets: {error}", hint="see vgpud.toml") from error


def listen(server: Server, path: Path) -> None:
    """Have ``server`` create its socket, and what belongs around it. Raises ApiError."""
    try:
        make_passable(path.parent)
        for directory in (path.parent, path.parent.parent):
            check_not_everybodys(directory)
        put_guard(path.parent)
        server.listen()
    except DirectoryError as error:
        raise ApiError(ErrorCode.FAILED, f"cannot listen on {path}: {error}") from error
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, f"look at {path.parent}")
        text = f"cannot listen on {path}: {error.strerror}"
        raise ApiError(ErrorCode.FAILED, text, hint=hint) from error
