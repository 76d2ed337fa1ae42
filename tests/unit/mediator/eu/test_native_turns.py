"""How many groups a host thread takes, how long a thread may go on, and when it looks at the clock.

The clock is not waited for: when it was looked at last is put far back, or ahead.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mediator.hotpath.interface import PageFault
from mediator.softgpu.eu.dispatch import payload
from tests.unit.mediator.command_bench import CommandBench, make_bench
from tests.unit.mediator.eu.job_bench import PythonKernel, make_job

native_pool = pytest.importorskip("mediator.softgpu.eu.dispatch.native_pool")

ffi, lib = native_pool.ffi, native_pool.lib
NEVER = 1 << 62
AGO, AHEAD = -100 * 10**9, 10**15
"""From now: 500,000 times as long as a thread is to go on for, and in the future."""
USUAL_STACK = 8 << 20
MXCSR, ROUND_TO_ZERO, HAPPENED = 0x1F80, 0x6000, 0x3F


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def start(job: Any, kernel: Any, workers: int = 1) -> Any:
    return native_pool.NativePool(workers).start(job, kernel, job.grid.start)


def advance(bench: CommandBench, run: Any, *, begin: bool = True, until: int = NEVER) -> bool:
    with bench.memory.using():
        return bool(run.advance(bench.host.ppgtt, until, begin=begin))


@pytest.mark.parametrize(
    ("before", "looked", "groups", "taken"),
    [
        (0, AGO, 1000, 1),
        (0, AHEAD, 1000, 1),
        (1, AGO, 1000, 1),
        (2, AGO, 1000, 1),
        (16, AGO, 1000, 8),
        (64, AGO, 1000, 32),
        (1, AHEAD, 1000, 2),
        (32, AHEAD, 1000, 64),
        (64, AHEAD, 1000, 64),
        (64, AHEAD, 100, 51),  # half of what is left, and one
        (64, AHEAD, 4, 3),
        (64, AHEAD, 1, 1),
    ],
)
def test_groups_are_taken_in_portions_by_how_long_the_last_took(
    bench: CommandBench, before: int, looked: int, groups: int, taken: int
) -> None:
    run = start(make_job(end=(groups, 1, 1)), PythonKernel(lambda *_: run.stop() or 0))
    place = run._array[0]
    place.portion, place.portion_looked = before, time.monotonic_ns() + looked
    began = time.monotonic_ns()
    assert advance(bench, run) is (groups == 1)
    assert (run.begun, run.ended) == (taken, 1)
    assert began <= place.portion_looked <= time.monotonic_ns()


@pytest.mark.parametrize("workers", [2, 3])
def test_the_last_groups_are_shared_out(bench: CommandBench, workers: int) -> None:
    stops = [True]
    kernel = PythonKernel(lambda *_: (run.stop() if stops else None) or 0)
    run = start(make_job(end=(100, 1, 1)), kernel, workers)
    ahead = time.monotonic_ns() + AHEAD
    for number in range(workers):
        run._array[number].portion, run._array[number].portion_looked = 64, ahead
    assert not advance(bench, run)
    first = 100 // (2 * workers) + 1
    assert first <= run.begun <= workers * first
    run.allow()
    stops.clear()
    assert advance(bench, run)
    assert (run.begun, run.ended) == (100, 100)


@pytest.mark.parametrize("workers", [1, 2])
def test_groups_of_a_portion_are_those_that_follow(bench: CommandBench, workers: int) -> None:
    seen: list[tuple[int, int, int]] = []

    def look(_thread: Any, group: Any, _worker: Any) -> int:
        seen.append((group.x, group.y, group.z))
        return 0

    run = start(make_job(start=(5, 2, 3), end=(8, 4, 8)), PythonKernel(look), workers)
    for number in range(workers):
        run._array[number].portion = 64
        run._array[number].portion_looked = time.monotonic_ns() + AHEAD
    assert advance(bench, run)
    grid = [(x, y, z) for z in range(3, 8) for y in (2, 3) for x in (5, 6, 7)]
    assert sorted(seen) == sorted(grid)
    assert workers > 1 or seen == grid


@pytest.mark.parametrize(
    ("before", "looked", "least", "most"),
    [
        (1 << 14, AHEAD, 1 << 15, 1 << 15),
        (1 << 21, AHEAD, 1 << 22, 1 << 22),
        (1 << 22, AHEAD, 1 << 22, 1 << 22),
        (1 << 40, AGO, (1 << 40) // 550_000, (1 << 40) // 500_000),
        (1 << 14, AGO, 1 << 10, 1 << 10),
    ],
)
def test_a_thread_may_go_on_by_how_long_it_took_before(
    bench: CommandBench, before: int, looked: int, least: int, most: int
) -> None:
    budgets: list[int] = []
    looks: list[int] = []

    def spend(thread: Any, _group: Any, worker: Any) -> int:
        budgets.append(worker.budget)
        looks.append(place.looked)
        if thread.resume:
            return 0
        place.looked = time.monotonic_ns() + looked
        worker.budget = 0
        return 1

    run = start(make_job(), PythonKernel(spend))
    place = run._array[0]
    place.budget = before
    began = time.monotonic_ns()
    assert advance(bench, run)
    assert budgets[0] == before
    assert least <= budgets[1] <= most
    assert place.budget == budgets[1]
    assert began <= looks[0] <= looks[1] <= time.monotonic_ns()
    assert 0 < run.busy_ns <= time.monotonic_ns() - began


def test_a_budget_that_is_not_known_yet(bench: CommandBench) -> None:
    seen: list[int] = []

    def look(_thread: Any, _group: Any, worker: Any) -> int:
        seen.append(worker.budget)
        return 0

    assert advance(bench, start(make_job(), PythonKernel(look)))
    assert seen == [1 << 14]


@pytest.mark.parametrize(("until", "begin"), [(0, True), (NEVER, False)])
def test_nothing_begins_where_nothing_may(bench: CommandBench, until: int, begin: bool) -> None:
    run = start(make_job(end=(3, 1, 1)), PythonKernel(lambda *_: 0))
    assert not advance(bench, run, until=until, begin=begin)
    assert (run.begun, run.ended, run.held_bytes) == (0, 0, 0)
    assert advance(bench, run)
    assert (run.begun, run.ended) == (3, 3)


@pytest.mark.parametrize("how", ["stop", "until"])
def test_after_eight_threads_somebody_may_have_asked(bench: CommandBench, how: str) -> None:
    seen: list[int] = []

    def look(thread: Any, _group: Any, _worker: Any) -> int:
        seen.append(thread.scratch_slot)
        if how == "stop":
            run.stop()
        else:
            run._struct.until = 0
        return 0

    run = start(make_job(size=(20, 1, 1)), PythonKernel(look))
    for threads in (8, 16):
        assert not advance(bench, run)
        assert seen == list(range(threads))
        assert run._array[0].next == threads
        run.allow()
    assert advance(bench, run)
    assert seen == list(range(20))


def test_two_groups_are_at_work_at_once(bench: CommandBench) -> None:
    meeting = threading.Barrier(2)
    broken: list[bool] = []

    def meet(*_: Any) -> int:
        try:
            meeting.wait(60)
        except threading.BrokenBarrierError:
            broken.append(True)
        return 0

    assert advance(bench, start(make_job(end=(2, 1, 1)), PythonKernel(meet), 2))
    assert not broken


@pytest.mark.parametrize("first", [0, 7, 510])
def test_a_group_begins_with_what_is_its_own(bench: CommandBench, first: int) -> None:
    """Whatever the one before it has left; its scratch space and its number of 9 bits too."""
    wrong: list[object] = []
    job = make_job(end=(3, 1, 1), size=(2, 1, 1), data=bytes(range(64)), own=1)

    def look(thread: Any, group: Any, _worker: Any) -> int:
        number = thread.scratch_slot - first
        expected = payload.registers(job, (group.x, 0, 0), number, first + number)
        kept = (list(thread.n0), list(thread.cr0)[1:], thread.flags, thread.arrived)
        if kept != ([0] * 4, [0] * 3, 0, 0) or thread.cr0[0] != payload.control(job):
            wrong.append(kept)
        if bytes(thread.grf[0 : len(expected)]) != expected or thread.resume:
            wrong.append(number)
        for n in range(4):
            thread.n0[n] = thread.cr0[n] = 5
        thread.flags = (1 << 64) - 1
        thread.arrived = 1
        return 0

    run = start(job, PythonKernel(look))
    run._array[0].first_slot = first
    assert advance(bench, run)
    assert not wrong


@pytest.mark.parametrize("write", [0, 1])
def test_a_fault_says_what_it_was(bench: CommandBench, write: int) -> None:
    def fault(_thread: Any, _group: Any, worker: Any) -> int:
        worker.fault, worker.fault_write, worker.fault_address = 2, write, 0x7000
        return 0

    with pytest.raises(PageFault) as found:
        advance(bench, start(make_job(), PythonKernel(fault)))
    assert (found.value.address, found.value.write) == (0x7000, bool(write))


def _tasks() -> set[Path]:
    return set(Path("/proc/self/task").iterdir())


@pytest.mark.parametrize(("asked", "threads"), [(0, 0), (3, 3), (70, 64)])
def test_a_pool_has_its_threads_which_take_no_signals(asked: int, threads: int) -> None:
    before, mask = _tasks(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    pool = lib.eu_pool_new(asked)
    made = _tasks() - before
    blocked = {
        int(line.split()[1], 16)
        for task in made
        for line in (task / "status").read_text().splitlines()
        if line.startswith("SigBlk")
    }
    lib.eu_pool_free(pool)
    assert len(made) == threads
    unblockable = {int(signal.SIGKILL), int(signal.SIGSTOP), 32, 33}
    usual = sum(1 << n - 1 for n in range(1, 65) if n not in unblockable)
    assert all(mask_of & usual == usual for mask_of in blocked)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


def test_a_host_thread_has_room_for_a_kernel(bench: CommandBench) -> None:
    """As much for each, whatever the process's limit is."""
    libc = ctypes.CDLL(None)
    main = threading.get_native_id()
    sizes: dict[int, int] = {}
    meeting = threading.Barrier(2)

    def look(*_: Any) -> int:
        meeting.wait(60)
        attributes, size = ctypes.create_string_buffer(256), ctypes.c_size_t()
        libc.pthread_self.restype = ctypes.c_void_p
        libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes)
        libc.pthread_attr_getstacksize(attributes, ctypes.byref(size))
        sizes[threading.get_native_id()] = size.value
        return 0

    kernel = PythonKernel(look)
    assert advance(bench, start(make_job(end=(2, 1, 1)), kernel, 2))
    assert not kernel.raised
    assert [size for thread, size in sizes.items() if thread != main] == [USUAL_STACK]


@pytest.mark.parametrize("modes", [MXCSR, MXCSR | ROUND_TO_ZERO])
def test_the_hosts_modes_are_kept_around_a_kernel(modes: int) -> None:
    """Without what exceptions have happened, which is no mode."""
    worker, thread = ffi.new("struct eu_worker *"), ffi.new("struct eu_thread *")
    group = ffi.new("struct eu_group *")
    seen: list[int] = []

    def kernel(_thread: Any, _group: Any, found: Any) -> int:
        seen.append(found.host_modes)
        lib.eu_modes_end(MXCSR | 0x2000)
        return 7

    made = PythonKernel(kernel)
    lib.eu_modes_end(modes | HAPPENED)
    try:
        came = lib.eu_call(ffi.cast("eu_kernel *", made.address), thread, group, worker)
        after = lib.eu_modes_begin(worker)
    finally:
        lib.eu_modes_end(MXCSR)
    assert (came, seen) == (7, [modes])
    assert (after & ~HAPPENED, worker.host_modes) == (modes, modes)
