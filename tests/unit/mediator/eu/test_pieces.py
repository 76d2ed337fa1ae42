"""The register file of compiled code is cut as a program's instructions use it."""

from __future__ import annotations

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf
from mediator.softgpu.eu.translator.pieces import beginnings
from mediator.softgpu.eu.translator.registers import Memory


def test_pairs_that_are_named_most_often_stay_together() -> None:
    asm = Assembler(width=16)
    for _ in range(3):
        asm.mov(grf(10, Type.D), grf(20, Type.D))
    asm.mov(grf(40, Type.D), grf(11, Type.D))
    asm.end()
    found = beginnings(Program.of(asm.code()))
    together = {register for register in range(128) if register not in found}
    assert together == {11, 21, 41}


def test_an_access_is_cut_where_pieces_begin() -> None:
    memory = Memory("%file", 4096, beginnings=frozenset(range(128)) - {11})
    assert memory.cut(10, 2) == [(10, 2)]
    assert memory.cut(9, 4) == [(9, 1), (10, 2), (12, 1)]
    assert memory.cut(11, 1) == [(11, 1)]
    assert Memory("%file", 320).cut(0, 4) == [(0, 4)]
