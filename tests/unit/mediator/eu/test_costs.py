"""What a loop pays for: whatever is in it, its thread comes back in time."""

from __future__ import annotations

import struct
import time
from typing import Final

import pytest

from mediator.gen9.eu.opcodes import MathFunction
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf, immediate, indirect, null
from mediator.softgpu.eu.translator import kernel, pairs
from mediator.softgpu.eu.translator.costs import Costs
from mediator.softgpu.eu.translator.registers import Untranslatable
from tests.unit.mediator.command_bench import make_bench
from tests.unit.mediator.eu.job_bench import make_job

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.dispatch.native_pool import NativePool
from mediator.softgpu.eu.native.worker import lib
from tests.eu_corpus.launch import Segment
from tests.property.compiled_world import ENDED, PAGE, CompiledWorld, PagedMemory, link

SURFACES: Final = 2 << 20
"""The Surface State base of `make_job`."""
_SAMPLER, _DATA_PORT_1 = 2, 12
_MEDIA_BLOCK_READ = 1 << 25 | 16 << 20 | 1 << 19 | 4 << 14
_SAMPLE_LZ = 4 << 25 | 8 << 20 | 2 << 17 | 24 << 12
_A64_READ_X = 2 << 25 | 1 << 20 | 0x11 << 14 | 2 << 12 | 0xE << 8 | 0xFF
SLICE_NS = 4_000_000


def _loop(asm: Assembler, label: str, end: int) -> None:
    """Count r10, and go back until it is ``end``."""
    count = grf(10, Type.UD).scalar
    asm.add(count, count, 1, width=1, no_mask=True)
    asm.cmp(
        null().of(Type.UD),
        count,
        immediate(end, Type.UD),
        width=1,
        no_mask=True,
        condition=Condition.NOT_EQUAL,
    )
    asm.jmpi(label, predicate=True)


def _adding(adds: int, rounds: int) -> Program:
    asm = Assembler(16)
    asm.mov(grf(10, Type.UD).scalar, 0, width=1, no_mask=True)
    asm.label("again")
    for number in range(adds):
        asm.add(grf(20, Type.UD), grf(20, Type.UD), number)
    _loop(asm, "again", rounds)
    asm.end()
    return Program.of(asm.code())


def test_a_jump_back_pays_for_what_it_goes_back_over() -> None:
    program = _adding(20, 5)
    costs, offsets = Costs(program), list(program.instructions)
    jump = offsets[-2]
    assert costs.of_jump(jump, offsets[1]) == 23
    assert costs.of_jump(jump, jump) == 1
    assert costs.of_end(offsets[-1]) == 24 + 64


def test_functions_messages_and_indirect_registers_cost_more() -> None:
    asm = Assembler(16)
    asm.math(MathFunction.POW, grf(20, Type.F), grf(20, Type.F), grf(22, Type.F))
    asm.mov(grf(20, Type.F), indirect(0, 0, Type.F))
    asm.mov(indirect(0, 0, Type.F), grf(20, Type.F))
    asm.send(grf(20, Type.UD), 12, _DATA_PORT_1, _A64_READ_X, width=8)
    asm.end()
    program = Program.of(asm.code())
    assert [Costs(program).of_jump(at, at) for at in program.instructions] == [32, 32, 32, 64, 64]


@pytest.mark.parametrize(("adds", "returns"), [(10, 7), (100, 50)])
def test_a_long_loop_is_left_more_often(adds: int, returns: int) -> None:
    """By what it does, not by how often it goes round."""
    linked = link(kernel.translate(_adding(adds, 50), 16))
    space = PagedMemory([])
    world = CompiledWorld(space, Bases(), 1, 0)
    with world.attached():
        world.begin(0, bytes(4096), 0xFFFF)
        assert world.run(linked, budget=100) == ENDED
    space.close()
    assert world.returns == returns


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_threads_that_end_have_paid_for_all_they_did(threads: int, rounds: int) -> None:
    """Groups are taken many at a time, and the clock is looked at when a budget is spent."""
    program = _adding(30, rounds)
    linked, pair = link(kernel.translate(program, 16)), None
    if threads > 1:
        pair = link(pairs.translate_pair(program, 16), pair=True)
    space = PagedMemory([])
    world = CompiledWorld(space, Bases(), threads, 0)
    with world.attached():
        for number in range(threads):
            world.begin(number, bytes(4096), 0xFFFF)
        assert world.run(linked, budget=10_000, pair=pair) == ENDED
    space.close()
    assert (world.returns, world.pairs) == (1, threads - 1)
    costs, offsets = Costs(program), list(program.instructions)
    each = costs.of_end(offsets[-1]) + (rounds - 1) * costs.of_jump(offsets[-2], offsets[1])
    assert 10_000 - world.worker.struct.budget == threads * each


def test_a_walk_of_page_tables_is_paid_for() -> None:
    space = PagedMemory([Segment(0x10_0000, bytearray(2 * PAGE))])
    world = CompiledWorld(space, Bases(), 1, 0)
    worker = world.worker.struct
    spent = []
    with world.attached():
        for address in (0x10_0000, 0x10_0008, 0x10_1000):
            worker.budget = 0
            lib.eu_load(worker, address, 4)
            spent.append(-worker.budget)
    space.close()
    assert spent == [256, 0, 256]


def _surface(rows: int) -> bytes:
    """R8G8B8A8, a page a row."""
    words = [0] * 16
    words[0] = 1 << 29 | 0x0C7 << 18
    words[2] = (rows - 1) << 16 | 1023
    words[3] = PAGE - 1
    words[8] = 0x30_0000
    return struct.pack("<16I", *words)


def _light_then_heavy(messages: int) -> Program:
    """A loop of nothing teaches the clock that a round is short; then comes one of messages."""
    asm = Assembler(16)
    asm.mov(grf(10, Type.UD).scalar, 0, width=1, no_mask=True)
    asm.mov(grf(12, Type.UD), 0, width=8, no_mask=True)
    asm.mov(grf(12, Type.UD)[2].scalar, immediate(63 << 16 | 7, Type.UD), width=1, no_mask=True)
    asm.label("light")
    _loop(asm, "light", 1_000_000)
    asm.label("heavy")
    for _ in range(messages):
        asm.send(grf(40, Type.UD), 12, _DATA_PORT_1, _MEDIA_BLOCK_READ, width=8, no_mask=True)
    _loop(asm, "heavy", 0)
    asm.end()
    return Program.of(asm.code())


def test_a_kernel_that_was_quick_comes_back_when_it_is_slow() -> None:
    """It did not for minutes, and nobody could stop it: neither its engine's reset nor a change of
    the memory map."""
    bench = make_bench()
    bench.memory.write(SURFACES + 0x40, struct.pack("<I", 0x80))
    bench.memory.write(SURFACES + 0x80, _surface(64))
    run = NativePool(1).start(
        make_job(), link(kernel.translate(_light_then_heavy(8), 16)), (0, 0, 0)
    )
    took = []
    for _ in range(8):
        start = time.monotonic_ns()
        with bench.memory.using():
            assert not run.advance(bench.host.ppgtt, start + SLICE_NS, begin=True)
        took.append(time.monotonic_ns() - start)
    assert max(took) < 500_000_000, "the machine may be busy; it was 20 s"


@pytest.mark.parametrize(
    ("sfid", "descriptor", "most"),
    [
        (_SAMPLER, _SAMPLE_LZ, 511),
        (_DATA_PORT_1, _MEDIA_BLOCK_READ, 511),
        (_DATA_PORT_1, _A64_READ_X, 2047),
    ],
)
def test_long_messages_are_fewer(sfid: int, descriptor: int, most: int) -> None:
    """A thread is not left between two of them. The end of the thread is one, too."""
    for count in (most, most + 1):
        asm = Assembler(8)
        for _ in range(count):
            asm.send(grf(40, Type.UD), 12, sfid, descriptor, width=8)
        asm.end()
        program = Program.of(asm.code())
        if count == most:
            kernel.check_size(program)
            continue
        with pytest.raises(Untranslatable, match="too many messages"):
            kernel.check_size(program)
