"""One fault: a small change to one place of a source file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Bytes ``start`` to ``end`` of ``file``, which say ``was``, become ``now``."""

    file: str
    """Path in the project."""
    line: int
    """Counted from 1."""
    start: int
    end: int
    was: str
    now: str
    within: str
    """The function it is in, "Class.method" for one of a class; "" at a module's top."""
    first: int = 0
    last: int = 0
    """Lines of the statement it is in, or of that statement's head; 0 for C."""

    def put_into(self, source: bytes) -> bytes:
        """The file's content with the fault in it."""
        assert source[self.start : self.end].decode() == self.was
        return source[: self.start] + self.now.encode() + source[self.end :]

    def __str__(self) -> str:
        was, now = (" ".join(text.split()) or "(nothing)" for text in (self.was, self.now))
        where = f" in {self.within}" if self.within else ""
        return f"{self.file}:{self.line}{where}: {_short(was)}  ->  {_short(now)}"


def draw(faults: Sequence[Fault], count: int, seed: int) -> list[Fault]:
    """Up to ``count`` faults, one a line: lines are drawn first, so that no table of numbers rules.

    The same seed and code give the same faults in the same order.
    """
    lines: dict[tuple[str, int], list[Fault]] = {}
    for fault in faults:
        lines.setdefault((fault.file, fault.line), []).append(fault)
    chance = random.Random(seed)
    order = sorted(lines)
    chance.shuffle(order)
    return [chance.choice(lines[line]) for line in order[:count]]


def _short(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:87]}..."
