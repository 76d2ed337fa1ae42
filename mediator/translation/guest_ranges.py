"""What of the guest's memory stands in DMA space, and what stood there since a mark."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from mediator.gen9.pte import PAGE_SHIFT


class GuestRanges:
    """Ranges of guest physical addresses, in bytes and whole pages; none overlaps another."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._marked: list[tuple[int, int]] | None = None

    def add(self, address: int, size: int) -> None:
        """A range is there now."""
        self._sizes[address] = size
        if self._marked is not None:
            self._marked.append((address, address + size))

    def remove(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These (address, size) are gone. Raises KeyError when one was not there."""
        for address, _ in ranges:
            del self._sizes[address]

    def all(self) -> list[tuple[int, int]]:
        """(address, size) of each range, ascending."""
        return sorted(self._sizes.items())

    def mark(self) -> None:
        """Remember from now on what has been there, beginning with what is."""
        self._marked = [(start, start + size) for start, size in self._sizes.items()]

    def forget_mark(self) -> None:
        """Remember no longer."""
        self._marked = None

    def since_mark(self, pages: list[int]) -> list[int]:
        """Those of ``pages`` (address >> 12) that have been in a range since the mark."""
        if self._marked is None:
            return []
        self._marked = _merge(self._marked)
        starts = [start for start, _ in self._marked]
        found = []
        for page in pages:
            index = bisect_right(starts, page << PAGE_SHIFT) - 1
            if index >= 0 and page << PAGE_SHIFT < self._marked[index][1]:
                found.append(page)
        return found


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
