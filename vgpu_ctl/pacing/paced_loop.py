"""A thread that serves many sockets in turns, and rests so as to take a part of a processor only.

While it rests it looks at nothing, so that not even what is refused costs more: whoever floods
waits in the kernel. A turn is short, so that a rest is short, too.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from vgpu_ctl.pacing.pace import Pace

_LOG = logging.getLogger(__name__)

TURN_S = 1e-3
"""Processor time after which a turn should end."""
_PAUSE_S = 1.0
"""After a turn that has failed: it may fail again."""
Handler = Callable[[int], None]
"""What is called with the events (`select.EPOLLIN` and others) of a descriptor."""


class PacedLoop:
    """Calls handlers for what is ready, then ``turn``. All but `post` is for its own thread."""

    def __init__(self, name: str, pace: Pace, turn: Callable[[], float]) -> None:
        """``turn`` does what there is to do until `is_over`, and says in how many seconds it wants
        the next whatever comes: 0 while more is left.
        """
        self._pace = pace
        self._turn = turn
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._posted: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._end = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ending = select.poll()
        self._ending.register(self._end, select.POLLIN)
        self.watch(self._wake, select.EPOLLIN, lambda _: self._woken())
        self.watch(self._end, select.EPOLLIN, lambda _: None)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._is_closed = False
        self._began = 0.0
        self._paused_until = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, once, started or not; nothing is called any more when it returns."""
        os.eventfd_write(self._end, 1)
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            self._is_closed = True
            os.close(self._wake)
        os.close(self._end)
        self._epoll.close()

    def post(self, call: Callable[[], None]) -> None:
        """Have ``call`` called in the loop's thread, soon; after `stop` nothing. Any thread, with
        any lock held.
        """
        self._posted.append(call)
        with self._lock:  # or the descriptor might be somebody else's by now
            if not self._is_closed:
                os.eventfd_write(self._wake, 1)

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call ``handler`` when it is ready, again and again."""
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Not any more; before it is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def pause(self, seconds: float) -> None:
        """Rest so long at least after this turn: something is short that time may bring back."""
        self._paused_until = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether this turn has taken its time."""
        return time.thread_time() - self._began >= TURN_S

    def _run(self) -> None:
        due_in = 0.0
        while not self._rest():
            self._began = time.thread_time()
            try:
                for descriptor, events in self._epoll.poll(due_in):
                    handler = self._handlers.get(descriptor)  # one before may have ended this one
                    if handler is not None:
                        handler(events)
                due_in = self._turn()
            except Exception:  # noqa: BLE001 - our bug; who is served shall still be
                _LOG.exception("a turn failed")
                self.pause(_PAUSE_S)
            self._pace.charge(time.thread_time() - self._began, time.monotonic())

    def _rest(self) -> bool:
        """Rest if it has to be; whether it is the end."""
        now = time.monotonic()
        rest = max(self._pace.rest(now), self._paused_until - now)
        return bool(self._ending.poll(max(0.0, rest) * 1e3))

    def _woken(self) -> None:
        os.eventfd_read(self._wake)
        for _ in range(len(self._posted)):
            self._posted.popleft()()
