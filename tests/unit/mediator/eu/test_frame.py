"""The frame of a compiled kernel, whose size its program decides."""

from __future__ import annotations

import re

import pytest

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf, immediate, null
from mediator.softgpu.eu.translator import kernel

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.translator.compiler import assembly

_A64_WRITE_X = 2 << 25 | 0x19 << 14 | 2 << 12 | 0xE << 8 | 0xFF
_PAGE = 4096


def _with_invariants(count: int) -> Program:
    """A loop in which so many vectors are the same on each round: LLVM keeps them on the stack."""
    asm = Assembler(16)
    asm.label("again")
    for number in range(count):
        product, sum_ = grf(20, Type.F), grf(50 + 2 * (number % 8), Type.F)
        asm.mul(product, grf(40, Type.F), immediate(1 + number / 3, Type.F), no_mask=True)
        asm.mad(sum_, product, sum_, grf(70, Type.F), no_mask=True)
    asm.add(grf(10, Type.UD).scalar, grf(10, Type.UD).scalar, 1, width=1, no_mask=True)
    asm.cmp(
        null().of(Type.UD),
        grf(10, Type.UD).scalar,
        0,
        width=1,
        no_mask=True,
        condition=Condition.NOT_EQUAL,
    )
    asm.jmpi("again", predicate=True)
    asm.send(None, 50, 12, _A64_WRITE_X, more=(52, 1), width=8)
    asm.end()
    return Program.of(asm.code())


def test_a_large_frame_touches_all_of_its_pages() -> None:
    """In order, so that the first one behind the stack is its guard page: a frame that is taken at
    once may begin beyond it, in another thread's stack or a guest's memory."""
    text = assembly(kernel.translate(_with_invariants(150), 16))
    steps = [int(number) for number in re.findall(r"subq\s+\$(\d+), %rsp", text)]
    assert _PAGE in steps, "page by page"
    assert max(steps) <= _PAGE
