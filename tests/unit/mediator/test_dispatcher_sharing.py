"""The dispatcher when shares change, work is taken away, or the GPU must be brought up again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.physical.host import HardwareError
from mediator.port import Load
from mediator.vgpu.execlist import NO_SLOT
from tests.gpu_driver import MI_BATCH_BUFFER_END, MI_NOOP
from tests.gpu_driver.commands import batch_start, store_dword
from tests.readiness import readable
from tests.unit.mediator.dispatcher_bench import BATCH, PATIENCE_S, Bench, Guest, running

MS = 1_000_000
CAP = 0.25
IPEHR = 0x68
LONGEST_MS = 900
"""Less than the dispatcher sleeps when it waits for nothing."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        yield made


def patience_ms(bench: Bench) -> float:
    return bench.dispatcher._patience_ms()


def cap(bench: Bench, guest: Guest, value: float = CAP) -> None:
    bench.dispatcher.set_share(guest.vgpu, guest.vgpu.weight, value)


# -- caps ------------------------------------------------------------------------------------------


def test_a_capped_vgpu_waits_until_it_has_allowance(bench: Bench) -> None:
    """The first one comes with the time: the dispatcher sleeps so long, and no longer."""
    bench.hold_clock()
    cap(bench, bench.a)
    bench.a.spin("rcs0")
    bench.turn()
    assert bench.dispatcher.current is None
    assert 1 < patience_ms(bench) < LONGEST_MS
    bench.skip_ns += LONGEST_MS * MS
    bench.turn()
    assert bench.dispatcher.current is bench.a.vgpu


def test_a_capped_vgpu_leaves_when_its_slice_is_over(bench: Bench) -> None:
    bench.hold_clock()
    cap(bench, bench.a)
    bench.skip_ns += 100 * MS
    bench.a.spin("rcs0")
    bench.until(lambda: bench.port("rcs0").has_guest)
    bench.skip_ns += 300 * MS
    bench.until(lambda: bench.dispatcher.current is None)
    assert patience_ms(bench) > 100
    assert bench.a.vgpu.counters.hangs == 0


def test_a_slice_that_is_granted_is_not_asked_for_again(bench: Bench) -> None:
    """Requests so short that the GPU is idle between them: no world switch for each."""
    bench.hold_clock()
    cap(bench, bench.a)
    bench.skip_ns += 100 * MS
    bench.run(bench.a, "rcs0", [])
    bench.dispatcher._granted_until = bench.dispatcher.clock() + 60_000 * MS
    bench.skip_ns += 10_000 * MS  # idle, and the dispatcher looked again meanwhile
    bench.turn()
    for _ in range(3):
        bench.run(bench.a, "rcs0", [])
    assert bench.a.vgpu.counters.world_switches == 1


def test_short_requests_do_not_get_past_the_end_of_a_slice(bench: Bench) -> None:
    """Idle, the vGPU has no slice that ends; what it may use is looked at when work comes."""
    bench.hold_clock()
    cap(bench, bench.a)
    bench.skip_ns += 100 * MS
    bench.run(bench.a, "rcs0", [])
    bench.dispatcher.policy.charge(
        bench.a.vgpu.index, 500 * MS, bench.dispatcher.clock() + 500 * MS
    )
    bench.skip_ns += 500 * MS
    bench.a.spin("rcs0")
    assert bench.dispatcher.world.ending
    bench.until(lambda: bench.dispatcher.current is None)
    assert patience_ms(bench) > 100


def test_a_cap_alone_costs_no_work(bench: Bench) -> None:
    """Nobody else waits: who does not give way goes on, until somebody does."""
    bench.hold_clock()
    cap(bench, bench.a)
    bench.skip_ns += 100 * MS
    context = bench.a.driver.create_context("rcs0")
    page = context.tables.place(BATCH, batch_start(BATCH))  # without an arbitration point
    bench.a.driver.emit(context, batch_start(BATCH))
    bench.a.driver.submit(context)
    bench.until(lambda: bench.port("rcs0").has_guest)
    bench.end_slice(bench.a)
    for _ in range(3):
        bench.skip_ns += 2 * bench.dispatcher.world._patience_ns
        bench.turn()
    assert bench.a.vgpu.counters.hangs == 0
    assert bench.dispatcher.world.deadline_ns > bench.clock() + 100 * MS
    bench.b.spin("rcs0")
    bench.skip_ns += 2 * bench.dispatcher.world._patience_ns
    bench.turn()
    assert bench.a.vgpu.counters.hangs == 1
    bench.a.driver.ram.write_u32(page, MI_BATCH_BUFFER_END)


def test_engines_that_answer_one_by_one_have_one_patience(bench: Bench) -> None:
    """An answer to a submission is no reason to wait longer for the engine, or for the others."""
    bench.hold_clock()
    world, engines = bench.dispatcher.world, ("rcs0", "vcs0", "vecs0")
    loops = loops_with_a_list_waiting(bench, engines)
    bench.b.spin("rcs0")
    bench.end_slice(bench.a)
    begun = bench.dispatcher.clock()
    for engine in engines[:2]:
        bench.skip_ns += 9 * world._patience_ns // 20
        bench.a.driver.ram.write_u32(loops[engine], MI_BATCH_BUFFER_END)
        bench.until(lambda e=engine: bench.port(e).waiting is Load.IDLE)  # type: ignore[misc]
        assert bench.a.vgpu.counters.hangs == 0
        assert world.deadline_ns == begun + world._patience_ns
    bench.skip_ns += world._patience_ns // 10 + 1
    bench.turn()
    assert bench.dispatcher.current is not bench.a.vgpu
    assert bench.a.vgpu.counters.hangs == 3


def loops_with_a_list_waiting(bench: Bench, engines: Sequence[str]) -> dict[str, int]:
    """``engines`` loop for `a` without an arbitration point, and a second list waits at each.

    Where the loops can be ended.
    """
    pages: dict[str, int] = {}
    for engine in engines:
        for _ in range(2):
            context = bench.a.driver.create_context(engine)
            page = context.tables.place(BATCH, batch_start(BATCH))
            bench.a.driver.emit(context, batch_start(BATCH))
            bench.a.driver.submit(context)
            pages.setdefault(engine, page)
            bench.until(lambda e=engine: bench.port(e).has_guest)  # type: ignore[misc]
        assert bench.port(engine).waiting is Load.GUEST
    return pages


def test_late_answers_are_forgiven_once_in_all(bench: Bench) -> None:
    """Served after its time, an engine may have answered long before; the next has had its time."""
    bench.hold_clock()
    world, engines = bench.dispatcher.world, ("rcs0", "vcs0")
    loops = loops_with_a_list_waiting(bench, engines)
    bench.b.spin("rcs0")
    bench.end_slice(bench.a)
    for engine, deadline_ns in zip(engines, (5 * world._patience_ns // 4, 0), strict=True):
        begun = world.deadline_ns - world._patience_ns
        bench.skip_ns = world.deadline_ns - (bench.dispatcher.clock() - bench.skip_ns)
        bench.a.driver.ram.write_u32(loops[engine], MI_BATCH_BUFFER_END)
        bench.hardware_does(
            lambda e=engine: (  # type: ignore[misc]
                not bench.hardware.engines[e].lists.pending
                and readable(bench.host.gpu.interrupt_fd, 0)
            )
        )
        bench.turn()
        if deadline_ns:
            assert world.deadline_ns == begun + deadline_ns
    assert bench.dispatcher.current is not bench.a.vgpu


def test_the_gpu_is_kept_for_who_is_idle_for_an_instant(bench: Bench) -> None:
    """After an overrun: the world stays, the next request goes to the hardware within the trap."""
    bench.hold_clock()
    a, b = bench.a, bench.b
    b.spin("rcs0")
    bench.until(lambda: bench.dispatcher.current is b.vgpu)
    request = a.driver.run(a.driver.create_context("rcs0"))
    bench.skip_ns += 200 * MS
    bench.until(lambda: a.engine_done("rcs0") and a.driver.done(request))
    bench.turn()
    assert bench.dispatcher.current is a.vgpu
    assert patience_ms(bench) == pytest.approx(50, abs=1)
    bench.skip_ns += 10 * MS
    a.spin("rcs0")
    assert bench.port("rcs0").waiting is Load.GUEST
    bench.skip_ns += 60 * MS  # the pause would have been over
    bench.turn()
    assert bench.dispatcher.current is a.vgpu
    assert not bench.dispatcher.world.ending
    assert 0 < patience_ms(bench) <= 16


def test_who_does_not_come_back_is_waited_for_no_longer(bench: Bench) -> None:
    bench.hold_clock()
    a, b = bench.a, bench.b
    b.spin("rcs0")
    bench.until(lambda: bench.dispatcher.current is b.vgpu)
    request = a.driver.run(a.driver.create_context("rcs0"))
    bench.skip_ns += 200 * MS
    bench.until(lambda: a.engine_done("rcs0") and a.driver.done(request))
    bench.turn()
    assert bench.dispatcher.current is a.vgpu
    bench.skip_ns += 51 * MS
    bench.until(lambda: bench.dispatcher.current is b.vgpu)


def test_an_uncapped_vgpu_runs_while_a_capped_one_waits(bench: Bench) -> None:
    bench.hold_clock()
    cap(bench, bench.a, 0.001)
    bench.a.spin("rcs0")
    bench.turn()
    bench.run(bench.b, "rcs0", [])
    bench.until(lambda: bench.dispatcher.current is None)
    assert bench.a.vgpu.counters.world_switches == 0
    assert patience_ms(bench) > 1


def test_a_cap_that_is_taken_away_lets_the_vgpu_run_at_once(bench: Bench) -> None:
    cap(bench, bench.a, 0.01)
    bench.a.spin("rcs0")
    bench.turn()
    cap(bench, bench.a, 1.0)
    bench.turn()
    assert bench.dispatcher.current is bench.a.vgpu


def test_a_cap_that_comes_ends_the_slice(bench: Bench) -> None:
    bench.a.spin("rcs0")
    bench.until(lambda: bench.port("rcs0").has_guest)
    cap(bench, bench.a, 0.01)
    bench.until(lambda: bench.dispatcher.current is None)


@pytest.mark.parametrize(("weight", "value"), [(0, 1.0), (-1, 0.5), (1, 0.0), (1, 1.01)])
@pytest.mark.parametrize("attached", [True, False])
def test_shares_that_make_no_sense_change_nothing(
    bench: Bench, weight: int, value: float, attached: bool
) -> None:
    vgpu = bench.a.vgpu
    if not attached:
        vgpu.detach()
    before = vgpu.weight, vgpu.cap
    with pytest.raises(ValueError, match=r"^(weight|cap) "):
        bench.dispatcher.set_share(vgpu, weight, value)
    assert (vgpu.weight, vgpu.cap) == before


# -- work that is taken away -----------------------------------------------------------------------


def test_what_is_lost_stands_as_a_hang_and_comes_back_by_a_reset(bench: Bench) -> None:
    """Engines that had nothing to do notice nothing."""
    guilty = bench.a.spinner("rcs0")
    bench.a.driver.submit(guilty)
    bench.until(lambda: bench.port("rcs0").has_guest)
    bench.a.driver.process()
    bench.a.vgpu.lose_work("reset by a test")
    engines, counters = bench.a.vgpu.engines, bench.a.vgpu.counters
    assert engines["rcs0"].state.hung == "reset by a test"
    assert engines["vcs0"].state.hung == ""
    assert counters.hangs == 1
    bench.hardware_idle("rcs0")
    bench.run(bench.a, "vcs0", [])
    bench.a.driver.recover("rcs0", guilty)
    bench.run(bench.a, "rcs0", [], guilty)
    assert counters.engines["rcs0"].failed == {"hang": 1}


def test_what_waits_for_its_turn_is_lost_too(bench: Bench) -> None:
    bench.b.spin("rcs0")
    bench.until(lambda: bench.port("rcs0").has_guest)
    bench.a.spin("rcs0")
    bench.a.vgpu.lose_work("reset by a test")
    assert not bench.a.vgpu.has_work
    assert bench.a.driver.engine_read("rcs0", IPEHR) == 0  # not what the other one executes
    assert bench.b.vgpu.counters.hangs == 0
    assert bench.port("rcs0").has_guest


def test_who_has_nothing_loses_nothing(bench: Bench) -> None:
    bench.run(bench.a, "rcs0", [])
    bench.a.vgpu.lose_work("reset by a test")
    assert bench.a.vgpu.counters.hangs == 0
    bench.a.vgpu.detach()
    bench.a.vgpu.lose_work("nobody is there")
    bench.a.vgpu.reset()


# -- a GPU that must be brought up again -----------------------------------------------------------


@contextmanager
def unanswered(bench: Bench, *, restarts: int = 1) -> Iterator[list[bool]]:
    """No engine answers a reset until the GPU has been restarted so often."""
    tried: list[bool] = []
    real, resets = bench.host.restart, {}

    def restart() -> None:
        tried.append(len(tried) + 1 >= restarts)
        if not tried[-1]:
            raise HardwareError("a test keeps it down")
        real()

    for name, engine in bench.host.engines.items():
        resets[name] = engine.reset
        engine.reset = lambda name=name: tried[-1:] == [True] and resets[name]()  # type: ignore
    bench.host.restart = restart  # type: ignore[method-assign]
    try:
        yield tried
    finally:
        bench.host.restart = real  # type: ignore[method-assign]
        for name, engine in bench.host.engines.items():
            engine.reset = resets[name]  # type: ignore[method-assign]


def works(bench: Bench, guest: Guest) -> None:
    """A context that is new, by GGTT entries that are old and such that are new."""
    page = guest.driver.ram.allocate()
    at = guest.driver.ggtt_map(page)
    bench.run(guest, "rcs0", store_dword(at, 0x600D, ggtt=True))
    assert guest.driver.ram.read_u32(page) == 0x600D


def test_after_a_restart_everybody_has_what_was_there(bench: Bench) -> None:
    works(bench, bench.b)
    guilty = bench.a.spinner("rcs0")
    bench.a.driver.submit(guilty)
    bench.until(lambda: bench.port("rcs0").has_guest)
    bench.a.driver.process()
    with unanswered(bench) as tried:
        bench.a.driver.recover("rcs0", guilty)
    assert tried == [True]
    assert bench.dispatcher.counters.restarts == 1
    works(bench, bench.b)
    works(bench, bench.a)


def test_a_client_that_leaves_gets_nothing_more_by_a_restart(bench: Bench) -> None:
    """Its lists are on the hardware, not acknowledged: they could be submitted once more."""
    engines = ("rcs0", "bcs0")
    for engine in engines:
        bench.a.spin(engine)
    bench.hardware_does(lambda: all(bench.hardware.engines[e].context is not None for e in engines))
    with unanswered(bench) as tried:
        bench.a.vgpu.detach()
    assert tried == [True]
    assert bench.dispatcher.current is None
    assert all(port.free for port in bench.dispatcher.world.ports.values())
    assert all(engine.idle for engine in bench.hardware.engines.values())
    works(bench, bench.b)


def test_page_tables_are_not_prepared_at_once_for_a_list_with_a_refused_context(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what comes from elsewhere is: it can take long, and the dispatcher does it."""
    a = bench.a
    engine, context, bad = (
        a.vgpu.engines["vcs0"],
        a.spinner("vcs0"),
        a.driver.create_context("vcs0"),
    )
    short = context.tail
    a.driver.emit(context, [MI_NOOP, MI_NOOP])
    a.driver.emit(bad, [0x7F << 23, MI_NOOP])
    a.driver.submit(context)
    bench.until(lambda: bench.port("vcs0").has_guest)
    a.driver.process()
    a.driver.ram.write_u32(context.value(ImageIndex.RING_TAIL), short)
    context.tail = short
    a.driver.submit(context, bad)
    assert engine.must_leave
    assert engine.lists.pending[1].refused
    at_once: list[object] = []
    monkeypatch.setattr(engine, "_prepare_at_once", at_once.append)
    bench.until(lambda: not engine.lists.pending and engine.lists.active[0].slot != NO_SLOT)
    assert not at_once


def test_what_was_not_acknowledged_before_a_restart_is_not_run_again(bench: Bench) -> None:
    """It may have gone on from where its image says, and its ring have been written on there."""
    guilty = bench.a.spinner("rcs0")
    bench.a.driver.submit(guilty)
    bench.until(lambda: bench.port("rcs0").has_guest)
    bench.a.driver.process()
    bench.a.spin("bcs0")
    bench.hardware_does(lambda: bench.hardware.engines["bcs0"].context is not None)
    with unanswered(bench) as tried:
        bench.a.driver.recover("rcs0", guilty)
    assert tried == [True]
    assert bench.port("bcs0").free
    assert bench.a.vgpu.engines["bcs0"].state.hung == "the GPU was restarted"


def test_a_gpu_that_stays_down_is_tried_again(bench: Bench) -> None:
    bench.a.spin("rcs0")
    bench.until(lambda: bench.port("rcs0").has_guest)
    with unanswered(bench, restarts=3) as tried:
        bench.a.vgpu.detach()
        assert tried == [False]
        assert bench.dispatcher.current is None
        guilty = bench.b.spinner("rcs0")
        bench.b.driver.submit(guilty)
        bench.b.driver.recover("rcs0", guilty)
        assert tried == [False, False]
        bench.b.driver.recover("rcs0")
    assert tried == [False, False, True]
    works(bench, bench.b)


# -- vGPUs that others are busy with ---------------------------------------------------------------


@contextmanager
def elsewhere(enter: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Another thread is inside meanwhile."""
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with enter():
            inside.set()
            assert over.wait(PATIENCE_S)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert inside.wait(PATIENCE_S)
        yield
    finally:
        over.set()
        thread.join(PATIENCE_S)


@pytest.mark.parametrize("what", ["lock", "memory map"])
def test_who_is_busy_is_passed_over(bench: Bench, what: str) -> None:
    """The dispatcher does not wait for a long audit of one while another could run.

    What it waited all the same is charged to who had it wait.
    """
    a, b = bench.a, bench.b
    charged: list[tuple[int, int]] = []
    policy = bench.dispatcher.policy
    charge = policy.charge

    def note(vgpu: int, used_ns: int, now: int) -> None:
        charged.append((vgpu, used_ns))
        charge(vgpu, used_ns, now)

    policy.charge = note  # type: ignore[assignment,method-assign]
    for guest in (a, b):
        guest.vgpu.parked = True
        guest.spin("rcs0")
    a.vgpu.parked = b.vgpu.parked = False
    door, memory = a.vgpu.lock, a.vgpu.memory
    with elsewhere(lambda: door if what == "lock" else memory._gate.change()):
        bench.turn()
        assert bench.dispatcher.current is b.vgpu
    assert a.vgpu.index in [vgpu for vgpu, used_ns in charged if used_ns >= 5 * MS]
    bench.until(lambda: bench.port("rcs0").has_guest)
    bench.end_slice(b)
    bench.until(lambda: bench.dispatcher.current is a.vgpu)


def test_who_is_busy_and_alone_is_looked_at_again(bench: Bench) -> None:
    a = bench.a
    a.vgpu.parked = True
    a.spin("rcs0")
    a.vgpu.parked = False
    with elsewhere(lambda: a.vgpu.lock):
        bench.turn()
        assert bench.dispatcher.current is None
        assert patience_ms(bench) <= 10
    bench.until(lambda: bench.dispatcher.current is a.vgpu)
    assert patience_ms(bench) <= 4
