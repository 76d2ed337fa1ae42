"""The render pipeline's state in a context image: bit for bit, and what a command changes of it.

Lengths, places and fields as in Mesa's genxml gen9.xml.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from mediator.gen9.pipeline_state import STATE_COMMANDS
from mediator.softgpu.pipeline_state import IMAGE_BYTES, PipelineState

PAGE = 4096
BASE, SELECT, FRONT_END = 0x6101, 0x6904, 0x7000
BUFFERS, INSTANCING, VERTEX_FETCH = 0x7808, 0x7849, 0x780C
BASES = {1: 12, 4: None, 6: 13, 8: 14, 10: 15}
"""Low dword of each base of STATE_BASE_ADDRESS, and the dword of its size."""
BINDLESS, BINDLESS_SIZE, MOCS = 16, 18, 3
MODIFIED = {1, 4, 6, 8, 10, 12, 13, 14, 15, 16}
"""Dwords whose bit 0 says that they count."""
DESCRIPTORS, CONSTANTS = PAGE, 2 * PAGE
HEADS = {DESCRIPTORS: 0x7002_0002, CONSTANTS: 0x7001_0002}


@pytest.fixture
def state() -> PipelineState:
    return PipelineState("RCS")


def dwords(image: bytes, at: int, count: int) -> list[int]:
    return list(struct.unpack_from(f"<{count}I", image, at))


def cold(key: int, length: int) -> list[int]:
    """A command as though it had been given with operands of 0."""
    if key == BUFFERS:  # of each its number, and that it counts
        return [
            key << 16 | 131,
            *(word for n in range(33) for word in (n << 26 | 1 << 14, 0, 0, 0)),
        ]
    if key == INSTANCING:  # a command for each element
        return [word for n in range(34) for word in (key << 16 | 1, n, 0)]
    header = key << 16 | {SELECT: 0xFF00}.get(key, length - 2)
    rest = [int(key == BASE and n in MODIFIED) for n in range(1, length)]
    return [header, *rest]


def decided(key: int, length: int) -> list[int]:
    """Bits that are the same whatever the command says."""
    if key == BUFFERS:
        return [0xFFFF_FFFF, *[0xFC00_4000, 0, 0, 0] * 33]
    if key == INSTANCING:
        return [0xFFFF_FFFF, 0x3F, 0] * 34
    header = {SELECT: 0xFFFF_FF00, VERTEX_FETCH: 0xFFFF_F0FF}.get(key, 0xFFFF_FFFF)
    return [header, *cold(key, length)[1:]]


def test_cold(state: PipelineState) -> None:
    image = state.image
    assert len(image) == IMAGE_BYTES == 18 * PAGE
    at = 0
    for key, length in STATE_COMMANDS.items():
        assert dwords(image, at, length) == cold(key, length), hex(key)
        assert list(state.command(key)) == cold(key, length)
        at += 4 * length
    assert not any(image[at:PAGE])
    for start, head in HEADS.items():
        assert dwords(image, start, 4) == [head, 0, 0, 0]
    assert not any(image[DESCRIPTORS + 16 : CONSTANTS])
    assert not any(image[CONSTANTS + 16 :])
    assert (state.descriptors, state.constants) == (b"", b"")


@pytest.mark.parametrize("engine_class", ["BCS", "VCS", "VECS"])
def test_other_engines_have_none(engine_class: str) -> None:
    state = PipelineState(engine_class)
    state.latch([SELECT << 16 | 0x0302])
    assert state.image == b""
    state.reset()
    assert state.image == b""


def test_a_restore_takes_what_a_command_can_say_and_nothing_else(state: PipelineState) -> None:
    """Each bit of each command."""
    image = state.image
    at = 0
    for key, length in STATE_COMMANDS.items():
        for number, fixed in enumerate(decided(key, length)):
            for bit in range(32):
                changed = bytearray(image)
                changed[at + bit // 8] ^= 1 << bit % 8
                found = PipelineState("RCS")
                takes = found.restore(bytes(changed))
                assert takes != bool(fixed >> bit & 1), (hex(key), number, bit)
                if takes:
                    expected = cold(key, length)
                    expected[number] ^= 1 << bit
                    assert list(found.command(key)) == expected
                    assert found.image == changed
                else:
                    assert found.image == image
            at += 4
    for place in range(at, PAGE, 4):
        assert not state.restore(image[:place] + b"\x01" + image[place + 1 :])


def test_state_goes_through_an_image(state: PipelineState) -> None:
    state.latch([FRONT_END << 16 | 7, *range(1, 9)])
    state.latch([SELECT << 16 | 0x0302])
    state.load_descriptors(bytes(range(64)))
    state.load_constants(bytes(range(255, -1, -1)))
    other = PipelineState("RCS")
    before = other.image
    assert other.restore(state.image)
    assert other.image == state.image != before
    assert other.command(FRONT_END) == state.command(FRONT_END)
    assert (other.descriptors, other.constants) == (state.descriptors, state.constants)
    other.reset()
    assert other.image == before
    assert (other.descriptors, other.constants) == (b"", b"")


@pytest.mark.parametrize(
    ("load", "start", "head"),
    [
        (PipelineState.load_descriptors, DESCRIPTORS, 0x7002_0002),
        (PipelineState.load_constants, CONSTANTS, 0x7001_0002),
    ],
)
@pytest.mark.parametrize("size", [4, 32, 2048, 4080])
def test_what_is_loaded_stands_behind_its_command(
    state: PipelineState,
    load: Callable[[PipelineState, bytes], None],
    start: int,
    head: int,
    size: int,
) -> None:
    data = bytes(1 + n % 255 for n in range(size))
    load(state, data)
    image = state.image
    assert dwords(image, start, 4) == [head + size // 4, 0, size, 0]
    assert image[start + 16 : start + 16 + size] == data
    assert not any(image[start + 16 + size : CONSTANTS if start == DESCRIPTORS else None])
    assert state.image is image, "made once"
    load(state, bytes(data))
    assert state.image is image, "nothing has changed"
    load(state, data[:-4])
    assert dwords(state.image, start, 4) == [head + size // 4 - 1, 0, size - 4, 0]


@pytest.mark.parametrize("start", HEADS)
@pytest.mark.parametrize(
    ("head", "zero", "size", "first", "behind"),
    [
        (0, 0, 8, 0, 0),
        (1 << 16, 0, 0, 0, 0),
        (2, 1, 8, 0, 0),
        (2, 0, 8, 64, 0),
        (1, 0, 6, 0, 0),
        (2, 0, 1 << 16, 0, 0),
        (2, 0, 8, 0, 1),
        (2, 0, 4, 0, 0),
    ],
)
def test_a_load_of_another_shape_is_not_taken(
    state: PipelineState, start: int, head: int, zero: int, size: int, first: int, behind: int
) -> None:
    right = struct.pack("<6I", HEADS[start] + 2, 0, 8, 0, 7, 8)
    for load, taken in (
        (right, True),
        (struct.pack("<7I", HEADS[start] + head, zero, size, first, 7, 8, behind), False),
    ):
        image = state.image
        changed = image[:start] + load + image[start + len(load) :]
        assert state.restore(changed) is taken
        assert state.image == (changed if taken else image)


@pytest.mark.parametrize(
    ("commands", "kept"),
    [
        ([0x0301], 0xFF01),
        ([0x03FF], 0xFF03),
        ([0xFF5A, 0x0FA5], 0xFF55),
        ([0xFF5A, 0x0000], 0xFF5A),
        ([0xFF5A, 0x00FF], 0xFF5A),
        ([0xFFFF, 0xFF00], 0xFF00),
    ],
)
def test_pipeline_select_changes_what_its_mask_names(
    state: PipelineState, commands: list[int], kept: int
) -> None:
    for command in commands:
        state.latch([SELECT << 16 | command])
    assert state.command(SELECT) == (SELECT << 16 | kept,)
    assert state.restore(PipelineState("RCS").image)


@pytest.mark.parametrize("given", range(1, 12))
def test_a_command_that_is_short_leaves_its_rest_0(state: PipelineState, given: int) -> None:
    """And one that is long has nothing behind its end."""
    state.latch([FRONT_END << 16 | 7, *[0xFFFF_FFFF] * 8])
    state.latch([FRONT_END << 16 | (given - 1), *range(1, given + 1)])
    operands = [*range(1, given + 1), *[0] * 8][:8]
    assert list(state.command(FRONT_END)) == [FRONT_END << 16 | 7, *operands]


def base_address(**given: int) -> list[int]:
    """STATE_BASE_ADDRESS with some dwords; ``d5=1``."""
    return [BASE << 16 | 17, *(given.get(f"d{n}", 0) for n in range(1, 19))]


@pytest.mark.parametrize("low", BASES)
def test_each_base_and_size_has_a_bit_of_its_own(state: PipelineState, low: int) -> None:
    size = BASES[low]
    old = base_address(**{f"d{n}": 0x1000 * n | (n in MODIFIED) for n in range(1, 19)})
    state.latch(old)
    assert list(state.command(BASE)) == old
    new = {f"d{n}": 0x10_0000 * n for n in range(1, 19) if n not in (low, size)}
    state.latch(base_address(**new, **{f"d{low}": 0x7000_0001}))
    expected = [*old]
    expected[low : low + 2] = [0x7000_0001, 0x10_0000 * (low + 1)]
    expected[MOCS] = 0x10_0000 * MOCS
    assert list(state.command(BASE)) == expected
    if size is not None:
        state.latch(base_address(d3=expected[MOCS], **{f"d{size}": 0x6000_0001}))
        expected[size] = 0x6000_0001
        assert list(state.command(BASE)) == expected


def test_the_bindless_heap_comes_with_its_size(state: PipelineState) -> None:
    state.latch(base_address(d16=0x5001, d17=6, d18=0x7000))
    assert state.command(BASE)[16:] == (0x5001, 6, 0x7000)
    state.latch(base_address(d16=0x8000, d17=8, d18=0x9001))
    assert state.command(BASE)[16:] == (0x5001, 6, 0x7000)


def test_a_short_base_address_changes_what_it_has(state: PipelineState) -> None:
    """As on Gen8, which has no bindless heap."""
    state.latch(base_address(d1=0x5001, d16=0x5001, d17=6, d18=0x7000))
    state.latch([BASE << 16 | 14, 0x8001, 1, 5, *[0] * 12])
    found = state.command(BASE)
    assert found[1:4] == (0x8001, 1, 5)
    assert found[16:] == (0x5001, 6, 0x7000)
    state.latch([BASE << 16])
    assert state.command(BASE)[1:4] == (0x8001, 1, 0)


@pytest.mark.parametrize("again", [PipelineState.reset, "restore"])
def test_what_was_said_before_counts_anew(
    state: PipelineState, again: Callable[[PipelineState], None] | str
) -> None:
    """Also where it is what was said last before the state became another."""
    command = [FRONT_END << 16 | 7, *range(1, 9)]
    cold = state.image
    state.latch(command)
    state.latch(command)
    assert list(state.command(FRONT_END)) == command
    if isinstance(again, str):
        assert state.restore(cold)
    else:
        again(state)
    assert state.image == cold
    state.latch(command)
    assert list(state.command(FRONT_END)) == command


def test_vertex_buffers_are_kept_one_by_one(state: PipelineState) -> None:
    first = [3 << 26 | 1 << 14 | 12, 0x1000, 1, 36]
    last = [32 << 26 | 1 << 14 | 4, 0x2000, 2, 48]
    state.latch([BUFFERS << 16 | 7, *first, *last])
    found = list(state.command(BUFFERS))
    assert (found[13:17], found[129:]) == (first, last)
    state.latch([BUFFERS << 16 | 3, 3 << 26 | 1 << 14 | 16, 0x3000, 0, 64])
    found = list(state.command(BUFFERS))
    assert (found[13:17], found[129:]) == ([3 << 26 | 1 << 14 | 16, 0x3000, 0, 64], last)
    state.latch([BUFFERS << 16 | 3, 3 << 26 | 20, 0x5000, 5, 5])
    assert list(state.command(BUFFERS))[13:17] == [3 << 26 | 1 << 14 | 20, 0x3000, 0, 64]


@pytest.mark.parametrize("number", [33, 63])
def test_there_are_33_vertex_buffers(state: PipelineState, number: int) -> None:
    before = state.image
    state.latch([BUFFERS << 16 | 3, number << 26 | 1 << 14, 1, 2, 3])
    state.latch([BUFFERS << 16 | 2, 1 << 26 | 1 << 14, 1, 2])
    assert state.image == before


def test_each_vertex_element_advances_by_itself(state: PipelineState) -> None:
    for number, step in ((0, 7), (33, 9)):
        state.latch([INSTANCING << 16 | 1, 1 << 8 | number, step])
    found = state.command(INSTANCING)
    assert (found[:3], found[99:]) == (
        (INSTANCING << 16 | 1, 1 << 8, 7),
        (INSTANCING << 16 | 1, 1 << 8 | 33, 9),
    )
    before = state.image
    state.latch([INSTANCING << 16 | 1, 1 << 8 | 34, 1])
    assert state.image == before


def test_what_changes_nothing_leaves_the_image_alone(state: PipelineState) -> None:
    image = state.image
    state.latch([FRONT_END << 16 | 7, *[0] * 8])
    state.latch([SELECT << 16])
    assert state.image is image
    state.latch([FRONT_END << 16 | 7, 1, *[0] * 7])
    assert state.image != image
