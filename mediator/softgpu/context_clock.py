"""How long a context has been on its engine: CTX_TIMESTAMP, and the engine's busy time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_DWORD = 0xFFFF_FFFF


@dataclass(slots=True)
class ContextClock:
    """The clock of one engine's contexts. ``now`` in nanoseconds, ``ticks`` of a span of them."""

    now: Callable[[], int]
    ticks: Callable[[int], int]
    loaded_at_ns: int = 0
    counted: int = 0
    """Ticks of the context when it was loaded, or when it left."""

    def load(self) -> None:
        """A context has come."""
        self.loaded_at_ns = self.now()

    def set(self, ticks: int) -> None:
        """The context that has come was active for ``ticks`` before."""
        self.counted = ticks
        self.load()

    def read(self) -> int:
        """32-bit ticks that the context that is there has been active."""
        return (self.counted + self.ticks(self.active_ns)) & _DWORD

    @property
    def active_ns(self) -> int:
        """Nanoseconds since the context has come."""
        return self.now() - self.loaded_at_ns
