"""What guests cause, as events, however often they cause it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from mediator.errors import Reason
from mediator.vgpu.vgpu import Vgpu
from vgpu_ctl.api.objects import EventKind
from vgpu_ctl.host.event_bus import EventBus, Listener
from vgpu_ctl.host.guest_events import PAUSE_S, PER_SECOND, GuestEvents

VGPU = cast(Vgpu, None)
"""It is not looked at."""


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def listener(bus: EventBus) -> Listener:
    return bus.listen()


@pytest.fixture
def events(bus: EventBus, listener: Listener, clock: Clock) -> GuestEvents:
    return GuestEvents(bus, "web", "u", "gpu0", clock)


def test_each_kind(events: GuestEvents, listener: Listener) -> None:
    events.hung(VGPU, "rcs0", "page fault")
    events.was_reset(VGPU, "rcs0")
    events.refused(VGPU, Reason.ADDRESS, "text" * 100)
    told = listener.take(0)
    assert [event.kind for event in told] == [
        EventKind.HANG,
        EventKind.RESET,
        EventKind.REJECTION,
    ]
    assert {(event.vgpu, event.uuid, event.gpu) for event in told} == {("web", "u", "gpu0")}
    assert told[0].data == {"engine": "rcs0", "reason": "page fault", "count": 1}
    assert told[1].data == {"what": "rcs0", "by": "guest", "count": 1}
    assert len(str(told[2].data["text"])) == 200


def test_a_flood_is_counted(events: GuestEvents, listener: Listener, clock: Clock) -> None:
    for _ in range(1000):
        events.refused(VGPU, Reason.ADDRESS, "text")
    clock.now += PAUSE_S
    events.refused(VGPU, Reason.ADDRESS, "text")
    assert [event.data["count"] for event in listener.take(0)] == [1, 1000]


def test_many_reasons_take_no_memory(events: GuestEvents, listener: Listener) -> None:
    for number in range(5000):
        events.hung(VGPU, "rcs0", f"fault at {number}")
    assert len(events._told) <= 101
    assert listener.take(0)


def test_reasons_that_a_guest_makes_up_are_no_flood(
    events: GuestEvents, listener: Listener, clock: Clock
) -> None:
    for number in range(1000):
        events.hung(VGPU, "rcs0", f"fault at {number}")
        clock.now += 1e-3
    told = listener.take(0)
    assert PER_SECOND <= len(told) <= 2 * PER_SECOND + 1
    events.was_reset(VGPU, "rcs0")  # another kind
    assert [event.kind for event in listener.take(0)] == [EventKind.RESET]


def test_an_operators_reset_is_told_elsewhere(events: GuestEvents, listener: Listener) -> None:
    events.by_operator = "function"
    events.was_reset(VGPU, "function")
    events.was_reset(VGPU, "bcs0")
    events.by_operator = ""
    events.was_reset(VGPU, "function")
    assert [event.data["what"] for event in listener.take(0)] == ["bcs0", "function"]
