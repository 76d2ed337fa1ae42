"""Threads of a group on host threads in pairs: who runs with whom, and when they part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mediator.hotpath.interface import PageFault
from mediator.softgpu.eu.dispatch.running import KernelFault
from mediator.softgpu.eu.translator import resuming
from tests.unit.mediator.command_bench import CommandBench, make_bench
from tests.unit.mediator.eu.job_bench import PythonKernel, make_job

native_pool = pytest.importorskip("mediator.softgpu.eu.dispatch.native_pool")

ffi, lib = native_pool.ffi, native_pool.lib
NEVER = 1 << 62
WAIT, BLOCK, APART = 5, 8, 7
"""Places: the low two bits say what stands there."""
Kernel = Callable[[Any, Any, Any], int]


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


@dataclass(frozen=True)
class Pair:
    """`running.Pair`."""

    address: int
    apart: int


def run_of(threads: int, pair: Kernel, single: Kernel, apart: Kernel, groups: int = 1) -> Any:
    """A run of Python functions; its threads find their number in r1."""
    numbers = b"".join(n.to_bytes(32, "little") for n in range(threads))
    job = make_job(end=(groups, 1, 1), size=(threads, 1, 1), data=numbers, own=1)
    kernels = [PythonKernel(each) for each in (single, pair, apart)]
    run = native_pool.NativePool(1).start(job, kernels[0], job.grid.start)
    run.pair(Pair(kernels[1].address, kernels[2].address))
    run.kernels = kernels
    return run


def advance(bench: CommandBench, run: Any) -> bool:
    with bench.memory.using():
        ended = bool(run.advance(bench.host.ppgtt, NEVER, begin=True))
    assert not any(each.raised for each in run.kernels)
    return ended


def number(thread: Any) -> int:
    return int.from_bytes(bytes(thread.grf[32:34]), "little")


class Log:
    """Kernels that end at once, and who came to which of them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def __call__(self, name: str) -> Kernel:
        def kernel(thread: Any, _group: Any, _worker: Any) -> int:
            self.seen.append((name, number(thread), thread.resume))
            return 0

        return kernel


def test_numbers_are_those_of_the_translator() -> None:
    assert lib.EU_PARTED == resuming.PARTED
    assert lib.EU_APART == lib.EU_PLACE_KIND == resuming.Kind.APART


def test_threads_run_two_by_two_and_the_last_alone(bench: CommandBench) -> None:
    log = Log()
    assert advance(bench, run_of(5, log("pair"), log("single"), log("apart"), groups=2))
    assert log.seen == [("pair", 0, 0), ("pair", 2, 0), ("single", 4, 0)] * 2


def test_those_that_part_go_on_each_by_itself(bench: CommandBench) -> None:
    log = Log()

    def parts(threads: Any, _group: Any, _worker: Any) -> int:
        threads[0].resume, threads[1].resume = APART, BLOCK
        return int(lib.EU_PARTED)

    assert advance(bench, run_of(3, parts, log("single"), log("apart")))
    assert log.seen == [("apart", 0, APART), ("single", 1, BLOCK), ("single", 2, 0)]


def test_one_that_has_parted_is_no_ones_partner(bench: CommandBench) -> None:
    """Nor if both stand at the same place, which `apart` alone knows."""
    log = Log()

    def parts(threads: Any, _group: Any, worker: Any) -> int:
        threads[0].resume = threads[1].resume = APART
        worker.budget = 0
        run.stop()
        return int(lib.EU_PARTED)

    run = run_of(2, parts, log("single"), log("apart"))
    assert not advance(bench, run)
    run.allow()
    assert advance(bench, run)
    assert log.seen == [("apart", 0, APART), ("apart", 1, APART)]


def test_a_pair_that_was_left_goes_on_as_one(bench: CommandBench) -> None:
    log = Log()

    def spends(threads: Any, group: Any, worker: Any) -> int:
        log("pair")(threads, group, worker)
        assert threads[0].resume == threads[1].resume
        if threads[0].resume == 2 * BLOCK:
            return 0
        worker.budget = 0
        run.stop()
        return int(threads[0].resume) + BLOCK

    run = run_of(4, spends, log("single"), log("apart"))
    while not advance(bench, run):
        run.allow()
    expected = [("pair", n, at) for n in (0, 2) for at in (0, BLOCK, 2 * BLOCK)]
    assert log.seen == expected


def test_a_barrier_is_complete_when_all_pairs_are_there(bench: CommandBench) -> None:
    log = Log()

    def arrive(threads: Any, count: int, group: Any) -> int:
        if threads[0].resume:
            assert all(threads[n].n0[0] == 1 for n in range(count))
            assert len([each for each in log.seen if each[2] == 0]) == 3
            for n in range(count):
                threads[n].n0[0] = 0
            return 0
        for n in range(count):
            threads[n].arrived = 1
            group.arrived += 1
        return WAIT

    def pair(threads: Any, group: Any, worker: Any) -> int:
        log("pair")(threads, group, worker)
        return arrive(threads, 2, group)

    def single(threads: Any, group: Any, worker: Any) -> int:
        log("single")(threads, group, worker)
        return arrive(threads, 1, group)

    assert advance(bench, run_of(5, pair, single, log("apart")))
    rounds = [("pair", 0), ("pair", 2), ("single", 4)]
    assert log.seen == [(*each, at) for at in (0, WAIT) for each in rounds]


def test_whoever_alone_was_notified_takes_it_alone(bench: CommandBench) -> None:
    log = Log()

    def waits(threads: Any, _group: Any, _worker: Any) -> int:
        threads[1].n0[0] = 1
        return WAIT

    def single(thread: Any, group: Any, worker: Any) -> int:
        log("single")(thread, group, worker)
        if number(thread) == 0:
            return WAIT
        thread.n0[0] = 0
        return 0

    with pytest.raises(KernelFault, match="never complete"):
        advance(bench, run_of(2, waits, single, log("apart")))
    assert log.seen == [("single", 0, WAIT), ("single", 1, WAIT)]


def test_a_wait_of_both_for_what_no_barrier_gives_faults(bench: CommandBench) -> None:
    def waits(threads: Any, _group: Any, _worker: Any) -> int:
        threads[0].n0[0] = threads[1].n0[0] = 1
        return WAIT

    log = Log()
    with pytest.raises(KernelFault, match="notification"):
        advance(bench, run_of(2, waits, log("single"), log("apart")))


def test_pairs_that_wait_for_nobody_fault(bench: CommandBench) -> None:
    log = Log()
    with pytest.raises(KernelFault, match="never complete"):
        advance(bench, run_of(2, lambda *_: WAIT, log("single"), log("apart")))


def test_threads_with_other_modes_are_no_pair(bench: CommandBench) -> None:
    log = Log()

    def pair(threads: Any, group: Any, worker: Any) -> int:
        log("pair")(threads, group, worker)
        threads[0].cr0[0] ^= 0x30
        threads[0].resume = threads[1].resume = BLOCK
        worker.budget = 0
        return int(lib.EU_PARTED)

    assert advance(bench, run_of(2, pair, log("single"), log("apart")))
    assert log.seen == [("pair", 0, 0), ("single", 0, BLOCK), ("single", 1, BLOCK)]


@pytest.mark.parametrize("word", ["page not present", "must not"])
def test_a_fault_of_a_pair_ends_the_run(bench: CommandBench, word: str) -> None:
    def faults(_threads: Any, _group: Any, worker: Any) -> int:
        if word == "must not":
            return 0xFFFF_FFFF
        worker.fault, worker.fault_address = 1, 0x5000
        return 0

    log = Log()
    with pytest.raises((PageFault, KernelFault), match=word):
        advance(bench, run_of(2, faults, log("single"), log("apart"), groups=9))
    assert log.seen == []


def test_a_pair_that_kept_registers_leaves_none_of_them_as_payload(bench: CommandBench) -> None:
    wrong: list[int] = []

    def keeps(threads: Any, _group: Any, worker: Any) -> int:
        if threads[0].resume:
            return 0
        wrong.extend(n for n in range(2) if number(threads[n]) != n)
        ffi.memmove(threads[0].grf, b"\xaa" * 4096, 4096)
        ffi.memmove(threads[1].grf, b"\xaa" * 4096, 4096)
        worker.budget = 0
        return BLOCK

    log = Log()
    assert advance(bench, run_of(2, keeps, log("single"), log("apart"), groups=3))
    assert wrong == []
