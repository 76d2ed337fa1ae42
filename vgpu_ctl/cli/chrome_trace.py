"""Trace records as a trace of Chrome's format, which Perfetto reads, too. Pure.

One process stands for the vGPU, one thread for each track. Both programs want what is on one thread
to nest, and requests of an engine overlap: those that do go to further threads of the same track.
Times are microseconds of the host's monotonic clock, so that traces of several vGPUs fit together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from vgpu_ctl.api.objects import TraceRecord

_PROCESS = 1
_ORDER = ("slices", "rcs0", "bcs0", "vcs0", "vecs0", "traps", "interrupts")
"""Tracks from above; those whose first word it is go below it, and others to the end."""
_MOST_LANES = 16
"""Threads of a track. What has no room on them, as never happens, overlaps."""
_HEAD = b'{"displayTimeUnit":"ms","traceEvents":[\n'


class ChromeTrace:
    """Writes one trace, piece by piece."""

    def __init__(self, name: str) -> None:
        self.records = 0
        self._name = name
        self._threads: dict[tuple[str, int], int] = {}
        """By track and lane."""
        self._lanes: dict[str, list[tuple[int, int]]] = {}
        """By track: from when to when there are records on each lane, in ns."""
        self._begun = False

    def head(self) -> bytes:
        """What comes first."""
        return _HEAD + self._joined([_metadata("process_name", 0, {"name": self._name})])

    def body(self, records: Iterable[TraceRecord]) -> bytes:
        """The records, after what came before."""
        return self._joined(event for record in records for event in self._events(record))

    def tail(self, dropped: int) -> bytes:
        """What comes last; ``dropped`` records are missing."""
        other = {"vgpu": self._name, "records": self.records, "dropped": dropped}
        return b'\n],"otherData":' + msgspec.json.encode(other) + b"}\n"

    def _joined(self, events: Iterable[dict[str, Any]]) -> bytes:
        text = b",\n".join(msgspec.json.encode(event) for event in events)
        comma = b",\n" if text and self._begun else b""
        self._begun = self._begun or bool(text)
        return comma + text

    def _events(self, record: TraceRecord) -> Iterator[dict[str, Any]]:
        place = record.track, self._lane(record)
        thread = self._threads.get(place)
        if thread is None:
            thread = self._threads[place] = len(self._threads) + 1
            yield from _thread(thread, *place)
        self.records += 1
        event: dict[str, Any] = {
            "name": record.name,
            "pid": _PROCESS,
            "tid": thread,
            "ts": record.start_ns / 1000,
        }
        if record.detail:
            event["args"] = {"detail": record.detail}
        if record.duration_ns < 0:
            yield {**event, "ph": "i", "s": "t"}
        else:
            yield {**event, "ph": "X", "dur": record.duration_ns / 1000}

    def _lane(self, record: TraceRecord) -> int:
        """The first lane of its track on which all else is before or after it; 0 for an instant."""
        if record.duration_ns < 0:
            return 0
        start, end = record.start_ns, record.start_ns + record.duration_ns
        lanes = self._lanes.setdefault(record.track, [])
        free = (n for n, (first, last) in enumerate(lanes) if last <= start or end <= first)
        lane = next(free, min(len(lanes), _MOST_LANES - 1))
        if lane == len(lanes):
            lanes.append((start, end))
        else:
            lanes[lane] = min(lanes[lane][0], start), max(lanes[lane][1], end)
        return lane


def _thread(thread: int, track: str, lane: int) -> Iterator[dict[str, Any]]:
    name = f"{track} ({lane + 1})" if lane else track
    yield _metadata("thread_name", thread, {"name": name})
    yield _metadata("thread_sort_index", thread, {"sort_index": _sort_index(track, lane)})


def _metadata(name: str, thread: int, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ph": "M", "pid": _PROCESS, "tid": thread, "args": arguments}


def _sort_index(track: str, lane: int) -> int:
    """Where a thread goes, among the others."""
    first, _, rest = track.partition(" ")
    place = _ORDER.index(first) if first in _ORDER else len(_ORDER)
    return (2 * place + bool(rest)) * _MOST_LANES + lane
