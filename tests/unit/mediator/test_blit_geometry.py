"""Where 2D commands reach, in which order they draw, and what they say that they did.

Against a second statement of the tilings (PRM SKL vol 5 "Tiling"): an X tile is 8 rows of 512
bytes, a Y tile eight columns of 32 rows of 16 bytes.
"""

from __future__ import annotations

import random

import pytest

from mediator.hotpath.interface import Blit, Surface, Tiling
from mediator.softgpu.address_space import Ppgtt
from mediator.softgpu.blitter import BlitStats, Rectangle, _extent, _overlap, execute_blit
from tests.guest_ram import PAGE, GuestRam, Tables
from tests.unit.mediator.test_blitter import COPY, FAST, color, copy

MASK = (1 << 48) - 1
TILES = {Tiling.X: (512, 8), Tiling.Y: (128, 32)}
BASE = 64 * PAGE


def never() -> bool:
    return False


def place(surface: Surface, x: int, y: int) -> int:
    """Where byte ``x`` of row ``y`` lies."""
    if surface.tiling is Tiling.LINEAR:
        return surface.base + y * surface.pitch + x
    width, rows = TILES[surface.tiling]
    tile = y // rows * (surface.pitch // width) + x // width
    x, y = x % width, y % rows
    within = y * 512 + x if surface.tiling is Tiling.X else x // 16 * 512 + y * 16 + x % 16
    return surface.base + tile * PAGE + within


def touched(surface: Surface, x: int, y: int, width: int, height: int) -> list[int]:
    return [place(surface, x + i, y + j) for j in range(height) for i in (0, width - 1)]


@pytest.mark.parametrize("tiling", Tiling)
@pytest.mark.parametrize("pitch", [1024, 2048, -1024])
def test_a_rectangle_reaches_no_further_than_it_must(tiling: Tiling, pitch: int) -> None:
    """To the byte where the surface is linear, else to its tiles."""
    chance = random.Random(f"{tiling} {pitch}")
    for _ in range(60):
        surface = Surface(BASE, pitch, tiling)
        x, y = chance.randrange(-200, 800), chance.randrange(-20, 90)
        width, height = chance.choice((1, 7, 128, 129, 500)), chance.choice((1, 2, 8, 9, 40))
        low, high = _extent(surface, x, y, width, height)
        places = touched(surface, x, y, width, height)
        if tiling is Tiling.LINEAR:
            assert (low, high) == (min(places), max(places) + 1)
        else:
            assert (low, high) == (min(places) & -PAGE, (max(places) | PAGE - 1) + 1)


@pytest.mark.parametrize("base", [0, BASE, MASK - 5 * PAGE + 1])
def test_what_touches_one_byte_overlaps(base: int) -> None:
    """Also around the end of the space; side by side is apart."""
    job = Blit(Surface(base, 256), 0, 0, 256, 16, 0xCC)
    for shift in (-4096, -1, 0, 1, 4096):
        for job.width, job.height, apart in ((256, 16, 4096), (255, 16, 4095), (256, 15, 3840)):
            source = Surface(base + shift & MASK, 256)
            assert _overlap(job, source, MASK) is (abs(shift) < apart), (shift, apart)
            assert _overlap(job, source, MASK) is _overlap(
                Blit(source, 0, 0, job.width, job.height, 0xCC), job.destination, MASK
            )


@pytest.mark.parametrize("opcode", [COPY, FAST])
@pytest.mark.parametrize("tiling", Tiling)
def test_a_move_within_a_surface_is_as_if_read_first(opcode: int, tiling: Tiling) -> None:
    """In each direction, by less than the rectangle."""
    ram = GuestRam(80)
    tables = Tables(ram)
    pages = [ram.page() for _ in range(16)]
    for number, page in enumerate(pages):
        tables.map(BASE + number * PAGE, page)
    space = tables.space()
    pitch = 1024
    surface = Surface(BASE, pitch, tiling)
    control, header = 0, 0
    if opcode == COPY:
        header = (tiling is not Tiling.LINEAR) * (1 << 15 | 1 << 11)
        control = 3 * (tiling is Tiling.Y)
    else:
        header = int(tiling) << 20 | int(tiling) << 13
    field = pitch if tiling is Tiling.LINEAR else pitch // 4
    chance = random.Random(f"{opcode} {tiling}")
    for _ in range(24):
        width, height = chance.randrange(1, 300), chance.randrange(1, 30)
        left, top = chance.randrange(700), chance.randrange(34)
        to_left = max(0, min(700, left + chance.choice((-40, -1, 0, 1, 40))))
        to_top = max(0, min(33, top + chance.choice((-9, -1, 0, 0, 1, 9))))
        before = chance.randbytes(16 * PAGE)
        space.write(BASE, before)
        expected = bytearray(before)
        for j in range(height):
            for i in range(width):
                to = place(surface, to_left + i, to_top + j) - BASE
                expected[to] = before[place(surface, left + i, top + j) - BASE]
        rectangle = (to_left, to_top, to_left + width, to_top + height)
        command = copy(
            rectangle,
            (left, top),
            opcode=opcode,
            depth=0,
            pitch=field,
            source_pitch=field,
            address=BASE | 0xABCD << 48,
            source=BASE | 0x1234 << 48,
            header=header,
        )
        stats = execute_blit(command, space, control, never)
        assert space.read(BASE, 16 * PAGE) == expected
        size = width * height
        assert stats == BlitStats(size, size, size, height)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("first_row", [0, 1, 7, 8, 99])
def test_rows_that_are_done_are_left_out(up: bool, first_row: int) -> None:
    """The first in the order of drawing: the last of all where rows are moved down."""
    ram = GuestRam(80)
    space = ram.ggtt({number: ram.page() for number in range(4)})
    rows = [bytes([row + 1]) * 64 for row in range(12)]
    space.write(0, b"".join(rows))
    source = 0 if up else 256
    target = 64 if up else 0
    command = copy(
        (0, 0, 64, 8), (0, 0), depth=0, pitch=64, source_pitch=64, address=target, source=source
    )
    stats = execute_blit(command, space, 0, never, None, first_row)
    left = max(0, 8 - first_row)
    begin, end = (0, left) if up else (8 - left, 8)
    expected = rows[:]
    for row in range(begin, end):
        expected[target // 64 + row] = rows[source // 64 + row]
    assert space.read(0, 12 * 64) == b"".join(expected)
    assert (stats.pixels, stats.rows, stats.aborted) == (64 * left, first_row + left, False)


@pytest.mark.parametrize(
    ("rop", "header", "reads"),
    [(0xF0, 3, 0), (0x5A, 3, 1), (0xF0, 1, 1), (0x5A, 2, 1), (0xAA, 3, 1), (0x00, 3, 0)],
)
def test_what_a_fill_did(rop: int, header: int, reads: int) -> None:
    """A destination is read where the operation names it or a mask keeps some of it."""
    ram = GuestRam(8)
    space = ram.ggtt({0: ram.page()})
    stats = execute_blit(
        color((1, 1, 9, 4), 5, rop=rop, header=header << 20), space, 0, never, None
    )
    assert stats == BlitStats(24, 96 * reads, 96, 3)


@pytest.mark.parametrize(("rop", "reads"), [(0xCC, 1), (0x66, 2), (0xAA, 1), (0xFF, 0)])
def test_what_a_copy_did(rop: int, reads: int) -> None:
    ram = GuestRam(8)
    space = ram.ggtt({0: ram.page(), 16: ram.page()})
    stats = execute_blit(copy((0, 0, 8, 3), (1, 0), rop=rop), space, 0, never)
    assert stats == BlitStats(24, 96 * reads, 96, 3)


def test_what_an_abort_left() -> None:
    ram = GuestRam(8)
    space = ram.ggtt({0: ram.page()})
    stats = execute_blit(color((0, 0, 8, 3), 5), space, 0, lambda: True)
    assert stats == BlitStats(aborted=True)


def test_a_space_that_is_stale_is_drawn_in_as_it_was_known() -> None:
    ram = GuestRam(16)
    tables, old, new = Tables(ram), ram.page(), ram.page()
    tables.map(0, old)
    space = Ppgtt(ram.memory, stale=True)
    space.load(tables.root)
    space.read_u32(0)
    tables.map(0, new)
    execute_blit(color((0, 0, 1, 1), 7), space, 0, never)
    assert (ram.memory.read_u32(old), ram.memory.read_u32(new)) == (7, 0)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ((0, 0, 9, 9), (2, 3, 5, 7), (2, 3, 5, 7)),
        ((0, 4, 5, 9), (2, 3, 9, 7), (2, 4, 5, 7)),
        ((-4, -3, -1, -1), (-9, -2, 9, 9), (-4, -2, -1, -1)),
    ],
)
def test_what_lies_in_two_rectangles(
    first: tuple[int, int, int, int], second: tuple[int, int, int, int], both: tuple[int, ...]
) -> None:
    found = Rectangle(*first).clipped(Rectangle(*second))
    assert (found.left, found.top, found.right, found.bottom) == both
    assert Rectangle(*second).clipped(Rectangle(*first)) == found
    assert not found.empty


@pytest.mark.parametrize(
    ("corners", "empty"),
    [
        ((0, 0, 1, 1), False),
        ((0, 0, 0, 1), True),
        ((0, 0, 1, 0), True),
        ((2, 0, 1, 1), True),
        ((0, 2, 1, 1), True),
        ((0, 0, 0, 0), True),
    ],
)
def test_an_empty_rectangle(corners: tuple[int, int, int, int], empty: bool) -> None:
    assert Rectangle(*corners).empty is empty
