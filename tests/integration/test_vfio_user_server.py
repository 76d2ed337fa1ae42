"""The vfio-user server and client over a real socket."""

from __future__ import annotations

import logging
import mmap
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EADDRINUSE, EEXIST, EINVAL
from pathlib import Path

import pytest

from mmio_trap.guest_memory import GuestAddressError
from mmio_trap.vfio_user.client import Client, ClientRam
from mmio_trap.vfio_user.peer import Peer
from mmio_trap.vfio_user.protocol import (
    HEADER,
    REGION_ACCESS,
    Command,
    DmaMap,
    PeerError,
    RegionInfo,
    RequestError,
    pack_message,
)
from mmio_trap.vfio_user.server import Server
from tests.open_files import open_fds
from tests.protocol.memory_device import AREAS, BAR0_SIZE, MemoryDevice
from tests.readiness import readable

PATIENCE_S = 30.0


@contextmanager
def serving(
    device: MemoryDevice, path: str, message_patience: float = PATIENCE_S
) -> Iterator[Server]:
    """A server in a thread of its own, stopped at the end."""
    server = Server(device, path, patience=message_patience)
    with running(server):
        yield server
    device.close()


@contextmanager
def running(server: Server) -> Iterator[None]:
    """``server`` in a thread of its own, stopped and closed at the end."""
    server.listen()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        server.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "gpu.sock")


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def server(device: MemoryDevice, path: str) -> Iterator[Server]:
    with serving(device, path) as made:
        yield made


@pytest.fixture
def client(server: Server, path: str) -> Iterator[Client]:
    with Client.connect(path) as made:
        made.negotiate()
        yield made


def negotiated(path: str) -> Client:
    made = Client.connect(path)
    made.negotiate()
    return made


def raw_socket(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE_S)
    sock.connect(path)
    return sock


def is_closed(sock: socket.socket) -> bool:
    """Whether the server ends the connection without another byte."""
    try:
        return sock.recv(4096) == b""
    except ConnectionResetError:
        return True


def wait_for_detach(server: Server, device: MemoryDevice, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while device.detached < count and time.monotonic() < deadline:
        time.sleep(0.001)
    assert device.detached == count
    assert server.wait_idle(PATIENCE_S)


# One client


def test_information(client: Client) -> None:
    info = client.device_info()
    assert (info.flags, info.num_regions, info.num_irqs) == (3, 9, 5)
    assert client.region_info(0).info == RegionInfo(32, 3, 0, 0, BAR0_SIZE, 0)
    assert (client.irq_info(1).count, client.irq_info(2).count) == (4, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 64, BAR0_SIZE])
def test_region_access(client: Client, size: int) -> None:
    data = os.urandom(size)
    client.region_write(0, BAR0_SIZE - size, data)
    assert client.region_read(0, BAR0_SIZE - size, size) == data


def test_posted_writes_are_done_in_order_before_the_next_read(client: Client) -> None:
    for i in range(5000):
        client.region_write(0, 8 * (i % 100), i.to_bytes(8, "little"), posted=True)
    last = [int.from_bytes(client.region_read(0, 8 * i, 8), "little") for i in range(100)]
    assert last == list(range(4900, 5000))


def test_write_multi(client: Client) -> None:
    client.write_multi([(0, 0, b"12345678"), (0, 6, b"ab")], posted=True)
    client.write_multi([(0, 8, b"c")])
    assert client.region_read(0, 0, 9) == b"123456abc"


def test_errors_leave_the_connection_in_order(client: Client) -> None:
    for _ in range(3):
        with pytest.raises(RequestError) as caught:
            client.region_read(0, BAR0_SIZE, 4)
        assert caught.value.errno == EINVAL
        client.region_write(0, BAR0_SIZE, b"dropped", posted=True)
    assert client.region_read(0, 0, 4) == bytes(4)


def test_guest_memory(client: Client, device: MemoryDevice) -> None:
    ram = ClientRam(client, 0x100000, 1 << 20)
    assert device.memory is not None
    ram.write(0x1FFFFC, b"last")
    assert device.memory.read(0x1FFFFC, 4) == b"last"
    device.memory.write(0x100000, b"first")
    assert ram.read(0x100000, 5) == b"first"
    ram.close(unmap=True)
    with pytest.raises(GuestAddressError):
        device.memory.read(0x100000, 1)
    client.dma_map(0xF0000000, 0x10000)
    client.dma_unmap_all()


def test_many_ranges(client: Client, device: MemoryDevice) -> None:
    """As a guest IOMMU makes them: a message with a descriptor for each page."""
    fd = os.memfd_create("pages", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 512 * 4096)
    before = open_fds()
    for page in range(512):
        client.dma_map(page * 0x2000, 0x1000, fd, page * 0x1000)
    assert open_fds() <= before
    assert device.memory is not None
    device.memory.write(0x2000 * 300, b"page")
    assert os.pread(fd, 4, 0x1000 * 300) == b"page"
    client.dma_unmap(0, 1 << 40)
    os.close(fd)


def test_pipelined_maps_get_their_own_descriptors(client: Client, device: MemoryDevice) -> None:
    fds = []
    sent = []
    for i in range(40):
        fd = os.memfd_create("ram", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 4096)
        os.pwrite(fd, bytes([i]), 0)
        fds.append(fd)
        client.region_write(0, 0, b"between", posted=True)
        payload = DmaMap(32, 3, 0, i << 12, 4096).pack()
        sent.append(client.send(Command.DMA_MAP, payload, [fd]))
    for identity in sent:
        client.receive(identity, Command.DMA_MAP)
    assert device.memory is not None
    assert [device.memory.read(i << 12, 1)[0] for i in range(40)] == list(range(40))
    for fd in fds:
        os.close(fd)


def test_interrupt(client: Client, device: MemoryDevice) -> None:
    eventfd = os.eventfd(0)
    client.enable_msi(eventfd)
    assert device.interrupts is not None
    device.interrupts.set_level(True)
    assert readable(eventfd, 10)
    os.close(eventfd)


def test_reset_and_feature(client: Client, device: MemoryDevice) -> None:
    client.reset()
    assert device.resets == 1
    with pytest.raises(RequestError):
        client.device_feature(1 << 16 | 1)


def test_mapped_region_is_the_devices(path: str) -> None:
    device = MemoryDevice(mappable=True)
    with serving(device, path), negotiated(path) as client:
        region = client.region_info(2)
        assert region.areas == tuple((area.offset, area.size) for area in AREAS)
        assert region.fd is not None
        assert device.fd is not None
        with mmap.mmap(region.fd, 0x1000, offset=0x4000) as mapped:
            mapped[:4] = b"mmap"
        assert os.pread(device.fd, 4, 0x4000) == b"mmap"


def test_message_that_trickles_in(server: Server, path: str) -> None:
    with raw_socket(path) as sock:
        for byte in pack_message(5, Command.VERSION, b"\0\0\0\0{}\0"):
            sock.send(bytes([byte]))
        assert HEADER.unpack(sock.recv(16))[:2] == (5, Command.VERSION)


# Several clients


def test_second_client_is_turned_away_and_the_first_goes_on(
    client: Client, server: Server, path: str
) -> None:
    for _ in range(3):
        with raw_socket(path) as second:
            assert is_closed(second)
        assert client.region_read(0, 0, 4) == bytes(4)
    assert server.turned_away == 3


def test_next_client_after_one_leaves(device: MemoryDevice, server: Server, path: str) -> None:
    for count in range(1, 30):
        with negotiated(path) as client:
            assert client.region_read(7, 0, 4) == b"\x34\x12\x78\x56"
        assert device.attached == count
    assert server.turned_away == 0
    wait_for_detach(server, device, 29)


def test_client_leaves_nothing_behind(device: MemoryDevice, server: Server, path: str) -> None:
    """Not a descriptor, not a mapping, however it leaves."""
    with negotiated(path):
        pass
    wait_for_detach(server, device, 1)
    before = open_fds()
    eventfd = os.eventfd(0)
    for count in range(2, 12):
        with ExitStack() as stack:
            client = stack.enter_context(negotiated(path))
            ram = ClientRam(client, 0, 1 << 16)
            stack.callback(ram.close)
            client.enable_msi(eventfd)
            client.set_irqs(0, 0x24, fds=[eventfd])
            client.set_irqs(0, 0x14, fds=[eventfd])
            with pytest.raises(RequestError):
                client.set_irqs(3, 0x24, 0, 2, fds=[eventfd, eventfd])
            client.send(Command.DEVICE_RESET, b"", [eventfd] * 5)
            half = pack_message(9, Command.DMA_MAP, bytes(32))[: count * 4]
            client._connection.send(half, [ram.fd])
        wait_for_detach(server, device, count)
    os.close(eventfd)
    assert open_fds() <= before


# Bad clients


@pytest.mark.parametrize(
    "stream",
    [
        HEADER.pack(0, 1, 15, 0, 0),
        HEADER.pack(0, 1, 0xFFFFFFFF, 0, 0),
        HEADER.pack(0, 1, 16, 2, 0),
        HEADER.pack(0, 1, 16, 1, 0),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_broken_framing_ends_the_connection(
    device: MemoryDevice, server: Server, path: str, stream: bytes
) -> None:
    with raw_socket(path) as sock:
        sock.send(stream)
        assert is_closed(sock)
    with negotiated(path) as client:
        assert client.region_read(0, 0, 4) == bytes(4)


def test_too_many_descriptors_end_the_connection(
    device: MemoryDevice, server: Server, path: str
) -> None:
    with negotiated(path):
        pass
    wait_for_detach(server, device, 1)
    before = open_fds()
    with raw_socket(path) as sock:
        socket.send_fds(sock, [pack_message(0, Command.DMA_MAP, bytes(32))], [sock.fileno()] * 64)
        assert is_closed(sock)
    wait_for_detach(server, device, 2)
    assert open_fds() <= before


def test_end_inside_a_message(
    device: MemoryDevice, server: Server, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), raw_socket(path) as sock:
        sock.send(pack_message(0, Command.VERSION, bytes(100))[:50])
        sock.shutdown(socket.SHUT_WR)
        assert is_closed(sock)
    wait_for_detach(server, device, 1)
    assert "ended inside a message" in caplog.text


def test_client_that_leaves_without_reading(
    device: MemoryDevice, server: Server, path: str
) -> None:
    with raw_socket(path) as sock:
        sock.send(pack_message(0, Command.VERSION, b"\0\0\0\0{}\0"))
        read = pack_message(0, Command.REGION_READ, REGION_ACCESS.pack(0, 0, BAR0_SIZE))
        for _ in range(20):
            sock.send(read)
    wait_for_detach(server, device, 1)
    with negotiated(path) as client:
        assert client.region_read(0, 0, 4) == bytes(4)


def test_bug_in_the_device_costs_the_client_its_connection_only(
    device: MemoryDevice, server: Server, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), negotiated(path) as client:
        device.broken = True
        with pytest.raises((PeerError, ConnectionError)):
            client.region_read(0, 0, 4)
    device.broken = False
    with negotiated(path) as client:
        assert client.region_read(0, 0, 4) == bytes(4)
    assert "a bug in the device" in caplog.text
    assert device.attached == 2


def test_server_stops_with_a_client_that_never_reads(device: MemoryDevice, path: str) -> None:
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        stack.enter_context(serving(device, path))
        sock.connect(path)
        sock.send(pack_message(0, Command.VERSION, b"\0\0\0\0{}\0"))
        assert sock.recv(4096)
        read = pack_message(0, Command.REGION_READ, REGION_ACCESS.pack(0, 0, BAR0_SIZE))
        sock.setblocking(False)
        with suppress(BlockingIOError):  # the server is blocked sending, and so are we
            for _ in range(10000):
                sock.send(read)
    assert device.detached == 1


# Who is there


def test_the_peer_is_known_while_it_is_there(device: MemoryDevice, path: str) -> None:
    """`on_change` comes when the device has been attached, and when it has been detached."""
    seen: list[tuple[Peer | None, int]] = []
    made: list[Server] = []
    server = Server(device, path, on_change=lambda: seen.append((made[0].peer, device.detached)))
    made.append(server)
    server.listen()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    myself = Peer(os.getpid(), os.getuid(), os.getgid())
    try:
        assert server.peer is None
        for visit in range(2):
            with negotiated(path):
                assert server.peer == myself
                assert seen == [(myself, visit)]
            wait_for_detach(server, device, visit + 1)
            assert server.peer is None
            assert seen == [(myself, visit), (None, visit + 1)]
            seen.clear()
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        server.close()


def test_who_is_turned_away_is_no_peer(device: MemoryDevice, path: str) -> None:
    changes: list[Peer | None] = []
    made: list[Server] = []
    server = Server(device, path, on_change=lambda: changes.append(made[0].peer))
    made.append(server)
    server.listen()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with negotiated(path):
            second = raw_socket(path)
            assert is_closed(second)
            second.close()
            assert len(changes) == 1
        wait_for_detach(server, device, 1)
        assert changes[1:] == [None]
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        server.close()


# The socket


def test_socket_is_private_and_goes_with_the_server(device: MemoryDevice, path: str) -> None:
    with serving(device, path):
        mode = Path(path).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not Path(path).exists()


def test_socket_for_a_group(device: MemoryDevice, path: str) -> None:
    server = Server(device, path, mode=0o660)
    server.listen()
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o660
    server.close()
    assert not Path(path).exists()


def test_socket_of_a_user_and_group(device: MemoryDevice, path: str) -> None:
    """-1 leaves it to this process."""
    server = Server(device, path, mode=0o660, owner=(-1, os.getgid()))
    server.listen()
    status = Path(path).stat()
    assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())
    assert stat.S_IMODE(status.st_mode) == 0o660
    server.close()


def test_stale_socket_is_replaced(device: MemoryDevice, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with serving(device, path), negotiated(path) as client:
        assert client.region_read(0, 0, 1) == b"\0"


def test_live_socket_is_left_alone(server: Server, path: str) -> None:
    other = Server(MemoryDevice(), path)
    with pytest.raises(OSError, match="another server listens here") as caught:
        other.listen()
    assert caught.value.errno == EADDRINUSE
    other.close()
    with negotiated(path) as client:
        assert client.region_read(0, 0, 1) == b"\0"


def test_file_that_is_no_socket_is_left_alone(device: MemoryDevice, path: str) -> None:
    Path(path).write_text("precious")
    server = Server(device, path)
    with pytest.raises(OSError, match="is not a socket") as caught:
        server.listen()
    assert caught.value.errno == EEXIST
    server.close()
    assert Path(path).read_text() == "precious"


def test_server_leaves_no_descriptor(path: str) -> None:
    before = open_fds()
    for _ in range(3):
        with serving(MemoryDevice(), path), negotiated(path) as client:
            client.reset()
    assert open_fds() <= before


def test_stop_before_serving(device: MemoryDevice, path: str) -> None:
    server = Server(device, path)
    server.stop()
    server.serve_forever()
    assert not Path(path).exists()
    server.close()
