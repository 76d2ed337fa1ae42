"""Signalling an eventfd that somebody else holds too, without ever waiting.

``write(2)`` waits while an eventfd's counter is full, and whether it may is a flag of the open
file, which all who hold it share: one of them can clear O_NONBLOCK and fill the counter at any
moment, also between a look and the write. The kernel itself signals in another way, which adds
what fits and does not wait. It is open to programs at the end of an asynchronous operation
(io_submit(2), IOCB_FLAG_RESFD); here that is a read of nothing from /dev/null, which ends within
the system call. The kernel refuses what is no eventfd each time.

It costs a few microseconds more than a look and a write: tests/bench/event_signal.py.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
from errno import EAGAIN, EINVAL, ENOSYS
from threading import Lock

from mmio_trap.descriptor import Kind, kind_of, name_of

_LOG = logging.getLogger(__name__)

_SYSCALLS = {"x86_64": (206, 209), "aarch64": (0, 2), "riscv64": (0, 2)}
"""Numbers of io_setup and io_submit."""
_SLOTS = 64
_PREAD = 0
_RESFD = 1
_RING_MAGIC = 0xA10A10A1


class _Iocb(ctypes.Structure):
    """struct iocb of linux/aio_abi.h, little-endian."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_int32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("fildes", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("resfd", ctypes.c_uint32),
    )


class _Ring(ctypes.Structure):
    """struct aio_ring: what the kernel shows of a context at the address that is its name."""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("slots", ctypes.c_uint32),
        ("head", ctypes.c_uint32),
        ("tail", ctypes.c_uint32),
        ("magic", ctypes.c_uint32),
    )


class _Completions:
    """A context of asynchronous operations; all that it does is end them at once.

    The process has two, since what contexts there may be is shared by the whole machine
    (fs.aio-max-nr): one whose caller keeps the interpreter, one whose caller does not.
    """

    def __init__(self, loader: type[ctypes.CDLL] = ctypes.PyDLL) -> None:
        """Raises OSError when the kernel has none to give."""
        machine = platform.machine()
        if machine not in _SYSCALLS:
            raise OSError(ENOSYS, f"io_submit(2) has no number here for {machine}")
        setup, submit = _SYSCALLS[machine]
        libc = loader(None, use_errno=True)
        self._syscall = libc.syscall
        self._syscall.restype = ctypes.c_long
        self._submit = ctypes.c_long(submit)
        self._one = ctypes.c_long(1)
        name = ctypes.c_ulong()
        if self._syscall(ctypes.c_long(setup), ctypes.c_long(_SLOTS), ctypes.byref(name)):
            errno = ctypes.get_errno()
            text = f"interrupts need asynchronous I/O: io_setup(2): {os.strerror(errno)}"
            more = "; raise the sysctl fs.aio-max-nr" if errno == EAGAIN else ""
            raise OSError(errno, text + more)
        self._context = name
        ring = _Ring.from_address(name.value)
        if ring.magic != _RING_MAGIC:
            raise OSError(ENOSYS, f"io_setup(2): unknown ring {ring.magic:#x}")
        self._head = ctypes.c_uint32.from_buffer(ring, _Ring.head.offset)
        self._tail = ctypes.c_uint32.from_buffer(ring, _Ring.tail.offset)
        self._nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._lock = Lock()

    def operation(self, fd: int) -> tuple[_Iocb, ctypes.Array[ctypes.c_void_p]]:
        """An operation whose end signals eventfd ``fd``, and the array that `run` wants of it."""
        operation = _Iocb(opcode=_PREAD, fildes=self._nothing, flags=_RESFD, resfd=fd)
        return operation, (ctypes.c_void_p * 1)(ctypes.addressof(operation))

    def run(self, operations: ctypes.Array[ctypes.c_void_p]) -> bool:
        """Carry an operation out; False when the kernel has no memory for it.

        Several threads may, and each frees the slots of all: their events tell nobody anything.
        """
        done: int = self._syscall(self._submit, self._context, self._one, operations)
        with self._lock:  # the head never goes back
            self._head.value = self._tail.value
        return done == 1


def check_signals() -> None:
    """Raises OSError, which says why, when this kernel gives no means to signal."""
    if _FAILURE is not None:
        raise _FAILURE


class EventSignal:
    """A duplicate of a client's eventfd, to be signalled.

    Raises OSError: EINVAL when it is none, what the kernel said when there are no signals.
    """

    __slots__ = ("_operation", "_operations", "fd")

    def __init__(self, fd: int) -> None:
        if kind_of(fd) is not Kind.EVENTFD:
            raise OSError(EINVAL, f"the file descriptor is not an eventfd but {name_of(fd)}")
        check_signals()
        self.fd = os.dup(fd)
        self._operation, self._operations = _MEANS[0].operation(self.fd)

    def signal(self, *, aside: bool = False) -> None:
        """Add 1, or what fits: a counter that is full has told the client already.

        It keeps the interpreter, unless ``aside``: to take it again costs more than a signal.
        """
        if not _MEANS[aside].run(self._operations):
            _LOG.warning("an eventfd was not signalled: %s", os.strerror(ctypes.get_errno()))

    def close(self) -> None:
        """Let go of the duplicate."""
        os.close(self.fd)


_MEANS: tuple[_Completions, ...] = ()
_FAILURE: OSError | None = None
try:  # now: what a machine has of contexts others may have used up later
    _MEANS = (_Completions(), _Completions(ctypes.CDLL))
except OSError as error:
    _FAILURE = error
