"""A client that begins and does not go on: how long the vfio-user server waits for it."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mmio_trap.vfio_user.protocol import (
    MAX_MSG_FDS,
    REGION_ACCESS,
    Command,
    DmaMap,
    SetIrqs,
    pack_message,
)
from mmio_trap.vfio_user.server import Server
from tests.integration.test_vfio_user_server import (
    PATIENCE_S,
    is_closed,
    negotiated,
    raw_socket,
    running,
    serving,
    wait_for_detach,
)
from tests.open_files import open_fds
from tests.protocol.memory_device import BAR0_SIZE, MemoryDevice

SHORT_S = 0.2
VERSION = pack_message(0, Command.VERSION, b"\0\0\0\0{}\0")
WRITE = pack_message(1, Command.REGION_WRITE, REGION_ACCESS.pack(0, 0, 4096) + bytes(4096))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "gpu.sock")


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def server(device: MemoryDevice, path: str) -> Iterator[Server]:
    with serving(device, path, SHORT_S) as made:
        yield made


@pytest.fixture
def greeted(server: Server, path: str) -> Iterator[socket.socket]:
    """A client whose VERSION has been answered."""
    with raw_socket(path) as sock:
        sock.send(VERSION)
        assert sock.recv(4096)
        yield sock


def cut_off(sock: socket.socket) -> bool:
    """Whether the server ends the connection, whatever it has sent before."""
    try:
        while sock.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, len(WRITE) - 1])
def test_message_that_is_never_finished(
    greeted: socket.socket, caplog: pytest.LogCaptureFixture, length: int, server: Server
) -> None:
    greeted.send(WRITE[:length])
    assert is_closed(greeted)
    assert server.wait_idle(PATIENCE_S)
    assert f"a message was not finished in {SHORT_S:g} s: {length} of" in caplog.text


def test_a_byte_now_and_then_gains_no_time(greeted: socket.socket) -> None:
    """The time is that of the whole message: nobody would wait for 4 KiB in pieces of a byte."""
    began = time.monotonic()
    sent = 0
    greeted.settimeout(SHORT_S / 10)
    while sent < len(WRITE) - 1:
        try:
            greeted.send(WRITE[sent : sent + 1])
            sent += 1
            if greeted.recv(1) == b"":
                break
        except TimeoutError:
            assert time.monotonic() - began < PATIENCE_S
        except (BrokenPipeError, ConnectionResetError):
            break
    assert sent < len(WRITE) - 1


def test_rest_of_a_message_behind_a_whole_one(greeted: socket.socket) -> None:
    """What is left over in the buffer counts, too."""
    read = pack_message(2, Command.REGION_READ, REGION_ACCESS.pack(0, 0, 4))
    greeted.send(read + WRITE[:20])
    assert greeted.recv(4096)
    assert is_closed(greeted)


def test_replies_that_are_never_read(greeted: socket.socket, server: Server) -> None:
    read = pack_message(1, Command.REGION_READ, REGION_ACCESS.pack(0, 0, BAR0_SIZE))
    greeted.settimeout(PATIENCE_S)
    try:
        while True:
            greeted.send(read)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert server.wait_idle(PATIENCE_S)


def test_replies_read_byte_by_byte_gain_no_time(greeted: socket.socket, server: Server) -> None:
    """A socket's buffer takes so many replies; the one that does not fit is not waited for."""
    read = pack_message(1, Command.REGION_READ, REGION_ACCESS.pack(0, 0, BAR0_SIZE))
    ends = time.monotonic() + PATIENCE_S
    greeted.settimeout(SHORT_S / 20)
    while not server.wait_idle(SHORT_S / 20) and time.monotonic() < ends:
        try:
            greeted.send(read)
            greeted.recv(1)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            continue
    assert server.wait_idle(0)


@pytest.mark.parametrize("first", [b"", pack_message(0, Command.DEVICE_GET_INFO, bytes(16)) * 3])
def test_client_that_never_says_its_version(
    device: MemoryDevice, server: Server, path: str, first: bytes
) -> None:
    """It would have the only place."""
    with raw_socket(path) as sock:
        sock.send(first)
        assert cut_off(sock)
        wait_for_detach(server, device, 1)
    with negotiated(path) as client:
        assert client.region_read(0, 0, 4) == bytes(4)


def test_silence_between_messages_is_fine(
    device: MemoryDevice, server: Server, path: str, tmp_path: Path
) -> None:
    """Another server's client is cut off for the same patience meanwhile, three times."""
    other = MemoryDevice()
    with negotiated(path) as client, serving(other, str(tmp_path / "other"), SHORT_S):
        for _ in range(3):
            with raw_socket(str(tmp_path / "other")) as sock:
                assert is_closed(sock)
        assert client.region_read(0, 0, 4) == bytes(4)
    assert device.attached == 1


def test_descriptors_of_an_unfinished_message_do_not_pile_up(
    server: Server, path: str, caplog: pytest.LogCaptureFixture, device: MemoryDevice
) -> None:
    """Each byte of a long message could bring some."""
    with negotiated(path):
        pass
    wait_for_detach(server, device, 1)
    before = open_fds()
    with raw_socket(path) as sock:
        sock.send(VERSION)
        assert sock.recv(4096)
        fds = [sock.fileno()] * MAX_MSG_FDS
        payload = DmaMap(32, 3, 0, 0, 4096).pack()
        message = pack_message(1, Command.DMA_MAP, payload)
        try:
            for at in range(len(message) - 1):
                socket.send_fds(sock, [message[at : at + 1]], fds)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert cut_off(sock)
    wait_for_detach(server, device, 2)
    assert "16 file descriptors at once, 8 allowed" in caplog.text
    assert open_fds() <= before


def test_files_that_are_passed_are_closed_and_the_next_client_is_served(
    server: Server, path: str, tmp_path: Path, device: MemoryDevice
) -> None:
    """As memory, as an eventfd, and where none belong."""
    (tmp_path / "file").write_bytes(bytes(4096))
    with negotiated(path):
        pass
    wait_for_detach(server, device, 1)
    before = open_fds()
    with (tmp_path / "file").open() as file:
        for _ in range(3):
            with negotiated(path) as client:
                for command, payload in (
                    (Command.DMA_MAP, DmaMap(32, 3, 0, 0, 4096).pack()),
                    (Command.DEVICE_SET_IRQS, SetIrqs(20, 0x24, 1, 0, 1).pack()),
                    (Command.DEVICE_RESET, b""),
                ):
                    client.send(command, payload, [file.fileno()])
        assert server.turned_away == 0
        wait_for_detach(server, device, 4)
    assert server._closers.done(PATIENCE_S)
    assert open_fds() <= before


def test_the_only_place_is_known_as_soon_as_its_client_is(
    device: MemoryDevice, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait_idle` of a server whose client has been attached does not say that none is there, nor
    does it before that client's thread runs."""
    seen: list[bool] = []
    before: list[bool] = []
    server: Server
    start = threading.Thread.start

    def note() -> None:
        seen.append(server.wait_idle(0))

    def started(thread: threading.Thread) -> None:
        if thread.name == f"vfio-user {path}":
            before.append(server.wait_idle(0))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", started)
    server = Server(device, path, on_change=note)
    with running(server), negotiated(path):
        assert seen == [False]
    assert seen == [False, False]
    assert before == [False]


def test_who_was_slow_to_signal_is_known_when_it_comes_back(
    device: MemoryDevice, server: Server, path: str
) -> None:
    """Else each connection would cost all guests two slow signals."""
    paces = []
    for count in (1, 2):
        with negotiated(path) as client:
            client.device_info()
            assert device.interrupts is not None
            paces.append(device.interrupts._pace)
        wait_for_detach(server, device, count)
    assert paces[0] is paces[1] is server._pace


def test_clients_wait_while_descriptors_are_short(
    server: Server, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says once what is short, and who has waited is served then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        while True:
            try:
                stack.callback(os.close, os.dup(sock.fileno()))
            except OSError:
                break
        sock.settimeout(PATIENCE_S)
        sock.connect(path)
        ends = time.monotonic() + PATIENCE_S
        while "no file descriptor left" not in caplog.text and time.monotonic() < ends:
            time.sleep(0.01)
        stack.close()
        sock.send(VERSION)
        assert sock.recv(4096)
    assert caplog.text.count("no file descriptor left") == 1
    assert "ulimit -n" in caplog.text
