"""Groups on host threads: each once, with its payload; barriers, budgets, faults and stops."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from mediator.gen9.eu.payload import Order
from mediator.hotpath.interface import PageFault
from mediator.softgpu.eu.dispatch import payload
from mediator.softgpu.eu.dispatch.job import KernelJob
from mediator.softgpu.eu.dispatch.running import KernelFault
from tests.unit.mediator.command_bench import CommandBench, make_bench
from tests.unit.mediator.eu.job_bench import SPEND, WAIT, PythonKernel, Script, make_job

native_pool = pytest.importorskip("mediator.softgpu.eu.dispatch.native_pool")

NEVER = 1 << 62
ABSURD = ((1 << 32) - 1,) * 3
"""As many groups as a walker can ask for."""
WORKERS = pytest.mark.parametrize("workers", [1, 3])


@pytest.fixture
def bench() -> CommandBench:
    return make_bench()


def start(job: KernelJob, kernel: PythonKernel, workers: int = 1) -> Any:
    pool = native_pool.NativePool(workers)
    return pool.start(job, kernel, job.grid.start)


def advance(bench: CommandBench, run: Any, *, begin: bool = True, until: int = NEVER) -> bool:
    with bench.memory.using():
        return bool(run.advance(bench.host.ppgtt, until, begin=begin))


def numbers(count: int) -> bytes:
    """A GRF for each thread with its number."""
    return b"".join(n.to_bytes(32, "little") for n in range(count))


@WORKERS
def test_every_group_runs_once(bench: CommandBench, workers: int) -> None:
    seen: Counter[tuple[int, int, int]] = Counter()
    kernel = PythonKernel(lambda thread, group, _: seen.update([(group.x, group.y, group.z)]) or 0)
    job = make_job(start=(1, 2, 3), end=(4, 4, 8))
    run = start(job, kernel, workers)
    assert advance(bench, run)
    assert seen == Counter((x, y, z) for x in (1, 2, 3) for y in (2, 3) for z in range(3, 8))
    assert (run.begun, run.ended, run.following, run.held_bytes) == (30, 30, None, 0)


@pytest.mark.parametrize("order", list(Order))
@WORKERS
def test_a_thread_begins_with_its_payload(bench: CommandBench, order: Order, workers: int) -> None:
    job = make_job(
        end=(2, 2, 1),
        simd=8,
        size=(3, 2, 2),
        right=0x07,
        bottom=0xF1,
        data=bytes(n % 251 for n in range(32 * (3 + 12 * 2) - 40)),
        shared=3,
        own=2,
        order=order,
    )
    wrong: list[tuple[object, object]] = []
    numbers: Counter[tuple[int, ...]] = Counter()

    def look(thread: Any, group: Any, _worker: Any) -> int:
        at = (group.x, group.y, group.z)
        slot = thread.scratch_slot
        number = slot % 12
        numbers.update([(*at, number)])
        expected = payload.registers(job, at, number, slot)
        found = bytes(thread.grf[0 : len(expected)])
        if found != expected:
            wrong.append((found, expected))
        if thread.dispatch_mask != payload.dispatch_mask(job.shape, number):
            wrong.append((thread.dispatch_mask, number))
        if thread.sr0[2] != thread.dispatch_mask:
            wrong.append((thread.sr0[2], number))
        if thread.cr0[0] != payload.control(job) or thread.flags or thread.n0[0]:
            wrong.append((thread.cr0[0], number))
        thread.flags = 0xFFFF
        thread.n0[0] = 0
        return 0

    kernel = PythonKernel(look)
    assert advance(bench, start(job, kernel, workers))
    assert not kernel.raised
    assert not wrong
    assert len(numbers) == 4 * 12
    assert set(numbers.values()) == {1}


def test_registers_of_an_earlier_job_are_gone(bench: CommandBench) -> None:
    pool = native_pool.NativePool(1)
    left: list[int] = []

    def fill(thread: Any, _group: Any, _worker: Any) -> int:
        left.append(sum(thread.grf[1000:4096]))
        for at in range(1000, 4096):
            thread.grf[at] = 0xAA
        return 0

    kernel = PythonKernel(fill)
    for _ in range(2):
        assert advance(bench, pool.start(make_job(), kernel, (0, 0, 0)))
    assert left == [0, 0]


def test_a_thread_that_kept_its_registers_leaves_none_of_them_as_payload(
    bench: CommandBench,
) -> None:
    """Blocks are used again for the next group: only what has changed is written anew."""
    job = make_job(end=(6, 1, 1), size=(2, 1, 1), data=numbers(2), own=1)
    wrong: list[tuple[object, object]] = []

    def keep(thread: Any, group: Any, worker: Any) -> int:
        if thread.resume:
            return 0
        number = thread.scratch_slot
        expected = payload.registers(job, (group.x, 0, 0), number, number)
        found = bytes(thread.grf[0 : len(expected)])
        if found != expected or thread.arrived or thread.cr0[0] != payload.control(job):
            wrong.append((found, expected))
        thread.arrived = 1
        thread.cr0[0] = 0
        if (group.x + number) % 3:
            return 0
        for at in range(4096):
            thread.grf[at] = 0xAA
        worker.budget = 0
        return 1

    kernel = PythonKernel(keep)
    assert advance(bench, start(job, kernel))
    assert not kernel.raised
    assert not wrong


def test_groups_that_were_taken_run_before_their_context_is_away(bench: CommandBench) -> None:
    """A host thread takes several at a time. Stopped between two of them, it has the others yet,
    which have begun for everybody else."""
    seen: list[int] = []

    def look(_thread: Any, group: Any, _worker: Any) -> int:
        seen.append(group.x)
        if len(seen) == 3:
            run.stop()
        return 0

    kernel = PythonKernel(look)
    run = start(make_job(end=(100, 1, 1)), kernel)
    run._array[0].portion = 16
    assert not advance(bench, run)
    assert seen == [0, 1, 2]
    taken = run.begun
    assert taken == 8, "half as many as before, since they took long"
    assert (run.ended, run.following) == (3, (taken, 0, 0))
    assert run.held_bytes > 0
    run.allow()
    assert not advance(bench, run, begin=False)
    assert seen == list(range(taken))
    assert (run.ended, run.held_bytes, run.following) == (taken, 0, (taken, 0, 0))
    assert advance(bench, run)
    assert seen == list(range(100))


def test_a_barrier_lets_nobody_pass_before_all_are_there(bench: CommandBench) -> None:
    job = make_job(end=(2, 1, 1), size=(4, 1, 1), data=numbers(4), own=1)
    log: list[Any] = []
    script = Script([[WAIT, WAIT], [SPEND, WAIT, WAIT], [WAIT, SPEND, WAIT], [WAIT, WAIT]], log)
    kernel = PythonKernel(script)
    assert advance(bench, start(job, kernel))
    assert not kernel.raised
    for x in range(2):
        mine = [(thread, step) for group, thread, step in log if group == (x, 0, 0)]
        first = {0: 0, 1: 1, 2: 0, 3: 0}
        arrivals = [mine.index((thread, step)) for thread, step in first.items()]
        later = [at for at, (thread, step) in enumerate(mine) if step > first[thread]]
        assert max(arrivals) < min(later)
    assert len(log) == 2 * 10


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([[WAIT], []], "never complete"),
        ([[WAIT, WAIT], [WAIT]], "never complete"),
    ],
)
def test_threads_that_wait_for_nobody_fault(
    bench: CommandBench, steps: list[list[str]], words: str
) -> None:
    job = make_job(size=(2, 1, 1), data=numbers(2), own=1)
    kernel = PythonKernel(Script(steps, []))
    with pytest.raises(KernelFault, match=words):
        advance(bench, start(job, kernel))


def test_a_wait_for_what_no_barrier_gives_faults(bench: CommandBench) -> None:
    def wait(thread: Any, _group: Any, _worker: Any) -> int:
        thread.n0[0] = 1
        return 1

    with pytest.raises(KernelFault, match="notification"):
        advance(bench, start(make_job(), PythonKernel(wait)))


@WORKERS
def test_a_page_fault_ends_the_run(bench: CommandBench, workers: int) -> None:
    def fault(_thread: Any, group: Any, worker: Any) -> int:
        if group.x == 3:
            worker.fault, worker.fault_write, worker.fault_address = 1, 1, 0x1234_5000
        return 0

    run = start(make_job(end=(1000, 1, 1)), PythonKernel(fault), workers)
    with pytest.raises(PageFault, match=r"write at 0x12345000: page not present"):
        advance(bench, run)
    assert run.begun < 1000 or workers > 1


def test_a_message_that_is_none_names_itself(bench: CommandBench) -> None:
    def fault(_thread: Any, _group: Any, worker: Any) -> int:
        worker.fault, worker.fault_address = 16, 5 << 32 | 0x123
        return 0

    with pytest.raises(KernelFault, match="SFID 5, descriptor 0x123"):
        advance(bench, start(make_job(), PythonKernel(fault)))


def test_a_program_that_gives_up_faults(bench: CommandBench) -> None:
    with pytest.raises(KernelFault, match="must not"):
        advance(bench, start(make_job(), PythonKernel(lambda *_: 0xFFFF_FFFF)))


@WORKERS
def test_a_group_that_was_left_goes_on_where_it_was(bench: CommandBench, workers: int) -> None:
    """A deadline that has passed lets each group come as far as one budget."""
    job = make_job(end=(3, 1, 1), size=(2, 1, 1), data=numbers(2), own=1)
    log: list[Any] = []
    script = Script([[SPEND] * 5, [SPEND] * 2], log)
    stops: list[int] = []

    def stopping(thread: Any, group: Any, worker: Any) -> int:
        came = script(thread, group, worker)
        if came and len(log) % 3 == 0:
            stops.append(len(log))
            run.stop()
        return came

    kernel = PythonKernel(stopping)
    run = start(job, kernel, workers)
    for _ in range(100):
        if advance(bench, run):
            break
        run.allow()
    assert not kernel.raised
    assert stops
    assert run.ended == 3
    assert Counter(log) == Counter(
        ((x, 0, 0), thread, step)
        for x in range(3)
        for thread, count in ((0, 5), (1, 2))
        for step in range(count)
    )


def test_stop_ends_a_slice_and_no_more(bench: CommandBench) -> None:
    """An endless thread: another host thread ends the slice, and the run goes on later."""
    began = threading.Event()
    finish = threading.Event()

    def endless(_thread: Any, _group: Any, worker: Any) -> int:
        began.set()
        worker.budget = 0
        return 0 if finish.is_set() else 1

    run = start(make_job(end=ABSURD), PythonKernel(endless))
    stopper = threading.Thread(target=lambda: (began.wait(), run.stop()))
    stopper.start()
    assert not advance(bench, run)
    stopper.join()
    assert (run.begun, run.ended, run.following) == (1, 0, (1, 0, 0))
    assert run.held_bytes > 0
    run.allow()
    finish.set()
    assert not advance(bench, run, begin=False), "the rest of the grid has not begun"
    assert (run.ended, run.held_bytes, run.following) == (1, 0, (1, 0, 0))


@pytest.mark.parametrize("number", [0, 5, (1 << 64) + 7, ABSURD[0] ** 3 - 2])
def test_groups_of_a_large_grid_are_counted_right(bench: CommandBench, number: int) -> None:
    job = make_job(end=ABSURD)
    seen: list[tuple[int, int, int]] = []
    run_of: list[Any] = []

    def look(_thread: Any, group: Any, _worker: Any) -> int:
        seen.append((group.x, group.y, group.z))
        if len(seen) == 2:
            run_of[0].stop()
        return 0

    pool = native_pool.NativePool(1)
    first = job.grid.at(number)
    assert first is not None
    run_of.append(pool.start(job, PythonKernel(look), first))
    advance(bench, run_of[0])
    assert seen == [job.grid.at(number), job.grid.at(number + 1)]


def test_local_memory_is_empty_for_each_group(bench: CommandBench) -> None:
    found: list[tuple[int, int]] = []

    def fill(_thread: Any, group: Any, _worker: Any) -> int:
        found.append((sum(group.slm[0:4096]), group.slm_size))
        for at in range(4096):
            group.slm[at] = 1
        return 0

    assert advance(bench, start(make_job(end=(3, 1, 1), slm=4096), PythonKernel(fill)))
    assert found == [(0, 4096)] * 3


@pytest.mark.parametrize(("most", "at_a_time"), [(168, 3), (9, 2), (4, 1)])
def test_no_two_threads_have_one_scratch_space(
    bench: CommandBench, most: int, at_a_time: int
) -> None:
    slots: set[int] = set()
    lock = threading.Lock()
    inside: set[int] = set()
    clash: list[int] = []

    def look(thread: Any, _group: Any, worker: Any) -> int:
        slot = thread.scratch_slot
        with lock:
            slots.add(slot)
            if not thread.resume:
                if slot in inside:
                    clash.append(slot)
                inside.add(slot)
        if thread.resume < 3:
            worker.budget = 0
            return int(thread.resume) + 1
        with lock:
            inside.discard(slot)
        return 0

    job = make_job(end=(50, 1, 1), size=(4, 1, 1), most=most)
    kernel = PythonKernel(look)
    assert advance(bench, start(job, kernel, 3))
    assert not kernel.raised
    assert not clash
    assert max(slots) < min(most, 4 * at_a_time)


def test_a_pool_that_was_closed_works_anew(bench: CommandBench) -> None:
    pool = native_pool.NativePool(3)
    kernel = PythonKernel(lambda *_: 0)
    assert advance(bench, pool.start(make_job(end=(9, 1, 1)), kernel, (0, 0, 0)))
    pool.close()
    assert advance(bench, pool.start(make_job(end=(9, 1, 1)), kernel, (0, 0, 0)))
    pool.close()


def test_a_thread_whose_messages_took_long_is_the_last_before_a_look(bench: CommandBench) -> None:
    def spend(_thread: Any, _group: Any, worker: Any) -> int:
        worker.budget = 0
        run.stop()
        seen.append(None)
        return 0

    seen: list[None] = []
    run = start(make_job(size=(4, 1, 1)), PythonKernel(spend))
    for threads in (1, 2, 3):
        assert not advance(bench, run)
        assert len(seen) == threads
        run.allow()
    assert advance(bench, run)
    assert len(seen) == 4
