"""Events on their way from where they happen to who listens; nobody waits for a listener."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from vgpu_ctl.api.objects import Event, EventKind

ROOM = 1000
"""Events that wait for one listener; a slower one hears how many it missed."""
_ON_REQUEST = frozenset({EventKind.SLICES})


class Listener:
    """One listener's events; see `EventBus.listen`."""

    def __init__(self, kinds: Collection[EventKind], uuid: str) -> None:
        self._kinds = frozenset(kinds) or frozenset(EventKind) - _ON_REQUEST
        self._uuid = uuid
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._changed = threading.Condition()

    def wants(self, kind: EventKind) -> bool:
        """Whether events of this kind are for it."""
        return kind in self._kinds

    def take(self, timeout: float) -> list[Event]:
        """The events that wait; within ``timeout`` seconds the first, or none."""
        with self._changed:
            if not self._events:
                self._changed.wait(timeout)
            taken = list(self._events)
            self._events.clear()
            dropped, self._dropped = self._dropped, 0
        if dropped:
            kind = EventKind.DROPPED
            taken.append(Event(time=time.time(), kind=kind, data={"count": dropped}))
        return taken

    def offer(self, event: Event) -> None:
        """Any thread; never waits."""
        if not self.wants(event.kind) or (self._uuid and event.uuid != self._uuid):
            return
        with self._changed:
            if len(self._events) >= ROOM:
                self._dropped += 1
            else:
                self._events.append(event)
            self._changed.notify()


class EventBus:
    """Brings each event to every listener that wants it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()

    def listen(self, kinds: Collection[EventKind] = (), uuid: str = "") -> Listener:
        """A listener for ``kinds`` (all but SLICES, without) of the vGPU ``uuid``, or of all."""
        listener = Listener(kinds, uuid)
        with self._lock:
            self._listeners = (*self._listeners, listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """It hears no more."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

    def wanted(self, kind: EventKind) -> bool:
        """Whether anybody listens for ``kind``."""
        return any(listener.wants(kind) for listener in self._listeners)

    def publish(
        self,
        kind: EventKind,
        *,
        vgpu: str = "",
        uuid: str = "",
        gpu: str = "",
        **data: str | int | float | bool,
    ) -> None:
        """Tell everybody. Any thread, with any lock held."""
        listeners = self._listeners
        if listeners:
            now = self._clock()
            event = Event(time=now, kind=kind, vgpu=vgpu, uuid=uuid, gpu=gpu, data=data)
            for listener in listeners:
                listener.offer(event)
