"""2D commands as dwords: every field of each command, and what a hostile one does."""

from __future__ import annotations

import random
import struct
from collections import Counter

import pytest

from mediator.softgpu.address_space import Ggtt, PageFault
from mediator.softgpu.blitter import CommandError, Rectangle, clip_rectangle, execute_blit
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables

PAGES = 32
SOURCE = 16 * PAGE
COLOR = 0x50
COPY = 0x53
FAST = 0x42
SOURCE_Y, DESTINATION_Y = 1 << 0, 1 << 1
"""Bits of BCS_SWCTRL, as i915 and IGT set them."""


def _never() -> bool:
    return False


@pytest.fixture
def space() -> Ggtt:
    ram = GuestRam(PAGES)
    pages = [ram.page() for _ in range(PAGES)]
    random.Random(3).shuffle(pages)
    return ram.ggtt(dict(enumerate(pages)))


def _corner(x: int, y: int) -> int:
    return (y & 0xFFFF) << 16 | x & 0xFFFF


def color(
    rectangle: tuple[int, int, int, int],
    colour: int,
    *,
    depth: int = 3,
    rop: int = 0xF0,
    pitch: int = 256,
    address: int = 0,
    header: int = 3 << 20,
    clip: bool = False,
) -> list[int]:
    x1, y1, x2, y2 = rectangle
    return [
        2 << 29 | COLOR << 22 | header | 5,
        clip << 30 | depth << 24 | rop << 16 | pitch & 0xFFFF,
        _corner(x1, y1),
        _corner(x2, y2),
        address & 0xFFFF_FFFF,
        address >> 32,
        colour,
    ]


def copy(
    rectangle: tuple[int, int, int, int],
    origin: tuple[int, int],
    *,
    opcode: int = COPY,
    depth: int = 3,
    rop: int = 0xCC,
    pitch: int = 256,
    address: int = 0,
    source_pitch: int = 256,
    source: int = SOURCE,
    header: int = 3 << 20,
    clip: bool = False,
) -> list[int]:
    first = color(
        rectangle,
        _corner(*origin),
        depth=depth,
        rop=rop,
        pitch=pitch,
        address=address,
        header=header,
        clip=clip,
    )
    first[0] = 2 << 29 | opcode << 22 | header | 8
    return [*first, source_pitch & 0xFFFF, source & 0xFFFF_FFFF, source >> 32]


class TestColor:
    @pytest.mark.parametrize(
        ("depth", "pixel"),
        [(0, b"\x44"), (1, b"\x44\x33"), (2, b"\x44\x33"), (3, b"\x44\x33\x22\x11")],
    )
    def test_depths(self, space: Ggtt, depth: int, pixel: bytes) -> None:
        stats = execute_blit(color((1, 2, 6, 4), 0x1122_3344, depth=depth), space, 0, _never)
        row = bytes(len(pixel)) + 5 * pixel + bytes(256 - 6 * len(pixel))
        assert space.read(0, 5 * 256) == bytes(512) + 2 * row + bytes(256)
        assert (stats.pixels, stats.bytes_written) == (10, 10 * len(pixel))

    @pytest.mark.parametrize(
        ("enables", "after"),
        [(0, 0x1111_1111), (1, 0x11BB_CCDD), (2, 0xAA11_1111), (3, 0xAABB_CCDD)],
    )
    def test_write_enables(self, space: Ggtt, enables: int, after: int) -> None:
        space.write_u32(0, 0x1111_1111)
        execute_blit(color((0, 0, 1, 1), 0xAABB_CCDD, header=enables << 20), space, 0, _never)
        assert space.read_u32(0) == after

    def test_write_enables_act_at_32_bits_only(self, space: Ggtt) -> None:
        execute_blit(color((0, 0, 4, 1), 0xEE, depth=0, header=0), space, 0, _never)
        assert space.read_u32(0) == 0xEEEE_EEEE

    @pytest.mark.parametrize(
        ("rop", "after"),
        [(0x00, 0), (0xFF, 0xFFFF_FFFF), (0x5A, 0x3C ^ 0x0F), (0xA0, 0x0C), (0xAA, 0x0F)],
    )
    def test_raster_operations(self, space: Ggtt, rop: int, after: int) -> None:
        space.write_u32(0, 0x0F)
        execute_blit(color((0, 0, 1, 1), 0x3C, rop=rop), space, 0, _never)
        assert space.read_u32(0) == after

    def test_a_source_it_lacks_is_zero(self, space: Ggtt) -> None:
        space.write_u32(0, 0x0F)
        execute_blit(color((0, 0, 1, 1), 0, rop=0xEE), space, 0, _never)
        assert space.read_u32(0) == 0x0F

    @pytest.mark.parametrize(
        "rectangle", [(3, 3, 3, 9), (3, 3, 9, 3), (9, 0, 2, 5), (0, 9, 5, 2), (5, 5, -5, 9)]
    )
    def test_an_empty_rectangle_draws_nothing(
        self, space: Ggtt, rectangle: tuple[int, int, int, int]
    ) -> None:
        command = color(rectangle, 1, address=0x8000_0000)
        assert execute_blit(command, space, 0, _never).pixels == 0

    def test_coordinates_and_pitch_are_signed(self, space: Ggtt) -> None:
        command = color((-2, -1, 0, 1), 7, address=PAGE, pitch=-64)
        execute_blit(command, space, 0, _never)
        assert space.read(PAGE - 8, 8) == struct.pack("<2I", 7, 7)
        assert space.read(PAGE + 64 - 8, 8) == struct.pack("<2I", 7, 7)

    @pytest.mark.parametrize(
        ("clip", "pixels"),
        [(Rectangle(2, 1, 5, 3), 6), (Rectangle(-9, -9, 99, 99), 64), (Rectangle(), 0), (None, 0)],
    )
    def test_clipping(self, space: Ggtt, clip: Rectangle | None, pixels: int) -> None:
        command = color((0, 0, 8, 8), 1, clip=True)
        assert execute_blit(command, space, 0, _never, clip).pixels == pixels
        assert sum(space.read(0, 8 * 256)) == pixels

    @pytest.mark.parametrize(
        ("control", "second_column"), [(0, 16), (SOURCE_Y, 16), (DESTINATION_Y, 512)]
    )
    def test_tiles(self, space: Ggtt, control: int, second_column: int) -> None:
        command = color((4, 0, 5, 1), 9, pitch=128, header=3 << 20 | 1 << 11)
        execute_blit(command, space, control, _never)
        assert space.read_u32(second_column) == 9


class TestCopy:
    def test_the_rectangle_moves(self, space: Ggtt) -> None:
        pixels = random.Random(1).randbytes(16 * 256)
        space.write(SOURCE, pixels)
        execute_blit(copy((10, 3, 20, 8), (5, 1)), space, 0, _never)
        for row in range(5):
            expected = pixels[(row + 1) * 256 + 20 : (row + 1) * 256 + 60]
            assert space.read((row + 3) * 256 + 40, 40) == expected

    def test_clipping_moves_the_source_along(self, space: Ggtt) -> None:
        space.write(SOURCE, struct.pack("<8I", *range(8)))
        command = copy((0, 0, 8, 1), (0, 0), clip=True)
        execute_blit(command, space, 0, _never, Rectangle(3, 0, 5, 1))
        assert space.read(0, 32) == struct.pack("<8I", 0, 0, 0, 3, 4, 0, 0, 0)

    @pytest.mark.parametrize("shift", [-300, -256, -8, 8, 256, 300])
    def test_overlap_is_as_if_read_first(self, space: Ggtt, shift: int) -> None:
        pixels = random.Random(2).randbytes(24 * 256)
        space.write(PAGE, pixels)
        command = copy((0, 0, 32, 16), (0, 0), address=PAGE + 1024 + shift, source=PAGE + 1024)
        execute_blit(command, space, 0, _never)
        for row in range(16):
            expected = pixels[1024 + 256 * row :][:128]
            assert space.read(PAGE + 1024 + shift + 256 * row, 128) == expected

    @pytest.mark.parametrize(("target", "source"), [((1 << 32) - 512, 0), (0, (1 << 32) - 512)])
    def test_overlap_across_the_end_of_the_space(self, target: int, source: int) -> None:
        ram = GuestRam(PAGES)
        last = (1 << 32) // PAGE - 1
        space = ram.ggtt({number: ram.page() for number in (last, 0, 1)})
        pixels = random.Random(6).randbytes(2 * PAGE)
        space.write(last * PAGE, pixels)
        start = source - last * PAGE & 0xFFFF_FFFF
        expected = pixels[start : start + 16 * 256]
        command = copy((0, 0, 64, 16), (0, 0), address=target, source=source)
        execute_blit(command, space, 0, _never)
        assert space.read(target, 16 * 256) == expected

    def test_a_source_not_named_is_not_read(self, space: Ggtt) -> None:
        command = copy((0, 0, 4, 4), (0, 0), rop=0xFF, source=0xF000_0000)
        assert execute_blit(command, space, 0, _never).bytes_read == 0
        assert space.read_u32(0) == 0xFFFF_FFFF

    def test_a_fault_half_way_keeps_what_was_written(self, space: Ggtt) -> None:
        space.write(SOURCE, b"s" * 16 * PAGE)
        command = copy((0, 0, 1024, 40), (0, 0), pitch=PAGE, source_pitch=PAGE)
        with pytest.raises(PageFault) as raised:
            execute_blit(command, space, 0, _never)
        assert (raised.value.address, raised.value.write) == (PAGES * PAGE, False)
        assert space.read(0, 16 * PAGE) == b"s" * 16 * PAGE

    def test_a_tiled_surface_there_and_back(self, space: Ggtt) -> None:
        pixels = random.Random(5).randbytes(8 * PAGE)
        space.write(SOURCE, pixels)
        for control in (0, SOURCE_Y | DESTINATION_Y):
            tiled, linear = 3 << 20 | 1 << 11, 3 << 20 | 1 << 15
            there = copy((0, 0, 128, 32), (0, 0), pitch=128, source_pitch=512, header=tiled)
            back = copy((0, 0, 128, 32), (0, 0), address=SOURCE, source=0, header=linear)
            back[1] = back[1] & ~0xFFFF | 512
            back[7] = 128
            execute_blit(there, space, control, _never)
            space.write(SOURCE, bytes(4 * PAGE))
            execute_blit(back, space, control, _never)
            assert space.read(SOURCE, 4 * PAGE) == pixels[: 4 * PAGE]

    @pytest.mark.parametrize(("control", "column"), [(SOURCE_Y, 512), (DESTINATION_Y, 16)])
    def test_the_source_tiling_has_a_bit_of_its_own(
        self, space: Ggtt, control: int, column: int
    ) -> None:
        space.write_u32(SOURCE + column, 7)
        tiled = 3 << 20 | 1 << 15
        command = copy((0, 0, 1, 1), (4, 0), source_pitch=128, header=tiled)
        execute_blit(command, space, control, _never)
        assert space.read_u32(0) == 7


class TestFastCopy:
    @pytest.mark.parametrize(("depth", "size"), [(0, 1), (1, 2), (3, 4), (4, 8), (5, 16)])
    def test_depths(self, space: Ggtt, depth: int, size: int) -> None:
        pixels = random.Random(4).randbytes(1024)
        space.write(SOURCE, pixels)
        command = copy((0, 0, 3, 2), (1, 1), opcode=FAST, depth=depth, header=0)
        assert execute_blit(command, space, 0, _never).pixels == 6
        assert space.read(0, 3 * size + 1) == pixels[256 + size : 256 + 4 * size] + b"\0"

    @pytest.mark.parametrize(("tiling", "second_column"), [(1, 16), (2, 512)])
    def test_tiles(self, space: Ggtt, tiling: int, second_column: int) -> None:
        space.write_u32(SOURCE, 6)
        command = copy((4, 0, 5, 1), (0, 0), opcode=FAST, pitch=128, header=tiling << 13)
        execute_blit(command, space, 0, _never)
        assert space.read_u32(second_column) == 6

    @pytest.mark.parametrize(
        ("header", "dword1"),
        [(3 << 13, 0), (3 << 20, 0), (2 << 13, 1 << 30), (2 << 20, 1 << 31), (0, 2 << 24)],
    )
    def test_what_is_refused(self, space: Ggtt, header: int, dword1: int) -> None:
        command = copy((0, 0, 1, 1), (0, 0), opcode=FAST, header=header)
        command[1] = dword1 if dword1 == 2 << 24 else command[1] | dword1
        with pytest.raises(CommandError):
            execute_blit(command, space, 0, _never)


class TestHostile:
    def test_a_huge_rectangle_stops_when_told_to(self, space: Ggtt) -> None:
        asked = []

        def abort() -> bool:
            asked.append(1)
            return len(asked) > 8

        command = color((-32768, -32768, 32767, 32767), 1, pitch=0, address=0x8000_0000)
        for page in range(0x8000_0000 - 0x2_0000, 0x8000_0000 + 0x2_0000, PAGE):
            space.write_entry(page // PAGE * 8, space.read_entry(0, 8))
        stats = execute_blit(command, space, 0, abort)
        assert stats.aborted
        assert stats.bytes_written <= 8 << 20

    @pytest.mark.parametrize("command", [[], [0], [2 << 29 | COLOR << 22], [2 << 29 | 0x7F << 22]])
    def test_truncated_and_unknown_commands(self, space: Ggtt, command: list[int]) -> None:
        with pytest.raises(CommandError):
            execute_blit(command, space, 0, _never)

    def test_set_up_draws_nothing(self, space: Ggtt) -> None:
        with pytest.raises(CommandError):
            execute_blit([2 << 29 | 3 << 22 | 1, 0, 0], space, 0, _never)

    def test_any_dwords_end_in_a_result_or_an_error(self, space: Ggtt) -> None:
        """And reach nothing that the GGTT does not name, nor go on when they are told to stop."""
        chance = random.Random(6)
        outcomes = Counter[str]()
        first = space.translate(0, write=False)[0] & -PAGE
        kept = space.read_entry(0, 8 * PAGES)
        space.write_entry(0, bytes(8))  # a page of the guest's that the GPU has no way to
        before = space.memory.read(first, PAGE)
        for _ in range(300):
            left = [4]

            def abort(left: list[int] = left) -> bool:
                left[0] -= 1
                return left[0] < 0

            command = [chance.getrandbits(32) for _ in range(10)]
            command[0] = command[0] & ~(0x7F << 22) | chance.choice([COLOR, COPY, FAST]) << 22
            command[1] &= chance.choice([0xFFFF_FFFF, 0x3FFF_FFFF])
            command[4] &= chance.choice([0xFFFF_FFFF, 0x1_FFFF])  # some at what is there
            try:
                stats = execute_blit(command, space, chance.getrandbits(2), abort)
            except (CommandError, PageFault) as error:
                outcomes[type(error).__name__] += 1
                assert left[0] >= -1
                continue
            outcomes["aborted" if stats.aborted else "done"] += 1
            assert stats.aborted == (left[0] < 0)
            assert stats.rows >= 0 <= stats.pixels
        assert space.memory.read(first, PAGE) == before
        assert space.read_entry(8, 8 * (PAGES - 1)) == kept[8:]
        assert min(outcomes[name] for name in ("CommandError", "PageFault", "done")) > 5, outcomes


class TestPageTables:
    def test_a_read_only_page_is_passed_over(self) -> None:
        """Contiguous pages, the second read-only: what lies before and after it arrives."""
        ram = GuestRam(16)
        tables = Tables(ram)
        pages = [ram.page() for _ in range(3)]
        assert pages[1:] == [pages[0] + PAGE, pages[0] + 2 * PAGE]
        for number, page in enumerate(pages):
            tables.map(number * PAGE, page, PRESENT | (0 if number == 1 else WRITABLE))
        space = tables.space()
        for command in (
            color((0, 0, PAGE, 3), 0x4444_4444, depth=0, pitch=PAGE),
            color((0, 0, 3 * PAGE, 1), 0x5555_5555, depth=0, pitch=3 * PAGE),
        ):
            execute_blit(command, space, 0, _never)
            colour = bytes([command[6] & 0xFF]) * PAGE
            assert ram.memory.read(pages[0], 3 * PAGE) == colour + bytes(PAGE) + colour

    def test_a_copy_reads_through_a_read_only_page_and_does_not_write_it(self) -> None:
        ram = GuestRam(16)
        tables = Tables(ram)
        source, target = ram.page(), ram.page()
        ram.memory.write(source, b"\x33" * PAGE)
        for number, page in ((0, target), (1, source)):
            tables.map(number * PAGE, page, PRESENT)
        tables.map(2 * PAGE, target)
        space = tables.space()
        for address, after in ((0, 0), (2 * PAGE, 0x33)):
            command = copy(
                (0, 0, 64, 1), (0, 0), depth=0, address=address, source=PAGE, source_pitch=64
            )
            execute_blit(command, space, 0, _never)
            assert ram.memory.read(target, 64) == bytes([after]) * 64


def test_clip_rectangles() -> None:
    corners = [_corner(-1, 2), _corner(30, 40)]
    assert clip_rectangle([2 << 29 | 3 << 22 | 1, *corners]) == Rectangle(-1, 2, 30, 40)
    assert clip_rectangle([2 << 29 | 1 << 22 | 8, 0, *corners, *[0] * 6]) == Rectangle(
        -1, 2, 30, 40
    )
    with pytest.raises(CommandError):
        clip_rectangle(color((0, 0, 1, 1), 0))
