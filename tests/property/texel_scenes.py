"""Scenes of the sampler, of typed messages and of render targets in which most things fit.

Surfaces are small, of formats whose noise is no noise as colours, with levels, slices and edges
that coordinates come near to: a message that goes to one mostly finds a texel, or just none.
"""

from __future__ import annotations

import struct
from random import Random

from mediator.gen9.eu.formats import FORMATS
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.messages.message import ThreadPixels
from tests.property.message_states import ENTRIES, SAMPLERS
from tests.property.message_world import GRF, Draw, Scene, Sent
from tests.property.page_world import PAGE, RAM, SPACE_PAGES, TOP, Pages

WHOLE = Pages(tuple(RAM + (n * 5 % 16) * PAGE | 3 for n in range(SPACE_PAGES)), "ppgtt", TOP)
"""All pages are there, and no two follow each other in memory."""
_KINDS = (0, 1, 2, 7, 24)
_COMPARED = (3, 5, 6, 16, 25)
_TYPES = (*_KINDS, *_KINDS, *_COMPARED, 4, 4, 4, 7, 7, 8, 10, 11, 26)
"""Of sampler messages."""
_PARAMETERS = 10
_COLOURS = (0x0C7, 0x0C7, 0x140, 0x080, 0x0C8, 0x0D8, 0x0CA, 0x10E)
_LEAST, _NORMAL = struct.unpack("<2f", struct.pack("<2I", 1, 0x0080_0000))
_STEPS = (0.0, 0.0, 0.0, 1 / 512, -1 / 512, 1 / 1024, 0.3)


def _scene(random: Random, messages: list[Sent], state: list[bytes], pixels: ThreadPixels) -> Scene:
    base = WHOLE.base
    bases = Bases(
        surface=base,
        dynamic=base + 2 * PAGE,
        general=base,
        general_size=SPACE_PAGES * PAGE,
        bindless=base + 0x400,
        bindless_size=64 * ENTRIES,
        binding_table=base,
        sampler_table=base + 0x200,
    )
    states = []
    for index, each in enumerate(state):
        states.append((base + 4 * index, struct.pack("<I", 0x400 + 64 * index)))
        states.append((base + 0x400 + 64 * index, each))
    samplers = b"".join(_sampler(random) for _ in range(SAMPLERS))
    states += [(bases.sampler_table, samplers), (bases.dynamic + 0x300, samplers[::-1])]
    return Scene(bases, 4096, states, messages, pixels)


def sampler_scene(random: Random, count: int) -> Scene:
    """Messages of the sampler."""
    surfaces = [_surface(random) for _ in range(ENTRIES)]
    return _scene(
        random, [_sample(random) for _ in range(count)], surfaces, ThreadPixels(0, 0, 0, 0, 0)
    )


def far_scene(random: Random, count: int) -> Scene:
    """Loads, sizes and typed accesses, of surfaces each with a field as large as it can be.

    Most texels lie where there is no page: the fault says where.
    """
    surfaces = [_stretched(random) for _ in range(ENTRIES)]
    messages = []
    for _ in range(count):
        kind = random.choice([7, 7, 10, 26])
        if random.random() < 0.5:
            header = random.random() < 0.3
            words = b"".join(_far(random) for _ in range(8 * random.choice([2, 3, 4])))
            function = 5 << 14 | 1 << 12 | header << 19
            made = _made(random, 12, function, (b"\xff" * GRF if header else b"") + words, 4)
        else:
            words = b"".join(_far(random) for _ in range(4 * 8))
            made = _made(random, 2, 1 << 17 | kind << 12, words, 4)
        made.mask = 1 << random.randrange(8) if random.random() < 0.8 else 0xFF
        messages.append(made)
    return _scene(random, messages, surfaces, ThreadPixels(0, 0, 0, 0, 0))


def typed_scene(random: Random, count: int) -> Scene:
    """Typed reads, writes and atomics, and media blocks."""
    surfaces = [_surface(random) for _ in range(ENTRIES)]
    return _scene(
        random, [_typed(random) for _ in range(count)], surfaces, ThreadPixels(0, 0, 0, 0, 0)
    )


def target_scene(random: Random, count: int) -> Scene:
    """Writes to render targets."""
    surfaces = [_surface(random, kinds=(1, 1, 1, 2, 0, 3)) for _ in range(ENTRIES)]
    pixels = ThreadPixels(
        mask=random.choice([(1 << 32) - 1, random.getrandbits(32), 1 << 31]),
        x=random.choice([0, 0, 4, 8]),
        y=random.choice([0, 0, 4]),
        layer=random.choice([0, 0, 1, 2, 3]),
        writes=random.choice([15, 15, random.getrandbits(4)]),
    )
    draw = Draw(random, WHOLE.base)
    messages = [
        _target(random) if random.random() < 0.8 else draw.target_write() for _ in range(count)
    ]
    return _scene(random, messages, surfaces, pixels)


def _sampler(random: Random) -> bytes:
    """SAMPLER_STATE; borders lie at multiples of 64 bytes."""
    same = random.randrange(8)
    modes = [same if random.random() < 0.5 else random.randrange(8) for _ in range(3)]
    return struct.pack(
        "<4I",
        (random.random() < 0.05) << 31
        | random.choice([0, 1, 3, 3]) << 20
        | random.choice([0, 1, 1, 2]) << 17
        | random.choice([0, 1, 1]) << 14
        | random.choice([0, 0, 0x80, 0x181, 0x1F80, 0x1E01]) << 1,
        random.choice([0, 0, 0, 0x80, 0x140]) << 20
        | random.choice([0xE00, 0xE00, 0x300, 0x81, 0]) << 8
        | random.randrange(8) << 1,
        random.choice([0, 0x40, 0x1000, 0x23F, 0xFF00_0080]),
        modes[0] << 6
        | modes[1] << 3
        | modes[2]
        | (random.random() < 0.25) << 10
        | random.choice([0, 0, random.getrandbits(6) << 13]),
    )


def _surface(random: Random, kinds: tuple[int, ...] = (0, 1, 1, 1, 2, 2, 3, 4)) -> bytes:
    """RENDER_SURFACE_STATE: up to 13 texels a side, slices that do not lie in each other."""
    code = random.choice([*_COLOURS, *_COLOURS, random.choice(sorted(FORMATS))])
    kind, size = random.choice(kinds), FORMATS[code].size
    tiling = random.choice([0, 0, 0, 2, 3])
    width, height = (random.choice([1, 2, 3, 4, 5, 8, 13]) for _ in range(2))
    depth = random.choice([1, 2, 3, 5])
    if kind == 3:
        height, depth = width, random.choice([1, 1, 2])
    pitch = {0: 24 * size, 2: 512, 3: 256}[tiling] if kind != 4 else size + random.choice([0, 4])
    start = WHOLE.base + random.choice([1, 3, 9]) * PAGE + random.choice([0, 0, 64])
    levels = random.choice([1, 1, 2, 3, 4])
    dwords = [0] * 16
    dwords[0] = kind << 29 | random.getrandbits(1) << 28 | code << 18 | tiling << 12
    dwords[0] |= random.choice([1, 2, 3]) << 16 | random.choice([1, 2, 3]) << 14
    dwords[1] = random.choice([4, 6, 8])
    dwords[2] = height - 1 << 16 | width - 1
    dwords[3] = depth - 1 << 21 | pitch - 1
    dwords[4] = random.choice([0, 0, 1]) << 18 | random.choice([depth - 1, 0, 1]) << 7
    dwords[5] = random.choice([0, 0, 1, 2]) << 4 | levels - 1
    if random.random() < 0.2:
        dwords[5] |= random.getrandbits(2) << 25 | random.getrandbits(2) << 21
    if tiling == 3 and kind == 1 and random.random() < 0.5:
        dwords[5] = 1 << 18 | random.choice([1, 1, 1, 1, 15, 0]) << 8
        dwords[5] |= random.choice([0] * 8 + [1, 1 << 4, 1 << 21, 1 << 25])
    dwords[7] = 4 << 25 | 5 << 22 | 6 << 19 | 7 << 16
    if random.random() < 0.3:
        dwords[7] = random.getrandbits(12) << 16
    dwords[7] |= random.choice([0, 0, 0, 0x80, 0x140])
    dwords[8], dwords[9] = start & 0xFFFF_FFFF, start >> 32
    return struct.pack("<16I", *dwords)


_FIELDS = (
    *((0, 14, 2), (0, 16, 2), (0, 18, 10), (0, 28, 4), (0, 12, 2), (1, 0, 15)),
    *((2, 0, 14), (2, 16, 14), (3, 0, 18), (3, 21, 11), (4, 3, 3), (4, 7, 11), (4, 18, 11)),
    *((5, 0, 4), (5, 4, 4), (5, 8, 4), (5, 18, 2), (5, 21, 3), (5, 25, 7), (8, 0, 32), (9, 0, 32)),
)
"""Of RENDER_SURFACE_STATE: (dword, lowest bit, bits)."""


def _stretched(random: Random) -> bytes:
    """A surface of which one or two fields are something else: a bit of them, or all."""
    dwords = list(struct.unpack("<16I", _surface(random)))
    for _ in range(random.choice([1, 2])):
        at, low, bits = random.choice(_FIELDS)
        full = (1 << bits) - 1
        value = random.choice([full, 1 << random.randrange(bits), 1 << bits - 1, full - 1])
        dwords[at] = dwords[at] & ~(full << low) | value << low
    return struct.pack("<16I", *dwords)


def _far(random: Random) -> bytes:
    """Whole numbers around the powers of two."""
    if random.random() < 0.4:
        return _near(random)
    at = (1 << random.randrange(15)) + random.choice([0, -1, 1])
    return struct.pack("<I", random.choice([at, at, at, at << 17 & 0xFFFF_FFFF]))


def _coordinate(random: Random) -> bytes:
    """A float near to where something changes."""
    match random.randrange(10):
        case 0:
            usual = (0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e13, -1e13, 1e9)
            return struct.pack("<f", random.choice([*usual, _LEAST, _NORMAL]))
        case 1 | 2 | 3:
            return struct.pack("<f", random.uniform(-1.5, 2.5))
        case 4:
            return struct.pack("<f", random.randrange(-3, 9) / 2)
        case _:
            size = random.choice([1, 2, 3, 4, 5, 8, 13])
            at = random.randrange(-2 * size, 3 * size + 1) / size
            return struct.pack("<f", at + random.choice(_STEPS) / size)


def _step(random: Random) -> bytes:
    """A derivative of which the level is one of the first."""
    return struct.pack("<f", random.choice([0, 0, 1, -1, 2, 3, 4, 6]) / 2 ** random.randrange(5))


def _near(random: Random) -> bytes:
    return struct.pack("<i", random.choice([0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 7, 12, -1]))


def _whole(random: Random) -> bytes:
    return struct.pack("<i", random.choice([0, 0, 1, 1, 2, 3, 4, 5, 7, 8, 12, 13, -1, -2, 1 << 30]))


def _split(words: bytes) -> tuple[bytes, bytes]:
    """As the two parts of a payload."""
    return words[: 15 * GRF], words[15 * GRF : 30 * GRF]


def _made(random: Random, sfid: int, function: int, words: bytes, grfs: int) -> Sent:
    first, second = _split(words)
    index = random.choice([*range(ENTRIES), *range(ENTRIES), 252, 9])
    descriptor = function | index | grfs << 20 | len(first) // GRF << 25
    extended = len(second) // GRF << 6 | random.choice([*range(ENTRIES), ENTRIES]) << 12
    mask = random.choice([0xFFFF, 0xFFFF, 0xFFFF, random.getrandbits(16)])
    return Sent(sfid, descriptor, extended, first, second, random.randbytes(grfs * GRF), mask)


def _sample(random: Random) -> Sent:
    kind, mode = random.choice(_TYPES), random.choice([1, 2])
    of = _whole if kind in {7, 10, 26} else _coordinate
    if random.random() < 0.7:
        of = {4: _step, 7: _near, 26: _near}.get(kind, of)
    words = b"".join(of(random) for _ in range(_PARAMETERS * 8 * mode))
    header = b""
    if random.random() < 0.4:
        offsets = random.choice([0, 0, random.getrandbits(12)])
        taken = random.choice([0, 0, 0, random.getrandbits(4)]) << 12
        dword2 = offsets | taken | random.getrandbits(2) << 16
        header = struct.pack("<8I", 0, 0, dword2, random.choice([0x300, 0x31F]), 0, 0, 0, 0)
    function = mode << 17 | kind << 12 | random.randrange(SAMPLERS) << 8 | bool(header) << 19
    function |= (random.random() < 0.2) << 30
    return _made(random, 2, function, header + words, random.choice([4 * mode, 4 * mode, mode]))


def _typed(random: Random) -> Sent:
    kind = random.choice([5, 5, 13, 13, 6, 6, 4, 10])
    control = random.getrandbits(4) << 8 | random.choice(
        [0x1000, 0x2000, 0x1000, 0x2000, 0, 0x3000]
    )
    if kind in {4, 10}:
        x, y = (random.choice([-70, -3, -1, 0, 0, 1, 2, 5, 11, 40]) & 0xFFFF_FFFF for _ in "xy")
        width = random.choice([1, 2, 3, 4, 5, 8, 9, 16, 32, 33, 64])
        height = random.choice([1, 1, 2, 3, 5, 8, 9, 16, 64])
        size = height - 1 << 16 | width - 1
        header = struct.pack("<8I", x, y, size, 0, 0, 0, 0, 0)
        return _made(random, 12, 1 << 19 | kind << 14, header + random.randbytes(14 * GRF), 16)
    header = b""
    if random.random() < 0.4:
        header = struct.pack("<7I", *[random.getrandbits(32)] * 7)
        header += struct.pack("<I", random.choice([0xFFFF, 0xF0F, 0xA5C3, random.getrandbits(32)]))
    words = b"".join(_whole(random) for _ in range(8 * random.choice([1, 2, 2, 3, 3, 4])))
    if kind != 5:
        of = random.choice([_whole, _coordinate])
        words += b"".join(of(random) for _ in range(8 * random.choice([0, 1, 2, 3, 4])))
    return _made(random, 12, bool(header) << 19 | kind << 14 | control, header + words, 4)


def _target(random: Random) -> Sent:
    kind = random.choice([0, 0, 4, 4, 1])
    header = b""
    if random.random() < 0.5:
        words = [random.getrandbits(32) for _ in range(16)]
        words[0] = random.choice([0, 1, 2, 3]) << 16 | 1 << 27
        words[0] |= random.choice([0] * 12 + [1 << 11, 1 << 14, 1 << 10, 1 << 15])
        words[2] = random.choice([0, 8, 1 << 3, *[0] * 8, 1, 4])
        for n in range(10, 14):
            words[n] = random.choice([0, 1, 2, 4, 7, 12]) | random.choice([0, 1, 2, 4, 12]) << 16
        words[15] = random.choice([0xFFFF, 0xFFFF, random.getrandbits(32)])
        header = struct.pack("<16I", *words)
    function = 12 << 14 | kind << 8 | bool(header) << 19
    function |= random.choice([0, 0, 1 << 11, 1 << 12, *[0] * 4, 1 << 13])
    length = 8 if kind != 1 else 1
    words_of = random.choice([_coordinate, _whole])
    return _made(
        random, 5, function, header + b"".join(words_of(random) for _ in range(8 * length)), 0
    )
