"""What is made ready of programs is bounded over all of them."""

from __future__ import annotations

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.interpreter import Kernel, Prepared
from mediator.softgpu.eu.interpreter.shelf import Shelf
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf


def test_all_are_emptied_when_there_are_too_many() -> None:
    shelf: Shelf[int] = Shelf(5)
    kernels: list[dict[int, int]] = [{}, {}, {}]
    for number in range(5):
        shelf.put(kernels[number % 2], number, number)
    assert [len(each) for each in kernels] == [3, 2, 0]
    shelf.put(kernels[2], 9, 9)
    assert kernels == [{}, {}, {9: 9}]
    for number in range(4):
        shelf.put(kernels[0], number, number)
    assert [len(each) for each in kernels] == [4, 0, 1]
    shelf.put(kernels[1], 1, 1)
    assert [len(each) for each in kernels] == [0, 1, 0]


def test_kernels_share_a_shelf() -> None:
    asm = Assembler()
    for number in range(6):
        asm.add(grf(2, Type.D), grf(4, Type.D), number)
    asm.end()
    program, shelf = Program.of(asm.code()), Shelf[Prepared](10)
    first, second = Kernel(program.at, shelf=shelf), Kernel(program.at, shelf=shelf)
    for kernel in (first, second):
        for offset in program.instructions:
            assert kernel.prepared(offset) is kernel.prepared(offset)
    assert (len(first.ready), len(second.ready)) == (0, 4)
