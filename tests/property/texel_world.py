"""Surfaces of texels and messages that reach into every corner of them, for both kinds of messages.

Unlike `message_world`'s, nearly all of these do something: the surfaces are small, whole and of
known formats, and coordinates lie on the edges between texels, levels, slices and faces.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random

from tests.unit.mediator.message_bench import BASE, PAGE

DATA_PAGES = 12
"""Before the states; the GPU sees them again and again behind those."""
BORDER_PLACES = (0x40, 0x80)
"""From the dynamic base on."""
TABLE = 0x100
"""The same of the sampler states that headers name."""
D1, D2, D3, CUBE, BUFFER = range(5)
_R32_FLOAT, _RGBA8_UNORM, _R32_UINT, _RGBA32_FLOAT, _R16_FLOAT = 0x0D8, 0x0C7, 0x0D7, 0x000, 0x10E
_FORMATS = (_R32_FLOAT, _R32_FLOAT, _RGBA8_UNORM, _R32_UINT, _RGBA32_FLOAT, _R16_FLOAT)
_TEXEL_BYTES = {_RGBA32_FLOAT: 16, _R16_FLOAT: 2}
_COMPARED = {3, 5, 6, 16, 25}
_WITH_LEVEL = {1, 2, 5, 6}
_SAMPLE_D, _LD, _RESINFO, _LD_LZ = 4, 7, 10, 26
KINDS = (0, 1, 2, 3, _SAMPLE_D, 5, 6, _LD, 8, _RESINFO, 11, 16, 24, 25, _LD_LZ)
"""The sampler's messages."""


@dataclass(frozen=True)
class Shape:
    """A surface as far as coordinates are chosen by it."""

    kind: int
    width: int
    height: int
    depth: int
    levels: int
    array: bool

    @property
    def directions(self) -> int:
        """Coordinates of a sample, without the element of an array."""
        return {D1: 1, D3: 3, CUBE: 3}.get(self.kind, 2)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Of level 0; of cubes the third counts faces."""
        return self.width, self.height, self.depth * (6 if self.kind == CUBE else 1)


def noise(random: Random) -> bytes:
    """Texels that differ, of few values so that some compare as equal."""
    count = DATA_PAGES * PAGE // 4
    return struct.pack(f"<{count}f", *(random.randrange(1, 64) / 64 for _ in range(count)))


def surface(random: Random, kind: int) -> tuple[Shape, bytes]:
    """A surface of a kind, and its RENDER_SURFACE_STATE."""
    code = random.choice(_FORMATS)
    size = _TEXEL_BYTES.get(code, 4)
    width, height, depth = (random.choice(sizes) for sizes in ((1, 4, 5, 8), (1, 3, 4), (1, 2, 3)))
    if kind == D1:
        height = 1
    if kind == CUBE:
        height = width
    tiling = 0 if kind in {D1, BUFFER} else random.choice([0, 0, 2, 3])
    pitch = {0: 16 * size, 2: 512, 3: 128}[tiling] * random.choice([1, 2])
    levels, first_level = random.choice([1, 2, 3]), random.choice([0, 0, 1])
    array = random.random() < 0.6
    dwords = [0] * 16
    dwords[0] = kind << 29 | array << 28 | code << 18 | tiling << 12
    dwords[0] |= random.choice([1, 2]) << 16 | random.choice([1, 2]) << 14
    dwords[1] = random.choice([1, 2, 3]) if kind != D1 else random.choice([16, 24])
    if kind == BUFFER:
        elements = random.choice([1, 100, 130, 300]) - 1
        dwords[2] = elements & 0x7F | elements >> 7 << 16
        dwords[3] = size * random.choice([1, 2]) - 1
        width, height, depth = elements + 1, 1, 1
    else:
        dwords[2] = height - 1 << 16 | width - 1
        dwords[3] = depth - 1 << 21 | pitch - 1
    faces = depth * 6 if kind == CUBE else depth
    dwords[4] = random.choice([0, 0, 1, 2]) << 18 | random.choice([faces, faces, 1]) - 1 << 7
    dwords[5] = first_level << 4 | levels - 1
    if random.random() < 0.3:
        dwords[5] |= random.choice([0, 1, 2]) << 25 | random.choice([0, 1]) << 21
    if kind == D2 and tiling == 3 and random.random() < 0.5:  # Yf, of one level at its origin
        levels, first_level, dwords[5] = 1, 0, 0x40100
    dwords[7] = 4 << 25 | 5 << 22 | 6 << 19 | 7 << 16
    if random.random() < 0.3:
        for shift in (16, 19, 22, 25):
            dwords[7] &= ~(7 << shift)
            dwords[7] |= random.choice([0, 1, 4, 5, 6, 7]) << shift
    dwords[7] |= random.choice([0, 0, 0, 0x80, 0x180])
    start = BASE + random.choice([0, PAGE, 3 * PAGE + 64])
    dwords[8], dwords[9] = start & 0xFFFF_FFFF, start >> 32
    if first_level and kind != BUFFER:
        width, height = max(1, width >> 1), max(1, height >> 1)
        depth = max(1, depth >> 1) if kind == D3 else depth
    return Shape(kind, width, height, depth, levels, array), struct.pack("<16I", *dwords)


def sampler(random: Random) -> bytes:
    """SAMPLER_STATE, one in thirty disabled."""
    words = random.getrandbits(6) << 13 if random.random() < 0.4 else 0
    filters = [random.choice([0, 1, 1, 2]) for _ in range(2)]
    bias = random.choice([0, 0, 0, 0x80, 0x1F00, 0x1F80])
    minimum, maximum = (
        random.choice([0, 0, 0, 0x80, 0x100]),
        random.choice([0, 0x180, 0xE00, 0xE00]),
    )
    return struct.pack(
        "<4I",
        (random.random() < 0.03) << 31
        | random.choice([0, 1, 3, 3]) << 20
        | filters[0] << 17
        | filters[1] << 14
        | bias << 1,
        minimum << 20 | maximum << 8 | random.getrandbits(3) << 1,
        random.choice(BORDER_PLACES),
        random.getrandbits(9) | words | (random.random() < 0.3) << 10,
    )


def _pack(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _edge(random: Random, size: int) -> float:
    """A coordinate in texels: on an edge, in the middle, between, or far."""
    if random.random() < 0.04:
        return random.choice([float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
    at = random.randrange(-size - 1, 2 * size + 2)
    return at + random.choice([0.0, 0.5, 0.25, -1 / 512, 1 / 512, 1 / 256, 0.75, 0.998])


def _direction(random: Random) -> list[float]:
    """Into a cube: faces' middles, edges and corners as well as anything."""
    if random.random() < 0.5:
        return [random.choice([-1.0, 0.0, 0.0, 1.0, 0.5]) for _ in range(3)]
    return [random.uniform(-2, 2) for _ in range(3)]


def _parameters(random: Random, shape: Shape, kind: int) -> list[float]:
    """One pixel's, in the order in which ``kind`` has them."""
    found: list[float] = []
    if kind in _COMPARED:
        found.append(random.randrange(1, 64) / 64)
    if kind in _WITH_LEVEL:
        found.append(random.choice([-1, 0, 0.25, 0.5, 0.49, 0.996, 1, 1.5, 2.25, 7, float("nan")]))
    if shape.kind == CUBE:
        at = _direction(random)
    else:
        whole = random.random() < 0.3  # for what is not normalised
        sizes = shape.sizes[: shape.directions]
        at = [_edge(random, size) / (1 if whole else size) for size in sizes]
    for each in at:
        found.append(each)
        if kind == _SAMPLE_D:
            found += [random.choice([0, 0.1, 0.25, -0.5, 1, 1e30]) for _ in range(2)]
    found.append(random.choice([-1, -0.5, 0, 0.5, 0.51, 1, 1.5, 2, 2.5, 9, float("nan")]))
    return found


def _whole(random: Random, shape: Shape, kind: int) -> list[int]:
    """The same of the messages that take whole numbers."""
    at = [random.choice([0, size // 2, size - 1, size - 1, size, -1]) for size in shape.sizes]
    level = random.choice([0, 0, 1, 1, 2, shape.levels, -1])
    if kind == _RESINFO:
        return [level]
    return [at[0], at[1], level, at[2]] if kind == _LD else at


def sample(random: Random, shape: Shape, kind: int) -> tuple[int, bytes, int, int, bool]:
    """A message of the sampler: (function, payload, registers of the answer, mask, header)."""
    lanes = 16 if random.random() < 0.2 else 8
    pixels: list[bytes] = []
    for _ in range(lanes):
        if kind in {_LD, _LD_LZ, _RESINFO, 11}:
            whole = _whole(random, shape, kind)
            pixels.append(struct.pack(f"<{len(whole)}i", *whole))
        else:
            pixels.append(_pack(_parameters(random, shape, kind)))
    count = len(pixels[0]) // 4
    rows = [b"".join(each[4 * n : 4 * n + 4] for each in pixels) for n in range(count)]
    header = random.random() < 0.4
    words = [0] * 8
    if header:
        words[2] = random.choice([0, 0, 0x700, 0x8, 0xF10, random.getrandbits(12)])
        words[2] |= random.choice([0, 0, 0x3, 0x5, 0x8, 0xF]) << 12 | random.getrandbits(2) << 16
        words[3] = TABLE | random.getrandbits(5)  # states elsewhere; the low bits do not count
    payload = (struct.pack("<8I", *words) if header else b"") + b"".join(rows)
    payload = payload[: 15 * 32]
    if random.random() < 0.1:
        payload = payload[: max(32, len(payload) - 32)]
    half = random.random() < 0.25
    function = (
        half << 30 | (2 if lanes == 16 else 1) << 17 | kind << 12 | random.getrandbits(1) << 8
    )
    response = random.choice([1, 2, 4, 8]) if random.random() < 0.2 else 4 * lanes // 8
    return function, payload, response, random.choice([0xFFFF, 0xFFFF, 0xFF0F]), header


def typed(random: Random, shape: Shape) -> tuple[int, bytes, bytes, int, int, bool]:
    """A typed message: (function, payload, more, registers of the answer, mask, header)."""
    kind = random.choice([5, 5, 6, 13, 13])
    count = random.choice([1, 2, 3, 3, 4, 4])
    rows = []
    for n in range(count):
        size = shape.levels if n == 3 else shape.sizes[n]
        values = [0, 0, size // 2, size - 1, size, 0xFFFF_FFFF]
        if n == 3:
            values = [0, 0, 0, 1, size - 1, size]
        rows.append(struct.pack("<8I", *(random.choice(values) for _ in range(8))))
    header = random.random() < 0.5
    words = [0] * 7 + [random.choice([0xFFFF, 0x0FF0, 0xF00F, 0])]
    off = random.choice([0, 0, 0xE, 0x5, 0xC])
    control = off | random.choice([1, 1, 2, 2, 3, 0]) << 4
    if kind == 6:
        control = random.randrange(16) | random.getrandbits(2) << 4
    more = random.randbytes(32 * random.choice([1, 2, 4])) if kind != 5 else b""
    payload = (struct.pack("<8I", *words) if header else b"") + b"".join(rows)
    if more and random.random() < 0.5:  # what is written may follow in the first part
        payload, more = payload + more, b""
    response = {5: 4, 6: 1}.get(kind, 0)
    mask = random.choice([0xFF, 0xFF, 0xFFFF, 0x35])
    return kind << 14 | control << 8, payload, more, response, mask, header


def media(random: Random, shape: Shape) -> tuple[int, bytes, bytes, int, int, bool]:
    """A block of bytes, around the surface's edges. As `typed`."""
    width = random.choice([1, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64])
    height = random.choice([1, 2, 7, 8, 9])
    x = random.choice([0, 1, 4 * shape.width - 3, 4 * shape.width, -1, -9, -(1 << 31)])
    y = random.choice([0, 1, shape.height - 1, shape.height, -1, -9])
    words = [x & 0xFFFF_FFFF, y & 0xFFFF_FFFF, height - 1 << 16 | width - 1, 0, 0, 0, 0, 0]
    write = random.random() < 0.5
    more = random.randbytes(512) if write else b""
    payload = struct.pack("<8I", *words)
    function = (10 if write else 4) << 14
    # A register of the answer for each 32 bytes, as many as a message can ask for.
    return function, payload, more[:480], 0 if write else 16, 0xFF, True
