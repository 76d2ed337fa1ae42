"""What a descriptor is: told by the kernel, whatever the file behind it is called."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mmio_trap.closers import Closers
from mmio_trap.descriptor import Kind, kind_of
from tests import strange_files
from tests.open_files import open_fds

PATIENCE_S = 30.0


def _fifo(directory: Path) -> int:
    path = directory / "[eventfd]"
    os.mkfifo(path)
    return os.open(path, os.O_RDWR)


def _file(directory: Path, name: str = "file", flags: int = os.O_RDWR) -> int:
    path = directory / name
    path.write_bytes(bytes(4096))
    return os.open(path, flags)


def _pipe(which: int) -> int:
    ends = os.pipe()
    os.close(ends[1 - which])
    return ends[which]


def _epoll() -> int:
    with select.epoll() as made:
        return os.dup(made.fileno())


CASES: dict[str, tuple[Callable[[Path], int], Kind]] = {
    "eventfd": (lambda _: os.eventfd(0), Kind.EVENTFD),
    "semaphore": (lambda _: os.eventfd(7, os.EFD_SEMAPHORE), Kind.EVENTFD),
    "memfd": (lambda _: os.memfd_create("ram", os.MFD_ALLOW_SEALING), Kind.MEMORY),
    "memfd without seals": (lambda _: os.memfd_create("anon_inode:[eventfd]"), Kind.MEMORY),
    "huge pages": (lambda _: os.memfd_create("ram", os.MFD_HUGETLB), Kind.MEMORY),
    "pipe read": (lambda _: _pipe(0), Kind.OTHER),
    "pipe write": (lambda _: _pipe(1), Kind.OTHER),
    "socket": (lambda _: socket.socket(socket.AF_UNIX).detach(), Kind.OTHER),
    "epoll": (lambda _: _epoll(), Kind.OTHER),
    "timer": (lambda _: strange_files.timer(), Kind.OTHER),
    "signals": (lambda _: strange_files.signals(), Kind.OTHER),
    "inotify": (lambda _: strange_files.inotify(), Kind.OTHER),
    "process": (lambda _: os.pidfd_open(os.getpid()), Kind.OTHER),
    "fifo of that name": (_fifo, Kind.FILE),
    "file of that name": (lambda at: _file(at, "anon_inode:[eventfd]"), Kind.FILE),
    "directory": (lambda at: os.open(at, os.O_RDONLY), Kind.FILE),
    "path": (lambda at: _file(at, flags=os.O_PATH), Kind.FILE),
    "device": (lambda _: os.open(os.devnull, os.O_RDWR), Kind.FILE),
    "zeros": (lambda _: os.open("/dev/zero", os.O_RDWR), Kind.FILE),
    "kernel's file": (lambda _: os.open("/proc/self/maps", os.O_RDONLY), Kind.FILE),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Kind]]:
    make, kind = CASES[request.param]
    fd = make(tmp_path)
    yield fd, kind
    os.close(fd)


def test_kinds(case: tuple[int, Kind]) -> None:
    fd, kind = case
    assert kind_of(fd) is kind


def test_file_in_shared_memory() -> None:
    with ExitStack() as stack:
        path = Path("/dev/shm") / f"vgpud-test-{os.getpid()}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        stack.callback(os.close, fd)
        path.unlink()
        assert kind_of(fd) is Kind.MEMORY


def test_every_kind_is_closed(case: tuple[int, Kind]) -> None:
    before = open_fds()
    closers = Closers()
    fds = [os.dup(case[0]) for _ in range(20)]
    for fd in fds:
        closers.let_go(fd)
    assert closers.done(PATIENCE_S)
    assert open_fds() <= before


def test_what_waits_for_a_process_is_closed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoProcess:
        @staticmethod
        def clone(*_: object) -> int:
            return -1

    before = open_fds()
    closers = Closers()
    with monkeypatch.context() as patch:
        patch.setattr("mmio_trap.closers._LIBC", NoProcess)
        closers.let_go(_file(tmp_path))
        assert closers.busy == 1
        assert open_fds() <= before + 1
    assert closers.done(PATIENCE_S)
    assert open_fds() <= before
