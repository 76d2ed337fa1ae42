"""Which pixels a rectangle covers: their middles, on a grid, within bounds."""

from __future__ import annotations

import math
import random
import struct

import pytest

from mediator.softgpu.eu.dispatch.pixels import Area
from mediator.softgpu.render.draw_state import Bounds
from mediator.softgpu.render.not_built import NotBuilt
from mediator.softgpu.render.rectangle import MOST_PIXELS, covered
from mediator.softgpu.render.vertices import Vertex

EVERYWHERE = Bounds(0, 0, 0xFFFF, 0xFFFF)
Point = tuple[float, float]


def corner(x: float, y: float, w: float = 1.0) -> Vertex:
    a, b, c, d = struct.unpack("<4I", struct.pack("<4f", x, y, 7.0, w))
    return (9, 9, 9, 9), (a, b, c, d), (8, 8, 8, 8)


def corners(left: float, top: float, right: float, bottom: float) -> list[Vertex]:
    return [corner(right, bottom), corner(left, bottom), corner(left, top)]


def span(first: float, last: float, least: int, greatest: int) -> tuple[int, int] | None:
    """Pixels of one direction by their middles: a corner is at the nearest 1/256."""
    low, high = sorted(math.floor(each * 256 + 0.5) for each in (first, last))
    greatest = min(greatest, MOST_PIXELS - 1)
    found = [n for n in range(least, greatest + 1) if low <= 256 * n + 128 < high]
    return (found[0], found[-1] + 1) if found else None


@pytest.mark.parametrize("seed", range(40))
def test_pixels_whose_middles_are_inside(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        x0, y0, x1, y1 = (
            chance.choice((0.0, 0.5, 1.0, 3.5)) + chance.randint(-640, 640 * 4) / 512
            for _ in range(4)
        )
        low_x, low_y = chance.randint(0, 4), chance.randint(0, 4)
        bounds = Bounds(low_x, low_y, low_x + chance.randint(0, 9), low_y + chance.randint(0, 9))
        across = span(x0, x1, bounds.left, bounds.right)
        down = span(y0, y1, bounds.top, bounds.bottom)
        expected = Area(across[0], down[0], across[1], down[1]) if across and down else None
        assert covered(corners(x0, y0, x1, y1), bounds) == expected


@pytest.mark.parametrize("swapped", [False, True])
def test_far_corners(swapped: bool) -> None:
    """Up to the guard band; a target ends before."""
    far = 32768.0
    given = corners(far, far, -far, -far) if swapped else corners(-far, -far, far, far)
    assert covered(given, EVERYWHERE) == Area(0, 0, MOST_PIXELS, MOST_PIXELS)
    assert covered(given, Bounds(3, 4, 3, 4)) == Area(3, 4, 4, 5)
    assert covered(given, Bounds(3, 4, 2, 4)) is None
    assert covered(given, Bounds(3, 4, 3, 3)) is None
    last = MOST_PIXELS - 1
    assert covered(corners(last, last, far, far), EVERYWHERE) == Area(
        last, last, MOST_PIXELS, MOST_PIXELS
    )
    assert covered(corners(last + 1, 0, far, far), EVERYWHERE) is None
    assert covered(corners(0, last + 1, far, far), EVERYWHERE) is None


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("axis", range(2))
@pytest.mark.parametrize("value", [32768.01, -32768.01, math.inf, -math.inf, math.nan])
def test_corners_beyond_the_guard_band(which: int, axis: int, value: float) -> None:
    points = [[8.0, 4.0], [0.0, 4.0], [0.0, 0.0]]
    points[which][axis] = value
    with pytest.raises(NotBuilt, match="a corner at"):
        covered([corner(x, y) for x, y in points], EVERYWHERE)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("w", [0.0, 2.0, -1.0, math.nan])
def test_corners_that_are_not_flat(which: int, w: float) -> None:
    found = corners(0, 0, 8, 4)
    points = [(8, 4), (0, 4), (0, 0)]
    found[which] = corner(*points[which], w)
    with pytest.raises(NotBuilt, match="a corner at"):
        covered(found, EVERYWHERE)


@pytest.mark.parametrize(
    "points", [((8, 4), (0, 5), (0, 0)), ((8, 4), (0, 4), (1, 0)), ((8, 4), (0, 3), (1, 0))]
)
def test_edges_that_are_not_along_the_axes(points: tuple[Point, Point, Point]) -> None:
    with pytest.raises(NotBuilt, match="edges"):
        covered([corner(x, y) for x, y in points], EVERYWHERE)


def test_corners_that_differ_by_less_than_the_grid_are_one() -> None:
    points = [(8.001, 4.0), (0.0, 4.001), (0.001, 0.0)]
    assert covered([corner(x, y) for x, y in points], EVERYWHERE) == Area(0, 0, 8, 4)
