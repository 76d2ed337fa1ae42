"""A control socket that answers from given objects: the real protocol, without a vgpud behind it.

It keeps vGPUs as vgpud would, as far as the command line can tell, and publishes events.
"""

from __future__ import annotations

import queue
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tests.unit.vgpu_ctl.cli import samples
from vgpu_ctl.api import methods
from vgpu_ctl.api.messages import ApiError, ErrorCode, Reply, Request, encode_line
from vgpu_ctl.api.objects import (
    ClientInfo,
    Event,
    EventKind,
    GpuInfo,
    Stats,
    TraceChunk,
    TypeInfo,
    VgpuInfo,
    VgpuState,
)
from vgpu_ctl.host.definition import check_weight

TURN_S = 0.02
"""How soon the end of the test, or of a client, is noticed."""
_BUSY = "4711 is attached"


class FakeHost:
    """vGPUs of one GPU. Attributes may be changed at any time."""

    def __init__(self) -> None:
        self.daemon = samples.daemon(Path("s"))
        self.gpus: list[GpuInfo] = [samples.GPU]
        self.types: list[TypeInfo] = list(samples.TYPES)
        self.vgpus: dict[str, VgpuInfo] = {}
        self.readings: list[Stats] = []
        """One for each request; the last one stays."""
        self.chunks: list[TraceChunk] = []
        self.calls: list[tuple[str, Any]] = []
        """Methods that change something, as they were called."""
        self.refusals: dict[str, ApiError] = {}
        """By method: what it ends with instead."""
        self.directory = "/run/vgpud"
        """Where sockets are."""
        self.subscriptions = 0
        """How often somebody began to listen to events."""
        self._listeners: list[queue.Queue[Event | None]] = []
        self._lock = threading.RLock()

    def add(self, vgpu: VgpuInfo) -> None:
        """Have a vGPU, without an event."""
        self.vgpus[vgpu.uuid] = msgspec.structs.replace(
            vgpu,
            place=vgpu.socket or f"{self.directory}/{vgpu.name}.sock",
            guard=f"{self.directory}/no-migration.vhd",
        )

    def change(self, name: str, kind: EventKind | None, /, **fields: Any) -> VgpuInfo:
        """Change a vGPU and tell of it."""
        with self._lock:
            vgpu = msgspec.structs.replace(self.find(name), **fields)
            self.vgpus[vgpu.uuid] = vgpu
            if kind is not None:
                self.publish(kind, vgpu)
            return vgpu

    def publish(self, kind: EventKind, vgpu: VgpuInfo, **data: str | int | float | bool) -> None:
        """Tell all who listen."""
        event = Event(
            time=1_700_000_000.25,
            kind=kind,
            vgpu=vgpu.name,
            uuid=vgpu.uuid,
            gpu=vgpu.gpu,
            data=data,
        )
        with self._lock:
            for listener in self._listeners:
                listener.put(event)

    def find(self, name: str) -> VgpuInfo:
        """By name or UUID. Raises ApiError."""
        for vgpu in self.vgpus.values():
            if vgpu.name == name or vgpu.uuid == name.lower():
                return vgpu
        raise ApiError(ErrorCode.NOT_FOUND, f"there is no vGPU {name!r}", field="vgpu")

    # -- the methods -------------------------------------------------------------------------------

    def answer(self, method: str, params: Any) -> Any:
        """The result of a method; an iterator where it streams. Raises ApiError."""
        handlers: dict[str, Callable[[Any], Any]] = {
            "version": lambda _: self.daemon,
            "gpus": lambda _: self.gpus,
            "types": lambda _: self.types,
            "list": lambda _: sorted(self.vgpus.values(), key=lambda vgpu: vgpu.name),
            "show": lambda given: self.find(given.vgpu),
            "create": self._create,
            "define": self._define,
            "start": self._start,
            "stop": self._stop,
            "destroy": self._destroy,
            "undefine": lambda given: self._undefine(given.vgpu),
            "modify": self._modify,
            "reset": self._reset,
            "claim": self._claim,
            "release": self._release,
            "stats": lambda _: self.readings.pop(0) if self.readings[1:] else self.readings[0],
            "events": self._events,
            "trace": lambda given: iter(self.chunks) if self.find(given.vgpu) else None,
        }
        with self._lock:
            if methods.METHODS[method].writes:
                self.calls.append((method, params))
            if method in self.refusals:
                raise self.refusals[method]
            return handlers[method](params)

    def _create(self, given: methods.CreateParams) -> VgpuInfo:
        defined = self._define(given, persistent=not given.transient)
        return self._start(methods.VgpuParams(vgpu=defined.uuid))

    def _define(self, given: methods.DefineParams, *, persistent: bool = True) -> VgpuInfo:
        if any(vgpu.name == given.name for vgpu in self.vgpus.values()):
            raise ApiError(ErrorCode.EXISTS, f"the name {given.name!r} is taken", field="name")
        kinds = {kind.name: kind for kind in self.types}
        if given.type not in kinds:
            hint = f"there are {', '.join(kinds)}"
            raise ApiError(ErrorCode.INVALID, f"no type {given.type!r}", field="type", hint=hint)
        if not any(kinds[given.type].available.values()):
            raise ApiError(ErrorCode.NO_CAPACITY, f"no room for a {given.type}")
        vgpu = VgpuInfo(
            uuid=given.uuid or samples.uuid(10 + len(self.vgpus)),
            name=given.name,
            type=given.type,
            state=VgpuState.DEFINED,
            persistent=persistent,
            autostart=given.autostart,
            weight=given.weight or kinds[given.type].weight,
            own_weight=given.weight,
            cap=given.cap or 1.0,
            gpu=given.gpu,
            wanted_gpu=given.gpu,
        )
        self.add(vgpu)
        return vgpu

    def _start(self, given: methods.VgpuParams) -> VgpuInfo:
        vgpu = self.find(given.vgpu)
        if vgpu.state is VgpuState.ACTIVE:
            raise ApiError(ErrorCode.BUSY, f"{vgpu.name} is active")
        place = f"{self.directory}/{vgpu.name}.sock"
        return self.change(
            vgpu.uuid,
            EventKind.STARTED,
            state=VgpuState.ACTIVE,
            gpu=vgpu.wanted_gpu or "gpu0",
            socket=place,
            place=place,
        )

    def _stop(self, given: methods.StopParams) -> VgpuInfo:
        vgpu = self.find(given.vgpu)
        if vgpu.client is not None and not given.force:
            raise ApiError(ErrorCode.BUSY, _BUSY, hint="stop the machine, or use --force")
        stopped = self.change(
            vgpu.uuid,
            EventKind.STOPPED,
            state=VgpuState.DEFINED,
            gpu=vgpu.wanted_gpu,
            socket="",
            client=None,
        )
        if not vgpu.persistent:
            self._forget(vgpu)
        return stopped

    def _destroy(self, given: methods.StopParams) -> None:
        self._stop(given)
        if given.vgpu in self.vgpus or any(v.name == given.vgpu for v in self.vgpus.values()):
            self._forget(self.find(given.vgpu))

    def _undefine(self, name: str) -> None:
        vgpu = self.find(name)
        if vgpu.state is VgpuState.ACTIVE:
            self.change(name, EventKind.UNDEFINED, persistent=False)
        else:
            self._forget(vgpu)

    def _forget(self, vgpu: VgpuInfo) -> None:
        del self.vgpus[vgpu.uuid]
        self.publish(EventKind.UNDEFINED, vgpu)

    def _modify(self, given: methods.ModifyParams) -> VgpuInfo:
        changes = msgspec.structs.asdict(given)
        vgpu = self.find(changes.pop("vgpu"))
        fields = {field: value for field, value in changes.items() if value is not None}
        if "gpu" in fields:
            fields["wanted_gpu"] = fields["gpu"]
        if "weight" in fields:
            fields["own_weight"] = None if fields["weight"] == "type" else fields["weight"]
            check_weight(fields["own_weight"])
        own = fields.get("own_weight", vgpu.own_weight)
        kinds = {kind.name: kind.weight for kind in self.types}
        if own is not None:
            fields["weight"] = own
        elif "weight" in fields or "type" in fields:
            fields["weight"] = kinds[fields.get("type", vgpu.type)]
        return self.change(vgpu.uuid, EventKind.MODIFIED, **fields)

    def _reset(self, given: methods.ResetParams) -> VgpuInfo:
        vgpu = self.find(given.vgpu)
        self.publish(EventKind.RESET, vgpu, level=given.level)
        return vgpu

    def _claim(self, given: methods.ClaimParams) -> VgpuInfo:
        vgpu = self.find(given.vgpu)
        if vgpu.domain not in ("", given.domain):
            text = f"{vgpu.name} is taken: domain {vgpu.domain!r} has claimed it"
            raise ApiError(ErrorCode.BUSY, text)
        if vgpu.state is not VgpuState.ACTIVE:
            self._start(methods.VgpuParams(vgpu=vgpu.uuid))
        return self.change(vgpu.uuid, EventKind.CLAIMED, domain=given.domain)

    def _release(self, given: methods.ReleaseParams) -> VgpuInfo:
        return self.change(given.vgpu, EventKind.RELEASED, domain="")

    def _events(self, given: methods.EventsParams) -> Iterator[Event | None]:
        wanted = self.find(given.vgpu).uuid if given.vgpu else None
        listener: queue.Queue[Event | None] = queue.Queue()
        self._listeners.append(listener)
        self.subscriptions += 1

        def stream() -> Iterator[Event | None]:
            try:
                while True:
                    try:
                        event = listener.get(timeout=TURN_S)
                    except queue.Empty:
                        yield None
                        continue
                    if event is None:
                        return
                    if wanted in (None, event.uuid) and event.kind in (given.kinds or EventKind):
                        yield event
            finally:
                self._listeners.remove(listener)

        return stream()

    def client(self, name: str, command: str = "qemu-system-x86") -> None:
        """Attach a client."""
        found = ClientInfo(pid=4711, uid=0, command=command, since=1_700_000_000.0)
        self.change(name, EventKind.ATTACHED, client=found)

    def end_streams(self) -> None:
        """Nobody hears of any more events."""
        with self._lock:
            for listener in self._listeners:
                listener.put(None)


class FakeVgpud(FakeHost):
    """The same behind a control socket. A context manager."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.connections: set[socket.socket] = set()
        self._stopped = False
        self._server = _Server(str(path), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(TURN_S,))

    def __enter__(self) -> FakeVgpud:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all connections, and leave a socket on which nobody listens."""
        if self._stopped:
            return
        self._stopped = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.end_streams()
        for connection in list(self.connections):
            with suppress(OSError):  # it has just ended
                connection.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, vgpud: FakeVgpud) -> None:
        self.vgpud = vgpud
        super().__init__(path, _Connection)


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Answer request after request."""
        connections = self.server.vgpud.connections
        connections.add(self.request)
        try:
            for line in self.rfile:
                self._answer(msgspec.json.decode(line, type=Request))
        except OSError:
            pass
        finally:
            connections.discard(self.request)

    def _answer(self, request: Request) -> None:
        method = methods.METHODS[request.method]
        params = msgspec.json.decode(request.params, type=method.params)
        try:
            result = self.server.vgpud.answer(request.method, params)
        except ApiError as error:
            self._send(Reply(id=request.id, error=error.reply()))
            return
        if method.streams:
            self._send(Reply(id=request.id, more=True))
            for thing in result:
                if thing is not None:
                    self._send(Reply(id=request.id, result=_raw(thing), more=True))
                elif self._has_left():
                    result.close()
                    return
            result = None
        self._send(Reply(id=request.id, result=_raw(result)))

    def _has_left(self) -> bool:
        """The client has closed its end."""
        try:
            return not self.request.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _send(self, reply: Reply) -> None:
        self.wfile.write(encode_line(reply))


def _raw(thing: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(thing))
