"""The Python end of the library's socket: what drivers submit reaches a `Gpu`."""

import array
import contextlib
import os
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

_HEAD = struct.Struct("<4IQQII")
_EXTENT = struct.Struct("<4Q")
_RUN, _TIMESTAMP, _CONTEXT_GONE = 1, 2, 3
_MOST_EXTENTS = 1 << 20
FILE_BYTES = 1 << 37
"""Size of the memory file, nearly all of it a hole."""


@dataclass(frozen=True, slots=True)
class Extent:
    """``size`` bytes at ``offset`` of the memory file, which the GPU shall see at ``address``."""

    offset: int
    size: int
    address: int
    flags: int


@dataclass(frozen=True, slots=True)
class Submission:
    """A batch at GPU address ``batch``, and all the memory it may use.

    ``space`` names the address space, ``context`` the context; ``engine`` is the ring selector of
    the request (0 and 1 render, 2 video, 3 copy, 4 video enhancement).
    """

    context: int
    space: int
    engine: int
    batch: int
    batch_bytes: int
    extents: tuple[Extent, ...]


class Gpu(Protocol):
    """What carries submissions out, for one process with one memory file."""

    def attach(self, file: int) -> None:
        """Take the memory file; the descriptor is the callee's."""

    def run(self, submission: Submission) -> int:
        """Carry it out; 0, or a negative error number (-EIO: the context is lost)."""

    def timestamp(self) -> int:
        """The render engine's clock."""

    def context_gone(self, context: int) -> None:
        """The context will not be used again."""

    def detach(self) -> None:
        """The process has gone."""


class Service:
    """Listens at ``path``; each process that comes is served by ``gpu``, one at a time."""

    def __init__(self, path: Path, gpu: Gpu, chipset: int, revision: int) -> None:
        self._gpu = gpu
        self._facts = struct.pack("<2I", chipset, revision)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, name="drm shim")
        self._connection: socket.socket | None = None
        self._stopped = False
        self.failure: BaseException | None = None
        """What went wrong on this side, if anything."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True
        for one in (self._listener, self._connection):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        try:
            while not self._stopped:
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    return
                with connection:
                    self._connection = connection
                    self._one(connection)
        except BaseException as error:
            self.failure = error
            raise

    def _one(self, connection: socket.socket) -> None:
        data, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(4))
        files = array.array("i")
        for _, kind, content in ancillary:
            if kind == socket.SCM_RIGHTS:
                files.frombytes(content)
        if not data or len(files) != 1:
            return
        self._gpu.attach(files[0])
        try:
            connection.sendall(self._facts)
            while (head := _receive(connection, _HEAD.size)) is not None:
                self._request(connection, _HEAD.unpack(head))
        except ConnectionError:
            pass
        finally:
            self._gpu.detach()

    def _request(self, connection: socket.socket, head: tuple[int, ...]) -> None:
        kind, context, space, engine, batch, batch_bytes, count, _ = head
        if kind == _TIMESTAMP:
            connection.sendall(struct.pack("<Q", self._gpu.timestamp()))
        elif kind == _CONTEXT_GONE:
            self._gpu.context_gone(context)
        elif kind == _RUN and count <= _MOST_EXTENTS:
            content = _receive(connection, count * _EXTENT.size)
            if content is None:
                return
            extents = tuple(Extent(*fields) for fields in _EXTENT.iter_unpack(content))
            submission = Submission(context, space, engine, batch, batch_bytes, extents)
            connection.sendall(struct.pack("<i", self._gpu.run(submission)))


def _receive(connection: socket.socket, count: int) -> bytes | None:
    """Exactly ``count`` bytes, or None when the other end has gone."""
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def data_in(file: int, offset: int, size: int) -> list[tuple[int, bytes]]:
    """The pieces of a range of a file that are not holes: (offset in the range, bytes)."""
    found = []
    at, end = offset, offset + size
    while at < end:
        try:
            first = os.lseek(file, at, os.SEEK_DATA)
        except OSError:
            break
        if first >= end:
            break
        last = min(end, os.lseek(file, first, os.SEEK_HOLE))
        found.append((first - offset, os.pread(file, last - first, first)))
        at = last
    return found
