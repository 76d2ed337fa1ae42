"""Who signals the eventfds of a client: whoever wants it, at once, or a thread of its own.

A signal wakes all who watch the eventfd, and a client can have it watched a million times: each
signal would keep the dispatcher, which serves all guests. But what a thread has worked is not told
apart from what a hypervisor took from the machine meanwhile, and an honest client has slow signals
too. So nothing is refused and no signal is lost: who is suspected is only served aside.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from mmio_trap.event_signal import EventSignal

_LOG = logging.getLogger(__name__)

COSTLY_NS = 1_000_000
"""What a signal may cost: some thousand watchers. KVM's is one, QEMU's another."""
PAUSE = 4
"""Times what the cheapest of the last signals cost, after each signal aside: a client has at most a
fifth of a processor, and one whose signals are slow now and then waits hardly longer."""
_LAST = 4
PROBATION = 64
"""Cheap signals on end after which a client is trusted again; twice as many each time."""
_IDLE_S = 1.0


class SignalPace:
    """Signals the eventfds of the clients of one socket; all methods may race.

    It outlives a client: the next one may be the same.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._suspected = False
        self._probation = PROBATION
        self.aside = False
        """Two signals on end were costly: they are given by a thread of their own."""
        self._cheap = 0
        self._pending: dict[EventSignal, None] = {}
        self._signalled: EventSignal | None = None
        self._closed = False
        """The one that is being signalled is to be closed then."""
        self._thread: threading.Thread | None = None

    def signal(self, event: EventSignal) -> None:
        """Signal it, now or soon. Several that wait for the thread become one."""
        if self.aside and self._leave_to_thread(event):
            return
        worked = time.thread_time_ns() if self._suspected else None
        began = time.perf_counter_ns()
        event.signal()
        slow = time.perf_counter_ns() - began > COSTLY_NS
        if slow and worked is not None and time.thread_time_ns() - worked > COSTLY_NS:
            self._distrust()
        self._suspected = (
            slow and not self.aside
        )  # perhaps the machine was busy: the next one is timed as work

    def close(self, event: EventSignal) -> None:
        """Close it, or have that done at once after the signal that is being given."""
        with self._changed:
            self._pending.pop(event, None)
            if event is self._signalled:
                self._closed = True
            else:
                event.close()

    def _distrust(self) -> None:
        with self._changed:
            self._cheap = 0
            self.aside = True
        _LOG.info("signals of an eventfd took long: a thread gives them until they do not")

    def _leave_to_thread(self, event: EventSignal) -> bool:
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="slow-signals", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the machine has no more threads
                    return False
                self._thread = thread
            self._pending[event] = None
            self._changed.notify()
        return True

    def _work(self) -> None:
        costs: deque[int] = deque(maxlen=_LAST)
        while (event := self._next()) is not None:
            began = time.thread_time_ns()
            event.signal(aside=True)
            costs.append(time.thread_time_ns() - began)
            self._done(event, cheap=costs[-1] <= COSTLY_NS)
            time.sleep(min(costs) * PAUSE / 1e9)

    def _next(self) -> EventSignal | None:
        """What waits longest, from now on being signalled; None after a while without any."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._pending, _IDLE_S):
                self._thread = None
                return None
            self._signalled = next(iter(self._pending))
            del self._pending[self._signalled]
            return self._signalled

    def _done(self, event: EventSignal, *, cheap: bool) -> None:
        with self._changed:
            if self._closed:
                event.close()
            self._closed, self._signalled = False, None
            self._cheap = self._cheap + 1 if cheap else 0
            if self._cheap >= self._probation:
                self._probation *= 2
                self._cheap, self.aside = 0, False
