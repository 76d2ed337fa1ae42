"""Writes of cr0 in compiled code, before, between and behind arithmetic: as the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mediator.gen9.eu import registers
from mediator.gen9.eu.control_register import KEEP_DF, KEEP_F, ROUNDING, Rounding
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import Register, arf, grf, immediate

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.translator import kernel, liveness, pairs
from mediator.softgpu.eu.translator.early_modes import early_modes
from tests.property import compare_executors
from tests.property.compiled_world import link

KEPT = KEEP_F.mask | KEEP_DF.mask
UP = ROUNDING.put(Rounding.UP)
DENORMAL, THIRD = 4, 6
"""Registers: denormals that are added to, ones that are divided."""


def control() -> Register:
    return arf(registers.CONTROL, Type.UD).scalar


def write(asm: Assembler, name: str, bits: int, **more: Any) -> None:
    getattr(asm, name)(
        control(), control(), immediate(bits, Type.UD), width=1, no_mask=True, switch=True, **more
    )


def compute(asm: Assembler, into: int) -> None:
    """Results that show whether denormals are kept, and which way is rounded."""
    asm.add(grf(into, Type.F), grf(DENORMAL, Type.F), grf(DENORMAL, Type.F))
    asm.add(grf(into + 1, Type.F), grf(THIRD, Type.F), grf(DENORMAL, Type.F))


def start(asm: Assembler) -> None:
    asm.mov(grf(20, Type.UD), grf(1, Type.UD), no_mask=True)


def sets_first(asm: Assembler) -> None:
    start(asm)
    write(asm, "or_", KEPT)
    compute(asm, 10)


def sets_twice_first(asm: Assembler) -> None:
    write(asm, "and_", 0xFFFF_FFFF ^ KEEP_DF.mask)
    start(asm)
    write(asm, "or_", KEEP_F.mask | UP)
    compute(asm, 10)


def assigns_first(asm: Assembler) -> None:
    asm.mov(control(), immediate(UP, Type.UW), width=1, no_mask=True, switch=True)
    compute(asm, 10)


def sets_between(asm: Assembler) -> None:
    compute(asm, 10)
    write(asm, "or_", KEPT)
    compute(asm, 12)
    write(asm, "or_", UP)
    compute(asm, 14)


def sets_where_it_comes_again(asm: Assembler) -> None:
    """The first instruction is a loop's: what it sets is taken back at the loop's end."""
    asm.label("again")
    write(asm, "or_", KEPT)
    compute(asm, 10)
    write(asm, "and_", 0xFFFF_FFFF ^ KEPT)
    compute(asm, 12)
    asm.add(grf(30, Type.D), grf(30, Type.D), -1, condition=Condition.GREATER)
    asm.while_("again", predicate=True)


def reads_before(asm: Assembler) -> None:
    asm.mov(grf(20, Type.UD, 0).scalar, control(), width=1, no_mask=True)
    write(asm, "or_", KEPT)
    compute(asm, 10)


def sets_if_a_channel_runs(asm: Assembler) -> None:
    asm.or_(control(), control(), immediate(KEPT, Type.UD), width=1, switch=True)
    compute(asm, 10)


PROGRAMS = (
    (sets_first, 1),
    (sets_twice_first, 2),
    (assigns_first, 1),
    (sets_between, 0),
    (sets_where_it_comes_again, 0),
    (reads_before, 0),
    (sets_if_a_channel_runs, 0),
)


def content() -> bytes:
    data = np.zeros((128, 8), np.float32)
    data[DENORMAL] = np.float32(1e-40)
    data[THIRD] = np.float32(1) + np.arange(8, dtype=np.float32) / 3
    numbers = data.view(np.int32)
    numbers[30] = 3
    return data.tobytes()


def program(make: Any) -> Program:
    asm = Assembler(8)
    make(asm)
    asm.end()
    return Program.of(asm.code())


@pytest.mark.parametrize(("make", "early"), PROGRAMS)
def test_a_write_of_cr0_holds_from_there_on(make: Any, early: int) -> None:
    made = program(make)
    assert len(early_modes(made).offsets) == early
    linked = link(kernel.translate(made, 8, kernel.Options(kept=liveness.ALL)))
    for before in (KEEP_DF.mask, 0, KEPT | ROUNDING.put(Rounding.DOWN)):
        for mask in (0xFF, 0xFE):
            _, expected = compare_executors.interpreted(made, content(), mask, before)
            found = compare_executors.compiled(linked, content(), mask, before)
            assert not compare_executors.differences(expected, found)
            assert found["cr0"][0] == expected["cr0"][0]


@pytest.mark.parametrize(("make", "_early"), PROGRAMS)
def test_a_write_of_cr0_holds_for_both_of_a_pair(make: Any, _early: int) -> None:
    """Also where a mask has it written for one of them alone."""
    made = program(make)
    options = kernel.Options(kept=liveness.ALL)
    linked = link(kernel.translate(made, 8, options))
    pair = link(pairs.translate_pair(made, 8, options), pair=True)
    for before in (0, KEPT | ROUNDING.put(Rounding.DOWN)):
        for masks in ((0xFF, 0xFF), (0xFF, 0xFE), (0xFE, 0xFF)):
            threads = [compare_executors.Begin(content(), mask) for mask in masks]
            after = compare_executors.together(linked, threads, before, pair)
            for each, found in zip(threads, after, strict=True):
                _, expected = compare_executors.interpreted(made, content(), each.mask, before)
                assert not compare_executors.differences(expected, found)
                assert found["cr0"][0] == expected["cr0"][0]


def test_whoever_calls_a_kernel_has_its_own_modes_afterwards() -> None:
    """NumPy's sums of denormals and thirds are what they were."""
    linked = link(kernel.translate(program(assigns_first), 8))
    least, third = np.float32(2**-140), np.float32(1) / np.float32(3)
    compare_executors.compiled(linked, content(), 0xFF, 0)
    assert least + least == np.float32(2**-139)
    assert np.float32(1) / np.float32(3) == third
