"""What a method that streams gives, piece by piece: events, and the records of a trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol

from mediator.vgpu.trace import Record, Trace
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.objects import TraceChunk, TraceRecord

if TYPE_CHECKING:
    from vgpu_ctl.api.objects import EventKind
    from vgpu_ctl.host.event_bus import EventBus
    from vgpu_ctl.host.hosted_vgpu import HostedVgpu

_PIECE_S = 0.1
_CHUNK_RECORDS = 20_000


class Stream(Protocol):
    """Something that goes on until `is_over`, or until it is closed."""

    period_s: float
    """How often there is something to take, which takes long; 0: it says so itself."""

    @property
    def is_over(self) -> bool:
        """What is taken next is the last."""

    @property
    def is_ready(self) -> bool:
        """There is something to take now."""

    def take(self) -> list[Any]:
        """The results since the last call; waits for nothing but a short lock. Any one thread."""

    def close(self) -> None:
        """End what it holds. May come twice."""


class EventStream:
    """The events that a client listens to."""

    period_s = 0.0
    is_over = False

    def __init__(
        self, bus: EventBus, kinds: Collection[EventKind], uuid: str, wake: Callable[[], None]
    ) -> None:
        """``wake`` is called when there is something to take: see `EventBus.listen`."""
        self._bus = bus
        self._listener = bus.listen(kinds, uuid, wake)

    @property
    def is_ready(self) -> bool:
        """See `Stream`."""
        return self._listener.has_events

    def take(self) -> list[Any]:
        """See `Stream`."""
        return list(self._listener.take(0))

    def close(self) -> None:
        """See `Stream`."""
        self._bus.leave(self._listener)


class TraceStream:
    """What one vGPU does for some seconds, or until it is stopped."""

    period_s = _PIECE_S

    def __init__(
        self, hosted: HostedVgpu, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises ApiError when it cannot be traced, or is."""
        active = hosted.active
        if active is None:
            raise ApiError(ErrorCode.BUSY, f"{hosted.name} is not active", field="vgpu")
        vgpu = active.vgpu
        if vgpu is None:
            text = f"{hosted.name} has a GPU of its own, which is not traced"
            raise ApiError(ErrorCode.UNSUPPORTED, text, field="vgpu")
        self._hosted, self._active, self._vgpu = hosted, active, vgpu
        self._trace = Trace()
        self._clock = clock
        self._ends = clock() + seconds
        self._next_at = 0.0
        with vgpu.lock:
            if vgpu.trace is not None:
                raise ApiError(ErrorCode.BUSY, f"{hosted.name} is being traced", field="vgpu")
            vgpu.trace = self._trace

    @property
    def is_over(self) -> bool:
        """See `Stream`."""
        return self._clock() >= self._ends or self._hosted.active is not self._active

    @property
    def is_ready(self) -> bool:
        """See `Stream`."""
        return self.is_over or self._clock() >= self._next_at

    def take(self) -> list[Any]:
        """See `Stream`: the records in pieces that a reply has room for; one at least."""
        self._next_at = self._clock() + _PIECE_S
        if self.is_over:
            self.close()
        taken = self._trace.take()
        starts = range(0, max(len(taken), 1), _CHUNK_RECORDS)
        return [_chunk(taken[at : at + _CHUNK_RECORDS], self._trace.dropped) for at in starts]

    def close(self) -> None:
        """See `Stream`."""
        if self._vgpu.trace is self._trace:
            self._vgpu.trace = None


def _chunk(records: list[Record], dropped: int) -> TraceChunk:
    made = [
        TraceRecord(
            track=r.track,
            name=r.name,
            start_ns=r.start_ns,
            duration_ns=r.duration_ns,
            detail=r.detail,
        )
        for r in records
    ]
    return TraceChunk(records=made, dropped=dropped)
