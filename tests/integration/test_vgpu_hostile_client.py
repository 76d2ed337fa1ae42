"""A client that breaks more than its guest could: descriptors, memory and messages of a taken-over
QEMU, against a `vgpud serve` with a neighbour that works, and that has to end when it is told to.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from errno import EINVAL, ENOSPC
from pathlib import Path

import pytest

from mmio_trap.vfio_user.client import Client
from mmio_trap.vfio_user.protocol import (
    MAX_MSG_FDS,
    Command,
    DmaMap,
    PeerError,
    RequestError,
    SetIrqsFlag,
    pack_message,
)
from tests import strange_files
from tests.gpu_driver import PAGE
from tests.integration.fuse_file import hanging_file, needs_fuse
from tests.integration.test_mediated_vgpud import shared_vgpud
from tests.integration.vgpu_rig import PATIENCE_S, connect
from tests.integration.vgpu_worker import Neighbour
from tests.readiness import readable
from tests.unit.mmio_trap.test_event_signal import TEASER

pytestmark = pytest.mark.modes

ENDS_S = 15.0
"""What vgpud may take to end on a busy machine; a hang is one for ever."""
TIB = 1 << 40
GIB = 1 << 30
TRIGGER = SetIrqsFlag.DATA_EVENTFD | SetIrqsFlag.ACTION_TRIGGER
UNMASK = SetIrqsFlag.DATA_EVENTFD | SetIrqsFlag.ACTION_UNMASK
INTX, MSI, ERR, REQ = 0, 1, 3, 4
MOST_DESCRIPTORS = 24
"""Of a client, as docs/operations.md says."""


class Shared:
    """A vgpud with two vGPUs: the first is the attacker's, on the second the neighbour works."""

    def __init__(self, process: subprocess.Popen[str], paths: list[str]) -> None:
        self.process = process
        self.paths = paths
        self.guest = connect(paths[1])
        self.neighbour = Neighbour(self.guest)

    def attacker(self) -> Client:
        client = Client.connect(self.paths[0])
        client.negotiate()
        return client

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def threads(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/task").iterdir())

    def end(self) -> str:
        """Stop the neighbour, then vgpud by a signal: what it has said on standard error."""
        self.neighbour.goes_on()
        self.neighbour.stop()
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=ENDS_S)
        self.guest.close()
        assert self.process.returncode == 0, err
        assert "Traceback" not in err
        served = [json.loads(line.removeprefix("served ")) for line in out.splitlines()]
        assert all(each["hangs"] == 0 for each in served if each["name"] == "vgpu1")
        return err


@pytest.fixture(params=["shadow", "direct"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    options = ("--address-space", request.param)
    with shared_vgpud(tmp_path, 2, *options) as (process, paths):
        made = Shared(process, paths)
        made.neighbour.goes_on(1)
        yield made
        if process.poll() is None:
            made.end()


def test_an_eventfd_that_is_full_whenever_it_is_written(shared: Shared) -> None:
    """It blocks, and another process fills it, empties it, fills it: for ten rounds and the end."""
    guest = connect(shared.paths[0], msi=False)
    eventfd = os.eventfd(0)
    guest.client.enable_msi(eventfd)
    command = [sys.executable, "-c", TEASER, str(eventfd)]
    with subprocess.Popen(command, pass_fds=[eventfd], stdout=subprocess.PIPE) as teaser:
        assert teaser.stdout is not None
        assert teaser.stdout.read(1) == b"!"
        os.eventfd_write(eventfd, 1)
        context = guest.driver.create_context("rcs0")
        stop = threading.Event()

        def interrupt() -> None:
            while not stop.is_set():
                guest.driver.wait(guest.driver.run(context))
                guest.driver.handle_interrupt()  # and let the line rise again

        attack = threading.Thread(target=interrupt)
        attack.start()
        shared.neighbour.goes_on(10)
        stop.set()
        attack.join(PATIENCE_S)
        assert not attack.is_alive()
        shared.end()
        teaser.kill()
    guest.close()
    os.close(eventfd)


def test_an_eventfd_that_a_hundred_thousand_watch(shared: Shared) -> None:
    """Each signal wakes them all: its own thread gives it, and it comes all the same."""
    guest = connect(shared.paths[0], msi=False)
    with ExitStack() as stack:
        eventfd = os.eventfd(0, os.EFD_NONBLOCK)
        stack.callback(os.close, eventfd)
        copies = [os.dup(eventfd) for _ in range(500)]
        for copy in copies:
            stack.callback(os.close, copy)
        for _ in range(200):
            epoll = stack.enter_context(select.epoll())
            for copy in copies:
                epoll.register(copy, select.EPOLLIN)
        guest.client.enable_msi(eventfd)
        context = guest.driver.create_context("rcs0")
        for _ in range(10):
            guest.driver.wait(guest.driver.run(context))
            assert readable(eventfd, PATIENCE_S), "its interrupt has come"
            os.eventfd_read(eventfd)
            guest.driver.handle_interrupt()
        shared.neighbour.goes_on(10)
        guest.close()
    assert "signals of an eventfd took long" in shared.end()


def _strange(directory: Path, stack: ExitStack) -> dict[str, int]:
    """Descriptors that are neither eventfds nor memory, open for the length of ``stack``."""
    reader, writer = os.pipe()
    os.mkfifo(directory / "[eventfd]")
    (directory / "file").write_bytes(bytes(1 << 16))
    pair = socket.socketpair()
    epoll = stack.enter_context(select.epoll())
    made = {
        "reader": reader,
        "writer": writer,
        "fifo": os.open(directory / "[eventfd]", os.O_RDWR),
        "file": os.open(directory / "file", os.O_RDWR),
        "directory": os.open(directory, os.O_RDONLY),
        "null": os.open(os.devnull, os.O_RDWR),
        "zero": os.open("/dev/zero", os.O_RDWR),
        "socket": pair[0].detach(),
        "other end": pair[1].detach(),
        "process": os.pidfd_open(os.getpid()),
        "timer": strange_files.timer(),
        "signals": strange_files.signals(),
        "inotify": strange_files.inotify(),
    }
    for fd in made.values():
        stack.callback(os.close, fd)
    return {**made, "epoll": epoll.fileno()}


def test_descriptors_that_are_something_else(shared: Shared, tmp_path: Path) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(shared.attacker())
        strange = _strange(tmp_path, stack)
        strange["this very connection"] = client._connection._sock.fileno()
        strange["memory"] = os.memfd_create("memory", os.MFD_ALLOW_SEALING)
        os.ftruncate(strange["memory"], PAGE)
        before = shared.descriptors()
        for name, fd in strange.items():
            for index, flags in (
                (MSI, TRIGGER),
                (INTX, TRIGGER),
                (INTX, UNMASK),
                (ERR, TRIGGER),
                (REQ, TRIGGER),
            ):
                with pytest.raises(RequestError) as caught:
                    client.set_irqs(index, flags, fds=[fd])
                assert caught.value.errno == EINVAL, name
            if name != "memory":
                with pytest.raises(RequestError) as caught:
                    client.dma_map(0, PAGE, fd)
                assert caught.value.errno == EINVAL, name
        for _ in range(200):
            client.send(Command.DEVICE_RESET, b"", [strange["reader"]] * 8)
        os.close(strange["memory"])
        _settles(lambda: shared.descriptors() <= before)
        shared.neighbour.goes_on()
    shared.end()


def _settles(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it does not come true"
        time.sleep(0.01)


@needs_fuse
def test_a_file_whose_server_answers_nothing(shared: Shared, tmp_path: Path) -> None:
    """Nobody waits for it but processes made for that, also at the end; its socket is out of use
    until the server has gone."""
    with hanging_file(tmp_path / "fuse") as (fd, server):
        client = shared.attacker()
        attempts: list[Callable[[], object]] = [
            lambda: client.dma_map(0, PAGE, fd),
            lambda: client.set_irqs(MSI, TRIGGER, fds=[fd]),
            lambda: client.set_irqs(INTX, UNMASK, fds=[fd]),
        ]
        for refused in attempts:
            with pytest.raises(RequestError) as caught:
                refused()
            assert caught.value.errno == EINVAL
        identities = [client.send(Command.DEVICE_RESET, b"", [fd] * 8) for _ in range(2)]
        with pytest.raises((PeerError, ConnectionError)):
            client.receive(identities[0], Command.DEVICE_RESET)
        client.close()
        shared.neighbour.goes_on()
        with Client.connect(shared.paths[0]) as other, pytest.raises((PeerError, ConnectionError)):
            other.negotiate()
        err = shared.end()
        assert "files that it has passed cannot be closed" in err
        assert "files that an earlier one has passed cannot be closed" in err
        assert server.poll() is None


def test_files_that_are_larger_than_all_addresses(shared: Shared) -> None:
    """A page of each is asked for. The budget ends it; reset and neighbour do not feel it.

    300 of them would take more than twice the addresses that a process has.
    """
    with ExitStack() as stack:
        client = stack.enter_context(shared.attacker())
        before = shared.descriptors()
        for number in range(300):
            fd = os.memfd_create("sparse", os.MFD_ALLOW_SEALING)
            stack.callback(os.close, fd)
            os.ftruncate(fd, TIB)
            client.dma_map(number * PAGE, PAGE, fd, TIB - PAGE)
        offers = (_offer_sparse(client, number * PAGE) for number in range(300, 3000))
        assert next(errno for errno in offers if errno) == ENOSPC
        assert shared.descriptors() <= before + 1
        client.reset()
        client.dma_unmap_all()
        client.reset()
        _goes_on_with_memory(shared)
    assert "this client's budget" in shared.end()


def _offer_sparse(client: Client, address: int) -> int:
    """The errno of the answer to a page of a large file."""
    fd = os.memfd_create("sparse", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, TIB)
        client.dma_map(address, PAGE, fd)
    except RequestError as error:
        return error.errno
    finally:
        os.close(fd)
    return 0


def _goes_on_with_memory(shared: Shared) -> None:
    """The neighbour works, gets more memory, and works with that."""
    shared.neighbour.goes_on()
    shared.neighbour.stop()
    fd = os.memfd_create("more", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, GIB)
    shared.guest.client.dma_map(2 * GIB, GIB, fd)
    os.close(fd)
    shared.neighbour = Neighbour(shared.guest)


def test_all_that_a_client_can_hold(shared: Shared) -> None:
    """Every eventfd, memory of all the files that it may have, and an unfinished message."""
    before, threads = shared.descriptors(), shared.threads()
    with ExitStack() as stack:
        client = stack.enter_context(shared.attacker())
        for index, flags in (
            (MSI, TRIGGER),
            (ERR, TRIGGER),
            (REQ, TRIGGER),
            (INTX, TRIGGER),
            (INTX, UNMASK),
        ):
            eventfd = os.eventfd(0)
            client.set_irqs(index, flags, fds=[eventfd])
            os.close(eventfd)
        offers = (_offer_sparse(client, number * PAGE) for number in range(3000))
        assert next(errno for errno in offers if errno) == ENOSPC
        eventfd = os.eventfd(0)
        stack.callback(os.close, eventfd)
        message = pack_message(1, Command.DMA_MAP, DmaMap(32, 3, 0, 0, PAGE).pack())
        socket.send_fds(client._connection._sock, [message[:1]], [eventfd] * MAX_MSG_FDS)
        _settles(lambda: shared.descriptors() >= before + 6 + MAX_MSG_FDS)
        assert shared.descriptors() <= before + MOST_DESCRIPTORS
        assert shared.threads() <= threads + 2, "its own, and one that waits for INTx's unmask"
        _goes_on_with_memory(shared)
    _settles(lambda: shared.descriptors() <= before)
    _settles(lambda: shared.threads() <= threads)
    shared.end()


def test_messages_that_are_never_whole_hold_few_descriptors(shared: Shared) -> None:
    before = shared.descriptors()
    fd = os.eventfd(0)
    message = pack_message(1, Command.DMA_MAP, DmaMap(32, 3, 0, 0, PAGE).pack())
    for _ in range(20):
        with shared.attacker() as client, suppress(BrokenPipeError, ConnectionResetError):
            for byte in message[:-1]:
                socket.send_fds(client._connection._sock, [bytes([byte])], [fd] * 8)
                assert shared.descriptors() <= before + MOST_DESCRIPTORS
    os.close(fd)
    shared.neighbour.goes_on()
    assert "16 file descriptors at once, 8 allowed" in shared.end()
