"""A client of vgpud's control API: what `vgpuctl` and other programs use.

    with Client.connect() as vgpud:
        web = vgpud.create(name="web", type="V9_4")
        print(web.socket)

A client is for one thread. Every method raises ApiError for what vgpud refuses, and
DaemonUnreachable when there is none, or it went away.
"""

from __future__ import annotations

import math
import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from mmio_trap.vfio_user.peer import peer_of
from vgpu_ctl.api import methods
from vgpu_ctl.api.messages import (
    API_VERSION,
    MAX_REPLY,
    MAX_REQUEST,
    ApiError,
    ErrorCode,
    Reply,
    Request,
    encode_line,
)
from vgpu_ctl.api.methods import METHODS, Params
from vgpu_ctl.api.objects import (
    DaemonInfo,
    Event,
    EventKind,
    GpuInfo,
    Stats,
    TraceChunk,
    TypeInfo,
    VgpuInfo,
)
from vgpu_ctl.paths import found_socket, named_socket

TIMEOUT_S = 30.0
"""What a reply may take: `stop` of a busy vGPU takes seconds at most."""
_CHUNK = 1 << 16


class DaemonUnreachable(Exception):
    """No vgpud answers; the text says where and why, ``hint`` what to do."""

    def __init__(self, message: str, *, hint: str = "", denied: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.denied = denied
        """The socket is there and may not be used."""


class Client:
    """A connection to vgpud. A context manager."""

    def __init__(self, connection: socket.socket, path: Path) -> None:
        self.path = path
        self._socket = connection
        self._received = bytearray()
        self._next_id = 1

    @classmethod
    def connect(cls, path: Path | None = None, timeout: float = TIMEOUT_S) -> Self:
        """Connect to the control socket at ``path``, that of VGPUD_SOCKET, or the usual one.

        What nobody has named has to be served by this user or root: a stranger may have made it.
        """
        named = path or named_socket()
        place = named or found_socket()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            _connect(connection, place, timeout)
        except OSError as error:
            connection.close()
            raise _unreachable(place, error) from error
        server = peer_of(connection).uid  # of who began to listen: with socket activation root
        if named is None and server not in (0, os.geteuid()):
            connection.close()
            raise DaemonUnreachable(
                f"user {server} serves {place}: neither you nor root",
                hint="name it with --socket or VGPUD_SOCKET if that user may have your vGPUs",
                denied=True,
            )
        return cls(connection, place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    # -- methods, in the order of `METHODS` -------------------------------------------------------

    def version(self) -> DaemonInfo:
        """Which vgpud this is."""
        return cast("DaemonInfo", self.call("version", methods.NoParams()))

    def gpus(self) -> list[GpuInfo]:
        """The GPUs of this host."""
        return cast("list[GpuInfo]", self.call("gpus", methods.NoParams()))

    def types(self) -> list[TypeInfo]:
        """What can be created, and how many more of each."""
        return cast("list[TypeInfo]", self.call("types", methods.NoParams()))

    def vgpus(self) -> list[VgpuInfo]:
        """All vGPUs, by name: the method `list`."""
        return cast("list[VgpuInfo]", self.call("list", methods.NoParams()))

    def show(self, vgpu: str) -> VgpuInfo:
        """One vGPU by name or UUID."""
        return self._vgpu("show", methods.VgpuParams(vgpu=vgpu))

    def create(self, **params: Any) -> VgpuInfo:
        """Define and start a vGPU; see `CreateParams`."""
        return self._vgpu("create", methods.CreateParams(**params))

    def define(self, **params: Any) -> VgpuInfo:
        """Keep a definition; see `DefineParams`."""
        return self._vgpu("define", methods.DefineParams(**params))

    def start(self, vgpu: str) -> VgpuInfo:
        """Give a defined vGPU its part of a GPU and its socket."""
        return self._vgpu("start", methods.VgpuParams(vgpu=vgpu))

    def stop(self, vgpu: str, *, force: bool = False) -> VgpuInfo:
        """Take both back; a transient vGPU is gone then."""
        return self._vgpu("stop", methods.StopParams(vgpu=vgpu, force=force))

    def destroy(self, vgpu: str, *, force: bool = False) -> None:
        """Stop and undefine."""
        self.call("destroy", methods.StopParams(vgpu=vgpu, force=force))

    def undefine(self, vgpu: str) -> None:
        """Forget the definition; an active vGPU goes on as a transient one."""
        self.call("undefine", methods.VgpuParams(vgpu=vgpu))

    def modify(self, vgpu: str, **params: Any) -> VgpuInfo:
        """Change a vGPU; see `ModifyParams`."""
        return self._vgpu("modify", methods.ModifyParams(vgpu=vgpu, **params))

    def reset(self, vgpu: str, level: str = "engines") -> VgpuInfo:
        """Reset it; see `ResetParams`."""
        return self._vgpu("reset", methods.ResetParams(vgpu=vgpu, level=level))

    def claim(self, vgpu: str, domain: str, domain_uuid: str) -> VgpuInfo:
        """Keep a vGPU, started if need be, for a libvirt domain; see `ClaimParams`."""
        params = methods.ClaimParams(vgpu=vgpu, domain=domain, domain_uuid=domain_uuid)
        return self._vgpu("claim", params)

    def release(self, vgpu: str, domain_uuid: str = "") -> VgpuInfo:
        """End a claim; see `ReleaseParams`."""
        return self._vgpu("release", methods.ReleaseParams(vgpu=vgpu, domain_uuid=domain_uuid))

    def stats(self, vgpu: str = "") -> Stats:
        """Counters of one vGPU, or of all."""
        return cast("Stats", self.call("stats", methods.StatsParams(vgpu=vgpu)))

    def events(self, vgpu: str = "", kinds: list[EventKind] | None = None) -> Iterator[Event]:
        """Events from now on, for ever; the connection does nothing else any more."""
        params = methods.EventsParams(vgpu=vgpu, kinds=kinds or [])
        return cast("Iterator[Event]", self.stream("events", params))

    def trace(self, vgpu: str, seconds: float) -> Iterator[TraceChunk]:
        """What a vGPU does in the next ``seconds``, in pieces."""
        params = methods.TraceParams(vgpu=vgpu, seconds=seconds)
        return cast("Iterator[TraceChunk]", self.stream("trace", params))

    def reload(self) -> None:
        """Have vgpud read its configuration again."""
        self.call("reload", methods.NoParams())

    def _vgpu(self, method: str, params: Params) -> VgpuInfo:
        return cast("VgpuInfo", self.call(method, params))

    # -- the wire ---------------------------------------------------------------------------------

    def call(self, method: str, params: Params) -> Any:
        """The result of a method that does not stream, decoded."""
        identity = self._send(method, params)
        return self._result(method, self._reply(identity))

    def stream(self, method: str, params: Params, tick_s: float | None = None) -> Iterator[Any]:
        """The results of a method that streams, decoded, as they come.

        The request is sent, and vgpud has taken it up, when this returns: what happens from then
        on is in the stream. With ``tick_s`` there is also a None in it whenever nothing came for
        so many seconds.
        """
        identity = self._send(method, params)
        first = self._reply(identity)  # an empty one: the stream begins
        self._check(first)
        if tick_s is None:
            self._socket.settimeout(None)
        return self._stream(method, identity, tick_s)

    def _stream(self, method: str, identity: int, tick_s: float | None) -> Iterator[Any]:
        while True:
            if tick_s is not None and not self._has_data(tick_s):
                yield None
                continue
            reply = self._reply(identity)
            if not reply.more:
                break
            yield self._result(method, reply)
        self._check(reply)

    def _has_data(self, seconds: float) -> bool:
        """Whether part of a reply is there, or comes within ``seconds``."""
        if self._received:
            return True
        poller = select.poll()  # select() knows no descriptor above 1023
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(1000 * seconds))

    def _send(self, method: str, params: Params) -> int:
        identity, self._next_id = self._next_id, self._next_id + 1
        raw = msgspec.Raw(_encoded(params))
        line = encode_line(Request(api=API_VERSION, id=identity, method=method, params=raw))
        if len(line) > MAX_REQUEST:
            text = f"{method}: a request of {len(line)} bytes: {MAX_REQUEST} are allowed"
            raise ApiError(ErrorCode.INVALID, text)
        try:
            self._socket.sendall(line)
        except (BrokenPipeError, ConnectionResetError):
            pass  # vgpud may have said why before it closed: that is read next
        except OSError as error:
            raise _unreachable(self.path, error) from error
        return identity

    def _reply(self, identity: int) -> Reply:
        line = self._line()
        try:
            reply = msgspec.json.decode(line, type=Reply)
        except msgspec.MsgspecError as error:
            raise DaemonUnreachable(f"{self.path}: not an answer of vgpud: {error}") from error
        if reply.id not in (identity, 0):  # 0: vgpud could not even read the id
            raise DaemonUnreachable(f"{self.path}: answer to request {reply.id}, not {identity}")
        return reply

    def _result(self, method: str, reply: Reply) -> Any:
        self._check(reply)
        try:
            return msgspec.json.decode(reply.result, type=METHODS[method].result)
        except msgspec.MsgspecError as error:
            raise DaemonUnreachable(f"{self.path}: answer to {method}: {error}") from error

    @staticmethod
    def _check(reply: Reply) -> None:
        error = reply.error
        if error is not None:
            raise ApiError(error.code, error.message, field=error.field, hint=error.hint)

    def _line(self) -> bytes:
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                return bytes(line)
            if len(self._received) > MAX_REPLY:
                raise DaemonUnreachable(f"{self.path}: an answer without an end")
            try:
                data = self._socket.recv(_CHUNK)
            except OSError as error:
                raise _unreachable(self.path, error) from error
            if not data:
                raise DaemonUnreachable(f"{self.path}: vgpud has closed the connection")
            self._received += data


def _encoded(params: Params) -> bytes:
    """``params`` as JSON. Raises ApiError for what JSON has no way to say."""
    for field in params.__struct_fields__:
        value = getattr(params, field)
        if isinstance(value, float) and not math.isfinite(value):
            text = f"{field}: {value} is not allowed: a number"
            raise ApiError(ErrorCode.INVALID, text, field=field)
        if isinstance(value, str) and not _is_text(value):
            text = f"{field}: {value!r:.100} is not allowed: text of UTF-8"
            raise ApiError(ErrorCode.INVALID, text, field=field)
    return msgspec.json.encode(params)


def _is_text(value: str) -> bool:
    """Whether UTF-8 can say it: bytes of a command line that are none are lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _connect(connection: socket.socket, path: Path, timeout: float) -> None:
    """Connect, also while others crowd in: then this waits in the kernel's queue, as all do.

    With a time-out of Python's the kernel would only say that the queue is full, and who tries
    again and again gets a place by chance.
    """
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout))
    try:
        connection.connect(str(path))
    except BlockingIOError:
        raise TimeoutError from None
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(0))
    connection.settimeout(timeout)


def _timeval(seconds: float) -> bytes:
    """`struct timeval` as the kernel has it; 0: for ever."""
    whole, part = divmod(max(seconds, 1e-3), 1) if seconds else (0, 0)
    return struct.pack("@ll", int(whole), int(part * 1e6))


def _unreachable(path: Path, error: OSError) -> DaemonUnreachable:
    match error:
        case FileNotFoundError():
            return DaemonUnreachable(
                f"no vgpud: there is no socket {path}",
                hint="start one with `vgpud run`, or name its: `vgpuctl --socket PATH ...`",
            )
        case ConnectionRefusedError():
            return DaemonUnreachable(
                f"no vgpud listens at {path}", hint="it has ended: start it with `vgpud run`"
            )
        case PermissionError():
            return DaemonUnreachable(
                f"no permission to use {path}",
                hint="join the group that owns the socket, or become root",
                denied=True,
            )
        case TimeoutError():
            return DaemonUnreachable(
                f"vgpud at {path} does not answer in time",
                hint="it answers all clients in turn, beside its guests: either others ask for a "
                "lot, or it is stuck, of which its log says more",
            )
        case _:
            return DaemonUnreachable(f"vgpud at {path}: {error.strerror or error}")


__all__ = ["ApiError", "Client", "DaemonUnreachable", "ErrorCode"]
