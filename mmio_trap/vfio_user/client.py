"""A vfio-user client: the same protocol from the other end, for tests and tools.

Synchronous: each call sends one request and waits for its reply. Never part of a guest's route.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mmio_trap.vfio_user.protocol import (
    ERROR,
    NO_REPLY,
    REGION_ACCESS,
    TYPE_COMMAND,
    TYPE_MASK,
    TYPE_REPLY,
    WRITE_MULTI_COUNT,
    WRITE_MULTI_ENTRY,
    Command,
    DeviceFeature,
    DeviceInfo,
    DmaFlag,
    DmaMap,
    DmaUnmap,
    IrqInfo,
    Message,
    PeerError,
    RegionFlag,
    RegionInfo,
    RequestError,
    SetIrqs,
    SetIrqsFlag,
    UnmapFlag,
    pack_message,
    parse_sparse_areas,
)
from mmio_trap.vfio_user.transport import Connection
from mmio_trap.vfio_user.version import Version


@dataclass(frozen=True, slots=True)
class MappedRegion:
    """A region as the server describes it; ``fd`` (owned by the client object) backs ``areas``."""

    info: RegionInfo
    areas: tuple[tuple[int, int], ...]
    fd: int | None


class Client:
    """One connection to a vfio-user server. Calls raise RequestError with the errno it answers,
    PeerError when it breaks the protocol, OSError when the connection fails.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._connection = Connection(sock)
        self._next_id = 0
        self._region_fds: list[int] = []

    @classmethod
    def connect(cls, path: str, timeout: float | None = 30.0) -> Self:
        """Connect to the server at ``path``; ``timeout`` in seconds holds for each call."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return cls(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()
        while self._region_fds:
            os.close(self._region_fds.pop())

    # One message

    def send(
        self, command: int, payload: bytes = b"", fds: Sequence[int] = (), *, flags: int = 0
    ) -> int:
        """Send one request without waiting; returns its id."""
        identity = self._next_id
        self._next_id = (identity + 1) & 0xFFFF
        self._connection.send(pack_message(identity, command, payload, TYPE_COMMAND | flags), fds)
        return identity

    def receive(self, identity: int, command: int) -> Message:
        """The next message, which must be the reply to ``identity``; close it after use."""
        reply = self._connection.receive()
        if reply is None:
            raise PeerError("the server closed the connection")
        if reply.flags & ERROR:
            reply.close()
            raise RequestError(reply.errno, f"command {command}")
        if (reply.id, reply.command, reply.flags & TYPE_MASK) != (identity, command, TYPE_REPLY):
            reply.close()
            raise PeerError(f"reply {reply.id} to command {reply.command}, expected {identity}")
        return reply

    def request(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> bytes:
        """Send one request; the payload of its reply. Descriptors in the reply are closed."""
        reply = self.receive(self.send(command, payload, fds), command)
        reply.close()
        return reply.payload

    # Information

    def negotiate(self, version: Version | None = None) -> Version:
        """Exchange versions; this comes first."""
        return Version.parse(self.request(Command.VERSION, (version or Version()).pack()))

    def device_info(self) -> DeviceInfo:
        """What the device is, how many regions and IRQ indexes it has."""
        asked = DeviceInfo(DeviceInfo.LAYOUT.size, 0, 0, 0)
        return DeviceInfo.parse(self.request(Command.DEVICE_GET_INFO, asked.pack()))

    def region_info(self, index: int) -> MappedRegion:
        """Region ``index``; asks twice, as QEMU does, when there are capabilities."""
        asked = RegionInfo(RegionInfo.LAYOUT.size, 0, index, 0, 0, 0)
        reply = self._region_info(asked)
        info = RegionInfo.parse(reply.payload)
        if info.argsz > asked.argsz:
            reply.close()
            reply = self._region_info(RegionInfo(info.argsz, 0, index, 0, 0, 0))
            info = RegionInfo.parse(reply.payload)
        areas: Iterable[tuple[int, int]] = ()
        if info.flags & RegionFlag.CAPS:
            areas = parse_sparse_areas(reply.payload, info.cap_offset)
        fd = None
        if reply.fds:
            fd = reply.fds.pop(0)
            self._region_fds.append(fd)
        reply.close()
        return MappedRegion(info, tuple(areas), fd)

    def _region_info(self, asked: RegionInfo) -> Message:
        command = Command.DEVICE_GET_REGION_INFO
        return self.receive(self.send(command, asked.pack()), command)

    def irq_info(self, index: int) -> IrqInfo:
        """IRQ index ``index``: its flags and number of vectors."""
        asked = IrqInfo(IrqInfo.LAYOUT.size, 0, index, 0)
        return IrqInfo.parse(self.request(Command.DEVICE_GET_IRQ_INFO, asked.pack()))

    def device_feature(self, flags: int, data: bytes = b"") -> bytes:
        """DEVICE_FEATURE with ``flags`` (feature number and FeatureFlag); the reply's data."""
        asked = DeviceFeature(DeviceFeature.LAYOUT.size + len(data), flags)
        reply = self.request(Command.DEVICE_FEATURE, asked.pack() + data)
        return reply[DeviceFeature.LAYOUT.size :]

    # Regions

    def region_read(self, region: int, offset: int, count: int) -> bytes:
        """``count`` bytes of ``region`` at ``offset``."""
        asked = REGION_ACCESS.pack(offset, region, count)
        return self.request(Command.REGION_READ, asked)[REGION_ACCESS.size :]

    def region_write(self, region: int, offset: int, data: bytes, *, posted: bool = False) -> None:
        """Write ``data``; ``posted`` neither waits for nor gets a reply."""
        asked = REGION_ACCESS.pack(offset, region, len(data)) + data
        if posted:
            self.send(Command.REGION_WRITE, asked, flags=NO_REPLY)
            return
        self.request(Command.REGION_WRITE, asked)

    def write_multi(
        self, writes: Sequence[tuple[int, int, bytes]], *, posted: bool = False
    ) -> None:
        """Several (region, offset, up to 8 bytes) in one message."""
        asked = WRITE_MULTI_COUNT.pack(len(writes)) + b"".join(
            WRITE_MULTI_ENTRY.pack(offset, region, len(data), data)
            for region, offset, data in writes
        )
        if posted:
            self.send(Command.REGION_WRITE_MULTI, asked, flags=NO_REPLY)
            return
        self.request(Command.REGION_WRITE_MULTI, asked)

    # DMA, interrupts, reset

    def dma_map(
        self,
        address: int,
        size: int,
        fd: int | None = None,
        offset: int = 0,
        flags: int = DmaFlag.READ | DmaFlag.WRITE,
    ) -> None:
        """Offer ``size`` bytes of ``fd`` from ``offset`` on as guest memory at ``address``."""
        asked = DmaMap(DmaMap.LAYOUT.size, flags, offset, address, size)
        self.request(Command.DMA_MAP, asked.pack(), () if fd is None else (fd,))

    def dma_unmap(self, address: int, size: int) -> None:
        """Take the ranges within back."""
        asked = DmaUnmap(DmaUnmap.LAYOUT.size, 0, address, size)
        self.request(Command.DMA_UNMAP, asked.pack())

    def dma_unmap_all(self) -> None:
        """Take every range back."""
        asked = DmaUnmap(DmaUnmap.LAYOUT.size, UnmapFlag.ALL, 0, 0)
        self.request(Command.DMA_UNMAP, asked.pack())

    def set_irqs(
        self,
        index: int,
        flags: int,
        start: int = 0,
        count: int = 1,
        *,
        fds: Sequence[int] = (),
        booleans: bytes = b"",
    ) -> None:
        """SET_IRQS with ``flags`` (SetIrqsFlag)."""
        asked = SetIrqs(SetIrqs.LAYOUT.size + len(booleans), flags, index, start, count)
        self.request(Command.DEVICE_SET_IRQS, asked.pack() + booleans, fds)

    def enable_msi(self, eventfd: int) -> None:
        """Have the first MSI vector write ``eventfd``."""
        flags = SetIrqsFlag.DATA_EVENTFD | SetIrqsFlag.ACTION_TRIGGER
        self.set_irqs(1, flags, fds=(eventfd,))

    def reset(self) -> None:
        """Function-level reset."""
        self.request(Command.DEVICE_RESET)


class ClientRam:
    """``size`` bytes of guest RAM at ``address``: a memfd, mapped here and given to the server."""

    def __init__(self, client: Client, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self.fd = os.memfd_create("client-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        self._client = client
        self.bytes = mmap.mmap(self.fd, size)
        """The memory from its first byte."""
        client.dma_map(address, size, self.fd)

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at guest address ``address``. Raises IndexError outside."""
        at = self._offset(address, length)
        return self.bytes[at : at + length]

    def write(self, address: int, data: bytes) -> None:
        """Write ``data`` at guest address ``address``. Raises IndexError outside."""
        at = self._offset(address, len(data))
        self.bytes[at : at + len(data)] = data

    def _offset(self, address: int, length: int) -> int:
        at = address - self.address
        if at < 0 or at + length > self.size:
            raise IndexError(f"{length} bytes at {address:#x} are outside this RAM")
        return at

    def close(self, *, unmap: bool = False) -> None:
        """Release it here; with ``unmap`` take it back from the server first."""
        if unmap:
            self._client.dma_unmap(self.address, self.size)
        self.bytes.close()
        os.close(self.fd)
