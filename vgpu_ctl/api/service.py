"""The methods of the control API, carried out: from parameters to the host, and back to objects."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from vgpu_ctl.api.change_log import log_change
from vgpu_ctl.api.messages import API_VERSION, ApiError, ErrorCode
from vgpu_ctl.api.methods import (
    METHODS,
    ClaimParams,
    CreateParams,
    DefineParams,
    EventsParams,
    ModifyParams,
    NoParams,
    Params,
    ReleaseParams,
    ResetParams,
    StatsParams,
    StopParams,
    TraceParams,
    VgpuParams,
)
from vgpu_ctl.api.objects import (
    DaemonInfo,
    EventKind,
    GpuInfo,
    Stats,
    TypeInfo,
    VgpuInfo,
)
from vgpu_ctl.api.streams import EventStream, Stream, TraceStream
from vgpu_ctl.host.stats import host_stats

if TYPE_CHECKING:
    from mmio_trap.vfio_user.peer import Peer
    from vgpu_ctl.host.event_bus import EventBus
    from vgpu_ctl.host.host import Host

_LONGEST_TRACE_S = 600.0


class Service:
    """Carries methods out. One object for all connections; any thread."""

    def __init__(
        self,
        host: Host,
        bus: EventBus,
        daemon: Callable[[], DaemonInfo],
        reload: Callable[[], None],
    ) -> None:
        """``daemon`` says which it is; ``reload`` has its configuration read again, or raises
        ApiError.
        """
        self._host = host
        self._bus = bus
        self._daemon = daemon
        self._reload = reload
        self._methods: dict[str, Callable[[Any], Any]] = {
            "version": self.version,
            "gpus": self.gpus,
            "types": self.types,
            "list": self.vgpus,
            "show": self.show,
            "create": self.create,
            "define": self.define,
            "start": self.start,
            "stop": self.stop,
            "destroy": self.destroy,
            "undefine": self.undefine,
            "modify": self.modify,
            "reset": self.reset,
            "claim": self.claim,
            "release": self.release,
            "stats": self.stats,
            "reload": self.reload,
        }
        streams = {"events", "trace"}
        assert self._methods.keys() | streams == METHODS.keys(), "each method is carried out"

    @property
    def changes(self) -> int:
        """Another number after each change: see `EventBus.changes`."""
        return self._bus.changes

    @property
    def has_guests(self) -> bool:
        """A client is attached to a vGPU: there is somebody to be disturbed."""
        return self._host.has_guests

    def decoded(self, method: str, params: bytes | msgspec.Raw, peer: Peer) -> Params:
        """The parameters of a request. Raises ApiError; of a change that is logged."""
        known = METHODS.get(method)
        if known is None:
            raise ApiError(ErrorCode.PROTOCOL, f"there is no method {method!r:.80}", field="method")
        try:
            return _decoded(params, known.params)
        except ApiError as error:
            if known.writes:
                log_change(method, None, peer, error=error)
            raise

    def look(self, method: str, params: Params) -> Any:
        """The result of a method that changes nothing and does not stream. Raises ApiError."""
        assert not METHODS[method].writes, "a change"
        return self._methods[method](params)

    def change(self, method: str, params: Params, peer: Peer) -> Any:
        """The result of a method that changes something, as ``peer`` asked: logged.

        Raises ApiError. What is looked at afterwards shows it.
        """
        try:
            result = self._methods[method](params)
        except ApiError as error:
            log_change(method, params, peer, error=error)
            raise
        finally:
            self._bus.changed()
        log_change(method, params, peer, result=result)
        return result

    def listen(self, method: str, params: Params, wake: Callable[[], None]) -> Stream:
        """A method that streams: it has begun. Raises ApiError. ``wake``: see `EventStream`."""
        if isinstance(params, EventsParams):
            return self.events(params, wake)
        assert isinstance(params, TraceParams), method
        return self.trace(params)

    # -- methods ----------------------------------------------------------------------------------

    def version(self, _params: NoParams) -> DaemonInfo:
        """Which vgpud this is."""
        return self._daemon()

    def gpus(self, _params: NoParams) -> list[GpuInfo]:
        """The GPUs."""
        return self._host.gpu_infos()

    def types(self, _params: NoParams) -> list[TypeInfo]:
        """The types."""
        return self._host.type_infos()

    def vgpus(self, _params: NoParams) -> list[VgpuInfo]:
        """The vGPUs."""
        return self._host.infos()

    def show(self, params: VgpuParams) -> VgpuInfo:
        """One vGPU."""
        return self._host.find(params.vgpu).info()

    def create(self, params: CreateParams) -> VgpuInfo:
        """Define and start."""
        return self._host.create(params, transient=params.transient)

    def define(self, params: DefineParams) -> VgpuInfo:
        """Define."""
        return self._host.define(params)

    def start(self, params: VgpuParams) -> VgpuInfo:
        """Start."""
        return self._host.start(params.vgpu)

    def stop(self, params: StopParams) -> VgpuInfo:
        """Stop."""
        return self._host.stop(params.vgpu, force=params.force)

    def destroy(self, params: StopParams) -> None:
        """Stop and undefine."""
        self._host.destroy(params.vgpu, force=params.force)

    def undefine(self, params: VgpuParams) -> None:
        """Undefine."""
        self._host.undefine(params.vgpu)

    def modify(self, params: ModifyParams) -> VgpuInfo:
        """Modify."""
        return self._host.modify(params)

    def reset(self, params: ResetParams) -> VgpuInfo:
        """Reset."""
        return self._host.reset(params.vgpu, params.level)

    def claim(self, params: ClaimParams) -> VgpuInfo:
        """Claim."""
        return self._host.claims.claim(params.vgpu, params.domain, params.domain_uuid)

    def release(self, params: ReleaseParams) -> VgpuInfo:
        """Release."""
        return self._host.claims.release(params.vgpu, params.domain_uuid)

    def stats(self, params: StatsParams) -> Stats:
        """Counters."""
        return host_stats(self._host, self._host.find(params.vgpu) if params.vgpu else None)

    def events(self, params: EventsParams, wake: Callable[[], None]) -> EventStream:
        """Events from now on."""
        uuid = self._host.find(params.vgpu).uuid if params.vgpu else ""
        return EventStream(self._bus, params.kinds, uuid, wake)

    def trace(self, params: TraceParams) -> TraceStream:
        """What a vGPU does in the next seconds, or until it is stopped."""
        if not 0 < params.seconds <= _LONGEST_TRACE_S:
            text = f"seconds: {params.seconds} is not allowed: above 0, at most {_LONGEST_TRACE_S}"
            raise ApiError(ErrorCode.INVALID, text, field="seconds")
        return TraceStream(self._host.find(params.vgpu), params.seconds)

    def reload(self, _params: NoParams) -> None:
        """Read the configuration again."""
        self._reload()


def _decoded(params: bytes | msgspec.Raw, kind: type[Params]) -> Params:
    """``params`` as ``kind``. Raises ApiError INVALID that names the field."""
    try:
        return msgspec.json.decode(params, type=kind)
    except RecursionError:
        raise ApiError(ErrorCode.INVALID, "lists within lists within lists") from None
    except UnicodeDecodeError as error:
        raise ApiError(ErrorCode.INVALID, f"text that is not UTF-8: {error.reason}") from None
    except msgspec.MsgspecError as error:
        text, _, place = str(error).partition(" - at `$.")
        field = place.rstrip("`") if place else ""
        if not field and " field `" in text:
            field = text.split("`")[1]  # "Object missing required field `name`", unknown fields
        hint = ""
        if "unknown field" in text:
            hint = f"there are: {', '.join(kind.__struct_fields__) or 'none'}"
        if field.startswith("kinds"):
            hint = f"there are: {', '.join(each.value for each in EventKind)}"
        shown = f"{field}: {text}" if place else text
        raise ApiError(ErrorCode.INVALID, shown, field=field, hint=hint) from error


def daemon_info(**parts: Any) -> DaemonInfo:
    """`DaemonInfo` of this process."""
    return DaemonInfo(api=API_VERSION, pid=os.getpid(), started=time.time(), **parts)
