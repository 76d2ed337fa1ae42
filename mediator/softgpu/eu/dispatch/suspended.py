"""Runs whose context has left its engine in the middle of a thread group.

Hardware saves such threads into memory that the driver provides, if it does; i915 provides none
unless a program asks for it. Here they are kept in this process, each under a token that stands in
the context's image. What is kept is bounded: by the part of the GGTT in which the image lies, so
that whoever has images elsewhere loses nothing. The oldest go first.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.run import Run

MOST_BYTES: Final = 16 << 20
"""For all images of one part of the GGTT."""
MOST_RUNS: Final = 32
"""The same: there is more to each than its bytes."""
PART_SHIFT: Final = 26
"""A part is 64 MiB of GGTT."""
TOKEN_BYTES: Final = 16


class Suspended:
    """What is kept, by token."""

    def __init__(self) -> None:
        self._parts: dict[int, OrderedDict[bytes, Run]] = {}
        self._part_of: dict[bytes, int] = {}
        self.lost = 0
        """Runs that were dropped to make room."""

    def __len__(self) -> int:
        return len(self._part_of)

    def put(self, run: Run, image: int) -> bytes:
        """Keep ``run`` of the context whose image is at GGTT address ``image``; its token."""
        number = image >> PART_SHIFT
        part = self._parts.setdefault(number, OrderedDict())
        token = os.urandom(TOKEN_BYTES)
        part[token] = run
        self._part_of[token] = number
        while len(part) > MOST_RUNS or (
            len(part) > 1 and sum(each.kept_bytes for each in part.values()) > MOST_BYTES
        ):
            oldest, _ = part.popitem(last=False)
            del self._part_of[oldest]
            self.lost += 1
        return token

    def take(self, token: bytes) -> Run | None:
        """The run of ``token``, which is not kept any longer; None if it is not there."""
        number = self._part_of.pop(token, None)
        if number is None:
            return None
        part = self._parts[number]
        run = part.pop(token)
        if not part:
            del self._parts[number]
        return run
