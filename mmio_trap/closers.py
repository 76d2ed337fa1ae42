"""Closing what a client has passed, without a wait for the file behind it."""

from __future__ import annotations

import atexit
import ctypes
import os
import resource
import sys
import time
from contextlib import suppress
from threading import Lock

from mmio_trap.descriptor import Kind, kind_of

_CLONE_VM = 0x100
_CLONE_FILES = 0x400
_CLONE_SETTLS = 0x80000
_WCLONE = -0x80000000
"""Bit 31 of a C int: a child that sends no signal when it ends."""
_STACK_SIZE = 64 << 10
_THREAD_SIZE = 32 << 10
"""Below the stack: what is a thread's own, zero, around the middle of these bytes."""
_X86_SELF = (0, 16)
"""Where x86-64 has the address of that middle there."""
_LOOK_AGAIN_S = 0.001


class Closers:
    """Lets go of one client's descriptors; files are closed by processes made for that.

    ``close(2)`` takes a descriptor out of the table of its process and then tells the file, which
    for FUSE is a message that has to be answered. No signal ends that wait: a thread in it keeps
    its process from ending. So a file that may do this is closed by a process that shares this
    one's table of descriptors: whom it keeps waiting is that process. It runs libc's ``close`` on
    a stack of its own, in this process's memory, so that nothing is copied for it, and with an
    ``errno`` of its own: the thread that started it may be gone by then, and its memory another's.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._stacks: dict[int, ctypes.Array[ctypes.c_char]] = {}
        """By process."""
        self._left: list[int] = []
        """Descriptors for which there was no process."""

    def let_go(self, fd: int) -> None:
        """Close ``fd`` now, or have it closed. Never waits."""
        if kind_of(fd) is not Kind.FILE:
            os.close(fd)
            return
        with self._lock:
            self._left.append(fd)
            self._start()

    def done(self, timeout: float) -> bool:
        """Wait until every file is closed; False when that takes longer than ``timeout`` s."""
        ends = time.monotonic() + timeout
        while self.busy:
            if time.monotonic() > ends:
                return False
            time.sleep(_LOOK_AGAIN_S)
        return True

    @property
    def busy(self) -> int:
        """Files that are not closed yet."""
        with self._lock:
            for process in list(self._stacks):
                if _has_ended(process):
                    del self._stacks[process]
            self._start()
            return len(self._stacks) + len(self._left)

    def _start(self) -> None:
        """Give each descriptor that is left a process, as far as the system lets us."""
        while self._left:
            stack = ctypes.create_string_buffer(_THREAD_SIZE + _STACK_SIZE)
            top = ctypes.c_void_p((ctypes.addressof(stack) + len(stack)) & ~15)
            own = (ctypes.addressof(stack) + _THREAD_SIZE // 2) & ~63
            for at in _X86_SELF:
                ctypes.c_uint64.from_address(own + at).value = own
            fd, none = ctypes.c_void_p(self._left[-1]), ctypes.c_void_p()
            flags = _CLONE_VM | _CLONE_FILES | _CLONE_SETTLS
            process = _LIBC.clone(_CLOSE, top, flags, fd, none, ctypes.c_void_p(own), none)
            if process < 0:
                return
            self._stacks[process] = stack
            self._left.pop()
            _started.append(process)


def _has_ended(process: int) -> bool:
    if process not in _started:
        return True
    if not os.waitpid(process, os.WNOHANG | _WCLONE)[0]:
        return False
    _started.remove(process)
    return True


def _leave_nothing_open() -> None:
    """Empty the table of descriptors, if there is a process that will keep it after this one.

    Its listening sockets would seem to be served, and who reads its output would wait for more.
    """
    if all(_has_ended(process) for process in list(_started)):
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


_started: list[int] = []
"""Processes, of all `Closers`, that have not ended yet."""
atexit.register(_leave_nothing_open)
_LIBC = ctypes.PyDLL(None)
_CLOSE = ctypes.cast(_LIBC.close, ctypes.c_void_p)
