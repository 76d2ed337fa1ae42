"""The vfio-user protocol without I/O: what is on the wire, and how a byte stream becomes messages.

Wire layouts (little-endian) stand beside their dataclasses. Specification: QEMU's
docs/interop/vfio-user.rst; where QEMU's client departs from it, the row says so.
Two failures and no third: :class:`PeerError`, the stream makes no sense any more and the
connection must end; :class:`RequestError`, a well-framed message is refused and answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from enum import IntEnum, IntFlag
from errno import EINVAL
from struct import Struct
from typing import ClassVar, Self

MAX_DATA_XFER_SIZE = 1 << 20
"""Bytes of data one message may carry (announced in VERSION)."""
MAX_MSG_FDS = 8
"""File descriptors one message may carry (announced in VERSION)."""
MAX_WRITE_MULTI = 200
"""Writes in one REGION_WRITE_MULTI: what fits QEMU's message."""

HEADER = Struct("<HHIII")
"""id, command, size with header, flags, errno."""
HEADER_SIZE = 16
MAX_MESSAGE_SIZE = HEADER_SIZE + 4096 + MAX_DATA_XFER_SIZE
REGION_ACCESS = Struct("<QII")
"""offset, region, count: REGION_READ, REGION_WRITE and their replies; data follows."""
REGION_REPLY = Struct("<HHIIIQII")
"""A header and REGION_ACCESS at once."""
WRITE_MULTI_COUNT = Struct("<Q")
WRITE_MULTI_ENTRY = Struct("<QII8s")
"""offset, region, count (1 to 8), data."""
DMA_ACCESS = Struct("<QQ")
"""address, count: DMA_READ and DMA_WRITE."""

TYPE_MASK = 0xF
TYPE_COMMAND = 0
TYPE_REPLY = 1
NO_REPLY = 1 << 4
ERROR = 1 << 5


class Command(IntEnum):
    """Message numbers."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13
    DIRTY_PAGES = 14
    REGION_WRITE_MULTI = 15
    DEVICE_FEATURE = 16
    MIG_DATA_READ = 17
    MIG_DATA_WRITE = 18


_TAKES_FDS = frozenset({Command.DMA_MAP, Command.DEVICE_SET_IRQS})


class PeerError(Exception):
    """The peer broke the framing: nothing after this can be understood."""


class RequestError(Exception):
    """A well-framed request that is refused with ``errno``."""

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(f"{message} ({os.strerror(errno)})")
        self.errno = errno


class DmaFlag(IntFlag):
    """DMA_MAP's flags."""

    READ = 1
    WRITE = 2


class UnmapFlag(IntFlag):
    """DMA_UNMAP's flags."""

    DIRTY_BITMAP = 1
    ALL = 2


class DeviceFlag(IntFlag):
    """DEVICE_GET_INFO's flags."""

    RESET = 1
    PCI = 2


class RegionFlag(IntFlag):
    """DEVICE_GET_REGION_INFO's flags."""

    READ = 1
    WRITE = 2
    MMAP = 4
    CAPS = 8


class IrqFlag(IntFlag):
    """DEVICE_GET_IRQ_INFO's flags."""

    EVENTFD = 1
    MASKABLE = 2
    AUTOMASKED = 4
    NORESIZE = 8


class SetIrqsFlag(IntFlag):
    """DEVICE_SET_IRQS's flags: one of DATA_*, one of ACTION_*."""

    DATA_NONE = 1
    DATA_BOOL = 2
    DATA_EVENTFD = 4
    ACTION_MASK = 8
    ACTION_UNMASK = 16
    ACTION_TRIGGER = 32


class FeatureFlag(IntFlag):
    """DEVICE_FEATURE's flags above the feature number."""

    GET = 1 << 16
    SET = 1 << 17
    PROBE = 1 << 18


@dataclass(frozen=True, slots=True)
class _Body:
    """A fixed layout at the start of a payload, first field ``argsz``."""

    LAYOUT: ClassVar[Struct]
    argsz: int

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """The layout at the start of ``payload``. Raises RequestError EINVAL when too short.

        ``argsz`` is what the sender can take in return and is never less than the layout.
        """
        size = cls.LAYOUT.size
        if len(payload) < size:
            raise RequestError(EINVAL, f"{cls.__name__}: {len(payload)} bytes, needs {size}")
        body = cls(*cls.LAYOUT.unpack_from(payload))
        if body.argsz < size:
            raise RequestError(EINVAL, f"{cls.__name__}: argsz {body.argsz}, needs {size}")
        return body

    def pack(self) -> bytes:
        """The bytes on the wire."""
        return self.LAYOUT.pack(*astuple(self))


@dataclass(frozen=True, slots=True)
class DmaMap(_Body):
    """DMA_MAP: ``size`` bytes at ``address``, from ``fd_offset`` of the fd that rides along."""

    LAYOUT: ClassVar[Struct] = Struct("<IIQQQ")
    flags: int
    fd_offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class DmaUnmap(_Body):
    """DMA_UNMAP, and its reply."""

    LAYOUT: ClassVar[Struct] = Struct("<IIQQ")
    flags: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class DeviceInfo(_Body):
    """DEVICE_GET_INFO, and its reply."""

    LAYOUT: ClassVar[Struct] = Struct("<IIII")
    flags: int
    num_regions: int
    num_irqs: int


@dataclass(frozen=True, slots=True)
class RegionInfo(_Body):
    """DEVICE_GET_REGION_INFO, and its reply; capabilities follow at ``cap_offset``."""

    LAYOUT: ClassVar[Struct] = Struct("<IIIIQQ")
    flags: int
    index: int
    cap_offset: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class IrqInfo(_Body):
    """DEVICE_GET_IRQ_INFO, and its reply."""

    LAYOUT: ClassVar[Struct] = Struct("<IIII")
    flags: int
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class SetIrqs(_Body):
    """DEVICE_SET_IRQS; ``count`` bytes follow with DATA_BOOL, fds ride along with DATA_EVENTFD."""

    LAYOUT: ClassVar[Struct] = Struct("<IIIII")
    flags: int
    index: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class DeviceFeature(_Body):
    """DEVICE_FEATURE: feature number in the low 16 bits of ``flags``; data follows."""

    LAYOUT: ClassVar[Struct] = Struct("<II")
    flags: int


_SPARSE_HEADER = Struct("<HHIII")
"""Capability id, version, offset of the next, number of areas, 0."""
_SPARSE_AREA = Struct("<QQ")
_SPARSE_ID = 1


def pack_sparse_areas(areas: Iterable[tuple[int, int]]) -> bytes:
    """The sparse-mmap capability for (offset, size) areas, as the last capability."""
    packed = [_SPARSE_AREA.pack(*area) for area in areas]
    return _SPARSE_HEADER.pack(_SPARSE_ID, 1, 0, len(packed), 0) + b"".join(packed)


def parse_sparse_areas(payload: bytes, cap_offset: int) -> list[tuple[int, int]]:
    """The areas of the sparse-mmap capability at ``cap_offset``. Raises PeerError."""
    if cap_offset + _SPARSE_HEADER.size > len(payload):
        raise PeerError(f"capability at {cap_offset} of {len(payload)} bytes")
    identity, _, _, count, _ = _SPARSE_HEADER.unpack_from(payload, cap_offset)
    first = cap_offset + _SPARSE_HEADER.size
    if identity != _SPARSE_ID or first + count * _SPARSE_AREA.size > len(payload):
        raise PeerError(f"capability {identity} with {count} areas does not fit its reply")
    return list(_SPARSE_AREA.iter_unpack(payload[first : first + count * _SPARSE_AREA.size]))


def pack_message(
    identity: int, command: int, payload: bytes = b"", flags: int = TYPE_COMMAND, errno: int = 0
) -> bytes:
    """A whole message."""
    return HEADER.pack(identity, command, HEADER_SIZE + len(payload), flags, errno) + payload


@dataclass(slots=True)
class Message:
    """One received message. It owns ``fds``: who keeps one takes it out, the rest get closed."""

    id: int
    command: int
    flags: int
    errno: int
    payload: bytes
    fds: list[int] = field(default_factory=list)

    def close(self, let_go: Callable[[int], None] = os.close) -> None:
        """Close the file descriptors nobody took."""
        while self.fds:
            let_go(self.fds.pop())


class MessageParser:
    """Cuts a byte stream into messages, and finds each file descriptor its message.

    The kernel hands descriptors over with the last segment of a read (unix(7), SCM_RIGHTS), and a
    vfio-user peer sends a message with descriptors as one segment. They belong to the last message
    begun in that read that can take any.
    """

    def __init__(self, let_go: Callable[[int], None] = os.close) -> None:
        """``let_go`` closes the descriptors of messages that never become whole."""
        self._let_go = let_go
        self._view = memoryview(bytearray(1 << 16))
        self._start = 0
        self._end = 0
        self._need = HEADER_SIZE
        self._position = 0  # in the stream, of _start
        self._fds: list[tuple[int, list[int]]] = []  # stream position where its read ended

    def room(self) -> memoryview:
        """Where the next bytes go; not empty once :meth:`next_message` has returned None."""
        if self._start == self._end:
            self._start = self._end = 0
            if self._need <= len(self._view):
                return self._view
        if self._start + self._need > len(self._view) or self._end == len(self._view):
            have = self._end - self._start
            size = len(self._view) if self._need <= len(self._view) else MAX_MESSAGE_SIZE
            fresh = memoryview(bytearray(size))
            fresh[:have] = self._view[self._start : self._end]
            self._view = fresh
            self._start, self._end = 0, have
        return self._view[self._end :]

    def received(self, count: int, fds: Sequence[int] = ()) -> None:
        """``count`` bytes and ``fds`` have arrived in :meth:`room`; the fds change owner.

        Raises PeerError for more fds than a message may have that wait for the end of theirs.
        """
        self._end += count
        if fds:
            self._fds.append((self._position + self._end - self._start, list(fds)))
            waiting = sum(len(each) for _, each in self._fds)
            if waiting > MAX_MSG_FDS:
                raise PeerError(f"{waiting} file descriptors at once, {MAX_MSG_FDS} allowed")

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take ``data`` as if one read had brought it; at most :meth:`room` bytes at a time."""
        self.room()[: len(data)] = data
        self.received(len(data), fds)

    @property
    def is_inside_message(self) -> bool:
        """Whether the stream stops in the middle of a message."""
        return self._start != self._end

    @property
    def progress(self) -> str:
        """How much of the message is there in which the stream stops, for people."""
        return f"{self._end - self._start} of {self._need} bytes"

    def next_message(self) -> Message | None:
        """The next whole message, None when more bytes are needed. Raises PeerError."""
        start = self._start
        have = self._end - start
        if have < HEADER_SIZE:
            self._need = HEADER_SIZE
            return None
        identity, command, size, flags, errno = HEADER.unpack_from(self._view, start)
        if not HEADER_SIZE <= size <= MAX_MESSAGE_SIZE:
            raise PeerError(f"message of {size} bytes, {HEADER_SIZE} to {MAX_MESSAGE_SIZE} allowed")
        if flags & TYPE_MASK > TYPE_REPLY:
            raise PeerError(f"message of unknown type {flags & TYPE_MASK}")
        if have < size:
            self._need = size
            return None
        payload = bytes(self._view[start + HEADER_SIZE : start + size])
        self._start = start + size
        self._position += size
        fds = self._claim_fds() if self._fds else []
        return Message(identity, command, flags, errno, payload, fds)

    def close(self) -> None:
        """Close the file descriptors of messages that never became whole."""
        for _, fds in self._fds:
            for fd in fds:
                self._let_go(fd)
        self._fds.clear()

    def _claim_fds(self) -> list[int]:
        """The descriptors of the message that ends where the parser now stands."""
        claimed: list[int] = []
        while self._fds:
            read_end, fds = self._fds[0]
            if self._another_taker(read_end):
                break
            claimed += fds
            del self._fds[0]
        return claimed

    def _another_taker(self, read_end: int) -> bool:
        """Whether a message that begins before ``read_end`` can take descriptors."""
        at = self._start
        last = self._start + read_end - self._position
        while at < last:
            if self._end - at < HEADER_SIZE:
                return True
            _, command, size, _, _ = HEADER.unpack_from(self._view, at)
            if command in _TAKES_FDS or size < HEADER_SIZE:
                return True
            at += size
        return False
