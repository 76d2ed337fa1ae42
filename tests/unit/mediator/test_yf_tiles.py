"""Surfaces in Yf tiles: in Python and through the extension."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from mediator.softgpu.eu.message_port import Messages
from tests.unit.mediator.message_bench import BASE, KINDS, World, call, world

SAMPLER, LD_LZ = 2, 26
TILE = 4096
WORD = 1 << 18 | 1 << 8
"""Dword 5 of a surface state: 4 KiB tiles, a mip tail that begins behind the only level."""
FORMATS = {1: 0x143, 2: 0x10D, 4: 0x0D7, 8: 0x087, 16: 0x002}
"""Unsigned integers by a texel's bytes."""
ORDERS = {
    1: "xyxyyyyyxxxx",
    2: "xyxyxyyyxxxx",
    4: "xyxyxyyyxxxx",
    8: "xyxyxyxyxxxx",
    16: "xyxyxyxyxxxx",
}
"""Bits of an offset in a tile from the highest on: of a byte's column, or of its row. That of four
bytes is as IGT's intel_bufops lays them out."""
EDGES = {1: (64, 64), 2: (64, 32), 4: (32, 32), 8: (32, 16), 16: (16, 16)}
"""Width and height of a tile in texels."""


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[World, Messages]]:
    with world() as made:
        yield made, request.param(made)


def state(
    size: int,
    word: int = WORD,
    *,
    width: int = 100,
    height: int = 100,
    tiling: int = 3,
    kind: int = 1,
    pitch: int = 0,
) -> bytes:
    dwords = [0] * 16
    dwords[0] = kind << 29 | FORMATS[size] << 18 | 1 << 16 | 1 << 14 | tiling << 12
    dwords[2] = height - 1 << 16 | width - 1
    dwords[3] = (pitch or 2 * size * EDGES[size][0]) - 1
    dwords[5] = word
    dwords[7] = 4 << 25 | 5 << 22 | 6 << 19 | 7 << 16
    dwords[8], dwords[9] = BASE & 0xFFFF_FFFF, BASE >> 32
    return struct.pack("<16I", *dwords)


def loaded(messages: Messages, places: list[tuple[int, int]]) -> list[int]:
    """The first channel of eight texels."""
    us, vs = (struct.pack("<8I", *(place[n] for place in places)) for n in (0, 1))
    sent = call(SAMPLER, 1 << 17 | LD_LZ << 12, us + vs, 1)
    assert messages.send(sent) is None
    found: list[int] = sent.response.view("<u4").tolist()
    return found


def offset(size: int, x: int, y: int) -> int:
    """Of a texel, in a surface of two tiles a row."""
    width, height = EDGES[size]
    column, row = x % width * size, y % height
    at = (y // height * 2 + x // width) * TILE
    for bit, what in enumerate(reversed(ORDERS[size])):
        if what == "x":
            at |= (column & 1) << bit
            column >>= 1
        else:
            at |= (row & 1) << bit
            row >>= 1
    assert not column
    assert not row
    return at


@pytest.mark.parametrize("size", FORMATS)
def test_where_texels_lie(pair: tuple[World, Messages], size: int) -> None:
    made, messages = pair
    made.bind(0, state(size))
    width, height = EDGES[size]
    places = [(1, 0), (0, 1), (width - 1, height - 1), (width, 0), (5, 7), (width + 3, height + 6)]
    places += [(0, height), (width // 2, height // 2)]
    for number, (x, y) in enumerate(places):
        made.put(BASE + offset(size, x, y), bytes([number + 1]))
    assert loaded(messages, places) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("size", FORMATS)
def test_a_tile_has_each_texel_once(size: int) -> None:
    width, height = EDGES[size]
    every = {offset(size, x, y) for x in range(width) for y in range(height)}
    assert every == set(range(0, TILE, size))


@pytest.mark.parametrize(
    "other",
    [
        state(4, 2 << 18 | 1 << 8),
        state(4, 3 << 18 | 1 << 8),
        state(4, 1 << 18),
        state(4, WORD | 1),
        state(4, WORD | 1 << 4),
        state(4, WORD | 1 << 25),
        state(4, WORD | 1 << 21),
        state(4, tiling=2),
        state(4, tiling=0),
        state(4, kind=2),
        state(4, kind=3),
    ],
)
def test_others_read_nothing(pair: tuple[World, Messages], other: bytes) -> None:
    """Ys, levels, a tail, an origin of their own, other types: where they lie is not known."""
    made, messages = pair
    made.put(BASE, b"\x55" * TILE)
    made.bind(0, other)
    assert loaded(messages, [(n, n) for n in range(8)]) == [0] * 8
