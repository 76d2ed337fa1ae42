"""The control server with a service that does what a test says: nobody waits for another's work."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from mmio_trap.vfio_user.peer import Peer
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.methods import METHODS, Params
from vgpu_ctl.api.objects import EventKind
from vgpu_ctl.api.server import (
    CHANGERS,
    CHANGING_SHARE,
    CHANGING_SHARE_ALONE,
    LOOKING_SHARE,
    ControlServer,
)
from vgpu_ctl.api.streams import EventStream, Stream
from vgpu_ctl.host.event_bus import EventBus

PATIENCE_S = 30.0
MANY = 1000


class FakeService:
    """Looks and changes that wait until they may go on."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.has_guests = False
        self.goes_on = {"stats": threading.Event(), "stop": threading.Event()}
        self.begun = threading.Semaphore(0)
        self.failure: Exception | None = None
        self.looks = 0

    @property
    def changes(self) -> int:
        return self.bus.changes

    def decoded(self, method: str, params: bytes, _peer: Peer) -> Params:
        return msgspec.json.decode(params, type=METHODS[method].params)

    def look(self, method: str, _params: Params) -> Any:
        self.begun.release()
        if self.failure is not None:
            raise self.failure
        if method in self.goes_on:
            assert self.goes_on[method].wait(PATIENCE_S)
        self.looks += 1
        return self.looks

    def change(self, method: str, params: Params, _peer: Peer) -> Any:
        self.begun.release()
        if method in self.goes_on:
            assert self.goes_on[method].wait(PATIENCE_S)
        self.bus.changed()
        return getattr(params, "vgpu", None)

    def listen(self, _method: str, _params: Params, wake: Callable[[], None]) -> Stream:
        return EventStream(self.bus, (), "", wake)

    def release(self) -> None:
        for event in self.goes_on.values():
            event.set()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.mark.parametrize(
    ("has_guests", "share"), [(True, CHANGING_SHARE), (False, CHANGING_SHARE_ALONE)]
)
def test_changes_take_less_of_a_processor_beside_guests(
    service: FakeService, *, has_guests: bool, share: float
) -> None:
    server = ControlServer(cast(Any, service), connections=16)
    service.has_guests = has_guests
    assert server._changers._pace().share == share
    assert server._looker._pace().share == LOOKING_SHARE


@pytest.fixture
def path(tmp_path: Path, service: FakeService) -> Iterator[Path]:
    """Where a server listens."""
    server = ControlServer(cast(Any, service), connections=16)
    server.listen(tmp_path / "s", 0o600, None)
    server.start()
    yield tmp_path / "s"
    service.release()
    server.stop()


class Asker:
    """A connection, without the client library."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self.replies = self.socket.makefile()

    def send(self, method: str, identity: int = 1, **params: Any) -> None:
        request = {"api": 1, "id": identity, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def reply(self) -> Any:
        return json.loads(self.replies.readline() or "null")

    def ask(self, method: str, **params: Any) -> Any:
        self.send(method, **params)
        return self.reply()


@contextmanager
def asking(path: Path) -> Iterator[Asker]:
    asker = Asker(path)
    with asker.socket, asker.replies:
        yield asker


def test_what_there_is_can_be_seen_while_a_guest_holds_its_lock(
    service: FakeService, path: Path
) -> None:
    """And everything else goes on: changes, events."""
    with asking(path) as waiting, asking(path) as other, asking(path) as listener:
        waiting.send("stats")
        assert service.begun.acquire(timeout=PATIENCE_S)
        assert "result" in other.ask("list")
        assert other.ask("start", vgpu="a")["result"] == "a"
        service.goes_on["stats"].set()
        assert "result" in waiting.reply()
        assert listener.ask("events")["more"]


def test_changes_that_wait_hold_up_no_looks(service: FakeService, path: Path) -> None:
    with ExitStack() as stack:
        stopping = [stack.enter_context(asking(path)) for _ in range(CHANGERS + 2)]
        for each in stopping:
            each.send("stop", vgpu="a")
        for _ in range(CHANGERS):
            assert service.begun.acquire(timeout=PATIENCE_S)
        assert not service.begun.acquire(timeout=0.01)
        with asking(path) as other:
            assert "result" in other.ask("list")
        service.goes_on["stop"].set()
        assert [each.reply()["result"] for each in stopping] == ["a"] * len(stopping)


def test_all_who_look_meanwhile_get_one_answer(service: FakeService, path: Path) -> None:
    with ExitStack() as stack:
        askers = [stack.enter_context(asking(path)) for _ in range(10)]
        for number, each in enumerate(askers):
            each.send("stats", number)
        assert service.begun.acquire(timeout=PATIENCE_S)
        service.goes_on["stats"].set()
        replies = [each.reply() for each in askers]
    assert [(reply["id"], reply["result"]) for reply in replies] == [(n, 1) for n in range(10)]


def test_a_change_is_seen_by_the_next_look(service: FakeService, path: Path) -> None:
    """Whoever made it, and however young the last answer is."""
    with asking(path) as one, asking(path) as other:
        for number in range(1, 20):
            assert one.ask("list")["result"] == number
            other.ask("start", vgpu="a")


def test_requests_in_a_row_are_answered_in_order(path: Path) -> None:
    with asking(path) as asker:
        line = b'{"api":1,"id":%d,"method":"list"}\n'
        asker.socket.sendall(b"".join(line % number for number in range(MANY)))
        asker.socket.shutdown(socket.SHUT_WR)
        assert [asker.reply()["id"] for _ in range(MANY)] == list(range(MANY))
        assert asker.reply() is None


def test_a_failure_of_ours_is_told_and_ends_that_connection(
    service: FakeService, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with asking(path) as unlucky, asking(path) as other:
        service.failure = KeyError("counters")
        error = unlucky.ask("list")["error"]
        assert (error["code"], error["message"]) == ("failed", "vgpud failed at this: see its log")
        assert unlucky.reply() is None
        service.failure = ApiError(ErrorCode.NOT_FOUND, "no")
        assert other.ask("list")["error"]["code"] == "not-found"
        service.failure = None
        assert "result" in other.ask("list")
    assert "KeyError: 'counters'" in caplog.text


def test_events_come_by_themselves_and_end_with_the_listener(
    service: FakeService, path: Path
) -> None:
    with asking(path) as listener:
        assert listener.ask("events") == {"id": 1, "more": True}
        for number in range(3):
            service.bus.publish(EventKind.STARTED, vgpu=f"v{number}")
            reply = listener.reply()
            assert (reply["more"], reply["result"]["vgpu"]) == (True, f"v{number}")
    with asking(path) as other:
        until(lambda: not service.bus._listeners, other)
    service.bus.publish(EventKind.STARTED)


def test_who_leaves_while_its_stream_begins_leaves_nothing(
    service: FakeService, path: Path
) -> None:
    with asking(path) as blocking:
        blocking.send("stats")
        assert service.begun.acquire(timeout=PATIENCE_S)
        for _ in range(5):
            with asking(path) as leaving:
                leaving.send("events")
                assert "result" in answer_to_another(path)
        service.goes_on["stats"].set()
        assert "result" in blocking.reply()
    with asking(path) as other:
        until(lambda: not service.bus._listeners, other)


def until(condition: Callable[[], bool], asker: Asker) -> None:
    """Ask until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        asker.ask("list")


def answer_to_another(path: Path) -> Any:
    """The answer to somebody else: what was sent before has been read by then."""
    with asking(path) as other:
        return other.ask("list")
