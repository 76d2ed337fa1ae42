"""The client's requests, byte for byte, and what it makes of replies."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mmio_trap.vfio_user.client import Client, ClientRam
from mmio_trap.vfio_user.protocol import HEADER, PeerError, RequestError, pack_message
from tests.unclosed import nothing_unclosed

REPLY, ERROR, NO_REPLY = 1, 1 << 5, 1 << 4


class Peer:
    """The other end: its replies wait before the request is sent."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.client = Client(ours)
        self.replies = 0

    def reply(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        message = pack_message(self.replies, command, payload, REPLY)
        socket.send_fds(self.socket, [message], list(fds))
        self.replies += 1

    def raw(self, *header: int) -> None:
        self.socket.send(HEADER.pack(*header))

    def requests(self) -> list[tuple[int, int, int, bytes]]:
        """(id, command, flags, payload) of what has come."""
        data, found = b"", []
        self.socket.setblocking(False)
        while True:
            try:
                more, fds, _, _ = socket.recv_fds(self.socket, 1 << 16, 8)
            except BlockingIOError:
                break
            if not more:
                break
            for fd in fds:
                os.close(fd)
            data += more
        while data:
            identity, command, size, flags, errno = HEADER.unpack_from(data)
            assert errno == 0
            found.append((identity, command, flags, data[16:size]))
            data = data[size:]
        return found

    def close(self) -> None:
        self.client.close()
        self.socket.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def access(offset: int, region: int, count: int, data: bytes = b"") -> bytes:
    return struct.pack("<QII", offset, region, count) + data


REQUESTS: dict[str, tuple[Callable[[Client], object], int, bytes]] = {
    "write": (lambda c: c.region_write(2, 8, b"abc"), 10, access(8, 2, 3, b"abc")),
    "multi": (
        lambda c: c.write_multi([(0, 16, b"12345678"), (7, 4, b"x")]),
        15,
        struct.pack("<Q", 2)
        + struct.pack("<QII8s", 16, 0, 8, b"12345678")
        + struct.pack("<QII8s", 4, 7, 1, b"x"),
    ),
    "map": (
        lambda c: c.dma_map(0x1000, 0x2000, None, 0x3000, 1),
        2,
        struct.pack("<IIQQQ", 32, 1, 0x3000, 0x1000, 0x2000),
    ),
    "map both ways": (
        lambda c: c.dma_map(0x1000, 0x2000),
        2,
        struct.pack("<IIQQQ", 32, 3, 0, 0x1000, 0x2000),
    ),
    "unmap": (lambda c: c.dma_unmap(0x1000, 0x2000), 3, struct.pack("<IIQQ", 24, 0, 4096, 8192)),
    "unmap all": (lambda c: c.dma_unmap_all(), 3, struct.pack("<IIQQ", 24, 2, 0, 0)),
    "irqs": (
        lambda c: c.set_irqs(1, 0x22, 3, 4, booleans=b"\1\0\1\1"),
        8,
        struct.pack("<IIIII", 24, 0x22, 1, 3, 4) + b"\1\0\1\1",
    ),
    "one irq": (lambda c: c.set_irqs(0, 0x21), 8, struct.pack("<IIIII", 20, 0x21, 0, 0, 1)),
    "reset": (lambda c: c.reset(), 13, b""),
}


@pytest.mark.parametrize(("does", "command", "payload"), REQUESTS.values(), ids=REQUESTS)
def test_requests(
    peer: Peer, does: Callable[[Client], object], command: int, payload: bytes
) -> None:
    peer.reply(command)
    does(peer.client)
    assert peer.requests() == [(0, command, 0, payload)]


def test_requests_are_numbered(peer: Peer) -> None:
    peer.client._next_id = peer.replies = 0xFFFE
    for expected in (0xFFFE, 0xFFFF, 0, 1):
        peer.replies &= 0xFFFF
        peer.reply(13)
        peer.client.reset()
        assert peer.requests()[0][0] == expected


def test_posted_writes_wait_for_nothing(peer: Peer) -> None:
    peer.client.region_write(2, 8, b"abc", posted=True)
    peer.client.write_multi([(0, 16, b"x")], posted=True)
    assert [(c, f) for _, c, f, _ in peer.requests()] == [(10, NO_REPLY), (15, NO_REPLY)]


def test_what_is_asked_and_answered(peer: Peer) -> None:
    client = peer.client
    peer.reply(9, access(4, 1, 3, b"xyz"))
    assert client.region_read(1, 4, 3) == b"xyz"
    peer.reply(4, struct.pack("<IIII", 16, 2, 9, 5))
    info = client.device_info()
    assert (info.flags, info.num_regions, info.num_irqs) == (2, 9, 5)
    peer.reply(7, struct.pack("<IIII", 16, 1, 1, 1))
    assert client.irq_info(1).count == 1
    peer.reply(16, struct.pack("<II", 9, 0x1_0003) + b"!")
    assert client.device_feature(0x1_0003) == b"!"
    assert peer.requests() == [
        (0, 9, 0, access(4, 1, 3)),
        (1, 4, 0, struct.pack("<IIII", 16, 0, 0, 0)),
        (2, 7, 0, struct.pack("<IIII", 16, 0, 1, 0)),
        (3, 16, 0, struct.pack("<II", 8, 0x1_0003)),
    ]


def test_a_region_with_areas_is_asked_for_twice(peer: Peer) -> None:
    """The second time with room for its capabilities; its descriptor is closed with the client."""
    short = struct.pack("<IIIIQQ", 64, 0xF, 2, 0, 1 << 20, 0x5000)
    sparse = struct.pack("<HHIIIQQ", 1, 1, 0, 1, 0, 0x1000, 0x2000)
    whole = struct.pack("<IIIIQQ", 64, 0xF, 2, 32, 1 << 20, 0x5000) + sparse
    fds = [os.memfd_create("region") for _ in range(3)]
    peer.reply(5, short, fds[:1])
    peer.reply(5, whole, fds)
    region = peer.client.region_info(2)
    assert (region.info.size, region.info.offset) == (1 << 20, 0x5000)
    assert region.areas == ((0x1000, 0x2000),)
    assert region.fd is not None
    assert os.fstat(region.fd).st_ino == os.fstat(fds[0]).st_ino
    inodes = {os.fstat(fd).st_ino for fd in fds}
    assert _open(inodes) == 4, "ours, and one of its four"
    peer.client.close()
    assert _open(inodes) == 3
    for fd in fds:
        os.close(fd)
    assert [payload for _, _, _, payload in peer.requests()] == [
        struct.pack("<IIIIQQ", 32, 0, 2, 0, 0, 0),
        struct.pack("<IIIIQQ", 64, 0, 2, 0, 0, 0),
    ]


def test_a_region_without_areas(peer: Peer) -> None:
    peer.reply(5, struct.pack("<IIIIQQ", 32, 3, 4, 0, 64, 0))
    region = peer.client.region_info(4)
    assert (region.areas, region.fd, region.info.size) == ((), None, 64)
    assert len(peer.requests()) == 1


def _open(inodes: set[int]) -> int:
    """How many descriptors of this process are of these files."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            count += path.stat().st_ino in inodes
        except OSError:
            continue
    return count


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ((0, 13, 16, REPLY | ERROR, 22), RequestError),
        ((1, 13, 16, REPLY, 0), PeerError),
        ((0, 12, 16, REPLY, 0), PeerError),
        ((0, 13, 16, 0, 0), PeerError),
    ],
)
def test_replies_that_are_none(peer: Peer, header: tuple[int, ...], error: type[Exception]) -> None:
    peer.raw(*header)
    with pytest.raises(error) as caught:
        peer.client.reset()
    if isinstance(caught.value, RequestError):
        assert caught.value.errno == 22


def test_a_server_that_leaves(peer: Peer) -> None:
    peer.socket.shutdown(socket.SHUT_WR)
    with pytest.raises(PeerError, match="closed"):
        peer.client.reset()


def test_where_nobody_listens_nothing_stays_open() -> None:
    with nothing_unclosed(), pytest.raises(OSError, match="No such file"):
        Client.connect("/nonexistent/gpu.sock")


def test_ram_is_where_it_was_offered(peer: Peer) -> None:
    peer.reply(2)
    ram = ClientRam(peer.client, 0x4000, 0x2000)
    ram.write(0x4000, b"first")
    ram.write(0x5FFE, b"to")
    assert (ram.read(0x4000, 5), ram.read(0x5FFE, 2)) == (b"first", b"to")
    assert ram.bytes[:5] == b"first"
    for address, length in ((0x3FFF, 1), (0x6000, 1), (0x5FFF, 2)):
        with pytest.raises(IndexError):
            ram.read(address, length)
        with pytest.raises(IndexError):
            ram.write(address, bytes(length))
    peer.reply(3)
    ram.close(unmap=True)
    assert [command for _, command, _, _ in peer.requests()] == [2, 3]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(ram.fd)
