"""Descriptors that Python 3.11 has no call for: they are like eventfds, and are none."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_SIGNALS_BYTES = 128


def _made(fd: int) -> int:
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return fd


def timer() -> int:
    """A timerfd that is not armed."""
    return _made(_LIBC.timerfd_create(_CLOCK_MONOTONIC, 0))


def signals() -> int:
    """A signalfd of no signal."""
    return _made(_LIBC.signalfd(-1, bytes(_SIGNALS_BYTES), 0))


def inotify() -> int:
    """An inotify instance that watches nothing."""
    return _made(_LIBC.inotify_init1(0))
