"""The dispatcher at its worst moments, step by step: what it must do when things come late."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn

import pytest

from mediator.port import Load
from tests.gpu_driver import ENGINE_BASES, MI_ARB_CHECK
from tests.gpu_driver.commands import (
    batch_start,
    load_register,
    store_register,
)
from tests.readiness import readable
from tests.unit.mediator.dispatcher_bench import (
    BATCH,
    CONTEXT_SWITCH,
    PATIENCE_S,
    Bench,
    running,
)

CS_DEBUG_MODE1 = 0x20EC
"""A switched register of the render engine."""
ILLEGAL = 0x7F << 23


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        yield made


# -- a world that was left ------------------------------------------------------------------------


def test_a_late_interrupt_does_not_feed_a_world_that_was_left(bench: Bench) -> None:
    """The first engine's entry lets the vGPU leave; the second's comes in the same round."""
    engines = ("rcs0", "vcs0")
    for engine in engines:
        bench.a.spin(engine)
    bench.until(lambda: all(bench.port(engine).has_guest for engine in engines))
    bench.b.driver.run(bench.b.driver.create_context("vcs0"))
    bench.end_slice(bench.a)
    bench.hardware_idle(*engines)
    late = {"vcs0": CONTEXT_SWITCH}, {"rcs0": CONTEXT_SWITCH, "vcs0": CONTEXT_SWITCH}
    with bench.interrupts(*late):
        bench.serve(bench.a)
        bench.serve(bench.a)
    assert bench.dispatcher.current is None
    assert bench.port("vcs0").waiting is Load.NOTHING
    bench.until(lambda: bench.b.engine_done("vcs0"))


def test_registers_of_a_guest_that_left_do_not_stay(bench: Bench) -> None:
    """Its engine is idle and its client goes: the next guest reads no register of it."""
    gpr = ENGINE_BASES["rcs0"] + 0x600
    bench.run(bench.a, "rcs0", load_register((gpr, 0x5EC2E7)))
    bench.a.vgpu.detach()
    page = bench.b.driver.ram.allocate()
    at = bench.b.driver.ggtt_map(page)
    bench.run(bench.b, "bcs0", store_register(gpr, at, ggtt=True))
    assert bench.b.driver.ram.read_u32(page) != 0x5EC2E7


def test_a_switched_register_that_another_engine_changed_is_switched_too(bench: Bench) -> None:
    before = bench.hardware.registers.values[CS_DEBUG_MODE1 >> 2]
    changed = 0xFFFF_0000 | before ^ 0x10
    bench.run(bench.a, "bcs0", load_register((CS_DEBUG_MODE1, changed)))
    bench.run(bench.b, "rcs0", [])
    assert bench.dispatcher.current is bench.b.vgpu
    assert bench.hardware.registers.values[CS_DEBUG_MODE1 >> 2] == before


def test_an_error_of_the_guest_before_is_not_the_next_guests(bench: Bench) -> None:
    """The error's interrupt is latched, and comes to be served in the next guest's world."""
    a, b = bench.a, bench.b
    bad = a.driver.create_context("rcs0")
    a.driver.emit(bad, batch_start(BATCH))
    bad.tables.place(BATCH, [*[MI_ARB_CHECK] * 9, ILLEGAL])
    a.driver.submit(bad)
    bench.hardware_does(lambda: bench.hardware.engines["rcs0"].hung is not None)
    with bench.interrupts({"rcs0": CONTEXT_SWITCH}):
        bench.serve(a)
        b.spin("rcs0")
        bench.end_slice(a)
    assert bench.dispatcher.current is None
    bench.until(lambda: bench.dispatcher.current is b.vgpu and bench.port("rcs0").has_guest)
    bench.turn()
    assert b.vgpu.counters.hangs == 0, b.vgpu.engines["rcs0"].state.hung


# -- who is blamed --------------------------------------------------------------------------------


def test_patience_begins_when_the_idle_context_is_submitted(bench: Bench) -> None:
    """On a loaded machine the guest's acknowledge is served late; that is no fault of its own."""
    bench.a.spin("rcs0")
    bench.hardware_does(lambda: readable(bench.host.gpu.interrupt_fd, 0))
    bench.end_slice(bench.a)
    bench.skip_ns += 10 * bench.dispatcher.world._patience_ns
    bench.turn()
    assert bench.a.vgpu.counters.hangs == 0, bench.a.vgpu.engines["rcs0"].state.hung


def test_a_guest_that_ended_is_not_blamed_for_a_late_idle_context(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(bench.a, "vcs0", [])
    monkeypatch.setattr(bench.host.engines["vcs0"], "submit_idle", lambda: None)
    bench.end_slice(bench.a)
    bench.skip_ns += 10 * bench.dispatcher.world._patience_ns
    bench.turn()
    assert bench.a.vgpu.counters.hangs == 0, bench.a.vgpu.engines["vcs0"].state.hung


class _Late:
    """A poll from which the process comes back ``late_ns`` after its time."""

    def __init__(self, bench: Bench, late_ns: int) -> None:
        self._bench = bench
        self._late_ns = late_ns

    def poll(self, patience_ms: float) -> list[tuple[int, int]]:
        self._bench.skip_ns += round(patience_ms * 1e6) + self._late_ns
        return []


@pytest.mark.parametrize("late", [False, True])
def test_nobody_is_blamed_for_a_pause_of_the_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Its engine could not give way either: it has its time again, once."""
    patience_ns = bench.dispatcher.world._patience_ns = 250_000_000
    bench.a.spin("rcs0")
    bench.until(lambda: bench.port("rcs0").running is not Load.NOTHING)
    bench.hold_clock()
    bench.b.driver.run(bench.b.driver.create_context("rcs0"))  # who waits
    monkeypatch.setattr(bench.host.engines["rcs0"], "submit_idle", lambda: None)
    bench.end_slice(bench.a)
    _sleep_until_the_deadline(bench, 10 * patience_ns if late else 0)
    bench.turn()
    assert bench.a.vgpu.counters.hangs == (0 if late else 1)
    _sleep_until_the_deadline(bench, 10 * patience_ns)
    bench.turn()
    assert bench.a.vgpu.counters.hangs == 1


def test_nobody_is_blamed_on_a_machine_that_makes_all_late(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never for long at once; what it comes to in one patience is given once more."""
    patience_ns = bench.dispatcher.world._patience_ns = 250_000_000
    bench.a.spin("rcs0")
    bench.until(lambda: bench.port("rcs0").running is not Load.NOTHING)
    bench.hold_clock()
    bench.b.driver.run(bench.b.driver.create_context("rcs0"))  # who waits
    monkeypatch.setattr(bench.host.engines["rcs0"], "submit_idle", lambda: None)
    bench.end_slice(bench.a)
    begun = bench.clock()
    _sleep_until_the_deadline(bench, 15_000_000)
    bench.turn()
    assert bench.a.vgpu.counters.hangs == 0
    assert patience_ns < bench.dispatcher.world.deadline_ns - begun <= 2 * patience_ns + 30_000_000
    _sleep_until_the_deadline(bench, 15_000_000)
    bench.turn()
    assert bench.a.vgpu.counters.hangs == 1


def _sleep_until_the_deadline(bench: Bench, late_ns: int) -> None:
    """Each time the dispatcher sleeps it comes back so much too late."""
    bench.dispatcher._sleep(_Late(bench, late_ns))  # type: ignore[arg-type]
    while bench.clock() < bench.dispatcher.world.deadline_ns:
        bench.dispatcher._sleep(_Late(bench, late_ns))  # type: ignore[arg-type]


# -- who gets the hardware ------------------------------------------------------------------------


def test_a_parked_vgpu_does_not_enter_by_submitting(bench: Bench) -> None:
    bench.a.vgpu.parked = True
    bench.a.spin("rcs0")
    assert bench.dispatcher.current is None


def test_a_world_that_fails_to_come_in_is_not_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Bench("direct")) as bench:
        monkeypatch.setattr(bench.b.vgpu.addressing, "_attach", _raiser(RuntimeError("busy")))
        bench.b.spin("rcs0")
        assert bench.dispatcher.current is None


def test_a_vgpu_with_which_we_fail_does_not_starve_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails while its world comes in is lost, so that it is not chosen for ever."""
    a = bench.a.vgpu
    a.parked = True
    bench.a.spin("rcs0")
    a.parked = False
    monkeypatch.setattr(a.engines["rcs0"].workloads, "submitted", _raiser(TypeError("our bug")))
    with pytest.raises(TypeError):
        bench.turn()
    bench.dispatcher._expel()
    assert not a.has_work


def test_an_interrupt_is_not_lost_when_a_trap_thread_is_faster(bench: Bench) -> None:
    """The dispatcher sees nobody's world, and before it has its lock somebody has entered.

    Interrupts of the last world keep the line up: somebody must look at them, or none comes again.
    """
    dispatcher, a = bench.dispatcher, bench.a
    bench.run(a, "rcs0", [])
    bench.end_slice(a)
    bench.hardware_idle("rcs0")
    bench.serve_status(a, "rcs0")
    assert dispatcher.current is None
    with suppress(BlockingIOError):
        os.eventfd_read(dispatcher._wake_fd)  # as the thread does before each turn
    door: Any = _Door(bench, lambda: a.spin("rcs0"))
    dispatcher.lock = door
    bench.turn()
    assert dispatcher.lock is door.real
    bench.hardware_does(lambda: bench.hardware.engines["rcs0"].context is not None)
    ends = select.poll()
    for end in (bench.host.gpu.interrupt_fd, dispatcher._wake_fd):
        ends.register(end, select.POLLIN)
    assert ends.poll(1000 * PATIENCE_S) or bench.port("rcs0").has_guest, (
        "nobody wakes the dispatcher"
    )


# -- parts ----------------------------------------------------------------------------------------


def _raiser(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


class _Door:
    """Stands in for the dispatcher's lock: ``first`` happens just before it is taken."""

    def __init__(self, bench: Bench, first: Callable[[], None]) -> None:
        self.real = bench.dispatcher.lock
        self._bench = bench
        self._first = first

    def __enter__(self) -> bool:
        dispatcher: Any = self._bench.dispatcher
        if dispatcher.lock is self:
            dispatcher.lock = self.real
            self._first()
        return self.real.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.real.__exit__(kind, error, trace)
