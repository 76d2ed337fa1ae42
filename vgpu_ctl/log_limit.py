"""A limit on how much a guest can make the daemon write into its log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from vgpu_ctl.api.change_log import LOGGER

BURST = 500
"""Records below ERROR let through at once."""
PER_SECOND = 20.0


class LogLimit(logging.Filter):
    """Lets ``burst`` records through, then ``per_second``; says how many it left out.

    Guests and clients cause INFO and WARNING records (hangs, unknown registers, refusals) as fast
    as they like; ERROR and above are ours and always pass, and so does what an operator changes.
    """

    def __init__(
        self,
        burst: int = BURST,
        per_second: float = PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._refilled_at = clock()
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` may be written."""
        if record.levelno >= logging.ERROR or record.name == LOGGER:
            return True
        with self._lock:
            now = self._clock()
            gained = (now - self._refilled_at) * self._per_second
            self._tokens = min(float(self._burst), self._tokens + gained)
            self._refilled_at = now
            if self._tokens < 1:
                self._left_out += 1
                return False
            self._tokens -= 1
            left_out, self._left_out = self._left_out, 0
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} records before this were left out)"
            record.args = ()
        return True
