"""The rest that a guest takes after a long audit: the interpreter is everybody's.

A thread that computes has the interpreter whenever it wants it, and a guest whose submissions are
audited without pause would leave the others a part of it that no share of the GPU says. So its own
trap takes as much longer as the audit took of the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_S = 0.1
"""Of one rest: QEMU holds its big lock meanwhile."""


class Rest:
    """What is owed by one guest."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._owed_ns = 0
        self._sleep = sleep

    def owe(self, used_ns: int) -> None:
        """So much of the processor was used for the guest at one go."""
        self._owed_ns += used_ns

    def take(self) -> None:
        """Rest, if something is owed. The guest's own thread, without locks."""
        if self._owed_ns:
            owed_ns, self._owed_ns = self._owed_ns, 0
            self._sleep(min(owed_ns / 1e9, LONGEST_S))
