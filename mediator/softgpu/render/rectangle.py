"""A rectangle of a list: which pixels it covers.

Source: PRM SKL vol 7 "Rectangle List", "Rasterization Rules": three corners say all; a pixel is
covered where its middle is inside, the upper and left edges belong to it.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final

from mediator.gen9.vertices import POSITION_SLOT
from mediator.softgpu.eu.dispatch.pixels import Area
from mediator.softgpu.render.not_built import NotBuilt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.render.draw_state import Bounds
    from mediator.softgpu.render.vertices import Vertex

_GRID: Final = 256
"""Corners are snapped to so many places a pixel."""
_GUARD: Final = 1 << 15
"""The rasteriser takes corners within so many pixels of the origin."""
MOST_PIXELS: Final = 1 << 14
"""Of a render target in each direction: what lies beyond is none of it."""


def covered(corners: Sequence[Vertex], bounds: Bounds) -> Area | None:
    """The pixels of the rectangle with three corners; None if there is none. Raises NotBuilt."""
    points = [_point(corner) for corner in corners]
    (right, bottom), (left, beside), (above, top) = points
    if beside != bottom or above != left:
        raise NotBuilt("a rectangle whose edges are not along the axes")
    left, right = sorted((left, right))
    top, bottom = sorted((top, bottom))
    area = Area(
        left=max(_first(left), bounds.left),
        top=max(_first(top), bounds.top),
        right=min(_first(right), bounds.right + 1, MOST_PIXELS),
        bottom=min(_first(bottom), bounds.bottom + 1, MOST_PIXELS),
    )
    return area if area.left < area.right and area.top < area.bottom else None


def _point(vertex: Vertex) -> tuple[int, int]:
    """x and y on the grid."""
    x, y, _, w = struct.unpack("<4f", struct.pack("<4I", *vertex[POSITION_SLOT]))
    if w != 1 or not all(-_GUARD <= each <= _GUARD for each in (x, y)):
        raise NotBuilt(f"a corner at {x}, {y}, {w}")
    return math.floor(x * _GRID + 0.5), math.floor(y * _GRID + 0.5)


def _first(edge: int) -> int:
    """The first pixel whose middle is at or behind ``edge``, not before the origin."""
    return max(0, -(-(edge - _GRID // 2) // _GRID))
