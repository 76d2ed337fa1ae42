"""The daemon's directories: made, checked, and locked, so that no two daemons share one."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import ExitStack
from pathlib import Path

from vgpu_ctl.paths import Paths

_LOCK = "lock"


class DirectoryError(Exception):
    """A directory that cannot be used; the text names it and says why."""


def prepare(paths: Paths, stack: ExitStack) -> None:
    """Make the directories and lock them until ``stack`` is closed. Raises DirectoryError."""
    for directory in (paths.runtime, paths.state):
        _make(directory)
        _lock(directory, stack)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        found = directory.stat()
    except OSError as error:
        raise DirectoryError(
            f"cannot make {error.filename or directory}: {error.strerror}: choose another with "
            "--runtime-dir or --state-dir, or the XDG variables"
        ) from error
    if found.st_uid not in (0, os.geteuid()):
        raise DirectoryError(f"{directory} belongs to user {found.st_uid}: remove it")
    if found.st_mode & stat.S_IWOTH:
        raise DirectoryError(f"{directory} can be written by everybody: chmod o-w {directory}")
    if not os.access(directory, os.W_OK):
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
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        raise DirectoryError(f"cannot write {path}: {error.strerror}") from error
