"""What guests cause, as events; a guest can cause thousands a second, and not more are told."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from mediator.vgpu.observer import Unobserved
from vgpu_ctl.api.objects import EventKind
from vgpu_ctl.pacing.pace import Pace

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu
    from vgpu_ctl.host.event_bus import EventBus

PAUSE_S = 0.2
"""Between two events of a kind and a reason of one vGPU; those between are counted."""
PER_SECOND = 20.0
"""Of a kind, and as many at once: reasons of hangs name contexts and addresses, which a guest makes
up."""
_MOST_REASONS = 100


class GuestEvents(Unobserved):
    """Publishes the hangs, resets and refusals of one vGPU."""

    def __init__(
        self,
        bus: EventBus,
        name: str,
        uuid: str,
        gpu: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._name = name
        self._uuid = uuid
        self._gpu = gpu
        self._clock = clock
        self.by_operator = ""
        """What an operator resets at the moment: that is told elsewhere."""
        self._lock = threading.Lock()
        self._told: dict[tuple[EventKind, str], tuple[float, int]] = {}
        """By kind and reason: when it was told last, and how many there were since."""
        self._paces = defaultdict[EventKind, Pace](lambda: Pace(PER_SECOND, PER_SECOND))
        """By kind: how many there may be, each at a cost of 1."""

    def hung(self, vgpu: Vgpu, engine: str, reason: str) -> None:
        """See `VgpuObserver`."""
        self._publish(EventKind.HANG, reason[:200], engine=engine, reason=reason[:200])

    def was_reset(self, vgpu: Vgpu, what: str) -> None:
        """See `VgpuObserver`."""
        if self.by_operator != what:
            self._publish(EventKind.RESET, what, what=what, by="guest")

    def refused(self, vgpu: Vgpu, reason: str, text: str) -> None:
        """See `VgpuObserver`."""
        self._publish(EventKind.REJECTION, reason, reason=str(reason), text=text[:200])

    def _publish(self, kind: EventKind, key: str, **data: str) -> None:
        now = self._clock()
        with self._lock:
            if len(self._told) > _MOST_REASONS:
                self._told.clear()
            at, since = self._told.get((kind, key), (-PAUSE_S, 0))
            if now - at < PAUSE_S or self._paces[kind].rest(now):
                self._told[kind, key] = at, since + 1
                return
            self._told[kind, key] = now, 0
            self._paces[kind].charge(1, now)
        self._bus.publish(
            kind, vgpu=self._name, uuid=self._uuid, gpu=self._gpu, **data, count=since + 1
        )
