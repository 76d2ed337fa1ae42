"""What a server gives back on each way out: connections, descriptors, threads, its place."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmio_trap.device import PciDevice
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.vfio_user import server as server_module
from mmio_trap.vfio_user.protocol import PeerError
from mmio_trap.vfio_user.server import Server
from tests.integration.test_vfio_user_server import (
    PATIENCE_S,
    is_closed,
    negotiated,
    raw_socket,
    running,
)
from tests.protocol.memory_device import MemoryDevice
from tests.unclosed import nothing_unclosed


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "gpu.sock")


@pytest.fixture
def device() -> Iterator[MemoryDevice]:
    made = MemoryDevice()
    yield made
    made.close()


class Unstartable(threading.Thread):
    """A thread for which there is no room."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_who_is_turned_away_is_closed(device: MemoryDevice, path: str) -> None:
    server = Server(device, path)
    with nothing_unclosed(), running(server), negotiated(path) as client:
        for _ in range(3):
            with raw_socket(path) as second:
                assert is_closed(second)
        client.reset()


def test_without_a_thread_a_client_is_closed_and_its_place_is_free(
    device: MemoryDevice, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(device, path)
    gc.collect()
    with nothing_unclosed(), running(server):
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Thread", Unstartable)
            with raw_socket(path) as sock:
                assert is_closed(sock)
        assert server.wait_idle(PATIENCE_S)
        with negotiated(path) as client:
            client.reset()
        assert server.clients == 2
        assert server.turned_away == 0


def test_a_client_has_a_thread_that_does_not_keep_the_process(
    device: MemoryDevice, path: str
) -> None:
    server = Server(device, path)
    with running(server), negotiated(path) as client:
        client.reset()
        (thread,) = (t for t in threading.enumerate() if t.name == f"vfio-user {path}")
        assert thread.daemon
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_server_that_ends_has_nothing_left(device: MemoryDevice, path: str) -> None:
    """Nor a client: it was asked to leave."""
    server = Server(device, path)
    with nothing_unclosed():
        with running(server):
            client = negotiated(path)
        assert server._present is None
        assert server._listener is None
        assert server._wake == -1
        assert not Path(path).exists()
        with pytest.raises((OSError, PeerError)):
            client.reset()
        client.close()
        assert device.detached == device.attached == 1


def test_listening_where_it_cannot_leaves_nothing(device: MemoryDevice, tmp_path: Path) -> None:
    with nothing_unclosed():
        for place in (tmp_path / "missing" / "gpu.sock", tmp_path / ("long" * 30)):
            server = Server(device, str(place))
            with pytest.raises(OSError, match=r"No such file|too long"):
                server.listen()
            assert server._listener is None
            server.close()
    assert list(tmp_path.iterdir()) == []


class Failing(MemoryDevice):
    """A device that cannot take a client."""

    def attach(self, memory: GuestMemory, interrupts: Interrupts) -> None:
        super().attach(memory, interrupts)
        raise OSError(24, "no more")


def test_a_device_that_fails_is_let_go_of(path: str) -> None:
    device: PciDevice = Failing()
    server = Server(device, path)
    with nothing_unclosed(), running(server):
        with raw_socket(path) as sock:
            assert is_closed(sock)
        assert server.wait_idle(PATIENCE_S)
        assert server.peer is None


def test_stopping_is_noticed_while_clients_cannot_be_accepted(
    device: MemoryDevice, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the pause: it may be long."""
    monkeypatch.setattr(server_module, "_ACCEPT_PAUSE_MS", 600_000)
    server = Server(device, path)
    server.listen()
    assert server._listener is not None
    listener = server._listener
    refused = threading.Event()

    class Short:
        def accept(self) -> None:
            refused.set()
            raise OSError(24, "no more")

        def fileno(self) -> int:
            return listener.fileno()

        def close(self) -> None:
            listener.close()

    server._listener = Short()  # type: ignore[assignment]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with raw_socket(path):
        assert refused.wait(PATIENCE_S)
        time.sleep(0.05)
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    server.close()
