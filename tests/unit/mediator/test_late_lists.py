"""Lists that the engine takes late: how far it goes on in the old ring, and what it then finds."""

from __future__ import annotations

import pytest

from mediator.gen9.execlist import Event
from mediator.softgpu.strictness import AT_OLD_TAIL, Strictness
from tests.gpu_driver import Context
from tests.gpu_driver.commands import MI_ARB_OFF, MI_ARB_ON, MI_NOOP, semaphore_wait, store_dword
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

ENGINE = "bcs0"
STORES = 8
AHEAD, OLD = 2, 8
"""The first tail stands behind so many stores, the second (moved back) behind fewer."""
_STORE_BYTES = 16
LITE = int(Event.LITE_RESTORE | Event.PREEMPTED)
COMPLETED = int(Event.CONTEXT_COMPLETE | Event.ACTIVE_TO_IDLE)


class Line:
    """A ring that waits for a flag, then stores 1 to n; and the knob's answer."""

    def __init__(self, *first: int) -> None:
        self.delay = 0
        self.asked: list[str] = []
        self.bench = make_bench(Strictness(list_delay=self._answer))
        driver = self.bench.driver
        self.flag, self.target = driver.ram.allocate(), driver.ram.allocate()
        self.context: Context = driver.create_context(ENGINE)
        driver.ram.write_u32(self.flag, 1)
        wait = semaphore_wait(driver.ggtt_map(self.flag), 0, ggtt=True)
        driver.emit(self.context, [*first, *wait])
        self.begin = self.context.tail
        target = driver.ggtt_map(self.target)
        for number in range(STORES):
            driver.emit(self.context, store_dword(target, number + 1, ggtt=True))
        self.submit(OLD)
        self.bench.run(ENGINE)

    def _answer(self, engine: str) -> int:
        self.asked.append(engine)
        return self.delay

    def submit(self, stores: int) -> None:
        """Let the ring's tail stand behind so many stores."""
        tail = self.begin + stores * _STORE_BYTES
        self.bench.driver.ram.write_u32(self.context.value(0x07), tail)
        self.bench.driver.submit(self.context)

    def finish(self, delay: int, stores: int = AHEAD) -> int:
        """Submit the tail again; stores carried out until the engine is idle."""
        self.delay = delay
        self.submit(stores)
        self.bench.driver.ram.write_u32(self.flag, 0)
        self.bench.run(ENGINE)
        assert self.bench.gpu.idle
        return self.bench.gpu.engines[ENGINE].counters.executed["MI_STORE_DATA_IMM"]

    @property
    def events(self) -> list[int]:
        return [event for event, _ in self.bench.driver.events(ENGINE)]


def test_an_idle_engine_is_not_asked() -> None:
    line = Line()
    assert line.asked == []
    line.finish(0)
    assert line.asked == [ENGINE]


def test_taken_at_once_the_engine_stops_at_the_new_tail() -> None:
    line = Line()
    assert line.finish(0) == AHEAD
    assert line.events == [Event.IDLE_TO_ACTIVE, LITE, COMPLETED]


@pytest.mark.parametrize("delay", range(1, 40))
def test_an_engine_past_a_tail_that_went_back_goes_round_the_ring(delay: int) -> None:
    """It stops where head and tail are equal, and nowhere else."""
    line = Line()
    stores = line.finish(delay)
    head = line.bench.driver.ram.read_u32(line.context.value(0x05)) & 0x1F_FFFC
    assert head == line.begin + AHEAD * _STORE_BYTES
    assert stores in (AHEAD, STORES + AHEAD)
    in_time = [Event.IDLE_TO_ACTIVE, LITE, COMPLETED]
    too_late = [Event.IDLE_TO_ACTIVE, COMPLETED, Event.IDLE_TO_ACTIVE, COMPLETED]
    assert line.events == in_time if stores == AHEAD else line.events in (in_time, too_late)


def test_every_delay_is_another_place_in_the_ring() -> None:
    """So that a test that draws delays meets them all."""
    heads = set()
    for delay in range(1, 30):
        line = Line()
        line.delay = delay
        line.submit(OLD)
        line.bench.driver.ram.write_u32(line.flag, 0)
        engine = line.bench.gpu.engines[ENGINE]
        while not engine.totals.lite_restores and not engine.idle:
            head = engine.context.ring.head if engine.context is not None else -1
            engine.step()
        heads.add(head)
    stores = {line.begin + n * _STORE_BYTES for n in range(STORES)}
    assert stores <= heads


def test_at_the_old_tail_it_is_a_lite_restore() -> None:
    for first in ((), (MI_ARB_OFF, MI_NOOP)):
        line = Line(*first)
        assert line.finish(AT_OLD_TAIL) == STORES + AHEAD
        assert line.events == [Event.IDLE_TO_ACTIVE, LITE, COMPLETED]


def test_a_wait_that_does_not_hold_counts_as_the_old_tail() -> None:
    """It may never hold: i915 expects a list to be taken there."""
    line = Line()
    line.delay = AT_OLD_TAIL
    line.submit(AHEAD)
    line.bench.run(ENGINE)
    assert line.events == [Event.IDLE_TO_ACTIVE, LITE]
    assert line.finish(0) == AHEAD


def test_what_comes_too_late_finds_the_context_complete() -> None:
    line = Line()
    assert line.finish(1000) == STORES + AHEAD
    assert line.events == [Event.IDLE_TO_ACTIVE, COMPLETED, Event.IDLE_TO_ACTIVE, COMPLETED]


def test_nothing_is_taken_while_arbitration_is_off() -> None:
    line = Line(MI_ARB_OFF, MI_NOOP)
    assert line.finish(1) == STORES + AHEAD
    line = Line(MI_ARB_OFF, MI_ARB_ON)
    assert line.finish(1) == AHEAD


@pytest.mark.parametrize(
    ("first", "stores", "event"),
    [((), 0, Event.PREEMPTED), ((MI_ARB_OFF, MI_NOOP), STORES, COMPLETED)],
)
def test_another_context_comes_between_two_commands(
    first: tuple[int, ...], stores: int, event: int
) -> None:
    """Once arbitration allows it: there is no arbitration point in this ring but its end."""
    line = Line(*first)
    driver, other = line.bench.driver, line.bench.driver.create_context(ENGINE)
    driver.emit(other, driver.breadcrumb(ENGINE, 7))
    line.delay = 3
    driver.submit(other)
    driver.ram.write_u32(line.flag, 0)
    line.bench.run(ENGINE)
    assert driver.seqno(ENGINE) == 7
    done = line.bench.gpu.engines[ENGINE].counters.executed["MI_STORE_DATA_IMM"]
    assert stores == done if stores else 0 < done < STORES
    assert line.events[1] == event
    driver.submit(line.context)
    line.bench.run(ENGINE)
    assert line.bench.gpu.engines[ENGINE].counters.executed["MI_STORE_DATA_IMM"] == STORES


def test_a_reset_forgets_the_delay() -> None:
    line = Line()
    line.delay = 1000
    line.submit(AHEAD)
    bench: Bench = line.bench
    bench.driver.recover(ENGINE, line.context)
    line.delay = 0
    fresh = bench.driver.create_context(ENGINE)
    bench.driver.emit(fresh, bench.driver.breadcrumb(ENGINE, 3))
    bench.driver.submit(fresh)
    bench.run(ENGINE)
    assert bench.driver.seqno(ENGINE) == 3
