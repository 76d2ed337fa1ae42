"""Who has changed whose turn it may be wakes the dispatcher, and nobody else does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from mediator.dispatcher import Dispatcher
from mediator.gen9.execlist import Event
from mediator.port import Load
from mmio_trap.guest_memory import GuestMemory
from tests.unit.mediator.dispatcher_bench import Bench, running


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        yield made


def woken(dispatcher: Dispatcher) -> bool:
    """Whether it was woken since the last look."""
    with suppress(BlockingIOError):
        os.eventfd_read(dispatcher._wake_fd)
        return True
    return False


def _locked(bench: Bench, does: Callable[[], object]) -> None:
    with bench.locked(bench.a):
        does()


def _submit_beside_another(bench: Bench) -> None:
    bench.b.spin("vcs0")
    bench.until(lambda: bench.dispatcher.current is bench.b.vgpu)
    woken(bench.dispatcher)
    bench.a.spin("rcs0")


def _lose_a_slice(bench: Bench, does: Callable[[Bench], object]) -> None:
    """``does`` takes `a` off the hardware, where it spins."""
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    woken(bench.dispatcher)
    _locked(bench, lambda: does(bench))
    assert bench.dispatcher.current is None


def _reset_while_it_leaves(bench: Bench) -> None:
    bench.dispatcher.world.ending = True
    bench.dispatcher.reset_engine(bench.a.vgpu, "vcs0")


WAKING: dict[str, Callable[[Bench], object]] = {
    "unpark": lambda b: b.a.vgpu.unpark(),
    "share": lambda b: b.dispatcher.set_share(b.a.vgpu, 3, 0.5),
    "lost work": lambda b: _locked(b, lambda: b.dispatcher.lose_work(b.a.vgpu, "a test")),
    "resume": lambda b: _locked(b, lambda: b.dispatcher.resume_engine(b.a.vgpu, "rcs0")),
    "expel": lambda b: b.dispatcher.expel(b.a.vgpu, 1),
    "leave": lambda b: b.a.vgpu.detach(),
    "withdraw": lambda b: _lose_a_slice(b, lambda b: b.dispatcher.withdraw(b.a.vgpu)),
    "reset while it leaves": lambda b: _lose_a_slice(b, _reset_while_it_leaves),
    "failure": lambda b: _lose_a_slice(b, lambda b: b.dispatcher._expel()),
    "wake": lambda b: b.dispatcher.wake(),
    "submit while another is there": _submit_beside_another,
}


@pytest.mark.parametrize("does", WAKING.values(), ids=WAKING)
def test_it_wakes(bench: Bench, does: Callable[[Bench], object]) -> None:
    woken(bench.dispatcher)
    does(bench)
    assert woken(bench.dispatcher)


def test_who_is_alone_wakes_nobody(bench: Bench) -> None:
    woken(bench.dispatcher)
    bench.a.spin("rcs0")
    assert bench.dispatcher.current is bench.a.vgpu
    assert not woken(bench.dispatcher)


def test_after_it_is_closed_nobody_is_woken_and_no_other_file_is_touched() -> None:
    made = Bench()
    dispatcher = made.dispatcher
    made.close()
    assert dispatcher._wake_fd == -1
    dispatcher.wake()


def test_a_descriptor_may_have_the_number_0(bench: Bench) -> None:
    """A daemon that was started without its standard input gets it for something else."""
    dispatcher, kept = bench.dispatcher, os.dup(0)
    own = dispatcher._wake_fd
    os.dup2(own, 0)
    dispatcher._wake_fd = 0
    try:
        woken(dispatcher)
        dispatcher.wake()
        assert woken(dispatcher)
    finally:
        dispatcher._wake_fd = own
        os.dup2(kept, 0)
        os.close(kept)


# -- what the hardware's events mean ---------------------------------------------------------------


def test_only_an_idle_hardware_has_done_with_a_guest(bench: Bench) -> None:
    """A list of two goes on with its second element: the engine is busy, and nothing is fed."""
    vgpu = bench.a.vgpu
    bench.hold_clock()
    engine = bench.host.engines["vcs0"]
    first, second = (bench.a.spinner("vcs0") for _ in range(2))
    events: list[list[tuple[int, int]]] = []
    submitted: list[tuple[int, ...]] = []
    real = engine.submit, engine.events
    engine.submit = lambda *lists: submitted.append(lists)  # type: ignore[method-assign]
    engine.events = lambda: events.pop(0) if events else []  # type: ignore[method-assign]
    bench.a.driver.submit(first, second)
    assert len(submitted) == 1
    port = bench.port("vcs0")
    assert (port.waiting, port.running) == (Load.GUEST, Load.NOTHING)
    before = vgpu.counters.engines["vcs0"].busy_ns
    for step, (event, expected) in enumerate(
        [
            (Event.IDLE_TO_ACTIVE, Load.GUEST),
            (Event.CONTEXT_COMPLETE | Event.ELEMENT_SWITCH, Load.GUEST),
            (Event.CONTEXT_COMPLETE | Event.ACTIVE_TO_IDLE, Load.NOTHING),
        ]
    ):
        events.append([(event, 0)])
        bench.skip_ns += 1000
        bench.serve_status(bench.a, "vcs0")
        assert bench.port("vcs0").running is expected, step
        assert bench.port("vcs0").waiting is Load.NOTHING
    assert len(submitted) == 1
    assert vgpu.counters.engines["vcs0"].busy_ns == before + 2000
    assert bench.dispatcher.world.running_ns("vcs0") == 0
    engine.submit, engine.events = real  # type: ignore[method-assign]


class _Passing:
    """A vGPU's memory: while the dispatcher waits to use it, something happens."""

    def __init__(self, memory: GuestMemory, happens: Callable[[], object]) -> None:
        self._memory, self._happens = memory, happens

    @contextmanager
    def using(self) -> Iterator[None]:
        self._happens()
        with self._memory.using():
            yield

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)


def _gets_other_memory(bench: Bench, memory: GuestMemory) -> None:
    bench.a.vgpu.memory = memory


def _is_taken_off(bench: Bench, memory: GuestMemory) -> None:
    with memory.using(), bench.a.vgpu.lock:
        bench.dispatcher.withdraw(bench.a.vgpu)


@pytest.mark.parametrize("happens", [_gets_other_memory, _is_taken_off])
def test_who_has_gone_meanwhile_is_not_served(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Bench, GuestMemory], None]
) -> None:
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    vgpu, dispatcher, served = bench.a.vgpu, bench.dispatcher, list[object]()
    monkeypatch.setattr(dispatcher.world, "serve", served.append)
    memory = vgpu.memory

    def meanwhile() -> None:
        happens(bench, memory)
        woken(dispatcher)

    monkeypatch.setattr(vgpu, "memory", _Passing(memory, meanwhile))
    monkeypatch.setattr(dispatcher, "_choose", lambda: None)
    dispatcher._turn()
    monkeypatch.undo()
    assert (served, woken(dispatcher)) == ([], True)
