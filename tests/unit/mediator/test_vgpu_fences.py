"""Virtual fences: what pairs of registers mean, and where an aperture access ends up."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from mediator.errors import Reason
from mediator.gen9 import registers as reg
from mediator.vgpu.fences import decode, decode_all, runs
from mediator.vgpu.vgpu_type import TYPES
from tests.unit.mediator.vgpu_fake import FakeVgpu

VALID, TILED_Y = 1, 2
BASE = 0x20_0000
PAGES = 16


@pytest.fixture
def vgpu() -> FakeVgpu:
    return FakeVgpu()


def fence(vgpu: FakeVgpu, number: int, flags: int, pitch: int, pages: int = PAGES) -> None:
    """Set a fence at BASE as i915 does: off, high dword, low dword."""
    low, high = reg.FENCE_BASE + 8 * number, reg.FENCE_BASE + 8 * number + 4
    vgpu.write(low, 0)
    vgpu.write(high, (BASE + (pages - 1) * 4096) | (pitch // 128 - 1))
    vgpu.write(low, BASE | flags)


def gather(vgpu: FakeVgpu, memory: bytes, address: int, count: int) -> bytes:
    """What an access through the aperture sees of ``memory``, which starts at BASE."""
    pieces = runs(vgpu.fences, address, count)
    return b"".join(memory[at - BASE : at - BASE + length] for at, length in pieces)


def test_without_fences_the_aperture_is_the_ggtt(vgpu: FakeVgpu) -> None:
    assert list(runs(vgpu.fences, 0x1234, 0x5678)) == [(0x1234, 0x5678)]


@pytest.mark.parametrize(
    ("flags", "pitch", "linear", "tiled"),
    [
        (VALID, 1024, 1 * 1024 + 600, 4096 + 512 + 88),
        (VALID, 1024, 9 * 1024 + 4, 2 * 4096 + 512 + 4),
        (VALID | TILED_Y, 256, 33 * 256 + 150, 3 * 4096 + 512 + 16 + 6),
        (VALID | TILED_Y, 256, 17, 512 + 1),
        (TILED_Y, 256, 17, 17),
    ],
)
def test_known_places(vgpu: FakeVgpu, flags: int, pitch: int, linear: int, tiled: int) -> None:
    fence(vgpu, 3, flags, pitch)
    assert list(runs(vgpu.fences, BASE + linear, 1)) == [(BASE + tiled, 1)]


@pytest.mark.parametrize(("flags", "pitch"), [(VALID, 512), (VALID, 2048), (3, 128), (3, 1024)])
def test_every_byte_is_seen_once_and_pieces_join(vgpu: FakeVgpu, flags: int, pitch: int) -> None:
    fence(vgpu, 31, flags, pitch)
    size = PAGES * 4096
    seen = [at for start, n in runs(vgpu.fences, BASE, size) for at in range(start, start + n)]
    assert sorted(seen) == list(range(BASE, BASE + size))
    memory = random.Random(4).randbytes(size)
    whole = gather(vgpu, memory, BASE, size)
    for start, count in ((0, 1), (77, 900), (4095, 2), (size - 5, 5), (513, 30_000)):
        assert gather(vgpu, memory, BASE + start, count) == whole[start : start + count]


def test_a_fence_ends_where_it_says(vgpu: FakeVgpu) -> None:
    fence(vgpu, 0, VALID | TILED_Y, 128, pages=2)
    assert next(runs(vgpu.fences, BASE - 8, 4096)) == (BASE - 8, 8)
    assert list(runs(vgpu.fences, BASE + 8192, 4096)) == [(BASE + 8192, 4096)]
    vgpu.write(reg.FENCE_BASE, 0)
    assert vgpu.fences == {}


def test_fences_without_sense_are_off() -> None:
    assert decode(0x10_0000 | VALID, 0x10_0000 | 0) is None, "an X tile is 512 bytes wide"
    assert decode(0x10_0000 | VALID, 0x0F_0000 | 3) is None, "the end comes first"
    assert decode(0x10_0000, 0x10_0000 | 3) is None


def test_a_fence_moves_with_either_dword(vgpu: FakeVgpu) -> None:
    fence(vgpu, 5, VALID, 512)
    vgpu.write(reg.FENCE_BASE + 8 * 5 + 4, (BASE + 4096) | 7)
    assert (vgpu.fences[5].pitch, vgpu.fences[5].end) == (1024, BASE + 2 * 4096)


def test_fences_come_back_from_registers(vgpu: FakeVgpu) -> None:
    fence(vgpu, 0, VALID, 512)
    fence(vgpu, 31, VALID | TILED_Y, 128)
    assert decode_all(vgpu.registers.values) == vgpu.fences
    assert len(vgpu.fences) == 2


def test_a_type_with_fewer_fences_has_no_others(vgpu: FakeVgpu) -> None:
    """The last one works, the next is refused and the aperture stays linear there."""
    vgpu.type = replace(TYPES["V9_4"], fences=4)
    fence(vgpu, 3, VALID, 512)
    assert list(vgpu.fences) == [3]
    assert vgpu.rejected == []
    fence(vgpu, 4, VALID, 512)
    assert list(vgpu.fences) == [3]
    assert set(vgpu.rejected) == {Reason.REGISTER}
    assert list(decode_all(vgpu.registers.values, vgpu.type.fences)) == [3]


def test_a_fence_beyond_that_is_off_is_no_offence(vgpu: FakeVgpu) -> None:
    vgpu.type = replace(TYPES["V9_4"], fences=4)
    for number in range(reg.FENCE_COUNT):
        vgpu.write(reg.FENCE_BASE + 8 * number, 0)
        vgpu.write(reg.FENCE_BASE + 8 * number + 4, 0)
    assert vgpu.rejected == []
