"""Signals that the main thread waits for, whichever thread of the process the kernel gives them to.

They are blocked, so that the main thread takes them when it is ready. But a library may have
started threads when it was imported, before they were blocked (NumPy's OpenBLAS does): the kernel
gives such a thread what the main thread does not wait for at that moment, and by default that would
end the process. So each has a handler as well, which notes it.
"""

from __future__ import annotations

import signal
from collections.abc import Collection
from types import FrameType


class Signals:
    """The signals ``taken``: from now on this process goes on when they come. Main thread only."""

    def __init__(self, taken: Collection[signal.Signals]) -> None:
        self._taken = tuple(taken)
        self._noted: list[int] = []
        for each in self._taken:
            signal.signal(each, self._note)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._taken)

    def wait(self, timeout_s: float, *wanted: signal.Signals) -> signal.Signals | None:
        """The next of ``wanted``, all without any, within ``timeout_s``; None if there is none.

        One that came to another thread while this one began to wait is found by the next call.
        """
        chosen = wanted or self._taken
        found = self._take(chosen)
        if found is not None:
            return found
        caught = signal.sigtimedwait(chosen, timeout_s)
        return self._take(chosen) if caught is None else signal.Signals(caught.si_signo)

    def _take(self, chosen: Collection[signal.Signals]) -> signal.Signals | None:
        for number in self._noted:
            if number in chosen:
                self._noted.remove(number)
                return signal.Signals(number)
        return None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted.append(number)
