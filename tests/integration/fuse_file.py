"""A FUSE file whose server answers no read and no flush: who closes it waits as long as it lives.

The server is a process of its own, which speaks the kernel's protocol (linux/fuse.h) as far as an
``open`` needs it. ``python -m tests.integration.fuse_file MOUNTPOINT`` is that process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from struct import Struct

import pytest

DEVICE = Path("/dev/fuse")
needs_fuse = pytest.mark.skipif(
    "CI" not in os.environ and (os.geteuid() != 0 or not DEVICE.exists()),
    reason="to mount FUSE needs root and /dev/fuse",
)

_MNT_DETACH = 2
_REQUEST = Struct("<IIQQIIII")
"""length, opcode, unique, node, uid, gid, pid, padding."""
_REPLY = Struct("<IiQ")
_LOOKUP, _GETATTR, _OPEN, _READ, _FLUSH, _INIT, _INTERRUPT = 1, 3, 14, 15, 25, 26, 36
_ENOSYS = 38
_DIRECTORY, _FILE = 0o40777, 0o100666
_ROOT, _NODE = 1, 2


@contextmanager
def hanging_file(mountpoint: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The file, open, and its server: killed at the end, whoever waits for it is let go then."""
    mountpoint.mkdir()
    command = [sys.executable, "-m", "tests.integration.fuse_file", str(mountpoint)]
    libc = ctypes.CDLL(None, use_errno=True)
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(server.kill)
        assert server.stdout is not None
        assert server.stdout.readline() == b"mounted\n"
        stack.callback(libc.umount2, os.fsencode(mountpoint), _MNT_DETACH)
        fd = os.open(mountpoint / "file", os.O_RDWR)
        stack.callback(_close, fd)
        stack.callback(server.kill)  # before that: this process's own close would wait, too
        yield fd, server


def _close(fd: int) -> None:
    with suppress(OSError):  # nobody is there any more to be told
        os.close(fd)


def _serve(mountpoint: str) -> None:
    device = os.open(DEVICE, os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hanging", os.fsencode(mountpoint), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, node = _REQUEST.unpack_from(request)[:4]
        if opcode in (_READ, _FLUSH, _INTERRUPT):
            continue
        answer = _answer(opcode, node)
        size = _REPLY.size + len(answer or b"")
        reply = _REPLY.pack(size, 0 if answer is not None else -_ENOSYS, unique)
        os.write(device, reply + (answer or b""))


def _answer(opcode: int, node: int) -> bytes | None:
    if opcode == _INIT:
        return Struct("<IIIIHHIIHHI").pack(7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, 0) + bytes(
            28
        )
    if opcode == _LOOKUP:
        return Struct("<QQQQII").pack(_NODE, 0, 100, 100, 0, 0) + _attributes(_NODE)
    if opcode == _GETATTR:
        return Struct("<QII").pack(100, 0, 0) + _attributes(node)
    return Struct("<QII").pack(5, 0, 0) if opcode == _OPEN else None


def _attributes(node: int) -> bytes:
    mode = _DIRECTORY if node == _ROOT else _FILE
    return Struct("<6Q10I").pack(node, 1 << 20, 2048, *(0,) * 6, mode, 1, 0, 0, 0, 4096, 0)


if __name__ == "__main__":
    _serve(sys.argv[1])
