"""The threads of a pixel shader: their blocks of pixels and registers, in Python and in C."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest

from mediator.softgpu.eu.dispatch import payload, pixels
from mediator.softgpu.eu.dispatch.interpreted import InterpretedProgram
from mediator.softgpu.eu.dispatch.job import Grid, GroupId, KernelJob
from mediator.softgpu.eu.dispatch.pixels import Area, Pixels
from mediator.softgpu.eu.isa.instruction import Instruction
from tests.unit.mediator.command_bench import CommandBench, make_bench
from tests.unit.mediator.eu.job_bench import PythonKernel, make_job

WIDTHS = pytest.mark.parametrize("simd", [8, 16, 32])


def draw(simd: int, area: Area, layers: int = 1, *, whole: bool = False) -> KernelJob:
    """A draw of ``area``; from r3 on there is something that is the same for all."""
    width, height = {8: (4, 2), 16: (4, 4), 32: (8, 4)}[simd]
    job = make_job(simd=simd, data=bytes(range(160)), shared=5)
    start = (area.left // width, area.top // height, 0)
    end = (-(-area.right // width), -(-area.bottom // height), layers)
    drawn = Pixels(area, whole_subspans=whole, writes=0b1011)
    return replace(job, grid=Grid(start, end), pixels=drawn, gpgpu=False)


def dwords(registers: bytes, grf: int) -> list[int]:
    return list(struct.unpack_from("<8I", registers, 32 * grf))


def test_a_whole_block_of_16() -> None:
    registers = payload.registers(draw(16, Area(0, 0, 64, 64), 8), (3, 2, 5), 0, 7)
    assert dwords(registers, 0)[0] == 5 << 16 | 0xF
    assert dwords(registers, 0)[3:6] == [0x1001, 0x40, 0x10000 + 7 * 2048 | 7]
    x, y = 12, 8
    places = [(x, y), (x + 2, y), (x, y + 2), (x + 2, y + 2)]
    assert dwords(registers, 1) == [0, 0, *(a | b << 16 for a, b in places), 0, 0xFFFF_FFFF]
    assert registers[64:] == bytes(range(32, 160))


def test_a_whole_block_of_8() -> None:
    registers = payload.registers(draw(8, Area(0, 0, 64, 64)), (1, 3, 0), 0, 0)
    assert dwords(registers, 1) == [0, 0, 4 | 6 << 16, 6 | 6 << 16, 0, 0, 0, 0x00FF_00FF]


def test_a_whole_block_of_32() -> None:
    registers = payload.registers(draw(32, Area(0, 0, 64, 64)), (1, 1, 0), 0, 0)
    for grf, x in ((1, 8), (2, 12)):
        places = [(x, 4), (x + 2, 4), (x, 6), (x + 2, 6)]
        assert dwords(registers, grf) == [0, 0, *(a | b << 16 for a, b in places), 0, 0xFFFF_FFFF]
    assert registers[96:] == bytes(range(64, 160))


def _bits(*channels: int) -> int:
    return sum(1 << channel for channel in channels)


def test_pixels_at_the_edges() -> None:
    found = pixels.block(Pixels(Area(1, 1, 4, 3), False, 15), 16, (0, 0, 0))
    assert found.covered == _bits(3, 6, 7, 9, 12, 13)
    registers = payload.registers(draw(16, Area(1, 1, 4, 3)), (0, 0, 0), 0, 0)
    assert dwords(registers, 1)[7] == found.covered * 0x1_0001


@pytest.mark.parametrize(
    ("covered", "channels"),
    [(0, 0), (1, 0xF), (0x8000_0000, 0xF000_0000), (0x0001_0010, 0x000F_00F0), (6, 0xF)],
)
def test_channels_of_whole_subspans(covered: int, channels: int) -> None:
    area = Area(0, 0, 1, 1)
    assert pixels.channels(Pixels(area, True, 15), covered) == channels
    assert pixels.channels(Pixels(area, False, 15), covered) == covered


def _no_program(_offset: int) -> Instruction:
    raise AssertionError("nothing runs")


@WIDTHS
def test_each_pixel_belongs_to_one_thread(simd: int) -> None:
    area = Area(3, 5, 21, 14)
    job = draw(simd, area)
    found = []
    group: GroupId | None = job.grid.first
    while group is not None:
        place = pixels.block(job.pixels or Pixels(area, False, 0), simd, group)
        assert place.covered, "no thread for nothing"
        for channel in range(simd):
            if place.covered >> channel & 1:
                x, y = list(pixels.subspans(place.x, place.y, simd))[channel // 4]
                found.append((x + channel % 2, y + channel // 2 % 2))
        group = job.grid.after(group)
    assert sorted(found) == [(x, y) for x in range(3, 21) for y in range(5, 14)]


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


@WIDTHS
@pytest.mark.parametrize("whole", [False, True])
def test_c_begins_threads_as_python_does(bench: CommandBench, simd: int, whole: bool) -> None:
    native_pool = pytest.importorskip("mediator.softgpu.eu.dispatch.native_pool")
    job = draw(simd, Area(3, 5, 21, 14), 3, whole=whole)
    names = ("pixel_mask", "pixel_x", "pixel_y", "pixel_layer", "pixel_writes", "dispatch_mask")
    seen: dict[GroupId, tuple[Any, ...]] = {}

    def look(thread: Any, group: Any, _worker: Any) -> int:
        state = tuple(getattr(thread, name) for name in names)
        registers = bytes(thread.grf[0:192])
        seen[group.x, group.y, group.z] = (*state, thread.sr0[2], registers)
        return 0

    kernel = PythonKernel(look)
    run = native_pool.NativePool(1).start(job, kernel, job.grid.start)
    with bench.memory.using():
        assert run.advance(bench.host.ppgtt, 1 << 62, begin=True)
    assert not kernel.raised
    assert len(seen) == job.grid.count
    program = InterpretedProgram(_no_program)
    with bench.memory.using():
        for group, found in seen.items():
            begun = program.begin(job, group, bench.host.ppgtt)
            block = begun._interpreter.threads.blocks[0]
            state = tuple(int(block[name]) for name in names)
            assert found == (*state, block["sr0"][2], bytes(block["grf"][:192])), group
