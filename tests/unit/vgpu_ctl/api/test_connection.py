"""One client of the control socket: framing, deadlines, and what is done when."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from mmio_trap.vfio_user.peer import Peer
from vgpu_ctl.api.connection import REQUEST_S, SEND_S, Connection, NoRequest
from vgpu_ctl.api.messages import MAX_REQUEST

NOW = 100.0


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """Our end and the client's."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours, Peer(1, 0, 0), allowed=True, now=NOW)
    with theirs:
        yield connection, theirs
    connection.close()


def test_lines_come_in_any_pieces(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    lines = []
    for piece in (b"a", b"b\nc", b"\n\nd"):
        client.sendall(piece)
        connection.receive(NOW)
        while connection.has_line:
            lines.append(connection.take_line(NOW))
    assert lines == [b"ab", b"c", b""]
    assert connection.wants == select.EPOLLIN
    connection.receive(NOW)  # nothing is there


def test_the_longest_request_and_one_that_is_longer(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, client = pair
    client.sendall(b"x" * (MAX_REQUEST - 1) + b"\n")
    connection.receive(NOW)
    assert len(connection.take_line(NOW)) == MAX_REQUEST - 1
    client.sendall(b"x" * MAX_REQUEST)
    while not connection.has_line:
        connection.receive(NOW)
    with pytest.raises(NoRequest, match=f"more than {MAX_REQUEST} bytes"):
        connection.take_line(NOW)


def test_half_a_request_has_a_time(pair: tuple[Connection, socket.socket]) -> None:
    """From its first byte on, however it drips; idle between requests is fine."""
    connection, client = pair
    assert not connection.has_deadline
    client.sendall(b"whole\nha")
    connection.receive(NOW)
    assert connection.take_line(NOW) == b"whole"
    client.sendall(b"l")
    connection.receive(NOW + REQUEST_S / 2)
    assert connection.has_deadline
    assert connection.late(NOW + REQUEST_S * 0.9) == ""
    assert "not complete within 10 s" in connection.late(NOW + REQUEST_S * 1.1)
    client.sendall(b"f\n")
    connection.receive(NOW + REQUEST_S)
    assert not connection.has_deadline


def test_a_reply_that_is_not_taken_has_a_time(pair: tuple[Connection, socket.socket]) -> None:
    """For all of it: taking a byte now and then does not help."""
    connection, client = pair
    connection.send(b"x" * (8 << 20), NOW)
    assert connection.is_sending
    assert connection.wants == select.EPOLLOUT
    assert connection.late(NOW + SEND_S * 0.9) == ""
    client.recv(1 << 20)
    connection.flush(NOW + SEND_S * 0.9)
    with pytest.raises(TimeoutError):
        connection.late(NOW + SEND_S * 1.1)


def test_a_reply_is_taken_in_pieces(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    line = bytes(range(256)) * (1 << 13)
    connection.send(line, NOW)
    received = b""
    while len(received) < len(line):
        received += client.recv(1 << 20)
        connection.flush(NOW + 1)
    assert received == line
    assert not connection.is_sending
    assert (connection.idle_since, connection.wants) == (NOW + 1, select.EPOLLIN)


def test_who_has_sent_all_still_gets_its_answers(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    client.sendall(b"one\ntwo\n")
    client.shutdown(socket.SHUT_WR)
    connection.receive(NOW)
    connection.receive(NOW)
    assert not connection.is_over
    connection.take_line(NOW)
    assert not connection.is_over
    connection.take_line(NOW)
    connection.at_work = True
    assert not connection.is_over
    connection.at_work = False
    assert connection.is_over
