"""Two threads in one compiled function: what they share, and where they part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf
from mediator.softgpu.eu.translator import detours, kernel, liveness, pairs, waiting, worth
from mediator.softgpu.eu.translator.registers import Untranslatable

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.interpreter.threads import BLOCK  # after what it needs
from mediator.softgpu.eu.native.worker import ffi
from tests.property import compare_executors
from tests.property.compiled_world import ENDED, FAULT, PLENTY, CompiledWorld, PagedMemory, link

KEEP_ALL: Final = 1 << 6 | 1 << 7 | 1 << 10
GATEWAY, BARRIER = 3, 4
LIMIT, COUNTER, RESULT, SCALAR = 2, 3, 4, 5
"""Registers: what counters run up to, lane by lane; counters; what is computed; a scalar."""
Writer = Callable[[Assembler], None]


def count(asm: Assembler, *, kind: Type = Type.D) -> None:
    asm.add(grf(RESULT, kind), grf(RESULT, kind), grf(COUNTER, kind))
    asm.add(grf(COUNTER, Type.D), grf(COUNTER, Type.D), 1)


def scalar(asm: Assembler) -> None:
    """What happens whoever runs, while the thread is there."""
    place = grf(SCALAR, Type.D).scalar
    asm.add(grf(SCALAR, Type.D), place, 1, width=1, no_mask=True)


def if_odd(asm: Assembler, inside: Writer) -> None:
    asm.and_(grf(20, Type.D), grf(LIMIT, Type.D), 1, condition=Condition.NOT_EQUAL)
    asm.branch(Opcode.IF, "end", "end", predicate=True)
    inside(asm)
    asm.label("end")
    asm.branch(Opcode.ENDIF, 16)
    count(asm)


def short(asm: Assembler) -> None:
    if_odd(asm, count)


def with_scalar(asm: Assembler) -> None:
    if_odd(asm, scalar)


def thirty_counts(asm: Assembler) -> None:
    for _ in range(30):
        count(asm)


def long(asm: Assembler) -> None:
    if_odd(asm, thirty_counts)


def with_barrier(asm: Assembler) -> None:
    if_odd(asm, lambda asm: asm.send(None, 0, GATEWAY, BARRIER | 1 << 25, width=8, no_mask=True))


def with_else(asm: Assembler) -> None:
    asm.and_(grf(20, Type.D), grf(LIMIT, Type.D), 1, condition=Condition.NOT_EQUAL)
    asm.branch(Opcode.IF, "no", "end", predicate=True)
    count(asm)
    asm.branch(Opcode.ELSE, "end", "end")
    asm.label("no")
    asm.xor(grf(RESULT, Type.D), grf(RESULT, Type.D), 0x55)
    asm.label("end")
    asm.branch(Opcode.ENDIF, 16)
    count(asm)


def loop(asm: Assembler, kind: Type = Type.D) -> None:
    """Counts up to each lane's limit, once at least."""
    asm.label("again")
    scalar(asm)
    count(asm, kind=kind)
    asm.cmp(grf(20, Type.D), grf(COUNTER, Type.D), grf(LIMIT, Type.D), condition=Condition.LESS)
    asm.branch(Opcode.WHILE, "again", predicate=True)
    count(asm)


def floats(asm: Assembler) -> None:
    loop(asm, Type.F)


def jump(asm: Assembler) -> None:
    """A thread goes where its first lane says."""
    asm.and_(grf(20, Type.D), grf(LIMIT, Type.D), 1, condition=Condition.NOT_EQUAL)
    asm.branch(Opcode.JMPI, "end", predicate=True)
    scalar(asm)
    asm.label("end")
    count(asm)


def program(write: Writer) -> Program:
    asm = Assembler(8)
    write(asm)
    asm.end()
    return Program.of(asm.code())


def registers(limits: list[int]) -> bytes:
    data = np.zeros((128, 8), np.int32)
    data[LIMIT] = limits
    return data.tobytes()


def run(made: Program, each: list[list[int]], budget: int = PLENTY) -> tuple[CompiledWorld, Any]:
    """Threads with these limits, in pairs; and their blocks afterwards, as the interpreter has
    them."""
    options = kernel.Options(kept=liveness.ALL)
    single = link(kernel.translate(made, 8, options))
    pair = link(pairs.translate_pair(made, 8, options), pair=True)
    space = PagedMemory([])
    world = CompiledWorld(space, Bases(), len(each), 0)
    with world.attached():
        for number, limits in enumerate(each):
            world.begin(number, registers(limits), 0xFF, KEEP_ALL)
        assert world.run(single, budget, pair=pair) == ENDED
    space.close()
    after = np.frombuffer(bytes(ffi.buffer(world.threads)), BLOCK)
    for limits, found in zip(each, after, strict=True):
        _, expected = compare_executors.interpreted(made, registers(limits), 0xFF, KEEP_ALL)
        assert compare_executors.differences(expected, found) == []
    return world, after


ODD, EVEN, MIXED = [1] * 8, [2] * 8, list(range(8))


@pytest.mark.parametrize(
    ("write", "parted"), [(short, 0), (with_else, 0), (with_scalar, 1), (long, 1), (jump, 1)]
)
@pytest.mark.parametrize("threads", [(ODD, EVEN), (EVEN, ODD)])
def test_threads_stay_together_over_short_masked_code(
    write: Writer, parted: int, threads: tuple[list[int], list[int]]
) -> None:
    world, _ = run(program(write), list(threads))
    assert (world.pairs, world.parted) == (1, parted)


@pytest.mark.parametrize("write", [short, with_else, with_scalar, jump])
@pytest.mark.parametrize("threads", [(ODD, ODD), (EVEN, EVEN), (MIXED, MIXED[::-1])])
def test_threads_that_go_the_same_way_do_not_part(
    write: Writer, threads: tuple[list[int], list[int]]
) -> None:
    if write is jump and threads[0] is MIXED:
        threads = MIXED, MIXED
    world, _ = run(program(write), list(threads))
    assert (world.pairs, world.parted) == (1, 0)


@pytest.mark.parametrize("budget", [PLENTY, 1])
def test_a_loop_goes_on_for_one_when_the_other_has_left(budget: int) -> None:
    """A scalar counts how often each thread was in it."""
    world, after = run(program(loop), [[3] * 8, [9, 1] * 4, [5] * 8], budget)
    assert [int(each["grf"].view("<i4")[8 * SCALAR]) for each in after] == [3, 9, 5]
    assert world.parted == (1 if budget == PLENTY else 2), "with a budget they meet others again"


def test_a_fault_of_one_ends_both() -> None:
    asm = Assembler(8)
    asm.send(grf(10, Type.UD), 2, 12, 0x11 << 14 | 0xE << 8 | 2 << 12 | 253 | 2 << 25 | 1 << 20)
    asm.label("again")
    asm.branch(Opcode.WHILE, "again")
    asm.end()
    made = Program.of(asm.code())
    single = link(kernel.translate(made, 8))
    pair = link(pairs.translate_pair(made, 8), pair=True)
    space = PagedMemory([])
    world = CompiledWorld(space, Bases(), 2, 0)
    with world.attached():
        for number, mask in enumerate((0, 1)):
            world.begin(number, b"\x01" * 4096, mask)
        assert world.run(single, pair=pair) == FAULT
        assert world.worker.struct.fault_address == 0x0101_0101_0101 & -4
    space.close()


def test_a_place_that_no_function_knows_is_a_fault() -> None:
    single = link(kernel.translate(program(loop), 8))
    space = PagedMemory([])
    world = CompiledWorld(space, Bases(), 1, 0)
    with world.attached():
        world.begin(0, registers(ODD), 0xFF)
        world.threads[0].resume = 7
        assert world.run(single) == FAULT
    space.close()


@pytest.mark.parametrize(
    ("write", "passes"),
    [(short, True), (with_scalar, False), (long, False), (with_barrier, False)],
)
def test_what_a_thread_without_channels_may_pass(write: Writer, passes: bool) -> None:
    made = program(write)
    (branch,) = (each for each in made.instructions.values() if each.opcode is Opcode.IF)
    end = waiting.jip_of(branch)
    assert detours.may_pass(made, branch, end, waiting.may_wait(made)) is passes


def out_of_the_loop(asm: Assembler) -> None:
    """A `break` inside, which leads beyond."""
    asm.label("again")
    asm.and_(grf(20, Type.D), grf(LIMIT, Type.D), 1, condition=Condition.NOT_EQUAL)
    asm.branch(Opcode.IF, "end", "end", predicate=True)
    asm.branch(Opcode.BREAK, "behind", "behind")
    asm.label("end")
    asm.branch(Opcode.ENDIF, 16)
    asm.branch(Opcode.WHILE, "again")
    asm.label("behind")
    count(asm)


def test_nothing_is_passed_that_leads_elsewhere() -> None:
    made = program(out_of_the_loop)
    (branch,) = (each for each in made.instructions.values() if each.opcode is Opcode.IF)
    end = waiting.jip_of(branch)
    assert not detours.may_pass(made, branch, end, waiting.may_wait(made))


def with_fences(asm: Assembler) -> None:
    for _ in range(65):
        with_fence(asm)


def test_programs_that_are_no_pairs() -> None:
    made = program(loop)
    assert pairs.misfit(made, 16) is None
    with pytest.raises(Untranslatable, match="fill"):
        pairs.translate_pair(made, 32)
    many = program(with_fences)
    assert pairs.misfit(many, 16) == "too large for pairs"
    asm = Assembler(8)
    asm.send(None, 127, 7, 0x02000010, end_of_thread=True, predicate=True, width=8)
    asm.end()
    assert pairs.misfit(Program.of(asm.code()), 8) == "a thread of a pair may end"


def with_fence(asm: Assembler) -> None:
    asm.send(None, 0, 10, 7 << 14 | 1 << 25 | 1 << 19, width=8)


def with_message(asm: Assembler) -> None:
    asm.label("again")
    with_fence(asm)
    asm.cmp(grf(20, Type.D), grf(COUNTER, Type.D), grf(LIMIT, Type.D), condition=Condition.LESS)
    asm.branch(Opcode.WHILE, "again", predicate=True)


def with_many_values(asm: Assembler) -> None:
    for register in range(65):
        asm.add(
            grf(60, Type.D),
            grf(60, Type.D),
            grf(register if register < 60 else register + 1, Type.D),
        )


@pytest.mark.parametrize(
    ("write", "pays"),
    [(short, True), (loop, False), (floats, True), (with_message, True), (with_many_values, False)],
)
def test_what_gains_by_pairs(write: Writer, pays: bool) -> None:
    assert worth.gains(program(write)) is pays
