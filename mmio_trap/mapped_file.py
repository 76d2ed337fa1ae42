"""Parts of clients' files, mapped into this process.

A stretch is a part of one file: whole units of 1 GiB around what was asked for, so that a range
that comes later mostly finds one that holds it, and a file of a petabyte with one page in use
takes 1 GiB of addresses. All memories of a process share stretches, by file: what a client offers
and what the GPU reaches of it is one mapping. No stretch has a file descriptor.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import weakref
from collections import deque
from errno import EACCES, EINVAL, EPERM
from threading import Lock
from typing import NamedTuple, Protocol, cast

from mmio_trap.descriptor import name_of, seals_of

PAGE_SIZE = 4096
UNIT = 1 << 30
"""Bytes: where stretches begin and end, but for the file's end."""

_PROT_READ = 1
_PROT_WRITE = 2
_MAP_SHARED = 1
_MAP_PRIVATE = 2
_FAILED = ctypes.c_void_p(-1).value

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


class MemoryFile(NamedTuple):
    """A file in memory that a client has passed; ``fd`` is open as long as this is used."""

    fd: int
    key: tuple[int, int]
    """Device and inode: QEMU passes a new descriptor of the same file each time."""
    size: int
    """Bytes, whole pages; what is sealed will not get shorter."""


def memory_file(fd: int, *, require_seal: bool) -> MemoryFile:
    """What ``fd`` is, sealed against shrinking where it can be.

    Raises OSError: EINVAL for what is no file in memory, EPERM for a file whose pages its owner
    could take away, if ``require_seal``.
    """
    seals = seals_of(fd)
    if seals is None:
        text = f"the file descriptor is not that of a file in memory but {name_of(fd)}"
        raise OSError(EINVAL, text)
    sealed = bool(seals & fcntl.F_SEAL_SHRINK) or _seal(fd)
    if require_seal:
        _check_safe(fd, sealed=sealed)
    status = os.fstat(fd)  # after it was sealed
    return MemoryFile(fd, (status.st_dev, status.st_ino), status.st_size & -PAGE_SIZE)


def _seal(fd: int) -> bool:
    """Forbid the file's owner to shrink it; False where the kernel does not let us."""
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except OSError:
        return False
    return True


def _check_safe(fd: int, *, sealed: bool) -> None:
    """Raises OSError EPERM where a page can be missing when it is touched, which is SIGBUS.

    Huge pages come from a pool: who punches a hole and then empties the pool has that, seal or no.
    """
    if not sealed:
        raise OSError(EPERM, "the file cannot be sealed against shrinking (a memfd of QEMU's can)")
    if os.fstatvfs(fd).f_bsize != PAGE_SIZE:
        raise OSError(EPERM, "the file is of huge pages, which its owner can take away again")


class _Bytes(Protocol):
    """A part of it is a copy."""

    def __getitem__(self, part: slice) -> bytes: ...


class Stretch:
    """Bytes ``start`` to ``end`` of a file, at ``address`` of this process.

    ``bytes`` is for reading, ``view`` for writing, ``u32`` and ``u64`` are for whole words: index 0
    is the file's byte ``start``. The mapping goes when nobody holds a view of it any more.
    """

    __slots__ = (
        "__weakref__",
        "address",
        "bytes",
        "end",
        "key",
        "start",
        "u32",
        "u64",
        "users",
        "view",
        "writable",
    )

    def __init__(self, file: MemoryFile, start: int, end: int) -> None:
        """Raises OSError, what mmap says."""
        self.key = file.key
        self.start = start
        self.end = end
        self.users = 1
        try:
            self.address = _map(file.fd, start, end - start, _PROT_READ | _PROT_WRITE, _MAP_SHARED)
            self.writable = True
        except PermissionError:
            # Opened or sealed read-only. A private mapping shows the file's live pages.
            self.address = _map(file.fd, start, end - start, _PROT_READ, _MAP_PRIVATE)
            self.writable = False
        # ctypes keeps an array type for each length for ever: there shall be few of them.
        room = ctypes.c_char * (-(-(end - start) // UNIT) * UNIT)
        mapped = room.from_address(self.address)
        weakref.finalize(mapped, _unmap, self.address, end - start).atexit = False
        self.bytes = cast("_Bytes", mapped)
        view = memoryview(mapped).cast("B")
        self.view = view if self.writable else view.toreadonly()
        self.u32 = self.view.cast("I")
        self.u64 = self.view.cast("Q")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    def holds(self, start: int, end: int, *, writable: bool) -> bool:
        """Whether it serves a range of that part of its file."""
        return self.start <= start and end <= self.end and (self.writable or not writable)

    def close(self) -> None:
        """Let go; pages that somebody still views stay until that ends."""
        del self.bytes, self.u32, self.u64, self.view


class Stretches:
    """The stretches of a process, by file, each with the number of its users. Any thread.

    The last user that leaves takes the mapping with it; so does one that is simply forgotten.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_file: dict[tuple[int, int], list[weakref.ref[Stretch]]] = {}
        self._gone: deque[tuple[int, int]] = deque()
        """Files of which a stretch has gone; appended to without the lock."""

    def find(self, file: MemoryFile, start: int, end: int, *, writable: bool) -> Stretch | None:
        """One that holds the range, with one user more; None when there is none."""
        with self._lock:
            self._forget()
            for each in self._by_file.get(file.key, ()):
                stretch = each()
                if (
                    stretch is not None
                    and stretch.users
                    and stretch.holds(start, end, writable=writable)
                ):
                    stretch.users += 1
                    return stretch
        return None

    def add(self, file: MemoryFile, start: int, end: int, *, writable: bool) -> Stretch:
        """A new one with one user.

        Raises OSError: EACCES when it must be writable and is not, what mmap says.
        """
        made, key = Stretch(file, start, end), file.key
        if writable and not made.writable:
            raise OSError(EACCES, "a writable range needs a file that can be written")
        known = weakref.ref(made, lambda _: self._gone.append(key))
        with self._lock:
            self._forget()
            self._by_file.setdefault(key, []).append(known)
        return made

    def leave(self, stretch: Stretch) -> None:
        """One user less."""
        with self._lock:
            stretch.users -= 1
            if stretch.users:
                return
        stretch.close()

    def _forget(self) -> None:
        while self._gone:
            key = self._gone.popleft()
            rest = [each for each in self._by_file.pop(key, ()) if each() is not None]
            if rest:
                self._by_file[key] = rest


def around(start: int, end: int, size: int) -> tuple[int, int]:
    """The stretch to map for ``start`` to ``end`` of a file of ``size`` bytes."""
    return start // UNIT * UNIT, min(-(-end // UNIT) * UNIT, size)


def _map(fd: int, offset: int, size: int, protection: int, flags: int) -> int:
    address: int | None = _LIBC.mmap(None, size, protection, flags, fd, offset)
    if address is None or address == _FAILED:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return address


def _unmap(address: int, size: int) -> None:
    _LIBC.munmap(address, size)
