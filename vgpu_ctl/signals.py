"""Signals that the main thread waits for, whichever thread of the process the kernel gives them to.

They are blocked while the main thread is at work. But a library may have started threads when it
was imported, before they were blocked (NumPy's OpenBLAS does): the kernel gives such a thread what
the main thread does not take at that moment, and by default that would end the process. So each has
a handler, which notes it, and a byte in a socket wakes who waits (`signal.set_wakeup_fd`).
"""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from types import FrameType
from typing import Final

_BYTES: Final = 4096


class Signals:
    """The signals ``taken``: from now on this process goes on when they come. Main thread only."""

    def __init__(self, taken: Collection[signal.Signals]) -> None:
        self._taken = tuple(taken)
        self._noted: list[int] = []
        self._bell, rung = socket.socketpair()
        for end in (self._bell, rung):
            end.setblocking(False)
        # Never closed: the interpreter would go on writing to that number, whatever has it then.
        signal.set_wakeup_fd(rung.detach(), warn_on_full_buffer=False)
        for each in self._taken:
            signal.signal(each, self._note)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._taken)

    def wait(self, timeout_s: float, *wanted: signal.Signals) -> signal.Signals | None:
        """The next of ``wanted``, all without any, within ``timeout_s``; None if there is none."""
        chosen = wanted or self._taken
        ends = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, chosen)
        try:
            found = self._take(chosen)
            while found is None and (left := ends - time.monotonic()) > 0:
                poll.poll(1000 * left)
                with suppress(BlockingIOError):
                    self._bell.recv(_BYTES)
                found = self._take(chosen)
            return found
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, chosen)

    def _take(self, chosen: Collection[signal.Signals]) -> signal.Signals | None:
        for number in self._noted:
            if number in chosen:
                self._noted.remove(number)
                return signal.Signals(number)
        return None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted.append(number)
