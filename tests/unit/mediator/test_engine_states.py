"""What an engine remembers between steps: from cold, after a reset, and however a step ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mediator.gen9 import registers as reg
from mediator.softgpu.context import ContextError
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.engine import Engine
from mediator.softgpu.execlist import Execlists
from mediator.softgpu.gpu import SoftGpu
from mediator.softgpu.streamer import Stop
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from tests.gpu_driver import ENGINE_BASES, MI_NOOP, Context
from tests.unit.mediator.soft_gpu_fixture import Bench, make_bench

ENGINES = list(ENGINE_BASES)


@pytest.fixture
def bench() -> Bench:
    return make_bench()


def remembered(engine: Engine) -> dict[str, Any]:
    """All that says what the engine does, counters left out."""
    return {
        "context": engine.context,
        "lists": engine.lists,
        "attention": engine.attention,
        "abandon": engine.abandon,
        "executing": engine.executing,
        "runner": engine.runner,
        "hung": engine.hung,
        "loading": engine._loading,
        "may_switch": engine._may_switch,
        "reported": engine._reported,
        "late": engine._lateness.left,
        "pause": engine._pause_s,
        "exit": engine._exit,
    }


COLD = {
    "context": None,
    "lists": Execlists(),
    "attention": False,
    "abandon": False,
    "executing": False,
    "runner": None,
    "hung": None,
    "loading": None,
    "may_switch": True,
    "reported": False,
    "late": 0,
    "pause": 20e-6,
    "exit": False,
}


def submitted(bench: Bench, name: str = "bcs0") -> tuple[Engine, Context]:
    """An engine with a request of one context that waits."""
    context = bench.driver.create_context(name)
    bench.driver.emit(context, [MI_NOOP, MI_NOOP])
    bench.driver.submit(context)
    return bench.gpu.engines[name], context


class Ending:
    """In a streamer's place: does something once, and goes on as the streamer then."""

    def __init__(self, engine: Engine, does: Callable[[Engine], object], stop: Stop) -> None:
        self.engine, self.does, self.stop = engine, does, stop
        self.streamer = engine._streamer
        self.seen: dict[str, Any] = {}
        engine._streamer = self  # type: ignore[assignment]

    @property
    def left(self) -> int:
        return 0

    def run(self, _running: ContextState, _quantum: int) -> Stop:
        self.engine._streamer = self.streamer
        self.seen = remembered(self.engine)
        with self.engine.gpu.lock:
            self.does(self.engine)
        return self.stop


@pytest.mark.parametrize("name", ENGINES)
def test_cold(name: str) -> None:
    engine = SoftGpu(GuestMemory(), Interrupts((1, 1, 0, 0, 0))).engines[name]
    assert remembered(engine) == COLD
    assert engine._thread is None
    assert not engine._kicked
    assert engine.idle


@pytest.mark.parametrize("name", ENGINES)
def test_a_reset_makes_it_cold_again(bench: Bench, name: str) -> None:
    """Whatever it was in the middle of."""
    engine, _ = submitted(bench, name)
    engine.step()
    submitted(bench, name)
    resets = engine.totals.resets
    with bench.gpu.lock:
        engine.halt()
        engine.hung = "a test"
        engine._may_switch = False
        engine.attention = True
        engine.reset()
    assert remembered(engine) == COLD | {"pause": engine._pause_s}
    assert engine._kicked
    assert engine.totals.resets == resets + 1


def test_while_it_executes_its_thread_is_known(bench: Bench) -> None:
    engine, _ = submitted(bench)
    ending = Ending(engine, lambda _: None, Stop.RING_EMPTY)
    engine.step()
    assert ending.seen["executing"]
    assert ending.seen["runner"] == threading.get_ident()
    assert ending.seen["context"] is not None


def _halt(engine: Engine) -> None:
    assert not engine.halt(), "a command waits for no engine"


ENDINGS = [
    ("empty", lambda _: None, Stop.RING_EMPTY, {}),
    ("hung", lambda e: setattr(e, "hung", "it"), Stop.HUNG, {"hung": "it"}),
    ("quantum", lambda _: None, Stop.QUANTUM, {"may_switch": False}),
    ("halted", _halt, Stop.QUANTUM, {"abandon": True, "may_switch": False}),
    ("reset", lambda e: e.reset(), Stop.QUANTUM, {}),
    ("reset at a wait", lambda e: e.reset(), Stop.WAIT, {}),
]


@pytest.mark.parametrize(
    ("does", "stop", "changed"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS]
)
def test_however_a_step_ends(
    bench: Bench, does: Callable[[Engine], object], stop: Stop, changed: dict[str, Any]
) -> None:
    engine, _ = submitted(bench)
    Ending(engine, does, stop)
    engine.step()
    found = remembered(engine)
    expected = COLD | changed
    for name in ("attention", "abandon", "executing", "runner", "hung", "may_switch", "loading"):
        assert found[name] == expected[name], name
    assert not found["reported"]


def test_after_a_reset_in_the_middle_it_takes_the_next_list_at_once(bench: Bench) -> None:
    engine, _ = submitted(bench)
    page = bench.driver.engine_read("bcs0", reg.RING_HWS_PGA)
    Ending(engine, lambda e: e.reset(), Stop.QUANTUM)
    assert engine.step() == 0
    bench.driver.start_engine("bcs0", page)
    submitted(bench)
    assert engine.step() == 0
    assert engine.totals.contexts_completed == 1
    assert engine.idle


def test_a_halted_engine_goes_on_when_it_may(bench: Bench) -> None:
    engine, _ = submitted(bench)
    Ending(engine, _halt, Stop.QUANTUM)
    assert engine.step() is None
    assert engine.step() is None, "it stands"
    with bench.gpu.lock:
        engine._kicked = False
        engine.resume()
    assert engine._kicked
    bench.run("bcs0")
    assert engine.idle


def test_where_it_was_halted_no_list_is_taken(bench: Bench) -> None:
    """It may stand in the middle of anything; only a point of arbitration is one for a switch."""
    engine, _ = submitted(bench)
    Ending(engine, _halt, Stop.QUANTUM)
    engine.step()
    first = engine.context
    submitted(bench)
    with bench.gpu.lock:
        engine.resume()
        assert engine._arbitrate() is first
    assert engine.attention, "but at the next point"
    assert engine.lists.pending


def test_a_step_that_fails_hangs_the_engine_alone(bench: Bench) -> None:
    engine, _ = submitted(bench)

    def fail(_: Engine) -> None:
        engine._exit = True  # the thread's loop ends behind this step
        engine._kicked = True
        raise ZeroDivisionError

    Ending(engine, fail, Stop.QUANTUM)
    engine._run()
    found = remembered(engine)
    assert (found["executing"], found["runner"]) == (False, None)
    assert found["hung"] == "internal error"
    assert engine.totals.failures == 1


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize(
    ("stop", "raises"), [(Stop.RING_EMPTY, False), (Stop.HUNG, False), (Stop.QUANTUM, True)]
)
def test_a_detour_leaves_what_waits(bench: Bench, waiting: bool, stop: Stop, raises: bool) -> None:
    """A list that waits is looked at behind the detour, not in it."""
    engine, _ = submitted(bench)
    detour = ContextState(descriptor=0)
    seen = []

    class Streamer:
        def run(self, state: ContextState, _quantum: int) -> Stop:
            seen.append((state is detour, engine.attention, engine._loading))
            return stop

    engine._streamer = Streamer()  # type: ignore[assignment]
    engine.attention = waiting
    load: Any = object()
    if raises:
        with pytest.raises(ContextError, match="QUANTUM"):
            engine.run_detour(detour, 3, load)
    else:
        engine.run_detour(detour, 3, load)
    assert seen == [(True, False, load)] * (3 if raises else 1)
    assert engine.attention is waiting
    assert engine._loading is None


def test_a_detour_that_is_abandoned_asks_for_attention(bench: Bench) -> None:
    engine = bench.gpu.engines["bcs0"]

    class Streamer:
        def run(self, _state: ContextState, _quantum: int) -> Stop:
            engine.abandon = True
            return Stop.WAIT

    engine._streamer = Streamer()  # type: ignore[assignment]
    engine.run_detour(ContextState(descriptor=0))
    assert engine.attention


def test_a_submission_asks_for_attention_and_wakes(bench: Bench) -> None:
    bench.gpu.engines["bcs0"]._kicked = False
    engine, _ = submitted(bench)
    assert engine.attention
    assert engine._kicked
    assert engine.totals.submissions == 1
    engine.step()
    assert not engine.attention


@pytest.mark.parametrize("name", ENGINES)
def test_the_page_of_the_context_that_runs(bench: Bench, name: str) -> None:
    """Its image's first; there is none where none runs."""
    engine, context = submitted(bench, name)
    assert engine.context_page == 0
    ending = Ending(engine, lambda e: pages.append(e.context_page), Stop.RING_EMPTY)
    pages: list[int] = []
    engine.step()
    assert ending.seen["context"] is not None
    assert pages == [context.descriptor & 0xFFFF_F000]
    assert pages != [0]
    assert engine.context_page == 0


def test_a_submission_that_is_not_whole_wakes_nobody(bench: Bench) -> None:
    engine = bench.gpu.engines["rcs0"]
    engine._kicked = False
    for _ in range(3):
        bench.gpu.write32(ENGINE_BASES["rcs0"] + reg.RING_ELSP, 1)
    assert not engine.attention
    assert not engine._kicked
    assert engine.totals.submissions == 0


def test_pauses_double_up_to_their_longest_and_begin_anew(bench: Bench) -> None:
    engine = bench.gpu.engines["bcs0"]
    pauses = [engine._back_off(1e-3) for _ in range(9)]
    assert pauses == [min(20e-6 * 2**n, 1e-3) for n in range(9)]
    assert engine._go_on() == 0
    assert engine._back_off(4e-3) == 20e-6


def test_stopping_ends_the_thread_and_another_start_is_a_start(bench: Bench) -> None:
    engine = bench.gpu.engines["vecs0"]
    before = threading.active_count()
    for _ in range(2):
        engine.start()
        thread = engine._thread
        assert thread is not None
        assert thread.is_alive()
        assert thread.daemon
        engine.stop()
        assert engine._thread is None
        assert not thread.is_alive()
    assert threading.active_count() == before
    assert engine.abandon


def test_memory_is_switched_everywhere(bench: Bench) -> None:
    gpu = bench.gpu
    memory = GuestMemory()
    gpu.attach_memory(memory)
    assert gpu.memory is memory
    assert gpu.ggtt.memory is memory
    assert all(engine.ppgtt.memory is memory for engine in gpu.engines.values())
    memory.close()


def test_memory_is_not_switched_under_work(bench: Bench) -> None:
    submitted(bench, "vcs0")
    with pytest.raises(RuntimeError, match="vcs0: busy"):
        bench.gpu.attach_memory(GuestMemory())
    assert bench.gpu.memory is bench.memory
    assert bench.gpu.ggtt.memory is bench.memory


def test_another_memory_was_attached_before_the_step_got_in(bench: Bench) -> None:
    """It looks again at once, and touches nothing meanwhile."""
    gpu, memory = bench.gpu, bench.gpu.memory

    class Old:
        @contextmanager
        def using(self) -> Iterator[None]:
            gpu.memory = memory
            yield

    gpu.memory = Old()  # type: ignore[assignment]
    context = bench.driver.create_context("bcs0")
    bench.driver.emit(context, [MI_NOOP, MI_NOOP])
    bench.driver.submit(context)
    engine = gpu.engines["bcs0"]
    assert engine.step() == 0
    assert engine.context is None, "not begun"
    assert gpu.memory is memory
    assert engine.step() == 0
    assert engine.context is not None or engine.idle


@pytest.mark.parametrize("reset", [True, False])
def test_a_step_whose_context_was_taken_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    """By a reset: on with what comes. Given up alone: it waits to be told."""
    engine = bench.gpu.engines["bcs0"]
    context = bench.driver.create_context("bcs0")
    bench.driver.emit(context, [MI_NOOP, MI_NOOP])
    bench.driver.submit(context)

    def run(_running: ContextState, _quantum: int) -> Stop:
        engine.abandon = True
        if reset:
            engine.context = None
        return Stop.QUANTUM

    monkeypatch.setattr(engine, "_streamer", SimpleNamespace(run=run, left=0))
    assert engine.step() == (0 if reset else None)
    assert engine.abandon is not reset
    assert (engine.executing, engine.runner) == (False, None)
    assert engine._may_switch is False or reset
