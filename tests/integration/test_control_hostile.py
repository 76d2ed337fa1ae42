"""Clients of the control socket that send garbage, flood, stall or do not listen."""

from __future__ import annotations

import grp
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.integration.control_rig import (
    NO_METRICS,
    PATIENCE_S,
    ControlRig,
    running,
    settled,
    stats_of,
    wait_until,
)
from tests.integration.other_user import as_user, needs_root, passable
from tests.integration.vgpu_rig import connect
from vgpu_ctl.api.messages import MAX_REQUEST, ErrorCode, Reply
from vgpu_ctl.api.objects import Event, EventKind
from vgpu_ctl.client import ApiError, DaemonUnreachable

CLIENTS = 8
CONFIG = f"{NO_METRICS}[control]\nconnections = {CLIENTS}\n"


@dataclass(frozen=True)
class Idle:
    """What a vgpud has while nobody is connected."""

    threads: int
    descriptors: int

    @classmethod
    def of(cls, rig: ControlRig) -> Idle:
        return cls(rig.threads(), rig.descriptors())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ControlRig, Idle]]:
    """A vgpud, and what it has without a client."""
    with running(tmp_path_factory.mktemp("shared"), CONFIG) as rig:
        with rig.client() as client:  # the GPU stays up from its first vGPU on
            client.create(name="first", type="V9_8", transient=True)
            client.stop("first")
        yield rig, settled(lambda: Idle.of(rig))


@pytest.fixture
def rig(shared: tuple[ControlRig, Idle]) -> Iterator[ControlRig]:
    """The one vgpud, which serves others as before after each test, with nothing left over."""
    made, idle = shared
    yield made
    with made.client() as client:
        assert client.vgpus() == []
    wait_until(lambda: Idle.of(made) == idle, "as many threads and descriptors as before")


def answer(connection: socket.socket, data: bytes) -> tuple[Reply, bool]:
    """The reply to ``data``, and whether the connection lives on."""
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(1 << 16)
        assert part, "closed without a word"
        received += part
    reply = msgspec.json.decode(received, type=Reply)
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(b'{"api":1,"id":99,"method":"version"}\n')
    try:
        return reply, bool(connection.recv(1 << 16))
    except ConnectionResetError:
        return reply, False


def request(method: str, params: str) -> bytes:
    return f'{{"api":1,"id":7,"method":"{method}","params":{params}}}\n'.encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\n", "not a request: "),
        (b"garbage\n", "not a request: JSON is malformed"),
        (b"\x00\xff\xfe" * 100 + b"\n", "not a request: "),
        (b'{"api":1,"id":1,"method":"\xff"}\n', "not a request: "),
        (b'{"api":1,"id":1,"method":"\\ud800"}\n', "not a request: "),
        (b"[]\n", "Expected `object`, got `array`"),
        (b'{"api":1,"method":"list"}\n', "Object missing required field `id`"),
        (b'{"api":1,"id":1,"method":"list","more":1}\n', "unknown field `more`"),
        (b'{"api":1,"id":1.5,"method":"list"}\n', "Expected `int`, got `float`"),
        (b'{"api":1,"id":1,"method":"explode"}\n', "there is no method 'explode'"),
        (b"[" * 60000 + b"\n", "not a request: "),
        (request("list", "[" * 30000 + "]" * 30000), "not a request: "),
        (b"x" * MAX_REQUEST, f"a request has more than {MAX_REQUEST} bytes"),
        (b'{"a":"' + b"x" * MAX_REQUEST + b'"}\n', f"a request has more than {MAX_REQUEST} bytes"),
    ],
)
def test_what_is_no_request_ends_the_connection(rig: ControlRig, data: bytes, text: str) -> None:
    with rig.raw() as connection:
        reply, goes_on = answer(connection, data)
    assert reply.error is not None
    assert reply.error.code is ErrorCode.PROTOCOL
    assert text in reply.error.message
    assert not goes_on


@pytest.mark.parametrize(
    ("method", "params", "field", "text"),
    [
        ("list", '{"x":1}', "x", "unknown field `x`"),
        ("list", "null", "", "Expected `object`, got `null`"),
        ("show", "{}", "vgpu", "missing required field `vgpu`"),
        ("show", '{"vgpu":3}', "vgpu", "vgpu: Expected `str`, got `int`"),
        ("define", '{"name":"a","type":"V9_4","weight":true}', "weight", "got `bool`"),
        ("define", '{"name":"a","type":"V9_4","cap":1e999}', "cap", "out of range"),
        ("define", '{"name":"a","type":"V9_4","autostart":"no"}', "autostart", "got `str`"),
        ("create", '{"name":["a"],"type":"V9_4"}', "name", "got `array`"),
        ("events", '{"kinds":["hang","bang"]}', "kinds[1]", "Invalid enum value 'bang'"),
        ("events", '{"vgpu":"nobody"}', "vgpu", "there is no vGPU 'nobody'"),
        ("trace", '{"vgpu":"x","seconds":-1}', "seconds", "seconds: -1.0 is not allowed"),
        ("trace", '{"vgpu":"nobody","seconds":1}', "vgpu", "there is no vGPU 'nobody'"),
        ("stats", '{"vgpu":"../../etc"}', "vgpu", "there is no vGPU"),
    ],
)
def test_wrong_parameters_are_named(
    rig: ControlRig, method: str, params: str, field: str, text: str
) -> None:
    with rig.raw() as connection:
        reply, goes_on = answer(connection, request(method, params))
    assert reply.id == 7
    assert reply.error is not None
    assert reply.error.code in (ErrorCode.INVALID, ErrorCode.NOT_FOUND)
    assert reply.error.field == field
    assert text in reply.error.message
    assert goes_on


def test_text_that_is_not_utf8(rig: ControlRig) -> None:
    with rig.raw() as connection:
        data = b'{"api":1,"id":7,"method":"show","params":{"vgpu":"\xff\xfe"}}\n'
        reply, goes_on = answer(connection, data)
    assert reply.error is not None
    assert reply.error.code is ErrorCode.INVALID
    assert goes_on


def test_another_version(rig: ControlRig) -> None:
    with rig.raw() as connection:
        reply, goes_on = answer(connection, b'{"api":2,"id":3,"method":"list"}\n')
    assert reply.error is not None
    assert reply.error.code is ErrorCode.UNSUPPORTED
    assert reply.error.message == "api: version 2 is asked for, this vgpud speaks 1"
    assert goes_on


def test_a_hundred_megabytes_without_an_end(rig: ControlRig) -> None:
    piece, sent = b"x" * (1 << 20), 0
    before = rig.resident()
    with rig.raw() as connection, suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(100):
            connection.sendall(piece)
            sent += len(piece)
    assert sent < len(piece)
    assert rig.resident() < before + (32 << 20)


def test_a_long_request_of_the_client_library(rig: ControlRig) -> None:
    with rig.client() as client:
        with pytest.raises(ApiError, match=f"{MAX_REQUEST} are allowed"):
            client.show("x" * MAX_REQUEST)
        with pytest.raises(ApiError) as error:
            client.define(name="x" * 60000, type="V9_4")
        assert len(str(error.value)) < 300


@pytest.mark.modes
def test_who_finds_no_room_is_told_and_idle_ones_make_it(rig: ControlRig) -> None:
    idle: list[socket.socket] = []

    def is_turned_away() -> bool:
        """Those that are idle make room after seconds: when a test is slow, at once."""
        for connection in idle:
            connection.close()
        idle[:] = [rig.raw() for _ in range(CLIENTS)]
        with rig.client() as client:
            try:
                client.vgpus()
            except ApiError as error:
                told = f"there are {CLIENTS} clients already"
                return (error.code, str(error)) == (ErrorCode.BUSY, told)
        return False

    def is_served() -> bool:
        try:
            with rig.client() as client:
                return client.vgpus() == []
        except (ApiError, DaemonUnreachable):
            return False

    wait_until(is_turned_away, "no room")
    wait_until(is_served, "room", step=0.5)
    for connection in idle:
        connection.close()


@pytest.mark.modes
def test_half_a_request(rig: ControlRig) -> None:
    with rig.raw() as connection:
        connection.sendall(b'{"api":1,')
        connection.settimeout(10 + PATIENCE_S)
        reply = msgspec.json.decode(connection.recv(1 << 16), type=Reply)
    assert reply.error is not None
    assert reply.error.message == "a request was not complete within 10 s"


def test_who_asks_for_a_stream_and_leaves(rig: ControlRig) -> None:
    """Nothing stays: no listener, no trace, no thread."""
    with rig.client() as client:
        client.create(name="a", type="V9_8", transient=True)
    for line in (
        request("events", "{}"),
        request("trace", '{"vgpu":"a","seconds":600}'),
    ):
        for _ in range(20):
            with rig.raw() as connection, suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(line)
    wait_until(lambda: can_trace(rig), "nobody traces it")
    with rig.client() as client:
        client.stop("a")


def can_trace(rig: ControlRig) -> bool:
    """Not while another trace goes on, nor while those who left have not made room yet."""
    try:
        with rig.client() as client:
            return bool(list(client.trace("a", 0.05)))
    except (ApiError, DaemonUnreachable) as error:
        if any(text in str(error) for text in ("a is being traced", "clients already", "closed")):
            return False
        raise


def test_a_trace_ends_with_its_vgpu(rig: ControlRig) -> None:
    with rig.client() as client, rig.client() as tracer:
        made = client.create(name="a", type="V9_8", transient=True)
        chunks = tracer.trace("a", 600)
        with pytest.raises(ApiError, match="a is being traced"):
            client.trace("a", 1)
        guest = connect(made.socket)
        guest.driver.wait(guest.driver.run(guest.driver.create_context("rcs0")))
        guest.driver.wait_idle()  # its end is told, too
        wait_until(lambda: client.show("a").client is not None, "a client")
        client.stop("a", force=True)
        tracks = {record.track for chunk in chunks for record in chunk.records}
        assert {"traps", "slices", "rcs0", "interrupts"} <= tracks
        guest.close()
        with pytest.raises(ApiError, match="there is no vGPU"):
            client.trace("a", 1)


@pytest.mark.modes
def test_who_does_not_read_events_hears_how_many_were_dropped(rig: ControlRig) -> None:
    """And delays nobody; in the end there are others' events again."""
    with rig.client() as client, rig.raw() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.define(name="a", type="V9_8")
        deaf.sendall(request("events", "{}"))
        assert b'"more":true' in deaf.recv(4096)
        count = 0
        began = time.monotonic()
        while time.monotonic() - began < 2 and count < 2500:
            client.modify("a", autostart=count % 2 == 0)
            count += 1
        told = dropped = 0
        lines = lines_of(deaf)
        while told + dropped < count:
            event = msgspec.json.decode(next(lines), type=StreamedEvent).result
            told += event.kind is EventKind.MODIFIED
            dropped += int(event.data.get("count", 0))
        assert told + dropped == count
        client.destroy("a")
        assert b'"undefined"' in next(lines)


class StreamedEvent(msgspec.Struct):
    """A reply with an event."""

    result: Event


def lines_of(connection: socket.socket) -> Iterator[bytes]:
    """What comes, in lines."""
    data = b""
    while part := connection.recv(1 << 20):
        *lines, data = (data + part).split(b"\n")
        yield from lines


@needs_root
def test_who_may_use_the_socket() -> None:
    group = grp.getgrnam("games").gr_gid
    config = (
        f'{NO_METRICS}[control]\ngroup = "games"\n[sockets]\nowner = "65534"\ngroup = "games"\n'
    )
    with passable() as root, running(root, config + 'mode = "0660"\n') as rig:
        found = rig.socket.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, group)
        with rig.client() as client:
            made = client.create(name="a", type="V9_8")
        found = Path(made.socket).stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert (found.st_uid, found.st_gid) == (65534, group)
        for path in (rig.runtime, rig.runtime / "vgpus", rig.state, *rig.runtime.rglob("*")):
            assert not path.stat().st_mode & stat.S_IWOTH, path
        member = ("--reuid=1234", "--regid=1234", f"--groups={group}")
        stranger = ("--reuid=1234", "--regid=1234", "--clear-groups")
        assert as_user(*member, socket_path=rig.socket).startswith("[VgpuInfo(")
        assert "no permission to use" in as_user(*stranger, socket_path=rig.socket)
        rig.socket.chmod(0o666)  # by accident: who it is is looked at, too
        assert as_user(*stranger, socket_path=rig.socket) == "user 1234 may not use this vgpud"
        assert stats_of(rig.client(), "a").name == "a"
