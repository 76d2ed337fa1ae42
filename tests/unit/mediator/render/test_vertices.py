"""The vertex fetcher: which bytes of which buffer, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from mediator.gen9.vertices import Control
from mediator.softgpu.render.not_built import NotBuilt
from mediator.softgpu.render.vertices import Element, elements, fetch, layers_by_instance

ONES = 0xFFFF_FFFF
ALL = (Control.SOURCE,) * 4
VALID = 1 << 25
BASE = 0x1234_5678_0000
FORMATS = {
    0x000: 4,
    0x001: 4,
    0x002: 4,
    0x040: 3,
    0x041: 3,
    0x042: 3,
    0x085: 2,
    0x086: 2,
    0x087: 2,
    0x0D6: 1,
    0x0D7: 1,
    0x0D8: 1,
}
"""Dwords of float, signed and unsigned ones."""


class Space:
    """Every dword says its own address, less `BASE`."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def read(self, address: int, length: int) -> bytes:
        self.asked.append((address, length))
        return b"".join(
            (address - BASE + n & ONES).to_bytes(4, "little") for n in range(0, length, 4)
        )


def said(**packets: tuple[int, ...]) -> Any:
    return lambda packet: packets[packet.name]


def buffers(*each: tuple[int, int, int, int]) -> tuple[int, ...]:
    return 0x7808_0000, *(word for buffer in each for word in buffer)


def fetched(
    buffer: tuple[int, int, int, int], element: Element, index: int
) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """The only slot of a vertex, and what was read for it. The buffer is number 2 of 3."""
    space: Any = Space()
    other = (ONES, 0, 0, ONES)
    packets = said(VERTEX_BUFFERS=buffers(other, other, buffer))
    (slot,) = fetch(packets, space, [element], index)
    return slot, space.asked


def buffer(pitch: int, size: int, *, null: bool = False) -> tuple[int, int, int, int]:
    return null << 13 | pitch, BASE & ONES, BASE >> 32, size


@pytest.mark.parametrize("dwords", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("pitch", "offset", "index"), [(0, 0, 7), (12, 0, 2), (16, 20, 3), (0xFFF, 0xFFF, 1)]
)
def test_an_element_lies_at_its_place(dwords: int, pitch: int, offset: int, index: int) -> None:
    """Whole, or not at all: a byte less of the buffer, and it reads as 0."""
    element = Element(2, offset, dwords, ALL)
    at = index * pitch + offset
    end = at + 4 * dwords
    slot, asked = fetched(buffer(pitch, end), element, index)
    assert asked == [(BASE + at, 4 * dwords)]
    assert slot == tuple(at + 4 * n if n < dwords else 0 for n in range(4))
    assert fetched(buffer(pitch, end - 1), element, index) == ((0,) * 4, [])
    assert fetched(buffer(pitch, ONES, null=True), element, index) == ((0,) * 4, [])


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    ("control", "value"),
    [(Control.ZERO, 0), (Control.FLOAT_ONE, 0x3F80_0000), (Control.INTEGER_ONE, 1)],
)
def test_a_component_may_be_a_number(number: int, control: Control, value: int) -> None:
    controls = [*ALL]
    controls[number] = control
    expected = [4 * n + 8 for n in range(4)]
    expected[number] = value
    element = Element(2, 8, 4, (controls[0], controls[1], controls[2], controls[3]))
    assert fetched(buffer(0, 100), element, 0)[0] == tuple(expected)
    nothing = Element(2, 8, 4, (control,) * 4)
    assert fetched(buffer(0, 100), nothing, 0) == ((value,) * 4, []), "the buffer is not looked at"


def test_an_index_wraps_at_32_bits() -> None:
    element = Element(2, 0, 1, ALL)
    assert fetched(buffer(4, 100), element, (1 << 32) + 3)[1] == [(BASE + 12, 4)]
    assert fetched(buffer(4, 100), element, -1) == ((0,) * 4, [])


def test_an_address_wraps_at_48_bits() -> None:
    top = (0, 0xFFFF_FFF0, 0xFFFF_FFFF, 100)
    assert fetched(top, Element(2, 0x18, 1, ALL), 0)[1] == [(8, 4)]
    assert fetched(top, Element(2, 8, 1, ALL), 0)[1] == [((1 << 48) - 8, 4)]


@pytest.mark.parametrize(("number", "read"), [(0, True), (1, True), (2, False), (63, False)])
def test_of_buffers_that_there_are(number: int, read: bool) -> None:
    space: Any = Space()
    packets = said(VERTEX_BUFFERS=buffers(buffer(0, 50), buffer(0, 50)))
    vertex = fetch(packets, space, [Element(number, 4, 1, ALL)] * 2, 0)
    assert vertex == ((4 if read else 0, 0, 0, 0),) * 2
    assert len(space.asked) == (2 if read else 0)


def test_elements_up_to_the_first_that_is_not_valid() -> None:
    first = 0x3F << 26 | VALID | 0x087 << 16 | 0xFFF, 0x1234_0000
    second = VALID | 0x0D7 << 16 | 4, 0x4321_FFFF
    words = (0, *first, *second, 5 << 26, 0x1111_0000, *first)
    packets = said(VERTEX_ELEMENTS=words, VF_INSTANCING=(0,) * 13)
    assert elements(packets) == [
        Element(63, 0xFFF, 2, (Control.SOURCE, Control.ZERO, Control.FLOAT_ONE, Control(4))),
        Element(0, 4, 1, (Control(4), Control.FLOAT_ONE, Control.ZERO, Control.SOURCE)),
    ]


def test_formats_are_of_whole_dwords() -> None:
    for code in range(512):
        packets = said(VERTEX_ELEMENTS=(0, VALID | code << 16, 0x1111_0000), VF_INSTANCING=(0,) * 4)
        if code in FORMATS:
            assert [each.dwords for each in elements(packets)] == [FORMATS[code]]
        else:
            with pytest.raises(NotBuilt, match="vertex element"):
                elements(packets)


@pytest.mark.parametrize("control", [0, 5, 6, 7])
@pytest.mark.parametrize("shift", [28, 24, 20, 16])
def test_components_that_are_not_built(control: int, shift: int) -> None:
    controls = 0x1111_0000 & ~(7 << shift) | control << shift
    packets = said(VERTEX_ELEMENTS=(0, VALID, controls), VF_INSTANCING=(0,) * 4)
    with pytest.raises(NotBuilt, match="vertex components"):
        elements(packets)


@pytest.mark.parametrize("number", range(3))
def test_instancing_is_that_of_the_elements_there_are(number: int) -> None:
    words = [0, *[VALID, 0x1111_0000] * 2, 0, 0]
    instancing = [0x7849_0001, 0, 0] * 3
    instancing[3 * number + 1] = 1 << 8 | number
    packets = said(VERTEX_ELEMENTS=tuple(words), VF_INSTANCING=tuple(instancing))
    if number < 2:
        with pytest.raises(NotBuilt, match="by instances"):
            elements(packets)
    else:
        assert len(elements(packets)) == 2


@pytest.mark.parametrize(
    ("word", "layers"),
    [
        (0, False),
        (ONES & ~(1 << 31 | 1 << 15), False),
        (1 << 31 | 1 << 29, True),
        (ONES & ~(1 << 30 | 0x3F << 16 | 1 << 15), True),
    ],
)
def test_the_instance_is_the_layer(word: int, layers: bool) -> None:
    assert layers_by_instance(said(VF_SGVS=(0, word))) is layers


@pytest.mark.parametrize("bit", [15, 16, 21, 30])
def test_what_the_system_generates_elsewhere(bit: int) -> None:
    with pytest.raises(NotBuilt):
        layers_by_instance(said(VF_SGVS=(0, (1 << 31 | 1 << 29) ^ 1 << bit)))
    with pytest.raises(NotBuilt):
        layers_by_instance(said(VF_SGVS=(0, 1 << 31)))
