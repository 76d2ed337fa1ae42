"""An eventfd that is slow to signal: no other guest waits for it, and it loses no interrupt."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from mmio_trap import signal_pace
from mmio_trap.event_signal import EventSignal
from mmio_trap.signal_pace import COSTLY_NS, PAUSE, PROBATION, SignalPace
from tests.open_files import open_fds
from tests.readiness import readable

PATIENCE_S = 60.0
OVER = COSTLY_NS + 1
WATCHERS = 400


@pytest.fixture
def eventfd() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.001)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "slow-signals"]


class Event(EventSignal):
    """Takes what it is said to, by the clock and of the thread's time; `held` as long as it is."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.by: list[str] = []
        """The threads that have signalled it."""
        self.held = threading.Event()
        self.held.set()
        self.closed = False

    def signal(self, *, aside: bool = False) -> None:
        name = threading.current_thread().name
        assert aside is (name == "slow-signals")
        assert not self.closed
        self.by.append(name)
        assert self.held.wait(PATIENCE_S)
        clock, work = next(self.times.taken, (0, 0))
        self.times.clock += clock
        self.times.work += work

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class Times:
    """`time` of signals that take what they are said to, and of sleeps that take nothing."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, *taken: tuple[int, int]) -> None:
        self.clock = self.work = 0
        self.taken = iter(taken)
        self.slept: list[float] = []

    def perf_counter_ns(self) -> int:
        return self.clock

    def thread_time_ns(self) -> int:
        return self.work

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Event]:
    def make(*taken: tuple[int, int]) -> Event:
        times = Times(*taken)
        monkeypatch.setattr(signal_pace, "time", times)
        return Event(times)

    monkeypatch.setattr(signal_pace, "_IDLE_S", 0.01)
    return make


@pytest.mark.parametrize(
    ("taken", "aside"),
    [
        ([(OVER, OVER)], False),
        ([(OVER, OVER), (OVER, OVER)], True),
        ([(OVER, 0), (OVER, OVER)], True),
        ([(OVER, OVER), (COSTLY_NS, OVER)], False),
        ([(OVER, OVER), (OVER, COSTLY_NS)], False),
        ([(OVER, OVER), (0, 0), (OVER, OVER)], False),
        ([(COSTLY_NS, COSTLY_NS), (OVER, OVER)], False),
    ],
)
def test_twice_on_end_is_too_often(
    taking: Callable[..., Event], taken: list[tuple[int, int]], aside: bool
) -> None:
    """Slow by the clock makes it suspected, and then it is its own work that counts."""
    event, pace = taking(*taken), SignalPace()
    me = threading.current_thread().name
    for _ in taken:
        pace.signal(event)
    assert pace.aside is aside
    pace.signal(event)
    until(lambda: len(event.by) == len(taken) + 1)
    assert event.by == [me] * len(taken) + (["slow-signals"] if aside else [me])
    until(lambda: not threads())


def test_a_busy_machine_makes_nobody_slow(taking: Callable[..., Event]) -> None:
    """Time that passes while others run is no work of the signal's."""
    event, pace = taking(*[(5 * COSTLY_NS, 0)] * 10), SignalPace()
    for _ in range(10):
        pace.signal(event)
    assert not pace.aside


def test_what_a_slow_one_has_at_most(taking: Callable[..., Event]) -> None:
    """A fifth of a processor, by the cheapest of its last four signals."""
    costs = [9, 7, 8, 7, 9, 9, 9, 9, 9]
    event = taking((OVER, OVER), (OVER, OVER), *((0, cost * COSTLY_NS) for cost in costs))
    pace = SignalPace()
    for number in range(2 + len(costs)):
        pace.signal(event)
        until(lambda wanted=number + 1: len(event.by) == wanted and pace._signalled is None)  # type: ignore[misc]
    until(lambda: len(event.times.slept) == len(costs))
    cheapest = [9, 7, 7, 7, 7, 7, 7, 9, 9]
    assert event.times.slept == [PAUSE * each * COSTLY_NS / 1e9 for each in cheapest]
    until(lambda: not threads())


def test_who_is_fast_again_is_trusted_again_each_time_later(taking: Callable[..., Event]) -> None:
    slow, cheap = (OVER, OVER), (0, COSTLY_NS)
    rounds = [PROBATION, PROBATION * 2, PROBATION * 4]
    taken = [each for cheaps in rounds for each in (slow, slow, cheap, slow, *[cheap] * cheaps)]
    event, pace = taking(*taken), SignalPace()
    for number in range(len(taken)):
        pace.signal(event)
        until(lambda wanted=number + 1: len(event.by) == wanted and pace._signalled is None)  # type: ignore[misc]
    aside = [name == "slow-signals" for name in event.by]
    assert aside == [
        each for cheaps in rounds for each in (False, False, True, True, *[True] * cheaps)
    ]
    assert not pace.aside
    until(lambda: not threads())


def test_signals_that_wait_become_one(taking: Callable[..., Event]) -> None:
    event, pace = taking((OVER, OVER), (OVER, OVER)), SignalPace()
    other = Event(event.times)
    for _ in range(2):
        pace.signal(event)
    event.held.clear()
    pace.signal(event)
    until(lambda: len(event.by) == 3)
    for _ in range(100):
        pace.signal(event)
        pace.signal(other)
    event.held.set()
    until(lambda: not threads())
    assert (len(event.by), len(other.by)) == (4, 1)


def test_closed_while_it_waits_or_is_signalled(taking: Callable[..., Event]) -> None:
    """Its number may be another's in an instant: it is not signalled after it is closed."""
    event, pace = taking((OVER, OVER), (OVER, OVER)), SignalPace()
    waits = Event(event.times)
    for _ in range(2):
        pace.signal(event)
    event.held.clear()
    pace.signal(event)
    until(lambda: len(event.by) == 3)
    pace.signal(event)
    pace.signal(waits)
    pace.close(event)
    pace.close(waits)
    assert (event.closed, waits.closed) == (False, True)
    event.held.set()
    until(lambda: event.closed)
    until(lambda: not threads())
    assert (len(event.by), waits.by) == (3, [])
    idle = Event(event.times)
    pace.close(idle)
    assert idle.closed


def test_a_machine_without_threads_signals_at_once(
    taking: Callable[..., Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    event, pace = taking((OVER, OVER), (OVER, OVER)), SignalPace()
    for _ in range(2):
        pace.signal(event)

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        pace.signal(event)
        assert len(event.by) == 3
    pace.signal(event)
    until(lambda: event.by[3:] == ["slow-signals"])
    until(lambda: not threads())


@pytest.mark.parametrize("watched", ["before", "later"])
def test_an_eventfd_that_thousands_watch(
    eventfd: int, monkeypatch: pytest.MonkeyPatch, watched: str
) -> None:
    """The limit is lowered, so that a few hundred are enough: every signal arrives."""
    before = open_fds()
    event, pace = EventSignal(eventfd), SignalPace()
    if watched == "later":
        pace.signal(event)
        assert os.eventfd_read(eventfd) == 1
    monkeypatch.setattr(signal_pace, "COSTLY_NS", 2_000)
    monkeypatch.setattr(signal_pace, "_IDLE_S", 0.01)
    with ExitStack() as stack:
        for _ in range(WATCHERS):
            stack.enter_context(select.epoll()).register(eventfd, select.EPOLLIN)
        for _ in range(2):
            assert not pace.aside
            pace.signal(event)
        assert pace.aside
        assert os.eventfd_read(eventfd) == 2
        for _ in range(20):
            pace.signal(event)
            assert readable(eventfd, PATIENCE_S)
            assert os.eventfd_read(eventfd) == 1
    pace.close(event)
    until(lambda: not threads())
    assert open_fds() <= before
