"""A command that starts threads and was interrupted: where it stands, and its form in an image.

The image has it as a GPGPU_WALKER of a length that no batch gives it, whose restore says: what
stands at this place goes on with this group. Groups that had begun are not in the image. They are
kept in this process under a token, drawn at random for each save, so that an image names nothing
but what it was saved with.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.gen9.pipeline_state import WALKER, WALKER_PAGES
from mediator.gen9.pte import PAGE_SIZE

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.job import GroupId
    from mediator.softgpu.eu.dispatch.run import Run

Position = tuple[int, int, int]
"""Ring offset, and the addresses of both user batches; 0 for a batch that is not there."""

_LAYOUT: Final = struct.Struct("<II3II2Q16s")
_DWORDS: Final = _LAYOUT.size // 4
_HEADER: Final = WALKER << 16 | (_DWORDS - 2)
_MORE: Final = 1 << 0
"""Groups are left that have not begun."""
NO_TOKEN: Final = bytes(16)
PAGES_BYTES: Final = WALKER_PAGES * PAGE_SIZE
NOTHING: Final = bytes(PAGES_BYTES)
"""What an image has that was not interrupted there."""


@dataclass(slots=True)
class Interrupted:
    """One command that goes on later."""

    position: Position
    following: GroupId | None
    """The first group that has not begun."""
    token: bytes = NO_TOKEN
    """Names the groups that have begun, where an image has been saved since."""
    run: Run | None = None
    """The same, while the context stays on its engine."""


def pack(interrupted: Interrupted) -> bytes:
    """The pages of an image that say so."""
    more = interrupted.following is not None
    group = interrupted.following or (0, 0, 0)
    words = _LAYOUT.pack(_HEADER, more, *group, *interrupted.position, interrupted.token)
    return words.ljust(PAGES_BYTES, b"\0")


def parse(pages: bytes) -> Interrupted | None:
    """What `pack` has packed into ``pages``; None for all others."""
    found = of_command(struct.unpack_from(f"<{_DWORDS}I", pages))
    return found if found is not None and pack(found) == pages else None


def of_command(command: Sequence[int]) -> Interrupted | None:
    """What the dwords of a GPGPU_WALKER in an image bring back."""
    if command[0] != _HEADER or len(command) != _DWORDS:
        return None
    fields = _LAYOUT.unpack(struct.pack(f"<{_DWORDS}I", *command))
    _, flags, x, y, z, ring, first, second, token = fields
    group = (x, y, z) if flags & _MORE else None
    return Interrupted((ring, first, second), group, token)
