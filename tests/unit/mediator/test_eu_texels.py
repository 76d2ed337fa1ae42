"""Typed messages, media blocks and the sampler, by hand: in Python and through the extension."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from mediator.hotpath.interface import Surface, Tiling
from mediator.hotpath.reference import _locate
from mediator.softgpu.eu.message_port import Messages
from tests.unit.mediator.message_bench import BASE, BASES, KINDS, PAGE, World, call, world

PORT_1, SAMPLER = 12, 2
R32_UINT, R32_FLOAT, R8G8B8A8_UNORM, R8_UNORM = 0x0D7, 0x0D8, 0x0C7, 0x140
R8G8_SNORM, R16G16B16A16_UNORM, R16_FLOAT = 0x107, 0x080, 0x10E
R8G8B8A8_SINT, R11G11B10_FLOAT = 0x0CA, 0x0D3
D1, D2, D3, CUBE, BUFFER = 0, 1, 2, 3, 4
LINEAR, TILE_X, TILE_Y = 0, 2, 3
IDENTITY = 4 << 25 | 5 << 22 | 6 << 19 | 7 << 16
WRAP, MIRROR, CLAMP, BORDER = 0, 1, 2, 4
SAMPLE, SAMPLE_L, LD, GATHER4, RESINFO, SAMPLE_LZ, SAMPLE_C_LZ, LD_LZ = 0, 2, 7, 8, 10, 24, 25, 26
BORDER_COLOUR = 0x80


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[World, Messages]]:
    with world() as made:
        yield made, request.param(made)


def _state(
    code: int,
    width: int,
    height: int = 1,
    depth: int = 1,
    *,
    kind: int = D2,
    tiling: int = LINEAR,
    pitch: int = 64,
    array: bool = False,
    qpitch: int = 0,
    levels: int = 1,
    first: int = 0,
    select: int = IDENTITY,
) -> bytes:
    dwords = [0] * 16
    dwords[0] = kind << 29 | array << 28 | code << 18 | 1 << 16 | 1 << 14 | tiling << 12
    dwords[1] = qpitch // 4
    dwords[2] = height - 1 << 16 | width - 1
    dwords[3] = depth - 1 << 21 | pitch - 1
    dwords[4] = first << 18 | depth - 1 << 7
    dwords[5] = levels - 1
    dwords[7] = select
    dwords[8], dwords[9] = BASE & 0xFFFF_FFFF, BASE >> 32
    return struct.pack("<16I", *dwords)


def _sampler(
    mode: int = CLAMP,
    *,
    linear: bool = False,
    unnormalised: bool = False,
    mip: int = 0,
    shadow: int = 0,
) -> bytes:
    dword0 = mip << 20 | linear << 17 | linear << 14
    dword3 = mode << 6 | mode << 3 | mode | unnormalised << 10
    return struct.pack("<4I", dword0, 0xF00 << 8 | shadow << 1, BORDER_COLOUR, dword3)


def _ints(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *(each & 0xFFFF_FFFF for each in values))


def _floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _all(value: float) -> bytes:
    return _floats(*[value] * 8)


def _header(dword2: int = 0, *rest: int, dword0: int = 0, dword1: int = 0) -> bytes:
    found = [dword0, dword1, dword2, *rest]
    return _ints(*found, *[0] * (8 - len(found)))


def _sampled(
    messages: Messages, kind: int, *parameters: bytes, header: bytes = b"", channels: int = 4
) -> list[tuple[float, ...]]:
    """The channels of each of eight pixels."""
    sent = call(
        SAMPLER, 1 << 17 | kind << 12, header + b"".join(parameters), channels, header=bool(header)
    )
    assert messages.send(sent) is None
    values = sent.response.view("<f4").reshape(channels, 8).T
    return [tuple(float(each) for each in pixel) for pixel in values]


def _bind(made: World, state: bytes, sampler: bytes = b"") -> None:
    made.bind(0, state)
    if sampler:
        made.put(BASES.sampler_table, sampler)


def _loaded(messages: Messages, *parameters: bytes, kind: int = LD_LZ) -> list[int]:
    """The first channel of each of eight pixels, as a whole number."""
    sent = call(SAMPLER, 1 << 17 | kind << 12, b"".join(parameters), 1)
    assert messages.send(sent) is None
    found: list[int] = sent.response.view("<u4").tolist()
    return found


@pytest.mark.parametrize(("tiling", "of_blits"), [(TILE_X, Tiling.X), (TILE_Y, Tiling.Y)])
def test_tiled_texels_lie_where_the_blitter_puts_them(
    pair: tuple[World, Messages], tiling: int, of_blits: Tiling
) -> None:
    made, messages = pair
    us, vs = [0, 5, 127, 128, 200, 255, 256, 3], [0, 9, 31, 17, 8, 7, 0, 32]
    _bind(made, _state(R32_UINT, 256, 32, tiling=tiling, pitch=1024))
    write = call(
        PORT_1, 0xD << 14 | 1 << 12 | 0xE << 8, _ints(*us) + _ints(*vs) + _ints(*range(1, 9))
    )
    assert messages.send(write) is None
    surface = Surface(BASE, 1024, of_blits)
    for n in range(6):
        at, _ = _locate(surface, 4 * us[n], vs[n], (1 << 48) - 1)
        assert made.get(at, 4) == _ints(n + 1), n
    assert made.get(BASE, 8 * PAGE).count(7) == made.get(BASE, 8 * PAGE).count(8) == 0  # outside
    assert _loaded(messages, _ints(*us), _ints(*vs)) == [1, 2, 3, 4, 5, 6, 0, 0]


def test_levels_lie_below_and_beside_each_other(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _bind(made, _state(R32_UINT, 16, 16, pitch=128, levels=4))
    # 16x16 at (0, 0), 8x8 at (0, 16), 4x4 at (8, 16), 2x2 below that at (8, 20).
    for number, (x, y) in enumerate([(15, 15), (7, 16 + 7), (8 + 3, 16 + 3), (8 + 1, 20 + 1)]):
        made.put(BASE + 128 * y + 4 * x, _ints(number + 1))
    at = _ints(15, 7, 3, 1, 8, 0, 1, 0)
    levels = _ints(0, 1, 2, 3, 1, 4, 3, -1)
    assert _loaded(messages, at, at, levels, kind=LD) == [1, 2, 3, 4, 0, 0, 4, 0]
    sent = call(SAMPLER, 1 << 17 | RESINFO << 12, levels, 4)
    assert messages.send(sent) is None
    sizes = sent.response.view("<u4").reshape(4, 8)
    assert sizes[0].tolist() == [16, 8, 4, 2, 8, 0, 2, 0]
    assert sizes[3].tolist() == [4] * 8


def test_slices_are_a_qpitch_apart_and_start_at_the_first(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _bind(made, _state(R32_UINT, 4, 4, 3, array=True, qpitch=8, first=1))
    for slice_ in range(4):
        made.put(BASE + 64 * (8 * slice_ + 2) + 4, _ints(slice_ + 10))
    zeros = _ints(*[1] * 8), _ints(*[2] * 8)
    assert _loaded(messages, *zeros, _ints(0, 1, 2, 3, -1, 0, 0, 0)) == [
        11,
        12,
        13,
        0,
        0,
        11,
        11,
        11,
    ]
    sent = call(SAMPLER, 1 << 17 | RESINFO << 12, bytes(32), 4)
    assert messages.send(sent) is None
    assert sent.response.view("<u4").reshape(4, 8)[:, 0].tolist() == [4, 4, 3, 1]


def test_a_line_has_its_slices_in_texels(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _bind(made, _state(R32_UINT, 8, 1, 2, kind=D1, array=True, qpitch=64))
    made.put(BASE + 4 * 7, _ints(1))
    made.put(BASE + 4 * (64 + 7), _ints(2))
    assert _loaded(messages, _ints(*[7] * 7, 8), _ints(0, 1, 2, 0, 1, 0, 1, 0)) == [
        1,
        2,
        0,
        1,
        2,
        1,
        2,
        0,
    ]


def test_a_texel_buffer_has_elements_of_its_pitch(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    dwords = list(struct.unpack("<16I", _state(R32_UINT, 1, kind=BUFFER, pitch=8)))
    dwords[2] = 1 << 16 | 3  # 1 * 128 + 3, the last element
    _bind(made, struct.pack("<16I", *dwords))
    made.put(BASE + 8 * 131, _ints(5))
    made.put(BASE + 8 * 132, _ints(6))
    assert _loaded(messages, _ints(131, 132, -1, 0, 0, 0, 0, 0), _ints(*[9] * 8)) == [
        5,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]


def test_typed_atomics_count_each_pixel_and_drop_those_outside(
    pair: tuple[World, Messages],
) -> None:
    made, messages = pair
    _bind(made, _state(R32_UINT, 4, 4))
    add = call(
        PORT_1,
        6 << 14 | 1 << 13 | 7 << 8,
        _ints(1, 1, 1, 4, 2, 1, 1, 1) + _ints(*[3] * 8) + _ints(*[5] * 8),
        1,
    )
    assert messages.send(add) is None
    assert add.response.view("<u4").tolist() == [0, 5, 10, 0, 0, 15, 20, 25]
    assert made.get(BASE + 3 * 64, 16) == _ints(0, 30, 5, 0)


def test_formats_are_converted_both_ways(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _bind(made, _state(R8G8B8A8_UNORM, 8))
    given = [_floats(0, 0.5, 1, 2, -1, 1 / 255, float("nan"), 0.25), _all(1), _all(0), _all(0.2)]
    write = call(PORT_1, 0xD << 14 | 1 << 12, _ints(*range(8)), more=b"".join(given))
    assert messages.send(write) is None
    assert made.get(BASE, 32)[::4] == bytes([0, 128, 255, 255, 0, 1, 0, 64])
    assert made.get(BASE, 4) == bytes([0, 255, 0, 51])
    sampled = _sampled(messages, LD_LZ, _ints(*range(8)), _ints(*[0] * 8))
    assert [pixel[0] for pixel in sampled] == pytest.approx(
        [0, 128 / 255, 1, 1, 0, 1 / 255, 0, 64 / 255]
    )


@pytest.mark.parametrize(
    ("format_", "texel", "expected"),
    [
        (R8G8B8A8_UNORM, b"\x01\x02\x03\x84", (0x84030201, 0, 0, 1)),
        (R8_UNORM, b"\x85", (0x85, 0, 0, 1)),
        (R8G8_SNORM, b"\x85\x86", (0x8685, 0, 0, 1)),
        (R16G16B16A16_UNORM, bytes(range(8)), (0x03020100, 0x07060504, 0, 1)),
        (R11G11B10_FLOAT, b"\x01\x02\x03\x84", (0x84030201, 0, 0, 1)),
        (R8G8B8A8_SINT, b"\x01\x02\x03\x84", (1, 2, 3, 0xFFFFFF84)),
        (R16_FLOAT, b"\x00\x3c", (0x3F800000, 0, 0, 0x3F800000)),
    ],
)
def test_typed_reads_convert_plain_formats_and_give_the_bits_of_others(
    pair: tuple[World, Messages], format_: int, texel: bytes, expected: tuple[int, ...]
) -> None:
    made, messages = pair
    _bind(made, _state(format_, 4))
    made.put(BASE + 2 * len(texel), texel)
    read = call(PORT_1, 5 << 14 | 1 << 12, _ints(*[2] * 8), 4)
    assert messages.send(read) is None
    assert read.response.view("<u4").reshape(4, 8)[:, 5].tolist() == list(expected)


def test_slot_groups_take_their_half_of_the_headers_mask(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _bind(made, _state(R32_UINT, 8))
    header = _ints(0, 0, 0, 0, 0, 0, 0, 0x0FF0)
    for group, value in ((1, 1), (2, 2)):
        sent = call(
            PORT_1,
            0xD << 14 | group << 12 | 0xE << 8,
            header + _ints(*range(8)),
            more=_ints(*[value] * 8),
            header=True,
        )
        assert messages.send(sent) is None
    assert made.get(BASE, 32) == _ints(2, 2, 2, 2, 1, 1, 1, 1)


def test_media_blocks_repeat_the_edge_and_write_only_inside(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _bind(made, _state(R8_UNORM, 2, 4))  # so many dwords wide
    for row in range(4):
        made.put(BASE + 64 * row, bytes(range(10 * row, 10 * row + 8)))
    header = _header(2 << 16 | 5, dword0=-2 & 0xFFFF_FFFF, dword1=2)
    read = call(PORT_1, 4 << 14, header, 1, header=True)
    assert messages.send(read) is None
    rows = [20, 20, 20, 21, 22, 23], [30, 30, 30, 31, 32, 33], [30, 30, 30, 31, 32, 33]
    assert read.response.reshape(4, 8)[:3, :6].tolist() == [*rows]
    assert read.response.reshape(4, 8)[:, 6:].tolist() == [[0xEE] * 2] * 4
    write = call(PORT_1, 0xA << 14, header, more=bytes(range(100, 132)), header=True)
    assert messages.send(write) is None
    assert made.get(BASE + 64 * 2 - 2, 8) == bytes([0, 0, 102, 103, 104, 105, 24, 25])
    assert made.get(BASE + 64 * 3, 8) == bytes([110, 111, 112, 113, 34, 35, 36, 37])
    assert made.get(BASE + 64 * 4, 64) == bytes(64)


def _gradient(made: World, width: int, height: int) -> None:
    for y in range(height):
        made.put(BASE + 64 * y, _floats(*(10 * y + x for x in range(width))))


def test_nearest_takes_the_texel_that_the_point_is_in(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _gradient(made, 4, 4)
    _bind(made, _state(R32_FLOAT, 4, 4), _sampler(CLAMP))
    found = _sampled(
        messages, SAMPLE_LZ, _floats(0, 0.24, 0.26, 0.99, 1, -1, 5, float("nan")), _all(0.6)
    )
    assert [pixel[0] for pixel in found] == [20, 20, 21, 23, 23, 20, 23, 20]
    assert found[0][1:] == (0, 0, 1)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (WRAP, [3, 0, 3, 0, 2]),
        (MIRROR, [0, 3, 3, 0, 1]),
        (CLAMP, [0, 3, 3, 0, 0]),
        (BORDER, [7, 7, 3, 0, 7]),
    ],
)
def test_address_modes(pair: tuple[World, Messages], mode: int, expected: list[float]) -> None:
    made, messages = pair
    _gradient(made, 4, 1)
    _bind(made, _state(R32_FLOAT, 4, 1), _sampler(mode))
    made.put(BASES.dynamic + BORDER_COLOUR, _floats(7, 7, 7, 7))
    us = _floats(-0.1, 1.1, 0.9, 0.1, -0.4, 0, 0, 0)
    found = [pixel[0] for pixel in _sampled(messages, SAMPLE_LZ, us, _all(0.5))][:5]
    assert found == expected


def test_linear_mixes_by_the_distance(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _gradient(made, 4, 4)
    _bind(made, _state(R32_FLOAT, 4, 4), _sampler(CLAMP, linear=True, unnormalised=True))
    us = _floats(0.5, 1.0, 1.25, 3.9, 0.1, 2.5, 2.5, 2.0)
    vs = _floats(0.5, 0.5, 0.5, 0.5, 3.9, 1.0, 1.5, 2.0)
    found = [pixel[0] for pixel in _sampled(messages, SAMPLE_LZ, us, vs)]
    assert found == [0, 0.5, 0.75, 3, 30, 7, 12, 16.5]


def test_levels_are_mixed_and_chosen(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.put(BASE, _all(1))
    made.put(BASE + 64 * 8, _all(3))  # level 1 of 8x8 is below
    lods = _floats(0, 0.25, 0.5, 1, 7, -3, 0.75, 0.1)
    _bind(made, _state(R32_FLOAT, 8, 8, levels=2), _sampler(mip=3))
    found = [pixel[0] for pixel in _sampled(messages, SAMPLE_L, lods, _all(0), _all(0))]
    assert found == [1, 1.5, 2, 3, 3, 1, 2.5, pytest.approx(1.2, abs=0.01)]
    _bind(made, _state(R32_FLOAT, 8, 8, levels=2), _sampler(mip=1))
    found = [pixel[0] for pixel in _sampled(messages, SAMPLE_L, lods, _all(0), _all(0))]
    assert found == [1, 1, 3, 3, 3, 1, 3, 1]


def test_header_chooses_channels_and_moves_texels(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _gradient(made, 4, 4)
    _bind(made, _state(R32_FLOAT, 4, 4, select=1 << 25 | 4 << 22 | 0 << 19 | 4 << 16))
    header = _header(0xF << 8 | 1 << 4 | 0b0101 << 12, 0)  # one to the left, one down; green, alpha
    sent = call(
        SAMPLER, 1 << 17 | LD_LZ << 12, header + _ints(*[2] * 8) + _ints(*[1] * 8), 2, header=True
    )
    assert messages.send(sent) is None
    assert sent.response.view("<f4").tolist() == [21.0] * 16
    assert _sampled(messages, LD_LZ, _ints(*[3] * 8), bytes(32))[0] == (1, 3, 0, 3)


def test_gather_takes_four_texels_counterclockwise(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _gradient(made, 4, 4)
    _bind(made, _state(R32_FLOAT, 4, 4), _sampler(CLAMP))
    found = _sampled(messages, GATHER4, _all(0.5), _all(0.5))
    assert found[0] == (21, 22, 12, 11)


def test_comparison_is_of_the_texel_and_turned_round(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    _gradient(made, 4, 1)
    less = 2
    _bind(made, _state(R32_FLOAT, 4, 1), _sampler(CLAMP, shadow=less))
    us = _floats(0.1, 0.3, 0.6, 0.9, 0.1, 0.3, 0.6, 0.9)
    found = _sampled(messages, SAMPLE_C_LZ, _all(2), us, _all(0))
    assert [pixel[0] for pixel in found] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_volumes_mix_slices_and_arrays_round_to_one(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    for slice_ in range(4):
        made.put(BASE + 64 * 4 * slice_, _floats(slice_, slice_))
    rs = _floats(0.5, 1.0, 1.25, 3.9, 0, 2.5, -1, 9)
    _bind(
        made,
        _state(R32_FLOAT, 2, 1, 4, kind=D3, qpitch=4),
        _sampler(linear=True, unnormalised=True),
    )
    found = [pixel[0] for pixel in _sampled(messages, SAMPLE_LZ, _all(1), _all(0.5), rs)]
    assert found == [0, 0.5, 0.75, 3, 0, 2, 0, 3]
    _bind(made, _state(R32_FLOAT, 2, 1, 4, array=True, qpitch=4), _sampler(linear=True))
    found = [pixel[0] for pixel in _sampled(messages, SAMPLE_LZ, _all(0.5), _all(0.5), rs)]
    assert found == [0, 1, 1, 3, 0, 2, 0, 3]


def test_a_direction_finds_its_face(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    for face in range(6):
        made.put(BASE + 64 * 4 * face, _floats(face, face) + bytes(56) + _floats(face, face))
    _bind(made, _state(R32_FLOAT, 2, 2, kind=CUBE, qpitch=4), _sampler())
    x, y, z = (
        _floats(1, -1, 0, 0, 0, 0, 3, 0),
        _floats(0, 0, 1, -1, 0, 0, 1, 0),
        _floats(0, 0, 0, 0, 1, -1, -2, 0),
    )
    found = [pixel[0] for pixel in _sampled(messages, SAMPLE_LZ, x, y, z)]
    assert found == [0, 1, 2, 3, 4, 5, 0, 0]


def test_what_is_no_surface_reads_0(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    for state in (
        _state(R32_FLOAT, 4, kind=7),
        _state(0x186, 4),  # compressed
        struct.pack("<16I", *(0xFFFF_FFFF,) * 16),
    ):
        _bind(made, state, _sampler())
        assert set(_sampled(messages, SAMPLE_LZ, _all(0), _all(0))) == {(0, 0, 0, 0)}
        write = call(PORT_1, 0xD << 14 | 1 << 12, _ints(*range(8)), more=bytes([1] * 128))
        assert messages.send(write) is None
    sent = call(SAMPLER, 1 << 17 | LD_LZ << 12 | 251, bytes(64), 4)
    assert messages.send(sent) is None
    assert sent.response.tobytes() == bytes(128)


def test_half_results_take_half_the_registers(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.put(BASE, _floats(*range(16)))
    _bind(made, _state(R32_FLOAT, 16, 1))
    sent = call(SAMPLER, 1 << 30 | 2 << 17 | LD_LZ << 12, _ints(*range(16)) + bytes(64), 1, 0xFFFF)
    assert messages.send(sent) is None
    assert sent.response.view("<f2").tolist() == list(range(16))
