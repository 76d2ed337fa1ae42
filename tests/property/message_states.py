"""Surfaces and samplers that are all edges, for the properties of the EU's messages."""

from __future__ import annotations

import struct
from random import Random

from mediator.gen9.eu.formats import FORMATS
from mediator.softgpu.eu.bases import Bases
from tests.property.page_world import PAGE, Pages

ENTRIES = 8
"""Of the binding table that are surfaces as drivers make them."""
SAMPLERS = 16
_STATES = 0x400
"""Where surface states are, from the surface base on."""


def drawn_states(pages: Pages, bases: Bases, random: Random) -> list[tuple[int, bytes]]:
    """A binding table, the surface states that it names, and sampler states; by address."""
    found = []
    for index in range(ENTRIES):
        offset = _STATES + 64 * index
        found.append((bases.binding_table + 4 * index, struct.pack("<I", offset)))
        found.append((bases.surface + offset, _state(pages, random)))
    samplers = b"".join(_sampler(random) for _ in range(SAMPLERS))
    return [*found, (bases.sampler_table, samplers), (bases.dynamic + 0x300, samplers)]


def _sampler(random: Random) -> bytes:
    """SAMPLER_STATE; one in ten is noise."""
    if random.random() < 0.1:
        return random.randbytes(16)
    filters = random.choice([0, 0, 1, 1, 2]) << 17 | random.choice([0, 1]) << 14
    modes = random.choice([0o000, 0o222, 0o444, 0o111, 0o123, 0o567, random.getrandbits(9)])
    return struct.pack(
        "<4I",
        random.choice([0, 1, 3]) << 20 | filters | random.choice([0, 0x100, 0x1F00]) << 1,
        random.choice([0, 0x100]) << 20
        | random.choice([0, 0x280, 0xE00]) << 8
        | random.getrandbits(3) << 1,
        random.choice([0, 0x40, 0x1000]),
        modes | random.choice([0, 0, 1]) << 10 | random.choice([0, 0x7E000]),
    )


def _texel_state(pages: Pages, random: Random) -> bytes:
    """A surface of texels, small, of any format, tiling and shape."""
    formats = [0x0C7, 0x0CA, 0x0D8, 0x0D7, 0x000, 0x002, 0x085, 0x140, 0x10E, 0x0C8]
    code = random.choice([*formats, random.choice(sorted(FORMATS)), random.getrandbits(10)])
    kind = random.choice([0, 1, 1, 1, 1, 2, 3, 4])
    tiling, size = random.choice([0, 0, 2, 3, 3]), FORMATS[code].size if code in FORMATS else 4
    width, height, depth = (random.choice([1, 2, 3, 5, 16, 33]) for _ in range(3))
    pitch = {0: 64 * size, 2: 512, 3: 128}[tiling] * random.choice([1, 1, 2])
    start = pages.base + random.choice([0, 1, 3, 9]) * PAGE + random.choice([0, 0, 0, 64, 2])
    dwords = [0] * 16
    dwords[0] = kind << 29 | random.getrandbits(1) << 28 | code << 18 | tiling << 12
    dwords[0] |= random.choice([1, 2, 3]) << 16 | random.choice([1, 2, 3]) << 14
    dwords[1] = random.choice([0, 1, 4, 16])
    dwords[2] = height - 1 << 16 | width - 1
    dwords[3] = depth - 1 << 21 | (pitch if kind != 4 else size) - 1
    dwords[4] = random.choice([0, 0, 1]) << 18 | random.choice([depth - 1, 0]) << 7
    dwords[4] |= random.choice([0] * 19 + [1 << 3])
    dwords[5] = random.choice([0, 0, 1]) << 4 | random.choice([0, 0, 1, 3, 5])
    if tiling == 3 and random.random() < 0.4:  # Yf, mostly as it is known
        dwords[5] = random.choice([0x40100] * 9 + [0x80100, 0x40000, 0x40101, 0x40110])
    if random.random() < 0.2:
        dwords[5] |= random.getrandbits(2) << 25 | random.getrandbits(2) << 21
    dwords[7] = 4 << 25 | 5 << 22 | 6 << 19 | 7 << 16
    if random.random() < 0.3:
        dwords[7] = random.getrandbits(12) << 16 | random.choice([0, 0x180])
    dwords[8], dwords[9] = start & 0xFFFF_FFFF, start >> 32 & 0xFFFF_FFFF
    return struct.pack("<16I", *dwords)


def _state(pages: Pages, random: Random) -> bytes:
    """A buffer, mostly; one state in eight is noise."""
    if random.random() < 0.12:
        return random.randbytes(64)
    if random.random() < 0.5:
        return _texel_state(pages, random)
    last = random.choice([0, 15, 63, 100, 4095, 2 * PAGE, 15 * PAGE, (1 << 32) - 1])
    pitch = random.choice([0, 0, 0, 3, 15])
    start = pages.base + random.choice([0, 4, 13, PAGE - 2, 3 * PAGE + 64, 9 * PAGE])
    kind = random.choice([4, 4, 4, 4, 4, 5, 7, 1])
    dwords = [0] * 16
    dwords[0] = kind << 29 | 0x1FF << 18
    dwords[2] = last & 0x7F | (last >> 7 & 0x3FFF) << 16
    dwords[3] = last >> 21 << 21 | pitch
    dwords[8], dwords[9] = start & 0xFFFF_FFFF, start >> 32 & 0xFFFF_FFFF
    return struct.pack("<16I", *dwords)
