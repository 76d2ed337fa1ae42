"""Fences: tiled surfaces seen through the aperture, against known places and the blitter."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from mediator.softgpu.blitter import execute_blit
from mediator.softgpu.fences import Fence, decode, runs
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

FENCE = 0x100000
PAGES = 16
VALID, TILED_Y = 1, 2


@pytest.fixture
def bench() -> Bench:
    return make_bench()


def surface(bench: Bench, pages: int = PAGES) -> int:
    """GGTT address of fresh pages."""
    return bench.driver.ggtt_map(bench.driver.ram.allocate(pages), pages)


def fence(
    bench: Bench, number: int, address: int, pitch: int, flags: int, pages: int = PAGES
) -> None:
    """Set a fence as i915 does: off, high dword, low dword."""
    low, high = FENCE + 8 * number, FENCE + 8 * number + 4
    bench.driver.write32(low, 0)
    bench.driver.write32(high, (address + (pages - 1) * 4096) | (pitch // 128 - 1))
    bench.driver.write32(low, address | flags)


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
def test_known_places(bench: Bench, flags: int, pitch: int, linear: int, tiled: int) -> None:
    base = surface(bench)
    fence(bench, 3, base, pitch, flags)
    bench.gpu.write_aperture(base + linear, b"\x5a")
    assert bench.gpu.ggtt.read(base + tiled, 1) == b"\x5a"
    assert bench.gpu.read_aperture(base + linear, 1) == b"\x5a"


@pytest.mark.parametrize("tiled_y", [False, True])
def test_the_aperture_shows_what_the_blitter_tiles(bench: Bench, tiled_y: bool) -> None:
    source, target = surface(bench), surface(bench)
    pixels = random.Random(7).randbytes(PAGES * 4096)
    bench.gpu.ggtt.write(source, pixels)
    pitch, rows = 1024, PAGES * 4
    header = 0x54F0_0008 | 1 << 11
    corner = rows << 16 | pitch // 4
    copy = [header, 3 << 24 | 0xCC << 16 | pitch // 4, 0, corner, target, 0, 0, pitch, source, 0]
    execute_blit(copy, bench.gpu.ggtt, 2 if tiled_y else 0, lambda: False)
    fence(bench, 31, target, pitch, VALID | (TILED_Y if tiled_y else 0))
    assert bench.gpu.read_aperture(target, PAGES * 4096) == pixels
    assert bench.gpu.ggtt.read(target, PAGES * 4096) != pixels
    changed = random.Random(8).randbytes(5000)
    bench.gpu.write_aperture(target + 333, changed)
    assert bench.gpu.read_aperture(target, PAGES * 4096) == pixels[:333] + changed + pixels[5333:]


def test_a_fence_ends_where_it_says_and_goes_when_told(bench: Bench) -> None:
    base = surface(bench, 4)
    bench.gpu.ggtt.write(base, random.Random(9).randbytes(4 * 4096))
    fence(bench, 0, base + 4096, 512, VALID, pages=2)
    seen, plain = bench.gpu.read_aperture(base, 4 * 4096), bench.gpu.ggtt.read(base, 4 * 4096)
    assert seen == plain, "an X-tiled surface one tile wide is linear"
    fence(bench, 0, base + 4096, 128, VALID | TILED_Y, pages=2)
    seen = bench.gpu.read_aperture(base, 4 * 4096)
    assert (seen[:4096], seen[3 * 4096 :]) == (plain[:4096], plain[3 * 4096 :])
    assert seen[4096 : 3 * 4096] != plain[4096 : 3 * 4096]
    bench.driver.write32(FENCE, 0)
    assert bench.gpu.read_aperture(base, 4 * 4096) == plain


def test_fences_without_sense_are_off() -> None:
    assert decode(0x10_0000 | VALID, 0x10_0000 | 0) is None, "an X tile is 512 bytes wide"
    assert decode(0x10_0000 | VALID, 0x0F_0000 | 3) is None, "the end comes first"
    assert decode(0x10_0000, 0x10_0000 | 3) is None


def test_nothing_behind_a_fence_reads_all_ones(bench: Bench) -> None:
    fence(bench, 0, 0x800_0000, 512, VALID)
    assert bench.gpu.read_aperture(0x800_0000, 4) == b"\xff" * 4
    bench.gpu.write_aperture(0x800_0000, bytes(4))


def place(address: int, start: int, pitch: int, tiled_y: bool) -> int:
    """Where a byte of a fenced surface lies: tiles of a page each, row by row of tiles."""
    y, x = divmod(address - start, pitch)
    if tiled_y:
        tile, column = y // 32 * (pitch // 128) + x // 128, x % 128 // 16
        return start + 4096 * tile + 512 * column + 16 * (y % 32) + x % 16
    return start + 4096 * (y // 8 * (pitch // 512) + x // 512) + 512 * (y % 8) + x % 512


@pytest.mark.parametrize("seed", range(20))
def test_an_access_comes_in_runs_of_which_each_byte_is_in_its_place(seed: int) -> None:
    """Before, in, between and behind fences, in whichever order they were set."""
    chance = random.Random(seed)
    page, fences = 16, []
    for number in chance.sample(range(32), 3):
        tiled_y = chance.random() < 0.5
        pages = chance.choice((1, 2, 6))
        pitch = chance.choice((128, 256, 640) if tiled_y else (512, 1024, 1536))
        fences.append((number, Fence(4096 * page, 4096 * (page + pages), pitch, tiled_y)))
        page += pages + chance.choice((0, 1))
    chance.shuffle(fences)
    gpu: Any = SimpleNamespace(fences=dict(fences))
    for _ in range(20):
        first = 4096 * chance.randrange(15, page + 1) + chance.choice((0, 1, 2048, 4095))
        count = chance.choice((1, 4, 16, 700, 5000))
        expected = []
        for address in range(first, first + count):
            inside = [each for _, each in fences if each.start <= address < each.end]
            expected += [place(address, e.start, e.pitch, e.tiled_y) for e in inside] or [address]
        pieces = list(runs(gpu, first, count))
        assert [at + n for at, length in pieces for n in range(length)] == expected
    assert list(runs(gpu, 4096, 0)) == []


@pytest.mark.parametrize("tiled_y", [False, True])
@pytest.mark.parametrize("units", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("end", [7, 8, 9])
def test_a_fence_is_what_its_pair_says(tiled_y: bool, units: int, end: int) -> None:
    """A whole number of tiles wide (pitches count in 128 bytes), from page 8 up to a page's end."""
    found = decode(8 << 12 | VALID | TILED_Y * tiled_y, end << 12 | units - 1)
    if end < 8 or (units % 4 and not tiled_y):
        assert found is None
    else:
        assert found == Fence(8 << 12, (end + 1) << 12, 128 * units, tiled_y)
