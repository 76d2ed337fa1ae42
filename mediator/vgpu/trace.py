"""A trace of one vGPU: what happened when, for a person who wants to see it. Off, it costs nothing.

Who asks for a trace hangs a `Trace` on the vGPU and takes its records from time to time. Records
are bounded: what has no room is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

INSTANT = -1
"""Duration of what takes no time."""
ROOM = 200_000
"""Records that wait to be taken; a guest makes some ten thousand a second."""


class Record(NamedTuple):
    """Times in ns of the vGPU's clock."""

    track: str
    """`traps`, `interrupts`, `slices`, or the name of an engine."""
    name: str
    start_ns: int
    duration_ns: int
    detail: str


@dataclass
class Trace:
    """Records of one vGPU. `add` is called by any thread, `take` by one."""

    room: int = ROOM
    records: list[Record] = field(default_factory=list)
    dropped: int = 0
    """Records that had no room."""

    def add(
        self, track: str, name: str, start_ns: int, duration_ns: int = INSTANT, detail: str = ""
    ) -> None:
        """Something began at ``start_ns`` and took ``duration_ns``."""
        if len(self.records) < self.room:
            self.records.append(Record(track, name, start_ns, duration_ns, detail))
        else:
            self.dropped += 1

    def take(self) -> list[Record]:
        """The records since the last call."""
        taken, self.records = self.records, []
        return taken
