"""Private GGTT entries on the hardware: those of the world it is in, and of nobody else.

Entries are written in chunks of 512, and only chunks that this world or the last one has touched
(gScale's "on-demand copying"; Xue et al., USENIX ATC 2016).
"""

from __future__ import annotations

from typing import Protocol

from mediator.physical.host import HostGpu

CHUNK_PAGES = 512
_EMPTY = bytes(8 * CHUNK_PAGES)


class PrivateGgtt(Protocol):
    """A guest's GGTT as it should be on the hardware."""

    @property
    def touched(self) -> frozenset[int]:
        """Numbers of the chunks that have entries."""

    def hardware_chunk(self, n: int) -> bytes:
        """The entries of chunk ``n``."""


class InstalledGgtt:
    """What guests' part of the hardware's GGTT holds while it is private to one at a time."""

    def __init__(self, host: HostGpu) -> None:
        self._host = host
        self._owner: PrivateGgtt | None = None
        self._chunks: set[int] = set()

    def enter(self, ggtt: PrivateGgtt) -> None:
        """Give the hardware the entries of ``ggtt`` in place of all others."""
        touched = set(ggtt.touched)
        for chunk in self._chunks | touched:
            self._host.write_ggtt(chunk * CHUNK_PAGES, ggtt.hardware_chunk(chunk))
        self._chunks, self._owner = touched, ggtt
        self._host.flush_ggtt()

    def write(self, page: int, entries: bytes) -> None:
        """The owner has changed entries, from that of ``page`` on."""
        last = page + len(entries) // 8 - 1
        self._chunks.update(range(page // CHUNK_PAGES, last // CHUNK_PAGES + 1))
        self._host.write_ggtt(page, entries)

    def forget(self, ggtt: PrivateGgtt) -> None:
        """Nothing of ``ggtt`` may stay."""
        if self._owner is ggtt:
            for chunk in self._chunks:
                self._host.write_ggtt(chunk * CHUNK_PAGES, _EMPTY)
            self._host.flush_ggtt()
            self.lost()

    def lost(self) -> None:
        """The hardware's GGTT is empty."""
        self._chunks, self._owner = set(), None
