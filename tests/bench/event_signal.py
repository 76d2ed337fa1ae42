"""One signal of an interrupt's eventfd, against the look and the write that could wait.

Rounds of both sides alternate and the best of each counts, in microseconds. Run
``python -m tests.bench.event_signal``.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable

from mmio_trap.event_signal import EventSignal

_SIGNALS = 20_000
_ROUNDS = 5


def _time(once: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(_SIGNALS):
        once()
    return (time.perf_counter() - began) / _SIGNALS * 1e6


def measure() -> dict[str, dict[str, float]]:
    """Microseconds for a signal of each kind."""
    fd = os.eventfd(0)
    signal = EventSignal(fd)
    poller = select.poll()
    poller.register(fd, select.POLLOUT)

    def look_and_write() -> None:
        if poller.poll(0):
            os.eventfd_write(fd, 1)

    signals, writes = [], []
    for _ in range(_ROUNDS):
        signals.append(_time(signal.signal))
        writes.append(_time(look_and_write))
    signal.close()
    os.close(fd)
    return {"signal": {"us": min(signals)}, "look and write": {"us": min(writes)}}


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
