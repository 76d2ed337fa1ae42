"""Events on their way to listeners, of whom none delays anybody."""

from __future__ import annotations

import threading

from vgpu_ctl.api.objects import EventKind
from vgpu_ctl.host.event_bus import ROOM, EventBus


def test_who_hears_what() -> None:
    bus = EventBus(clock=lambda: 12.5)
    everything, hangs, one = bus.listen(), bus.listen([EventKind.HANG]), bus.listen(uuid="u")
    bus.publish(EventKind.CREATED, vgpu="a", uuid="u", gpu="g", extra=1)
    bus.publish(EventKind.HANG, vgpu="b", uuid="w")
    bus.publish(EventKind.SLICES, vgpu="a", uuid="u")
    kinds = [[event.kind for event in each.take(0)] for each in (everything, hangs, one)]
    assert kinds == [[EventKind.CREATED, EventKind.HANG], [EventKind.HANG], [EventKind.CREATED]]
    assert everything.take(0) == []


def test_an_event_has_its_parts() -> None:
    bus = EventBus(clock=lambda: 12.5)
    listener = bus.listen()
    bus.publish(EventKind.RESET, vgpu="a", uuid="u", gpu="g", what="rcs0", count=2)
    (event,) = listener.take(0)
    assert (event.time, event.vgpu, event.uuid, event.gpu) == (12.5, "a", "u", "g")
    assert event.data == {"what": "rcs0", "count": 2}


def test_slices_are_for_who_asks() -> None:
    bus = EventBus()
    bus.listen()
    assert not bus.wanted(EventKind.SLICES)
    listener = bus.listen([EventKind.SLICES])
    assert bus.wanted(EventKind.SLICES)
    bus.leave(listener)
    assert not bus.wanted(EventKind.SLICES)


def test_a_slow_listener_hears_how_many_it_missed() -> None:
    bus = EventBus()
    slow, other = bus.listen(), bus.listen()
    for number in range(ROOM + 7):
        bus.publish(EventKind.MODIFIED, number=number)
        other.take(0)
    *events, last = slow.take(0)
    assert [event.data["number"] for event in events] == list(range(ROOM))
    assert (last.kind, last.data) == (EventKind.DROPPED, {"count": 7})
    assert slow.take(0) == []
    bus.publish(EventKind.MODIFIED)
    assert [event.kind for event in slow.take(0)] == [EventKind.MODIFIED]


def test_who_left_hears_nothing_and_who_waits_is_woken() -> None:
    bus = EventBus()
    left, waiting = bus.listen(), bus.listen()
    bus.leave(left)
    threading.Timer(0.01, lambda: bus.publish(EventKind.STARTED)).start()
    assert [event.kind for event in waiting.take(20)] == [EventKind.STARTED]
    assert left.take(0) == []
