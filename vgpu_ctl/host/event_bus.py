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

    def __init__(
        self, kinds: Collection[EventKind], uuid: str, wake: Callable[[], None] | None = None
    ) -> None:
        self._kinds = frozenset(kinds) or frozenset(EventKind) - _ON_REQUEST
        self._uuid = uuid
        self._events: deque[Event] = deque()
        self._dropped = 0
        self._wake = wake
        self._changed = threading.Condition()

    def wants(self, kind: EventKind) -> bool:
        """Whether events of this kind are for it."""
        return kind in self._kinds

    @property
    def has_events(self) -> bool:
        """Whether some wait."""
        return bool(self._events)

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
            is_first = not self._events
            if len(self._events) >= ROOM:
                self._dropped += 1
            else:
                self._events.append(event)
            self._changed.notify()
        if is_first and self._wake is not None:
            self._wake()


class EventBus:
    """Brings each event to every listener that wants it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self.changes = 0
        """Another number after each change; what was read at one number is true while it stays."""

    def listen(
        self,
        kinds: Collection[EventKind] = (),
        uuid: str = "",
        wake: Callable[[], None] | None = None,
    ) -> Listener:
        """A listener for ``kinds`` (all but SLICES, without) of the vGPU ``uuid``, or of all.

        ``wake`` is called when it has a first event, by any thread with any lock held.
        """
        listener = Listener(kinds, uuid, wake)
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

    def changed(self) -> None:
        """Something is different now that no event tells of. Any thread.

        Two at a time may make one step of it. Each change was made before its step began, so
        whoever sees the step sees both.
        """
        self.changes += 1

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
        if kind not in _ON_REQUEST:
            self.changed()
        listeners = self._listeners
        if listeners:
            now = self._clock()
            event = Event(time=now, kind=kind, vgpu=vgpu, uuid=uuid, gpu=gpu, data=data)
            for listener in listeners:
                listener.offer(event)
