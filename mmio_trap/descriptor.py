"""What a file descriptor is that a client has passed.

Who passes a descriptor chooses the file behind it, and with a FUSE file (or one of a dead network
server) he chooses when a system call on it returns: ``fstat``, ``fstatfs``, ``mmap``, a page fault,
even ``close``, none of which a signal need end. So what a descriptor is, is asked of the kernel
alone: nothing here reaches the file's own code.
"""

from __future__ import annotations

import fcntl
import os
from enum import Enum

_EVENTFD_LINK = "anon_inode:[eventfd]"
"""All of the link: a file can be *named* ``[eventfd]``."""
_KERNEL_LINKS = ("anon_inode:", "pipe:[", "socket:[")
"""How links of objects begin that are in no file system; paths begin with a slash."""


class Kind(Enum):
    """What a descriptor can be used for."""

    EVENTFD = "an eventfd"
    MEMORY = "a file in memory"
    """A memfd, or a file of tmpfs or hugetlbfs: its pages come from the kernel and nobody else."""
    OTHER = "an object of the kernel"
    """A pipe, a socket, a timer, an epoll...: of no use here."""
    FILE = "a file"
    """Of a disk, a network, a device, FUSE: of no use here, and to close it may take for ever."""


def seals_of(fd: int) -> int | None:
    """The seals of a file in memory (F_SEAL_*); None for anything else. Never waits."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # EINVAL: memory alone has them
        return None


def kind_of(fd: int) -> Kind:
    """What ``fd`` is; never waits. Raises OSError when it is not open."""
    if seals_of(fd) is not None:
        return Kind.MEMORY
    link = name_of(fd)
    if link == _EVENTFD_LINK:
        return Kind.EVENTFD
    return Kind.OTHER if link.startswith(_KERNEL_LINKS) else Kind.FILE


def name_of(fd: int) -> str:
    """The kernel's name of ``fd``, as ``ls -l /proc/self/fd`` shows it."""
    return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - for each descriptor that comes
