"""Whether a descriptor can be read, however high its number is."""

from __future__ import annotations

import select
from typing import Protocol


class HasFileno(Protocol):
    """An open file."""

    def fileno(self) -> int:
        """Its descriptor."""


def readable(file: int | HasFileno, seconds: float) -> bool:
    """Whether ``file`` can be read, or has ended, within ``seconds``."""
    poller = select.poll()
    poller.register(file, select.POLLIN)
    return bool(poller.poll(1000 * seconds))
