"""Render target writes: in Python and through the extension."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mediator.softgpu.eu.interpreter.threads import BLOCK
from mediator.softgpu.eu.message_port import Messages
from tests.unit.mediator.message_bench import ABSENT, BASE, KINDS, PAGE, World, call, world
from tests.unit.mediator.render.draw_commands import surface, target_write

PORT = 5
SIMD16, REPLICATED, DUAL, SIMD8 = 0, 1, 2, 4
UINT, RGBA8_UINT, RGBA8_UNORM, R8_UINT = 0x0D7, 0x0CB, 0x0C7, 0x143
_FIELDS = ("pixel_mask", "pixel_x", "pixel_y", "pixel_layer", "pixel_writes")


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[World, Messages]]:
    with world() as made:
        yield made, request.param(made)


def state(code: int = UINT, **more: int) -> bytes:
    given = {"width": 16, "height": 16, "pitch": 64, "address": BASE, **more}
    return surface(code, **given)


def send(
    messages: Messages,
    payload: bytes,
    kind: int = SIMD16,
    *,
    block: tuple[int, int, int, int, int] = (0xFFFF_FFFF, 0, 0, 0, 15),
    mask: int = 0xFFFF,
    header: bool = False,
    upper: bool = False,
    descriptor: int | None = None,
) -> str | None:
    """Why it was refused."""
    function = target_write(kind, 0, upper=upper) if descriptor is None else descriptor
    made = call(PORT, function, payload, mask=mask, header=header)
    thread = np.zeros(1, BLOCK)
    for name, value in zip(_FIELDS, block, strict=True):
        thread[name] = value
    fault = messages.send(replace(made, thread=thread))
    return None if fault is None else fault.reason


def colours(lanes: int, start: int = 100) -> bytes:
    """Red counts from ``start``, the others are 1, 2, 3."""
    rest = [n for n in (1, 2, 3) for _ in range(lanes)]
    return struct.pack(f"<{4 * lanes}I", *range(start, start + lanes), *rest)


def dwords(made: World, x: int, y: int, count: int = 1) -> list[int]:
    return list(struct.unpack(f"<{count}I", made.get(BASE + 64 * y + 4 * x, 4 * count)))


def rows(made: World, width: int, height: int, x: int = 0, y: int = 0) -> list[list[int]]:
    return [dwords(made, x, y + n, width) for n in range(height)]


SQUARE = [[100, 101, 104, 105], [102, 103, 106, 107], [108, 109, 112, 113], [110, 111, 114, 115]]
"""Channels of sixteen pixels: subspans of two by two."""


def test_sixteen_pixels_are_a_square(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state())
    assert send(messages, colours(16), block=(0xFFFF, 4, 8, 0, 15)) is None
    assert rows(made, 4, 4, 4, 8) == SQUARE
    assert dwords(made, 3, 8) == dwords(made, 8, 8) == dwords(made, 4, 12) == [0]


def test_eight_pixels_are_half_of_it(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state())
    assert send(messages, colours(8), SIMD8) is None
    assert rows(made, 4, 3) == [*SQUARE[:2], [0, 0, 0, 0]]


def test_the_upper_half_lies_beside(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state())
    assert send(messages, colours(16), upper=True, block=(0xFFFE_0000, 0, 0, 0, 15)) is None
    assert rows(made, 4, 4) == [[0] * 4] * 4
    assert rows(made, 4, 4, 4) == [[0, 101, 104, 105], *SQUARE[1:]]


def test_one_colour_for_all(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state(RGBA8_UINT))
    payload = struct.pack("<8I", 1, 2, 3, 0x1FF, 9, 9, 9, 9)
    assert send(messages, payload, REPLICATED) is None
    assert rows(made, 4, 4) == [[0xFF03_0201] * 4] * 4


@pytest.mark.parametrize(
    ("mask", "covered"), [(0x0F0F, 0xFFFF), (0xFFFF, 0x0F0F), (0x0F3F, 0xFF0F)]
)
def test_channels_that_run_and_are_covered(
    pair: tuple[World, Messages], mask: int, covered: int
) -> None:
    made, messages = pair
    made.bind(0, state())
    assert send(messages, colours(16), mask=mask, block=(covered, 0, 0, 0, 15)) is None
    expected = [[100, 101, 0, 0], [102, 103, 0, 0], [108, 109, 0, 0], [110, 111, 0, 0]]
    assert rows(made, 4, 4) == expected


def test_a_header_says_where(pair: tuple[World, Messages]) -> None:
    """Places and mask of pixels are its own; what is covered it knows."""
    made, messages = pair
    made.bind(0, state(depth=4, qpitch=16))
    places = [2 | 2 << 16, 8 | 0 << 16, 0 | 8 << 16, 14 | 14 << 16]
    header = struct.pack("<16I", 2 << 16 | 0xF, *[0] * 9, *places, 0, 0xFFFF_8FF1)
    payload = header + colours(16)
    assert send(messages, payload, header=True, block=(1, 4, 4, 1, 15)) is None
    shift = 2 * 16
    assert dwords(made, 2, 2 + shift, 2) == [100, 0]
    assert rows(made, 2, 2, 8, shift) == [[104, 105], [106, 107]]
    assert rows(made, 2, 2, 0, 8 + shift) == [[108, 109], [110, 111]]
    assert rows(made, 2, 2, 14, 14 + shift) == [[0, 0], [0, 115]]
    assert made.get(BASE, 64 * shift) == bytes(64 * shift)


@pytest.mark.parametrize("word", [1 << 11, 1 << 12, 1 << 13, 1 << 14])
def test_more_of_a_payload_is_refused(pair: tuple[World, Messages], word: int) -> None:
    made, messages = pair
    made.bind(0, state())
    header = struct.pack("<16I", word, *[0] * 14, 0xFFFF)
    assert send(messages, header + colours(16), header=True) is not None
    assert not any(made.get(BASE, PAGE))


def test_another_target_is_refused(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state())
    header = struct.pack("<16I", 0, 0, 1, *[0] * 12, 0xFFFF)
    assert send(messages, header + colours(16), header=True) is not None


@pytest.mark.parametrize(
    "descriptor",
    [
        *(target_write(kind, 0) for kind in (DUAL, 3, 5, 6, 7)),
        target_write(SIMD16, 0) | 1 << 13,
        13 << 14,
        0,
    ],
)
def test_other_messages_are_refused(pair: tuple[World, Messages], descriptor: int) -> None:
    made, messages = pair
    made.bind(0, state())
    assert send(messages, colours(16), descriptor=descriptor) is not None
    assert not any(made.get(BASE, PAGE))


def test_other_threads_have_no_pixels(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state())
    assert send(messages, colours(16), block=(0, 0, 0, 0, 15)) is not None


def test_outside_nothing_is_written(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state(width=6, height=3))
    assert send(messages, colours(16), block=(0xFFFF, 4, 0, 0, 15)) is None
    assert rows(made, 5, 4, 3) == [
        [0, 100, 101, 0, 0],
        [0, 102, 103, 0, 0],
        [0, 108, 109, 0, 0],
        [0] * 5,
    ]
    assert send(messages, colours(16), block=(0xFFFF, 0x3FFC, 0x3FFC, 2047, 15)) is None


@pytest.mark.parametrize(("layer", "written"), [(0, True), (1, True), (2, False), (2047, False)])
@pytest.mark.parametrize("kind", [1, 2])
def test_layers_of_the_view(
    pair: tuple[World, Messages], kind: int, layer: int, written: bool
) -> None:
    made, messages = pair
    made.bind(0, state(kind=kind, depth=4, extent=2, first=1, qpitch=16))
    assert send(messages, colours(16), block=(0xFFFF, 0, 0, layer, 15)) is None
    assert bool(dwords(made, 0, 16 * (layer + 1))[0] if layer < 3 else 0) == written
    assert dwords(made, 0, 0) == [0]


def test_a_volume_ends_with_its_slices(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state(kind=2, depth=3, extent=3, first=2, qpitch=16))
    for layer in (0, 1):
        assert send(messages, colours(16), block=(0xFFFF, 0, 0, layer, 15)) is None
    assert dwords(made, 0, 32) == [100]
    assert dwords(made, 0, 48) == [0]


def test_a_surface_that_is_no_array_has_one_layer(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state())
    assert send(messages, colours(16), block=(0xFFFF, 0, 0, 5, 15)) is None
    assert rows(made, 4, 4) == SQUARE


@pytest.mark.parametrize("kind", [0, 3, 4, 7])
def test_surfaces_of_other_types(pair: tuple[World, Messages], kind: int) -> None:
    made, messages = pair
    made.bind(0, state(kind=kind))
    assert send(messages, colours(16)) is None
    assert not any(made.get(BASE, PAGE))


def test_the_smallest_level_of_a_sampler_does_not_count(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    words = bytearray(state())
    words[20] = 1 << 4
    made.bind(0, bytes(words))
    assert send(messages, colours(16)) is None
    assert rows(made, 4, 4) == SQUARE


def test_channels_by_their_switches(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.put(BASE, b"\xee" * 64)
    made.bind(0, state(RGBA8_UINT))
    payload = struct.pack("<8I", 1, 2, 3, 4, *[0] * 4)
    assert send(messages, payload, REPLICATED, block=(1, 0, 0, 0, 0b0101)) is None
    assert made.get(BASE, 8) == b"\x01\xee\x03\xee\xee\xee\xee\xee"


def test_fractions(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state(RGBA8_UNORM))
    payload = struct.pack("<4f4I", 1.0, 0.5, -3.0, float("nan"), *[0] * 4)
    assert send(messages, payload, REPLICATED, block=(1, 0, 0, 0, 15)) is None
    assert made.get(BASE, 4) == b"\xff\x80\x00\x00"


def test_a_page_that_is_not_there(pair: tuple[World, Messages]) -> None:
    made, messages = pair
    made.bind(0, state(address=BASE + ABSENT * PAGE))
    assert send(messages, colours(16)) is not None
