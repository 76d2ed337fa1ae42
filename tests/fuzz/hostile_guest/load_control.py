"""How busy the machine is: a process that does a fixed piece of work a hundred times a second.

What it is late, or slow, is time that the machine took from every process. A round of the neighbour
that was long while this one was late is no failing of the daemon.
"""

from __future__ import annotations

import time

from tests.fuzz.hostile_guest.child import tell, told_to_stop

EVERY_S = 0.01
_PIECE = 2_000
_REPORT_S = 0.2


def piece() -> int:
    """A fraction of a millisecond of the interpreter's time."""
    return sum(number * number for number in range(_PIECE))


def main() -> None:
    """Tell of (start, seconds) of all time lost, until standard input ends."""
    usual = min(_timed() for _ in range(50))
    lost: list[tuple[float, float]] = []
    due = told = time.monotonic()
    while True:
        due += EVERY_S
        if told_to_stop(max(0.0, due - time.monotonic())):
            return
        _timed()
        late = time.monotonic() - due - usual
        if late > EVERY_S / 4:
            lost.append((due, late))
            due = time.monotonic()
        if time.monotonic() - told > _REPORT_S:
            tell(spans=lost)
            lost, told = [], time.monotonic()


def _timed() -> float:
    start = time.monotonic()
    piece()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
