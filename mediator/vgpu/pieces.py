"""A guest's long accesses are done in pieces, between which others may have the vGPU's lock.

QEMU's accesses have 8 bytes at most, so to a guest it is all the same; a client may send a MiB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

PIECE = 256
"""Bytes of one access that are done with the lock held: 64 registers, or 32 GGTT entries."""

PAUSE_S = 300e-6
"""Between two pieces: as long as one may take, so that others have the interpreter half of the time
at least."""


def pieces(offset: int, count: int) -> Iterable[tuple[int, int]]:
    """Offset and bytes of each piece of an access: at least one, cut at multiples of `PIECE`."""
    if count <= PIECE - offset % PIECE:  # nearly all
        return ((offset, count),)
    return _cut(offset, count)


def _cut(offset: int, count: int) -> Iterator[tuple[int, int]]:
    end = offset + count
    while True:
        size = min(end - offset, PIECE - offset % PIECE)
        yield offset, size
        offset += size
        if offset >= end:
            return
