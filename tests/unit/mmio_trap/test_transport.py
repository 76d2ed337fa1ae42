"""One side of a connection: what it says of a peer that is too slow, and what it gives back."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from mmio_trap.vfio_user.protocol import HEADER, PeerError, pack_message
from mmio_trap.vfio_user.transport import Connection
from tests.unclosed import nothing_unclosed

SHORT_S = 0.02
MESSAGE = pack_message(7, 5, bytes(40))


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    connection = Connection(ours, SHORT_S)
    yield connection, theirs
    connection.close()
    theirs.close()


Pair = tuple[Connection, socket.socket]


def _receive(connection: Connection) -> object:
    return connection.receive(time.monotonic() + SHORT_S)


def _send(connection: Connection) -> None:
    connection.send(bytes(8 << 20))


@pytest.mark.parametrize(
    ("does", "before", "says"),
    [
        (_receive, b"", "^nothing came for 0.02 s$"),
        (_receive, MESSAGE[:9], "^a message was not finished in 0.02 s: 9 of 16 bytes$"),
        (_receive, MESSAGE[:-1], "^a message was not finished in 0.02 s: 55 of 56 bytes$"),
        (_send, b"", "^a reply was not read for 0.02 s$"),
        (_send, MESSAGE[:9], "^a reply was not read for 0.02 s$"),
    ],
)
def test_it_says_what_the_peer_did_not_do(
    pair: Pair, does: Callable[[Connection], object], before: bytes, says: str
) -> None:
    connection, theirs = pair
    theirs.send(before)
    with pytest.raises(PeerError, match=says):
        does(connection)


def test_a_time_that_is_over_is_not_waited_for(pair: Pair) -> None:
    with pytest.raises(PeerError, match="nothing came"):
        pair[0].receive(time.monotonic() - 60)


def test_what_is_there_is_taken_before_the_time_is_over(pair: Pair) -> None:
    connection, theirs = pair
    theirs.send(MESSAGE + MESSAGE)
    for _ in range(2):
        message = connection.receive(time.monotonic() + 30)
        assert message is not None
        assert (message.id, message.command, message.payload) == (7, 5, bytes(40))


def test_a_message_that_does_not_fit_goes_in_pieces_and_its_descriptors_once() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    connection, other = Connection(ours, 30), Connection(theirs, 30)
    eventfd = os.eventfd(0)
    payload = bytes(range(256)) * 2048
    sender = threading.Thread(
        target=connection.send, args=(pack_message(1, 5, payload), [eventfd]), daemon=True
    )
    sender.start()
    message = other.receive(time.monotonic() + 30)
    sender.join(30)
    assert message is not None
    assert message.payload == payload
    assert len(message.fds) == 1
    message.close()
    os.close(eventfd)
    connection.close()
    other.close()


def test_the_end_of_the_peer(pair: Pair) -> None:
    connection, theirs = pair
    assert not connection.peer_has_left()
    theirs.send(MESSAGE)
    theirs.close()
    assert connection.peer_has_left()
    assert connection.receive() is not None
    assert connection.receive() is None


def test_the_end_of_the_peer_inside_a_message(pair: Pair) -> None:
    connection, theirs = pair
    theirs.send(MESSAGE[:20])
    theirs.close()
    with pytest.raises(PeerError, match="ended inside"):
        connection.receive()


def test_after_closing_everybody_has_left(pair: Pair) -> None:
    connection, theirs = pair
    connection.close()
    assert connection.peer_has_left()
    assert theirs.recv(1) == b""


def test_shutting_down_ends_a_receive_and_may_come_twice(pair: Pair) -> None:
    connection, theirs = pair
    connection.shut_down()
    connection.shut_down()
    assert connection.receive() is None
    assert theirs.recv(1) == b""
    connection.close()
    connection.shut_down()


def test_closing_gives_all_back() -> None:
    """The socket, and descriptors of a message that never became whole."""
    let_go: list[int] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with nothing_unclosed():
        connection = Connection(ours, SHORT_S, let_go.append)
        socket.send_fds(theirs, [MESSAGE[:20]], [theirs.fileno()] * 2)
        with pytest.raises(PeerError, match="not finished"):
            connection.receive()
        connection.close()
        assert ours.fileno() == -1
        assert len(let_go) == 2
        for fd in let_go:
            os.close(fd)
        theirs.close()
        del connection, ours, theirs


def test_a_length_that_no_message_has(pair: Pair) -> None:
    connection, theirs = pair
    theirs.send(HEADER.pack(1, 5, 15, 0, 0))
    with pytest.raises(PeerError, match="of 15 bytes"):
        connection.receive()


def test_descriptors_for_which_there_is_no_number(pair: Pair) -> None:
    """Not all of a message's came: nothing of it is used."""
    connection, theirs = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with suppress(OSError):
            while True:
                stack.callback(os.close, os.dup(theirs.fileno()))
        socket.send_fds(theirs, [MESSAGE], [theirs.fileno()])
        with pytest.raises(PeerError, match="were not taken"):
            connection.receive()
