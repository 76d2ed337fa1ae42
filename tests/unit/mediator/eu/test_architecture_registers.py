"""Architecture registers: where they stand, which take writes, and what the others read as."""

from __future__ import annotations

import numpy as np
import pytest

from mediator.softgpu.eu.interpreter.architecture_registers import (
    Surroundings,
    computed,
    stored_at,
    writable,
)
from mediator.softgpu.eu.interpreter.threads import ALL, BLOCK, Threads
from mediator.softgpu.eu.isa.execution_type import IllegalOperation

# PRM SKL vol 7 "ARF Registers": number, field of a thread's block, bytes in all.
STORED = [
    (0x10, "a0", 32),
    (0x20, "acc", 320),
    (0x30, "flags", 8),
    (0x60, "sp", 8),
    (0x70, "sr0", 16),
    (0x80, "cr0", 16),
    (0x90, "n0", 16),
]


def _field(name: str) -> int:
    assert BLOCK.fields is not None
    return int(BLOCK.fields[name][1])


@pytest.mark.parametrize(("number", "name", "size"), STORED)
def test_a_register_is_as_long_as_it_is(number: int, name: str, size: int) -> None:
    byte = 32 * number
    for inside in {0, 1, min(size, 32) // 2, min(size, 32) - 1}:
        assert stored_at(byte + inside, 1) == _field(name) + inside
        assert stored_at(byte + inside, size - inside) == _field(name) + inside
        with pytest.raises(IllegalOperation, match=f"register {number:#x}"):
            stored_at(byte + inside, size - inside + 1)


def test_the_second_flag_register_follows_the_first() -> None:
    assert stored_at(32 * 0x31, 4) == _field("flags") + 4
    assert stored_at(32 * 0x31 + 2, 2) == _field("flags") + 6
    with pytest.raises(IllegalOperation, match="beyond"):
        stored_at(32 * 0x31 + 2, 3)


def test_accumulators_follow_each_other() -> None:
    for number in range(10):
        assert stored_at(32 * (0x20 + number), 32) == _field("acc") + 32 * number
    assert stored_at(32 * 0x29 + 31, 1) == _field("acc") + 319
    with pytest.raises(IllegalOperation, match="beyond"):
        stored_at(32 * 0x29 + 31, 2)


@pytest.mark.parametrize("number", [0x00, 0x2A, 0x32, 0x40, 0xA0, 0xC0, 0xF0])
def test_other_registers_stand_nowhere(number: int) -> None:
    assert stored_at(32 * number, 4) is None


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        *((number, True) for number in (0x10, 0x20, 0x29, 0x30, 0x31, 0x60, 0x80, 0x90)),
        *((number, False) for number in (0x00, 0x40, 0x70, 0x71, 0xC0)),
    ],
)
def test_some_take_no_writes(number: int, expected: bool) -> None:
    assert writable(32 * number) is expected
    assert writable(32 * number + 31) is expected


def test_a_write_to_ip_is_none() -> None:
    with pytest.raises(IllegalOperation, match="ip"):
        writable(32 * 0xA0 + 4)


def test_registers_that_are_computed() -> None:
    threads = Threads(2)
    threads.blocks["dispatch_mask"] = [0x0000_00A5, 0x8000_0001]
    threads.start()
    ticks = 0x1_2345_6789_ABCD_EF01
    around = Surroundings(base=0xFFFF_FF00, clock=lambda: ticks)

    def words(number: int) -> list[list[int]]:
        found: list[list[int]] = (
            computed(threads, ALL, 32 * number, 0x140, around).view(np.uint32).tolist()
        )
        return found

    nothing = [0] * 8
    assert words(0x00) == [nothing, nothing]
    assert words(0x40) == [[0xA5, *nothing[1:]], [0x8000_0001, *nothing[1:]]]
    assert words(0xA0) == [[0x40, *nothing[1:]]] * 2
    assert words(0xC0) == [[0x89AB_CDEF01 & 0xFFFF_FFFF, 0x2345_6789, *nothing[2:]]] * 2
