"""The registers with which a thread begins, by its place in the group."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from mediator.gen9.eu.payload import Order
from mediator.softgpu.eu.dispatch import payload
from mediator.softgpu.eu.dispatch.job import Shape
from tests.unit.mediator.eu.job_bench import make_job

RIGHT, BOTTOM = 0x7FFF_FF0F, 0xF0FF_FFF3
SIZES = [(1, 1, 1), (3, 1, 1), (1, 3, 1), (2, 2, 1), (3, 2, 2), (2, 3, 4), (4, 1, 2)]


@pytest.mark.parametrize("simd", [8, 16, 32])
@pytest.mark.parametrize("size", SIZES)
def test_masks_are_of_the_last_of_a_row_and_of_the_last_row(
    simd: int, size: tuple[int, int, int]
) -> None:
    """A group of a single row has no last row."""
    width, height, depth = size
    shape = Shape(simd, width, height, depth, RIGHT, BOTTOM)
    expected = []
    for _z in range(depth):
        for y in range(height):
            for x in range(width):
                mask = (1 << simd) - 1
                mask &= RIGHT if x == width - 1 else mask
                mask &= BOTTOM if height > 1 and y == height - 1 else mask
                expected.append(mask)
    found = [payload.dispatch_mask(shape, thread) for thread in range(shape.threads)]
    assert found == expected
    assert payload.group_channels(shape) == sum(mask.bit_count() for mask in expected)


@pytest.mark.parametrize("gpgpu", [False, True])
def test_r0_names_group_tables_and_scratch_space(gpgpu: bool) -> None:
    """PRM vol 7 "GPGPU Thread Payload"; bit 9 of dword 5 tells threads of a walker."""
    job = replace(make_job(end=(9, 9, 9), scratch_base=0x1_0000_8000), gpgpu=gpgpu)
    words = struct.unpack("<8I", payload.registers(job, (5, 6, 7), 0, 3))
    scratch = 0x8000 + 3 * 2048
    assert words == (0, 5, 0, 0x1000 | 1, 0x40, scratch | gpgpu << 9 | 3, 6, 7)


@pytest.mark.parametrize(
    ("rounding", "alternate", "expected"),
    # Bits 5:4 rounding, 6 keeps denormals of doubles, 0 is the single precision mode.
    [(0, False, 0x40), (1, False, 0x50), (3, False, 0x70), (2, True, 0x61)],
)
def test_control_has_modes_of_the_descriptor(rounding: int, alternate: bool, expected: int) -> None:
    job = make_job()
    modes = replace(job.descriptor, rounding=rounding, alternate_float=alternate)
    assert payload.control(replace(job, descriptor=modes)) == expected


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("size", [0, 31, 32 * 3, 32 * 5 + 7, 32 * 11, 32 * 20])
def test_a_thread_has_the_shared_block_and_its_own(order: Order, size: int) -> None:
    """Behind the end of the data are zeros, behind the last thread's block nothing."""
    data = bytes(n % 255 + 1 for n in range(size))
    job = make_job(size=(4, 1, 1), data=data, shared=3, own=2, order=order)
    whole = data[: 32 * 11].ljust(32 * 11, b"\0")
    assert payload.constants_block(job) == whole
    for thread in range(4):
        shared, begin = whole[:96], 96 + 64 * thread
        own = whole[begin : begin + 64]
        blocks = shared + own if order is Order.SHARED_FIRST else own + shared
        assert payload.registers(job, (0, 0, 0), thread, 0)[32:] == blocks
