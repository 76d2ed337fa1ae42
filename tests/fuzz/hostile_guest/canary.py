"""Memory of the neighbour that no job of its own writes: all of it must stay as it was planted."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from tests.gpu_driver import PAGE

_PIECE = 64 * PAGE
"""Bytes looked at in each round: all of it comes round, and no round pays much."""


class CanaryError(AssertionError):
    """Somebody wrote where nobody may."""


@dataclass
class Canary:
    """``memory`` from ``start`` on is planted with one word; other ranges are kept as they are."""

    memory: memoryview
    start: int
    word: int
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    """Ranges below ``start`` that must not change either: page tables, guard pages."""
    _next: int = 0

    def __post_init__(self) -> None:
        assert self.start % PAGE == len(self.memory) % PAGE == 0
        self._piece = struct.pack("<I", self.word) * (_PIECE // 4)
        for at in range(self.start, len(self.memory), _PIECE):
            size = min(_PIECE, len(self.memory) - at)
            self.memory[at : at + size] = self._piece[:size]

    def keep(self, address: int, size: int) -> None:
        """The ``size`` bytes at ``address`` are as they must stay."""
        self.kept.append((address, bytes(self.memory[address : address + size])))

    def look(self) -> None:
        """At the next piece. Raises CanaryError."""
        if self._next < self.start or self._next >= len(self.memory):
            self._next = self.start
            for address, content in self.kept:
                self._same(address, content)
        size = min(_PIECE, len(self.memory) - self._next)
        self._same(self._next, self._piece[:size])
        self._next += size

    def look_everywhere(self) -> None:
        """Raises CanaryError."""
        self._next = 0
        self.look()
        while self._next < len(self.memory):
            self.look()

    def _same(self, address: int, expected: bytes) -> None:
        found = bytes(self.memory[address : address + len(expected)])
        if found == expected:
            return
        at = next(n for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        at &= ~7
        raise CanaryError(
            f"neighbour's memory at {address + at:#x} has {found[at : at + 16].hex()}, "
            f"not {expected[at : at + 16].hex()}"
        )
