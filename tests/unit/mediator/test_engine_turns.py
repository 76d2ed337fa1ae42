"""When an engine goes on, pauses, waits, gives way or hangs, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.execlist import Event
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.engine import Engine
from mediator.softgpu.streamer import Stop
from mmio_trap.guest_memory import GuestMemory
from tests.gpu_driver import MI_NOOP, Context
from tests.gpu_driver.commands import (
    MI_ARB_CHECK,
    MI_ARB_OFF,
    MI_ARB_ON,
    MI_BATCH_BUFFER_END,
    batch_start,
    semaphore_wait,
)
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

NAME = "bcs0"
BATCH = 0x10_0000
INHIBIT_SYNC_SWITCH = 0x0008_0000
WAITED = int(Event.WAIT_SEMAPHORE | Event.ELEMENT_SWITCH)
SHORTEST = 20e-6


@pytest.fixture
def bench() -> Bench:
    return make_bench()


@pytest.fixture
def engine(bench: Bench) -> Engine:
    return bench.gpu.engines[NAME]


def ring(bench: Bench, *dwords: int) -> Context:
    context = bench.driver.create_context(NAME)
    bench.driver.emit(context, dwords or [MI_NOOP, MI_NOOP])
    return context


class Scripted:
    """In the streamer's place: does something, and says how its run ended."""

    def __init__(self, engine: Engine, *script: tuple[Callable[[], object], Stop]) -> None:
        self.left = 0
        self.runs = 0
        self.script = list(script)
        engine._streamer = self  # type: ignore[assignment]

    def run(self, _running: ContextState, _quantum: int) -> Stop:
        self.runs += 1
        does, stop = self.script.pop(0)
        does()
        return stop


def nothing() -> None:
    """Nothing."""


# -- what a step returns -------------------------------------------------------------------------


def test_a_step_under_other_memory_does_nothing_and_is_tried_again(
    bench: Bench, engine: Engine
) -> None:
    """The memory was switched after it was held and before the lock was."""
    bench.driver.submit(ring(bench))
    old = bench.gpu.memory

    class Lock:
        """The GPU's, before which somebody else had it."""

        def __enter__(self) -> None:
            bench.gpu.lock = real
            bench.gpu.memory = GuestMemory()
            real.__enter__()

        def __exit__(self, *_: object) -> None:
            real.__exit__(None, None, None)

    real = bench.gpu.lock
    bench.gpu.lock = Lock()  # type: ignore[assignment]
    assert engine.step() == 0
    assert engine.lists.pending
    assert engine.context is None
    bench.gpu.memory.close()
    bench.gpu.memory = old
    bench.run(NAME)
    assert engine.idle


def test_what_was_taken_is_announced_before_it_runs(bench: Bench, engine: Engine) -> None:
    bench.driver.submit(ring(bench))
    told = []
    bench.take_interrupts()
    Scripted(engine, (lambda: told.append(bench.take_interrupts()), Stop.QUANTUM))
    engine.step()
    assert told == [1]
    assert bench.take_interrupts() == 0


@pytest.mark.parametrize(
    ("stop", "spins", "pause"),
    [
        (Stop.HUNG, False, None),
        (Stop.QUANTUM, False, 0),
        (Stop.QUANTUM, True, SHORTEST),
        (Stop.WAIT, False, SHORTEST),
        (Stop.ATTENTION, False, 0),
        (Stop.RING_EMPTY, False, 0),
    ],
)
def test_the_pause_after_a_run(
    bench: Bench, engine: Engine, stop: Stop, spins: bool, pause: float | None
) -> None:
    bench.driver.submit(ring(bench))
    Scripted(engine, (lambda: setattr(engine.context, "spinning", spins), stop))
    assert engine.step() == pause
    assert (engine.context is None) == (stop is Stop.RING_EMPTY)


def test_a_list_that_comes_while_the_context_waits_is_taken_at_once(
    bench: Bench, engine: Engine
) -> None:
    bench.driver.submit(ring(bench))
    other = ring(bench)
    Scripted(engine, (lambda: bench.driver.submit(other), Stop.WAIT))
    assert engine.step() == 0
    assert engine.lists.pending


def test_a_list_that_comes_while_a_wait_may_not_be_left_waits_too(
    bench: Bench, engine: Engine
) -> None:
    bench.driver.submit(ring(bench))
    other = ring(bench)

    def submit() -> None:
        assert engine.context is not None
        engine.context.arbitration = False
        bench.driver.submit(other)

    Scripted(engine, (submit, Stop.WAIT), (nothing, Stop.WAIT))
    assert engine.step() == SHORTEST
    first = engine.context
    assert engine.step() == 2 * SHORTEST
    assert engine.context is first


def test_a_tail_that_comes_with_the_last_command_is_no_other_context(
    bench: Bench, engine: Engine
) -> None:
    """The context is not completed under a list that goes on with it."""
    context = ring(bench)
    bench.driver.submit(context)
    Scripted(engine, (lambda: bench.driver.submit(context), Stop.RING_EMPTY), (nothing, Stop.WAIT))
    assert engine.step() == 0
    assert engine.totals.contexts_completed == 0
    assert engine.context is not None
    engine.step()
    assert engine.totals.lite_restores == 1


# -- waits ---------------------------------------------------------------------------------------


def waiting(bench: Bench, *, inhibits: bool = False, arbitrates: bool = True) -> Context:
    """A context whose ring waits for a flag that is at the page of its own status."""
    flag = bench.driver.ram.allocate()
    bench.driver.ram.write_u32(flag, 1)
    head = [] if arbitrates else [MI_ARB_OFF, MI_NOOP]
    context = ring(bench, *head, *semaphore_wait(bench.driver.ggtt_map(flag), 0, ggtt=True))
    context.timeline = flag
    control = 0x0009_0001 | (8 if inhibits else 0)
    bench.driver.ram.write_u32(context.value(ImageIndex.CONTEXT_CONTROL), control)
    return context


def test_a_wait_lets_the_next_element_run(bench: Bench, engine: Engine) -> None:
    first, second = waiting(bench), ring(bench)
    bench.driver.submit(first, second)
    assert engine.step() == 0
    assert engine.lists.current == second.descriptor
    assert engine.context is not None
    assert engine.context.descriptor == second.descriptor
    bench.run(NAME)
    assert bench.driver.events(NAME) == [
        (Event.IDLE_TO_ACTIVE, 0),
        (WAITED, first.reported),
        (Event.CONTEXT_COMPLETE | Event.ACTIVE_TO_IDLE, second.reported),
    ]
    head = bench.driver.ram.read_u32(first.value(ImageIndex.RING_HEAD))
    assert head == 0, "it goes on at its wait"
    bench.driver.ram.write_u32(first.timeline, 0)
    bench.driver.submit(first)
    bench.run(NAME)
    assert engine.totals.contexts_completed == 2


@pytest.mark.parametrize(
    ("inhibits", "arbitrates"), [(True, True), (False, False)], ids=["inhibited", "off"]
)
def test_a_wait_that_lets_nobody_run(
    bench: Bench, engine: Engine, inhibits: bool, arbitrates: bool
) -> None:
    first = waiting(bench, inhibits=inhibits, arbitrates=arbitrates)
    bench.driver.submit(first, ring(bench))
    assert engine.step() == SHORTEST
    assert engine.lists.current == first.descriptor
    assert engine.context is not None
    assert engine.context.inhibit_switch is inhibits


def test_the_last_element_waits_alone(bench: Bench, engine: Engine) -> None:
    bench.driver.submit(waiting(bench))
    pauses = [engine.step() for _ in range(8)]
    assert pauses == [min(SHORTEST * 2**n, 1e-3) for n in range(8)]


def test_a_batch_that_spins_is_looked_at_less_and_less(bench: Bench, engine: Engine) -> None:
    context = ring(bench, *batch_start(BATCH), MI_NOOP)
    page = context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    bench.driver.submit(context)
    pauses = [engine.step() for _ in range(10)]
    assert pauses == [min(SHORTEST * 2**n, 4e-3) for n in range(10)]
    bench.driver.ram.write_u32(page, MI_BATCH_BUFFER_END)
    assert engine.step() == 0


# -- hangs ---------------------------------------------------------------------------------------


def test_a_context_that_cannot_be_loaded_runs_not_one_command(bench: Bench, engine: Engine) -> None:
    context = ring(bench, MI_ARB_CHECK, MI_NOOP)
    bench.driver.ram.write_u32(context.value(ImageIndex.RING_CTL), 0)
    bench.driver.submit(context)
    assert engine.step() is None
    assert engine.totals.hangs == 1
    assert engine.counters.executed == {}
    assert engine.step() is None
    assert engine.totals.hangs == 1


def test_its_time_counts_from_its_load(bench: Bench, engine: Engine) -> None:
    bench.driver.submit(ring(bench))
    bench.run(NAME)
    bench.clock.now += 1_000_000
    before = engine.totals.busy_ns
    context = ring(bench)
    bench.driver.ram.write_u32(context.value(ImageIndex.RING_CTL), 0)
    bench.driver.submit(context)
    engine.step()
    bench.clock.now += 7000
    with bench.gpu.lock:
        engine.reset()
    assert engine.totals.busy_ns - before == 7000


def test_a_context_that_cannot_be_saved_is_not_reported(bench: Bench, engine: Engine) -> None:
    context = ring(bench)
    bench.driver.submit(context)
    Scripted(engine, (lambda: bench.driver.ggtt_write(context.lrca + 4096, 0), Stop.RING_EMPTY))
    engine.step()
    assert "context image" in str(engine.hung)
    assert bench.driver.events(NAME) == [(Event.IDLE_TO_ACTIVE, 0)]


@pytest.mark.parametrize("mode", range(4))
def test_contexts_have_48_bit_page_tables(bench: Bench, engine: Engine, mode: int) -> None:
    context = ring(bench)
    descriptor = context.descriptor & ~(3 << 3) | mode << 3
    port = 0x22230
    for dword in (0, 0, descriptor >> 32, descriptor & 0xFFFF_FFFF):
        bench.gpu.write32(port, dword)
    bench.run(NAME)
    assert (engine.hung is None) == (mode == 3)
    if mode != 3:
        assert f"addressing mode {mode}" in str(engine.hung)


def test_a_status_page_that_is_absent_hangs(bench: Bench, engine: Engine) -> None:
    bench.driver.engine_write(NAME, 0x80, 0x7FFF_F000)
    bench.driver.submit(ring(bench))
    engine.step()
    assert "status page" in str(engine.hung)
    assert bench.gpu.read32(0x4094) == 4 << 12 | 1


# -- threads -------------------------------------------------------------------------------------


class Condition:
    """Of an engine: says what it was told, and lets the answers come from a list."""

    def __init__(self, engine: Engine, *answers: bool) -> None:
        self.engine = engine
        self.answers = list(answers)
        self.waits: list[float | None] = []
        self.told: list[bool] = []
        engine._changed = self  # type: ignore[assignment]

    def wait(self, timeout: float | None) -> None:
        self.waits.append(timeout)

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        self.waits.append(timeout)
        return condition() or (self.answers.pop(0) if self.answers else False)

    def notify_all(self) -> None:
        self.told.append(self.engine.executing)


def test_the_thread_waits_as_long_as_a_step_says_unless_it_is_woken(engine: Engine) -> None:
    condition = Condition(engine)
    steps: list[tuple[float | None, bool, bool]] = [
        (0, False, False),
        (0.25, False, False),
        (None, False, False),
        (0.5, True, False),
        (0.75, False, False),
        (0, True, False),
        (1.5, False, False),
        (2.5, False, True),
    ]

    def step() -> float | None:
        pause, kicked, last = steps.pop(0)
        engine._kicked |= kicked
        engine._exit = last
        return pause

    engine._kicked = False
    engine.step = step  # type: ignore[method-assign]
    engine._run()
    assert condition.waits == [0.25, None, 0.75, 2.5]
    assert not engine._kicked


def test_who_waits_for_an_engine_to_stand_is_told(bench: Bench, engine: Engine) -> None:
    bench.driver.submit(ring(bench))
    condition = Condition(engine)
    engine.step()
    assert condition.told[0] is False


@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_command_has_ten_waits_to_end(engine: Engine, after: int) -> None:
    engine.executing = True
    condition = Condition(engine, *[False] * after, True)
    assert engine.wait_until_stopped()
    assert condition.waits == [0.05] * (after + 1)


def test_a_command_that_does_not_end_is_given_up(engine: Engine) -> None:
    engine.executing = True
    condition = Condition(engine)
    assert not engine.wait_until_stopped()
    assert condition.waits == [0.05] * 10


@pytest.mark.parametrize("other", ["bcs0", "rcs0"])
def test_a_command_of_a_ring_waits_for_no_engine(bench: Bench, other: str) -> None:
    bench.gpu.engines["bcs0"].runner = threading.get_ident()
    halted = bench.gpu.engines[other]
    condition = Condition(halted)
    assert not halted.halt()
    assert condition.waits == []
    assert halted.abandon


def test_a_reset_waits_until_the_command_has_ended(bench: Bench, engine: Engine) -> None:
    bench.driver.submit(ring(bench))
    begun, seen = threading.Event(), []

    def work() -> None:
        begun.set()
        while not engine.abandon:
            begun.wait(0.001)
        seen.append(engine.context)

    Scripted(engine, (work, Stop.ATTENTION))
    thread = threading.Thread(target=engine.step)
    thread.start()
    begun.wait()
    with bench.gpu.lock:
        engine.reset()
        assert not engine.executing
        assert len(seen) == 1
    thread.join()
    assert not engine.abandon


def test_a_detour_may_be_four_times_as_long_as_a_slice(engine: Engine) -> None:
    """i915's have 40 commands."""
    streamer = Scripted(engine, *[(nothing, Stop.QUANTUM)] * 3, (nothing, Stop.RING_EMPTY))
    engine.run_detour(ContextState())
    assert streamer.runs == 4
    streamer = Scripted(engine, *[(nothing, Stop.QUANTUM)] * 9)
    with pytest.raises(ValueError, match="QUANTUM"):
        engine.run_detour(ContextState())
    assert streamer.runs == 4


# -- arbitration in a ring -----------------------------------------------------------------------


def test_what_a_context_left_off_is_its_own(bench: Bench, engine: Engine) -> None:
    """Arbitration that was off when a context left is on in the next, and off when it returns."""
    off, on = ring(bench, MI_ARB_OFF, MI_NOOP), ring(bench, MI_ARB_ON, MI_NOOP)
    seen: list[Any] = []
    flag = bench.driver.ram.allocate()
    address = bench.driver.ggtt_map(flag)
    for context in (off, on, off):
        bench.driver.emit(context, semaphore_wait(address, 1, ggtt=True))
        bench.driver.ram.write_u32(flag, 0)
        bench.driver.submit(context)
        bench.run(NAME)
        assert engine.context is not None
        seen.append(engine.context.arbitration)
        bench.driver.ram.write_u32(flag, 1)
        bench.run(NAME)
        assert engine.idle
    assert seen == [False, True, False]
