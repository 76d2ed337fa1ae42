"""Every message that the data ports have, by the bits of its descriptor; with operands at edges."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.messages.message import ThreadPixels
from tests.property.message_world import GRF, Scene, Sent
from tests.property.page_world import PAGE
from tests.property.texel_scenes import WHOLE

PORT_0, PORT_1, CONSTANT, SAMPLER_CACHE, GATEWAY = 10, 12, 9, 4, 3
SCRATCH = 1 << 18
_BUFFER = PAGE - 2
"""Where the buffer begins: at the end of a page, which ends no dword."""
_BYTES = (61, 64, 1024, 2 * PAGE + 3)
_NO_BUFFER = (9, 240, 252, 7)
_LANES = 16
_WIDE = {0x10, 0x11, 0x12, 0x14, 0x15, 0x19, 0x1A, 0x1D}
"""Of port 1: addresses are qwords."""
_TYPED = {4, 5, 6, 0xA, 0xD}


def functions() -> Iterator[tuple[int, int]]:
    """(shared function, descriptor without index and lengths), each kind with all its controls."""
    for kind in range(32):
        if kind not in _TYPED:
            yield from ((PORT_1, kind << 14 | control << 8) for control in range(64))
    for port, kinds in ((PORT_0, 16), (CONSTANT, 8), (SAMPLER_CACHE, 8)):
        for kind in range(kinds):
            yield from ((port, kind << 14 | control << 8) for control in range(16))
    yield from ((PORT_0, SCRATCH | kind << 12) for kind in range(64))
    yield from ((GATEWAY, function) for function in range(8))
    yield from ((sfid, 0) for sfid in range(16) if sfid not in {2, 5})


def port_scene(random: Random, chosen: list[tuple[int, int]]) -> Scene:
    """A scene of messages of these functions."""
    base = WHOLE.base
    bases = Bases(
        surface=base,
        dynamic=base,
        general=base + random.choice([0, 60]),
        general_size=random.choice([16 * PAGE, 5 * PAGE + 21, PAGE + 1]),
        bindless=base + 0x400,
        bindless_size=8 * 64,
        binding_table=base,
        sampler_table=base,
    )
    states = []
    for index, size in enumerate(_BYTES):
        kind = random.choice([4, 4, 5, 6, 7, 3]) if index == 3 else 4
        states.append((base + 4 * index, struct.pack("<I", 0x400 + 64 * index | 0x3F)))
        states.append((base + 0x400 + 64 * index, _buffer(base + _BUFFER, size, kind, random)))
    messages = [_message(random, *each) for each in chosen]
    return Scene(bases, random.choice([1024, 4096, 65536, 0]), states, messages, _NOTHING)


_NOTHING = ThreadPixels(0, 0, 0, 0, 0)


def _buffer(start: int, size: int, kind: int, random: Random) -> bytes:
    """Of ``size`` bytes, of one or of four bytes an element."""
    pitch = random.choice([1, 4]) if size % 4 == 0 else 1
    last = size // pitch - 1
    dwords = [0] * 16
    dwords[0] = kind << 29
    dwords[2] = last & 0x7F | (last >> 7 & 0x3FFF) << 16
    dwords[3] = last >> 21 << 21 | pitch - 1
    dwords[8], dwords[9] = start & 0xFFFF_FFFF, start >> 32 | random.choice([0, 0xFFFF]) << 16
    return struct.pack("<16I", *dwords)


def _message(random: Random, sfid: int, function: int) -> Sent:
    kind = function >> 14 & 31
    wide = sfid == PORT_1 and kind in _WIDE
    header = random.random() < 0.5
    if sfid != PORT_1:  # block messages say where in their header
        header = header or kind in {0, 1, 8} or random.random() < 0.5
    index = random.choice([0, 1, 2, 3, 3, 254, 254, 253, 255, random.choice(_NO_BUFFER)])
    if function & SCRATCH and sfid == PORT_0:
        index, header = random.choice([0, 1, 7, 30, 31, 32, 33, 126, 127, 128, 255]), True
        function |= random.choice([0, 1, 15]) << 8
    words = _header(random, wide=wide) if header else b""
    body = b"".join(_place(random, wide=wide) for _ in range(_LANES))
    lane_grfs = len(body) // GRF
    if random.random() < 0.3:  # as for eight lanes
        body = body[: len(body) // 2]
        lane_grfs //= 2
    body += _data(random, (15 - lane_grfs - header) * GRF)
    data = _data(random, random.choice([0, 4, 12]) * GRF)
    response = random.choice([1, 2, 4, 8, 16, 16, 16])
    descriptor = function | index | header << 19 | response << 20 | 15 << 25
    return Sent(
        sfid,
        descriptor,
        len(data) // GRF << 6 | random.choice([0, 1, 2, 3, 7, 8]) << 12,
        words + body,
        data,
        random.randbytes(response * GRF),
        random.choice([0xFFFF, 0xFFFF, 0xFFFF, 0xFF, random.getrandbits(16)]),
    )


def _header(random: Random, *, wide: bool) -> bytes:
    dwords = [random.getrandbits(32) for _ in range(8)]
    if wide:
        dwords[0:2] = struct.unpack("<2I", _place(random, wide=True))
    dwords[2] = random.choice([0, 0, 1, 2, 3, 4, 5, 16, 60, 61, 63, 255, 1022])
    dwords[3] = random.choice([0, 1, 2, 3, 0x10, 0x11])
    dwords[5] = random.choice([0, 0, 0x3FF, 0x400, 0x7FF, PAGE | 0x155])
    dwords[7] = random.choice([0xFFFF_FFFF, 0xFFFF, 0x5A5A, 0x1_0000])
    return struct.pack("<8I", *dwords)


def _place(random: Random, *, wide: bool) -> bytes:
    """An offset or an address: in the middle, and around the ends of buffers and pages."""
    at = random.choice([0, 16, 28, 48, 56, 60, 64, 1008, 1020, 1024, 4092, 2 * PAGE, 65532])
    at += random.choice([0, 0, 0, 0, 1, 2, 3, 4, 5, 8, -1, -2, -4, -8])
    if not wide:
        return struct.pack("<I", at + random.choice([0, 0, 0, 0, 1 << 28, 1 << 16]) & 0xFFFF_FFFF)
    address = WHOLE.base + at + random.choice([0, 0, _BUFFER])
    if random.random() < 0.1:
        address = WHOLE.base + 16 * PAGE - random.choice([1, 2, 4, 7, 8, 12, 0])
    return struct.pack("<Q", address & (1 << 48) - 1 | random.choice([0, 0, 0xFFFF, 1]) << 48)


def _data(random: Random, size: int) -> bytes:
    """What is as one float and as one integer near another."""
    usual = (0, 1, 2, 0x8000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7F80_0000, 0x3F80_0000, 0xBF80_0000)
    words = [random.getrandbits(32) for _ in range(size // 4)]
    for n in range(0, len(words), random.choice([1, 2, 3])):
        words[n] = random.choice(usual)
    return struct.pack(f"<{len(words)}I", *words)
