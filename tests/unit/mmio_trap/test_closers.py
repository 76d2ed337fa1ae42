"""Processes that close files for this one."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmio_trap.closers import Closers

PATIENCE_S = 30.0
NO_DESCRIPTOR = 1 << 30
UNTOUCHED = 12345


def test_an_error_of_a_close_is_no_threads_errno() -> None:
    """The file's owner chooses when it comes: the thread that began it may be gone by then."""
    libc = ctypes.PyDLL(None)
    libc.__errno_location.restype = ctypes.POINTER(ctypes.c_int)
    errno = libc.__errno_location()
    closers = Closers()
    closers._left.append(NO_DESCRIPTOR)
    errno[0] = UNTOUCHED
    assert closers.done(PATIENCE_S)
    assert errno[0] == UNTOUCHED


_EXIT = """
import atexit, os, sys
from mmio_trap import closers

def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True

if {stuck}:
    closers._started.append(os.getpid())  # it is not its own child, so that it never ends
    closers._has_ended = lambda process: False
for fd in ({own}, 700):
    os.dup2(1, fd)
sys.stdout.write("out")
sys.stderr.write("err")
atexit._run_exitfuncs()
os._exit(sum(is_open(fd) for fd in (0, 1, 2, {own}, 700)))
"""


@pytest.mark.parametrize(("stuck", "left"), [(True, 0), (False, 5)])
def test_who_keeps_the_descriptors_keeps_none_open(stuck: bool, left: int) -> None:
    """A process that outlives this one: what was written is out, and all is closed, 0 too."""
    done = subprocess.run(
        [sys.executable, "-c", _EXIT.format(stuck=stuck, own=3)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == left
    assert (done.stdout, done.stderr) == ((b"out", b"err") if stuck else (b"", b""))


def test_plain_descriptors_are_closed_at_once_and_files_soon(tmp_path: Path) -> None:
    closers = Closers()
    assert closers.busy == 0
    assert closers.done(0)
    eventfd = os.eventfd(0)
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    closers.let_go(eventfd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(eventfd)
    closers.let_go(file)
    assert closers.done(PATIENCE_S)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(file)
    assert (closers.busy, closers._stacks, closers._left) == (0, {}, [])


def test_what_cannot_be_closed_yet_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    closers = Closers()
    monkeypatch.setattr(closers, "_start", lambda: None)  # there is no process to be had
    closers._left += [NO_DESCRIPTOR, NO_DESCRIPTOR]
    assert closers.busy == 2
    began = time.monotonic()
    assert not closers.done(0.05)
    assert time.monotonic() - began >= 0.05
