"""Guests' GGTT entries on the hardware: those of the world it is in, and of nobody else.

Ballooned vGPUs have their slices at the same time: their entries are *resident* and stay while the
hardware goes from one of them to the next. A private GGTT takes the place of everything, resident
entries too, since its guest may name any address. Entries are written in chunks of 512, and only
chunks that this world or the last one has touched (gScale's "on-demand copying"; Xue et al., USENIX
ATC 2016).
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
    """What guests' part of the hardware's GGTT holds."""

    def __init__(self, host: HostGpu) -> None:
        self._host = host
        self._owner: PrivateGgtt | None = None
        """Whose private entries are installed; None: the resident ones are."""
        self._chunks: set[int] = set()
        """Chunks of the hardware that may have entries."""
        self._resident: dict[int, bytearray] = {}
        """By chunk number: the entries of all ballooned vGPUs; chunks without any are left out."""

    def enter(self, ggtt: PrivateGgtt | None) -> None:
        """Give the hardware the entries of ``ggtt`` in place of all others; None: the resident."""
        if ggtt is None and self._owner is None:
            return
        touched = set(self._resident if ggtt is None else ggtt.touched)
        for chunk in self._chunks | touched:
            entries = self._resident_chunk(chunk) if ggtt is None else ggtt.hardware_chunk(chunk)
            self._host.write_ggtt(chunk * CHUNK_PAGES, entries)
        self._chunks, self._owner = touched, ggtt
        self._host.flush_ggtt()

    def write(self, page: int, entries: bytes) -> None:
        """The owner has changed entries, from that of ``page`` on."""
        self._chunks.update(_chunks_of(page, entries))
        self._host.write_ggtt(page, entries)

    def write_resident(self, page: int, entries: bytes) -> None:
        """A ballooned vGPU has changed entries, from that of ``page`` on."""
        at = 0
        for chunk in _chunks_of(page, entries):
            first = max(page - chunk * CHUNK_PAGES, 0)
            count = min(CHUNK_PAGES - first, (len(entries) - at) // 8)
            kept = self._resident.setdefault(chunk, bytearray(_EMPTY))
            kept[8 * first : 8 * (first + count)] = entries[at : at + 8 * count]
            if kept == _EMPTY:
                del self._resident[chunk]
            at += 8 * count
        if self._owner is None:
            self.write(page, entries)

    def forget(self, ggtt: PrivateGgtt) -> None:
        """Nothing of a private ``ggtt`` may stay."""
        if self._owner is ggtt:
            self.enter(None)

    def lost(self) -> None:
        """The hardware's GGTT is empty: the resident entries are written anew."""
        self._chunks, self._owner = set(), None
        for chunk, entries in self._resident.items():
            self.write(chunk * CHUNK_PAGES, bytes(entries))
        self._host.flush_ggtt()

    def _resident_chunk(self, chunk: int) -> bytes:
        return bytes(self._resident.get(chunk, _EMPTY))


def _chunks_of(page: int, entries: bytes) -> range:
    """Numbers of the chunks that hold ``entries`` from ``page`` on."""
    return range(page // CHUNK_PAGES, (page + len(entries) // 8 - 1) // CHUNK_PAGES + 1)
