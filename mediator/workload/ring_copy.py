"""The copy of one ring that the hardware fetches from, and where in it the hardware may be.

What must always hold: wherever the hardware may be in a loaded ring, now or until it has taken the
tail that it was last given, it meets audited commands or nothing. Hardware takes a new tail when
it likes, so until then it may run up to any tail that it was given before; it never turns round,
and it passes over nothing. Three rules keep that:

* `bound` is behind everything that the hardware may still fetch, `tail` ahead of it. From the one
  to the other there are whole commands, audited as one sequence from `bound` on and never laid
  over while the hardware has the ring.
* Commands are laid behind `tail` only, and only as far as `bound`. Then the tail moves forward.
* A tail that is not ahead of the last one, or a text that changes before it, makes another copy,
  for which the context leaves the hardware first.

Offsets are bytes from the ring's start, multiples of 8 below its size.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class RingCopy:
    """Guest's text, audited text, and what of it the hardware may fetch."""

    start: int = 0
    """GGTT address of the guest's own ring."""
    size: int = 0
    """Bytes: a multiple of the page size."""
    bound: int = 0
    """The hardware is here or ahead."""
    tail: int = 0
    """How far the ring is copied and audited: the hardware goes no further."""
    raw: bytearray = field(default_factory=bytearray)
    """The guest's ring as it was copied, before the audit patched it."""
    audited: bytearray = field(default_factory=bytearray)
    """The same after the audit; only from here it goes where the hardware can see it."""

    def belongs_to(self, start: int, size: int) -> None:
        """It is a copy of the ring at the guest's ``start``, of ``size`` bytes."""
        self.start = start
        if self.size != size:
            self.size = size
            self.raw = bytearray(size)
            self.audited = bytearray(size)

    def begin(self, head: int) -> None:
        """The hardware does not have it, and is going to start at ``head``. Nothing is in it."""
        self.bound = self.tail = head

    def distance(self, head: int, tail: int) -> int:
        """Bytes from ``head`` forward to ``tail``, round the end if need be."""
        return (tail - head) % self.size

    def note_head(self, head: int) -> None:
        """The hardware was seen at ``head``; what is not between bound and tail says nothing.

        An image that may be older than what runs is no evidence: its head may be of another lap.
        """
        if self.distance(self.bound, head) <= self.distance(self.bound, self.tail):
            self.bound = head

    def goes_on(self, tail: int) -> bool:
        """Whether ``tail`` is the last one or ahead of it, without a lap of the hardware."""
        return self.distance(self.bound, tail) >= self.distance(self.bound, self.tail)

    def same_text(self, data: bytes) -> bool:
        """Whether ``data`` is what was copied from `bound` to `tail`."""
        return _span(self.raw, self.bound, self.tail) == data

    def pieces(self, head: int, length: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """``length`` bytes from ``head`` on: first and last byte before the end, and behind it."""
        first = min(length, self.size - head)
        return (head, head + first), (0, length - first)

    def copy(self, head: int, data: bytes) -> None:
        """Put ``data`` from ``head`` on into `audited`, for the audit to look at and patch."""
        _put(self.audited, self.pieces(head, len(data)), data)

    def accept(self, head: int, tail: int, data: bytes) -> None:
        """The audit has taken ``data``, which goes from ``head``, the last tail, to ``tail``."""
        _put(self.raw, self.pieces(head, len(data)), data)
        self.tail = tail


def _span(ring: bytearray, head: int, tail: int) -> bytes:
    if head <= tail:
        return bytes(ring[head:tail])
    return bytes(ring[head:] + ring[:tail])


def _put(ring: bytearray, pieces: tuple[tuple[int, int], tuple[int, int]], data: bytes) -> None:
    (first, end), (_, rest) = pieces
    ring[first:end] = data[: end - first]
    ring[:rest] = data[end - first :]
