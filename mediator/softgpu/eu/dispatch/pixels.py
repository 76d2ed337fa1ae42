"""The threads of a pixel shader: which pixels each has, and its registers.

Each thread is a group of its own. It has a block of pixels; blocks lie side by side from the
target's origin on, so that the place of a group in its grid is that of its block, and z is the
layer. Source: PRM SKL vol 7 "PS Thread Payload for Normal Dispatch". The twin in C is in
`native/group.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.gen9 import render

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.job import GroupId

GRF_DWORDS: Final = 8
SUBSPAN: Final = 4
"""Pixels: two by two."""
HALF: Final = 16
"""Channels of which r1, and r2, tell."""
_HALF_SUBSPANS: Final = HALF // SUBSPAN
_COORDINATE: Final = 16


@dataclass(frozen=True, slots=True)
class Area:
    """Pixels from ``left``, ``top`` up to ``right``, ``bottom``, which are not among them."""

    left: int
    top: int
    right: int
    bottom: int

    def has(self, x: int, y: int) -> bool:
        """Whether the pixel is one of them."""
        return self.left <= x < self.right and self.top <= y < self.bottom


@dataclass(frozen=True, slots=True)
class Pixels:
    """What the threads of a draw have beside what all threads have."""

    area: Area
    whole_subspans: bool
    """Where one pixel of four is covered, the channels of all four run."""
    writes: int
    """Channels of the target that are written, red is bit 0."""
    clears: bool = False
    """A fast clear: no program runs, all pixels get the clear colour."""


@dataclass(frozen=True, slots=True)
class Block:
    """One thread's pixels: ``covered`` has a bit for each channel."""

    x: int
    y: int
    layer: int
    covered: int


def block_size(simd: int) -> tuple[int, int]:
    """Width and height in pixels."""
    return (8 if simd > HALF else 4), (2 if simd < HALF else 4)


def subspans(x: int, y: int, simd: int) -> Iterator[tuple[int, int]]:
    """The upper left pixel of each subspan of the block at a pixel, in the order of channels."""
    for number in range(simd // SUBSPAN):
        half, within = divmod(number, _HALF_SUBSPANS)
        yield x + 4 * half + 2 * (within & 1), y + 2 * (within >> 1)


def block(pixels: Pixels, simd: int, group: GroupId) -> Block:
    """The pixels of the thread that is ``group``."""
    width, height = block_size(simd)
    x, y = group[0] * width, group[1] * height
    covered = 0
    for number, (left, top) in enumerate(subspans(x, y, simd)):
        for pixel in range(SUBSPAN):
            if pixels.area.has(left + (pixel & 1), top + (pixel >> 1)):
                covered |= 1 << SUBSPAN * number + pixel
    return Block(x, y, group[2], covered)


def channels(pixels: Pixels, covered: int) -> int:
    """The channels that run where ``covered`` are covered."""
    if not pixels.whole_subspans:
        return covered
    some = covered | covered >> 1
    some = (some | some >> 2) & 0x1111_1111
    return some * 0xF


def words(place: Block, simd: int) -> list[int]:
    """The dwords of r1, and for more than 16 channels of r2."""
    found = [0] * GRF_DWORDS * (2 if simd > HALF else 1)
    for number, (x, y) in enumerate(subspans(place.x, place.y, simd)):
        half, within = divmod(number, _HALF_SUBSPANS)
        found[half * GRF_DWORDS + render.SUBSPANS + within] = x | y << _COORDINATE
    for half in range(len(found) // GRF_DWORDS):
        mask = place.covered >> HALF * half & 0xFFFF
        found[half * GRF_DWORDS + render.PIXEL_MASK] = mask | mask << HALF
    return found


def first_dword(layer: int) -> int:
    """r0.0: the topology, and the layer."""
    return render.R0_LAYER.put(layer, render.R0_TOPOLOGY.put(render.RECTLIST))
