"""Programs by content: what stands in memory is what runs, and no more is kept than has room."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from mediator.gen9.eu.types import Type
from mediator.hotpath.interface import PageFault
from mediator.softgpu.eu.dispatch import program_cache
from mediator.softgpu.eu.dispatch.job import KernelJob
from mediator.softgpu.eu.dispatch.media_state import Base
from mediator.softgpu.eu.dispatch.program_cache import JobKernel, ProgramCache, ProgramKernel
from mediator.softgpu.eu.dispatch.running import Abandoned, KernelFault
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.register import grf
from mediator.softgpu.eu.translator.cache import DiskCache
from mediator.softgpu.eu.translator.linker import Linked
from mediator.softgpu.eu.translator.translations import Translations
from mediator.softgpu.eu.translator.wire import Reply, Status
from tests.unit.mediator.command_bench import CommandBench, make_bench
from tests.unit.mediator.eu.job_bench import make_job

if TYPE_CHECKING:
    from mediator.softgpu.address_space import AddressSpace
    from mediator.softgpu.eu.dispatch.program_cache import JobKernel, ProgramKernel
    from mediator.softgpu.eu.dispatch.running import Pair

HEAP = 0x50000


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def code(value: int, length: int = 1) -> bytes:
    """A program that ends; ``value`` makes it another."""
    asm = Assembler()
    for _ in range(length):
        asm.mov(grf(20, Type.UD), value, width=8)
    asm.end()
    return asm.code()


def job_at(offset: int, simd: int = 16) -> KernelJob:
    job = make_job(simd=simd)
    return replace(
        job,
        kernel=HEAP + offset,
        descriptor=replace(job.descriptor, kernel=offset),
        bases=replace(job.bases, instruction=Base(HEAP, 1 << 20)),
    )


def cache() -> ProgramCache:
    return ProgramCache(lambda: None)


def test_a_program_is_decoded_once(bench: CommandBench) -> None:
    programs = cache()
    bench.memory.write(HEAP + 0x40, code(1))
    first = programs.find(job_at(0x40), bench.host.ppgtt)
    assert programs.find(job_at(0x40), bench.host.ppgtt) is first
    assert (programs.counters.decoded, programs.counters.hits) == (1, 1)


def test_code_that_changes_is_another_program(bench: CommandBench) -> None:
    programs = cache()
    bench.memory.write(HEAP + 0x40, code(1))
    first = programs.find(job_at(0x40), bench.host.ppgtt)
    bench.memory.write(HEAP + 0x40, code(2))
    second = programs.find(job_at(0x40), bench.host.ppgtt)
    assert second is not first
    bench.memory.write(HEAP + 0x40, code(1))
    assert programs.find(job_at(0x40), bench.host.ppgtt) is first, "it is known, and stands there"
    assert programs.counters.decoded == 2


def test_a_short_program_stands_where_a_long_one_was(bench: CommandBench) -> None:
    programs = cache()
    long, short = code(1, 20), code(2)
    bench.memory.write(HEAP + 0x40, long)
    programs.find(job_at(0x40), bench.host.ppgtt)
    bench.memory.write(HEAP + 0x40, short)
    end = HEAP + 0x40 + len(short)
    read = bench.host.ppgtt.read

    class Cut:
        """Nothing is mapped behind the short program."""

        root = 0

        def read(self, address: int, count: int) -> bytes:
            if address < end < address + count and count != 0x1000:
                raise PageFault(end, False, "page not present")
            return read(address, count)

    found = programs.find(job_at(0x40), cast("AddressSpace", Cut()))
    assert len(found.program.instructions) == 2


def test_the_same_code_elsewhere_is_the_same_program(bench: CommandBench) -> None:
    programs = cache()
    for at in (0x40, 0x4000):
        bench.memory.write(HEAP + at, code(1))
    first = programs.find(job_at(0x40), bench.host.ppgtt)
    assert programs.find(job_at(0x4000), bench.host.ppgtt) is first
    assert programs.find(job_at(0x40, simd=8), bench.host.ppgtt) is not first


def test_code_is_read_within_its_heap_alone(bench: CommandBench) -> None:
    bench.memory.write(HEAP + 0x40, code(1))
    job = job_at(0x40)
    job = replace(job, bases=replace(job.bases, instruction=Base(HEAP, 0x48)))
    with pytest.raises(KernelFault, match="leaves the instruction heap"):
        cache().find(job, bench.host.ppgtt)


def test_what_is_no_program_says_where(bench: CommandBench) -> None:
    bench.memory.write(HEAP + 0x40, b"\xff" * 64)
    with pytest.raises(KernelFault, match="at 0x0"):
        cache().find(job_at(0x40), bench.host.ppgtt)


def test_no_more_is_kept_than_has_room(
    bench: CommandBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_cache, "_INSTRUCTIONS", 100)
    programs = cache()
    for number in range(20):
        bench.memory.write(HEAP + 0x1000 * number, code(number, 20))
        programs.find(job_at(0x1000 * number), bench.host.ppgtt)
    assert programs.counters.decoded == 20
    programs.find(job_at(0x1000 * 19), bench.host.ppgtt)
    programs.find(job_at(0), bench.host.ppgtt)
    assert (programs.counters.decoded, programs.counters.hits) == (21, 1)


def test_what_others_run_at_the_same_address_pushes_nothing_out(
    bench: CommandBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guests have the same drivers, which put kernels at the same addresses."""
    monkeypatch.setattr(program_cache, "_PROGRAMS", 20)
    programs = cache()
    bench.memory.write(HEAP, code(1, 20))
    found = programs.find(job_at(0), bench.host.ppgtt, owner="honest")
    for number in range(50):
        bench.memory.write(HEAP, code(100 + number, 2))
        programs.find(job_at(0), bench.host.ppgtt, owner="enemy")
    bench.memory.write(HEAP, code(1, 20))
    assert programs.find(job_at(0), bench.host.ppgtt, owner="honest") is found
    assert programs.counters.hits == 1


def test_a_program_that_is_being_decoded_is_not_pushed_out_by_others(
    bench: CommandBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_cache, "_INSTRUCTIONS", 8 * 128)
    programs = cache()
    for number in range(5):
        bench.memory.write(HEAP + 0x4000 * number, code(number, 700))
    spaces = [Reads(bench) for _ in range(5)]

    def slice_of(number: int, owner: str, steps: int) -> None:
        space = cast("AddressSpace", spaces[number])
        with pytest.raises(Abandoned):
            programs.find(job_at(0x4000 * number), space, after(steps), owner)

    for _ in range(3):
        slice_of(0, "honest", 1)
        for number in range(1, 5):
            slice_of(number, "enemy", 3)
    assert len(spaces[0].pages) == len(set(spaces[0].pages)), "it went on, and did not begin anew"


def test_a_program_with_targets_in_registers_is_decoded_once_too(bench: CommandBench) -> None:
    """But what they lead to is what stands in the memory of each job."""
    asm = Assembler()
    asm.jmpi(grf(1, Type.D).scalar, width=1, no_mask=True)
    words, programs = asm.code(), cache()
    bench.memory.write(HEAP, words)
    kernels = []
    for value in (1, 2):
        bench.memory.write(HEAP + len(words), code(value))
        kernels.append(programs.find(job_at(0), bench.host.ppgtt))
    assert (programs.counters.decoded, programs.counters.hits) == (1, 1)
    assert kernels[0].program is kernels[1].program
    assert kernels[0].interpreted is not kernels[1].interpreted


class Reads:
    """An address space that counts what is read of it."""

    def __init__(self, bench: CommandBench, root: int = 0) -> None:
        self.root = root
        self.pages: list[int] = []
        self._read = bench.host.ppgtt.read

    def read(self, address: int, count: int) -> bytes:
        if count == 0x1000:
            self.pages.append(address)
        return self._read(address, count)


def after(times: int) -> Callable[[], bool]:
    """True the so-manieth time that it is asked."""
    asked: list[bool] = []

    def stopping() -> bool:
        asked.append(True)
        return len(asked) == times

    return stopping


def test_a_long_program_is_decoded_in_slices(bench: CommandBench) -> None:
    """So that lists, resets and changes of the memory map do not wait for it."""
    programs = cache()
    bench.memory.write(HEAP, code(1, 2000))
    space = Reads(bench)
    slices = 0
    while True:
        try:
            found = programs.find(job_at(0), cast("AddressSpace", space), after(3))
            break
        except Abandoned:
            slices += 1
            assert programs.counters.decoded == 0
    assert 5 < slices < 50
    assert len(found.program.instructions) == 2001
    assert len(space.pages) == len(set(space.pages)), "no page was decoded twice"
    assert programs.counters.decoded == 1
    assert programs.find(job_at(0), cast("AddressSpace", space)) is found


def test_contexts_at_one_address_do_not_mix_their_programs(bench: CommandBench) -> None:
    programs = cache()
    spaces = [cast("AddressSpace", Reads(bench, root)) for root in (0x1000, 0x2000)]
    codes = [code(1, 2000), code(2, 2000)]
    found: dict[int, ProgramKernel | JobKernel] = {}
    while len(found) < 2:
        for number, space in enumerate(spaces):
            bench.memory.write(HEAP, codes[number])
            try:
                found[number] = programs.find(job_at(0), space, after(4))
            except Abandoned:
                continue
    assert found[0] is not found[1]
    assert [b"".join(part for _, part in found[n].program.ranges) for n in (0, 1)] == codes


def test_code_that_changes_while_it_is_decoded_is_decoded_anew(bench: CommandBench) -> None:
    programs = cache()
    bench.memory.write(HEAP, code(1, 2000))
    space = bench.host.ppgtt
    with pytest.raises(Abandoned):
        programs.find(job_at(0), space, after(3))
    bench.memory.write(HEAP, code(2, 2000))
    with pytest.raises(Abandoned):
        programs.find(job_at(0), space)
    found = programs.find(job_at(0), space)
    assert b"".join(part for _, part in found.program.ranges) == code(2, 2000)


def test_no_more_is_kept_of_unfinished_programs_than_has_room(
    bench: CommandBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were gone on with last stay."""
    monkeypatch.setattr(program_cache, "_INSTRUCTIONS", 3 * 140)
    programs = cache()
    spaces = [Reads(bench) for _ in range(4)]
    for number, space in enumerate(spaces):
        bench.memory.write(HEAP + 0x4000 * number, code(number, 300))
        with pytest.raises(Abandoned):
            programs.find(job_at(0x4000 * number), cast("AddressSpace", space), after(1))
    for number, space in enumerate(spaces):
        programs.find(job_at(0x4000 * number), cast("AddressSpace", space))
    assert [len(space.pages) - len(set(space.pages)) for space in spaces] == [1, 0, 0, 0]


class Compiler:
    """Answers everything in one way, and links it."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def compile(self, code: bytes, entry: int, simd: int, *, pair: bool) -> Reply:
        return Reply(self.status, 0.0, b"object or reason")

    def stop(self) -> None:
        pass

    def link(self, content: bytes, *, pair: bool) -> Linked:
        return Linked(1, len(content), None, apart=2 * pair)


def pair_of(kernel: ProgramKernel | JobKernel, translations: Translations) -> Pair | None:
    """What comes of asking for it, once it has been compiled."""
    kernel.pair("guest", 0)
    while translations.pending:
        time.sleep(0.001)
    return kernel.pair("guest", 0)


def test_a_program_that_runs_often_enough_is_compiled_for_pairs(bench: CommandBench) -> None:
    """Threads count, of all its jobs."""
    bench.memory.write(HEAP + 0x40, code(1))
    compiler = Compiler(Status.OBJECT)
    translations = Translations(compiler, compiler)
    kernel = ProgramCache(lambda: translations).find(job_at(0x40), bench.host.ppgtt)
    assert kernel.wait(60.0, "guest")
    for threads in (program_cache._WORTH_A_PAIR - 2, 1):
        kernel.pair("guest", threads)
        assert pair_of(kernel, translations) is None
    kernel.pair("guest", 1)
    found = pair_of(kernel, translations)
    assert found is not None
    assert found.apart == 2
    counters = translations.counters
    assert (counters.requests, counters.compilations, counters.memory_hits) == (2, 2, 1)
    translations.close()


def test_what_is_refused_as_a_pair_is_asked_for_once(bench: CommandBench) -> None:
    bench.memory.write(HEAP + 0x40, code(1))
    compiler = Compiler(Status.OBJECT)
    translations = Translations(compiler, compiler)
    programs = ProgramCache(lambda: translations)
    kernel = programs.find(job_at(0x40), bench.host.ppgtt)
    assert kernel.wait(60.0, "guest")
    compiler.status = Status.REFUSED
    kernel.pair("guest", 1 << 96)
    for _ in range(3):
        assert pair_of(kernel, translations) is None
    counters = translations.counters
    assert (counters.requests, counters.refusals, counters.failures) == (2, 0, 0)
    assert programs.counters.uncompiled == 0
    assert kernel.compiled("guest") is not None
    translations.close()


def test_threads_that_fill_the_vector_units_are_no_pairs(bench: CommandBench) -> None:
    bench.memory.write(HEAP + 0x40, code(1))
    compiler = Compiler(Status.OBJECT)
    translations = Translations(compiler, compiler)
    kernel = ProgramCache(lambda: translations).find(job_at(0x40, 32), bench.host.ppgtt)
    assert kernel.wait(60.0, "guest")
    kernel.pair("guest", 1 << 96)
    assert pair_of(kernel, translations) is None
    assert translations.counters.requests == 1
    translations.close()


@pytest.mark.parametrize("status", [Status.OBJECT, Status.REFUSED])
def test_what_became_of_programs_is_counted(
    bench: CommandBench, tmp_path: Path, status: Status
) -> None:
    """Once for each, however often it is asked for; the second process finds it on disk."""
    bench.memory.write(HEAP + 0x40, code(1))
    for process in range(2):
        compiler = Compiler(status)
        translations = Translations(compiler, compiler, DiskCache(tmp_path))
        programs = ProgramCache(lambda translations=translations: translations)  # type: ignore[misc]
        kernel = programs.find(job_at(0x40), bench.host.ppgtt)
        for _ in range(3):
            assert kernel.wait(60.0, "guest") == (status is Status.OBJECT)
            assert (kernel.compiled("guest") is None) == (status is Status.REFUSED)
        counters = programs.counters
        found = counters.compiled, counters.from_disk, counters.uncompiled
        assert found == ((1, process, 0) if status is Status.OBJECT else (0, 0, 1))
        translations.close()
