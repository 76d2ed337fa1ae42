"""Groups of a job in the interpreter: what they find, where they stop, and how they end."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from mediator.gen9.eu import registers
from mediator.gen9.eu.types import Type
from mediator.hotpath.interface import PageFault, never
from mediator.softgpu.eu.dispatch import payload
from mediator.softgpu.eu.dispatch.interpreted import InterpretedGroup, InterpretedProgram
from mediator.softgpu.eu.dispatch.job import KernelJob
from mediator.softgpu.eu.dispatch.running import GroupEnd, KernelFault
from mediator.softgpu.eu.interpreter.threads import BLOCK
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import arf, grf
from tests.unit.mediator.command_bench import ABSENT, DATA, PML4, CommandBench, make_bench
from tests.unit.mediator.eu.job_bench import make_job
from tests.unit.mediator.eu.small_programs import copying_program, counting_program

SLM_BYTES = 64 << 10


@pytest.fixture
def bench() -> Iterator[CommandBench]:
    made = make_bench()
    with made.memory.using():
        yield made


def begin(bench: CommandBench, code: bytes, job: KernelJob) -> InterpretedGroup:
    return InterpretedProgram(Program.of(code).at).begin(job, (4, 5, 6), bench.host.ppgtt)


def copying(to: int, source: int) -> KernelJob:
    return make_job(simd=8, data=struct.pack("<QQ16x", to, source), own=1)


def test_the_timestamp_register_goes_on() -> None:
    """Programs that measure themselves by it see time pass."""
    asm = Assembler()
    for register in (20, 21):
        asm.mov(grf(register, Type.UD), arf(registers.TIMESTAMP, Type.UD).by(2, 2, 1), width=2)
    asm.end()
    bench = make_bench()
    group = InterpretedProgram(Program.of(asm.code()).at).begin(
        make_job(), (0, 0, 0), bench.host.ppgtt
    )
    with bench.memory.using():
        assert group.run(bench.host.ppgtt, never) is GroupEnd.ENDED
    found = group._interpreter.threads.blocks["grf"][0]
    first, second = (
        int(found[32 * register : 32 * register + 8].view(np.uint64)[0]) for register in (20, 21)
    )
    assert 0 < first < second


def test_threads_begin_with_payload_masks_and_scratch_spaces_of_their_own(
    bench: CommandBench,
) -> None:
    data = bytes(n % 251 for n in range(32 * 8))
    job = make_job(simd=8, size=(3, 2, 1), right=0x3, bottom=0x5, data=data, shared=2, own=1)
    group = begin(bench, counting_program(), job)
    blocks = group._interpreter.threads.blocks
    assert len(blocks) == 6
    for number in range(6):
        expected = payload.registers(job, (4, 5, 6), number, number)
        found = blocks["grf"][number].tobytes()
        assert found[: len(expected)] == expected
        assert not any(found[len(expected) :])
        mask = payload.dispatch_mask(job.shape, number)
        assert blocks["dispatch_mask"][number] == blocks["sr0"][number][2] == mask
        assert blocks["cr0"][number][0] == payload.control(job)
        assert blocks["scratch_slot"][number] == number
    assert group.held_bytes == 6 * BLOCK.itemsize + SLM_BYTES


def test_a_group_asks_every_few_hundred_instructions_whether_to_stop(bench: CommandBench) -> None:
    """And goes on where it was."""
    job = make_job(simd=8, data=struct.pack("<QI20x", DATA, 400), own=1)
    group = begin(bench, counting_program(), job)
    asked: list[None] = []

    def stopping() -> bool:
        asked.append(None)
        return len(asked) % 2 == 0

    assert group.run(bench.host.ppgtt, stopping) is GroupEnd.ASKED
    assert len(asked) == 2
    assert bench.get(DATA + 32 * 4, 8) == [0] * 8
    while group.run(bench.host.ppgtt, stopping) is not GroupEnd.ENDED:
        pass
    assert len(asked) == 3 * 400 // 512
    assert bench.get(DATA + 32 * 4, 8) == [400 + 4] * 8


def test_what_a_group_writes_to_read_only_pages_is_counted(bench: CommandBench) -> None:
    table = PML4 + 0x3000
    bench.memory.write_u64(table + 8 * (DATA >> 12), DATA | 1)
    space = bench.host.ppgtt
    space.load(PML4)
    for times in (1, 2):
        group = begin(bench, copying_program(), copying(DATA, DATA + 0x1000))
        assert group.run(space, never) is GroupEnd.ENDED
        assert space.discarded_writes == 8 * times


@pytest.mark.parametrize("write", [False, True])
def test_a_page_that_is_not_there_is_a_page_fault(bench: CommandBench, write: bool) -> None:
    places = (ABSENT, DATA) if write else (DATA, ABSENT)
    group = begin(bench, copying_program(), copying(*places))
    with pytest.raises(PageFault) as caught:
        group.run(bench.host.ppgtt, never)
    assert (caught.value.address, caught.value.write) == (ABSENT, write)
    assert caught.value.reason == "page not present"


def test_what_a_program_must_not_do_says_where(bench: CommandBench) -> None:
    """A message that is none, behind an instruction of 16 bytes."""
    asm = Assembler(compacting=False)
    asm.mov(grf(4, Type.UD), grf(5, Type.UD))
    asm.send(None, 4, 6, 1 << 25)
    asm.end()
    group = begin(bench, asm.code(), make_job(simd=8))
    with pytest.raises(KernelFault, match=r"function 6.*\(at 0x10 of the program\)"):
        group.run(bench.host.ppgtt, never)
