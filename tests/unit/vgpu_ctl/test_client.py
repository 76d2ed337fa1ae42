"""The client library: whom it trusts, and what it does not even send."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable, ErrorCode

STRANGER = 65533


@contextmanager
def listener_of(uid: int, path: Path) -> Iterator[None]:
    """A control socket that another user serves."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.seteuid(uid)
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        yield


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a client looks for vgpud by itself."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("VGPUD_SOCKET", raising=False)
    return tmp_path / "control.sock"


def test_ones_own_vgpud_is_found(usual: Path) -> None:
    with FakeVgpud(usual), Client.connect() as client:
        assert client.path == usual
        assert client.version().version == "9.9"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_strangers_is_not_trusted_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, usual: Path
) -> None:
    with listener_of(STRANGER, usual):
        with pytest.raises(DaemonUnreachable, match=f"user {STRANGER} serves {usual}") as error:
            Client.connect()
        assert error.value.denied
        Client.connect(usual).close()
        monkeypatch.setenv("VGPUD_SOCKET", str(usual))
        Client.connect().close()


def test_what_json_cannot_say_is_refused(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Client(ours, tmp_path) as client:
        for call, field in (
            (lambda: client.show("\udcff"), "vgpu"),
            (lambda: client.create(name="\udcff", type="V9_4"), "name"),
            (lambda: client.modify("web", cap=float("nan")), "cap"),
            (lambda: client.trace("web", float("inf")), "seconds"),
        ):
            with pytest.raises(ApiError, match=f"^{field}: ") as error:
                call()
            assert (error.value.code, error.value.field) == (ErrorCode.INVALID, field)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


def test_a_queue_that_is_full_is_waited_in(tmp_path: Path) -> None:
    """In turn with others, and no longer than is allowed."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        with pytest.raises(DaemonUnreachable, match="does not answer in time") as error:
            Client.connect(path, timeout=0.05)
        assert "others ask for a lot" in error.value.hint
        waiter = threading.Timer(0.05, lambda: listener.accept()[0].close())
        waiter.start()
        Client.connect(path, timeout=30).close()
        waiter.join()


def test_an_answer_that_does_not_come_is_said_to(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with Client.connect(path, timeout=0.05) as client:
            with pytest.raises(DaemonUnreachable, match="does not answer in time") as error:
                client.vgpus()
            assert "in turn" in error.value.hint
