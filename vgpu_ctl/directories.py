"""The daemon's directories: made, checked, and locked, so that no two daemons share one."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import ExitStack, suppress
from pathlib import Path

from vgpu_ctl.paths import Paths

_LOCK = "lock"


class DirectoryError(Exception):
    """A directory that cannot be used; the text names it and says why."""


def prepare(paths: Paths, stack: ExitStack) -> None:
    """Make the directories and lock them until ``stack`` is closed. Raises DirectoryError."""
    for directory in (paths.runtime, paths.state):
        _make(directory, passable=directory == paths.runtime)
        _lock(directory, stack)


def make_passable(directory: Path) -> None:
    """Make ``directory``, if it is not there, with mode 0755 whatever the umask. Raises OSError.

    The modes of the sockets within say who may use them: QEMU's user has to get at its own.
    """
    try:
        directory.mkdir(parents=True, mode=0o755)
    except FileExistsError:
        if not directory.is_dir():
            raise
    else:
        directory.chmod(0o755)


def check_not_everybodys(directory: Path) -> None:
    """Raises DirectoryError when anybody could replace what is in ``directory``; OSError."""
    mode = directory.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise DirectoryError(f"{directory} can be written by everybody: chmod o-w {directory}")


def _make(directory: Path, *, passable: bool) -> None:
    try:
        if passable:
            make_passable(directory)
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        found, above = directory.stat(), directory.parent.stat()
    except OSError as error:
        raise DirectoryError(
            f"cannot make {error.filename or directory}: {error.strerror}: choose another with "
            "--runtime-dir or --state-dir, or the XDG variables"
        ) from error
    if found.st_uid not in (0, os.geteuid()):
        raise DirectoryError(f"{directory} belongs to user {found.st_uid}: remove it")
    if above.st_uid not in (0, os.geteuid()):
        text = f"{directory.parent} belongs to user {above.st_uid}, who could replace {directory}"
        raise DirectoryError(f"{text}: choose another with --runtime-dir or --state-dir")
    check_not_everybodys(directory.parent)
    if found.st_mode & stat.S_IWOTH:
        raise DirectoryError(f"{directory} can be written by everybody: chmod o-w {directory}")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DirectoryError(f"{directory} cannot be written: change its mode, or choose another")


def _lock(directory: Path, stack: ExitStack) -> None:
    path = directory / _LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DirectoryError(f"cannot write {path}: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        raise DirectoryError(
            f"another vgpud, process {holder}, uses {directory}: stop it, or choose others with "
            "--runtime-dir and --state-dir"
        ) from error
    with suppress(OSError):  # only for the message above: a full disk does not keep vgpud down
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
