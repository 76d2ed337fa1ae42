"""What the dispatcher and its world remember: cold, while a vGPU is in, while it is taken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mediator.dispatcher import WATCHDOG_NS, Dispatcher
from mediator.gen9 import registers as reg
from mediator.port import Load, Port
from mediator.world import World
from tests.unit.mediator.dispatcher_bench import Bench, running

MS = 1_000_000


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        made.hold_clock()
        yield made


def remembered(dispatcher: Dispatcher) -> dict[str, object]:
    world = dispatcher.world
    return {
        "current": world.current,
        "ending": world.ending,
        "deadline": world.deadline_ns,
        "forgave": world._forgave,
        "late": world._late_ns,
        "down": world._down,
        "used": world._used,
        "entered": world._entered_ns,
        "busy since": dispatcher._busy_since,
        "idle until": dispatcher._idle_until,
        "granted until": dispatcher._granted_until,
        "exit": dispatcher._exit,
        "thread": dispatcher._thread,
    }


COLD: dict[str, object] = {
    "current": None,
    "ending": False,
    "deadline": 0,
    "forgave": False,
    "late": 0,
    "down": False,
    "used": set(),
    "entered": 0,
    "busy since": None,
    "idle until": 0,
    "granted until": 0,
    "exit": False,
    "thread": None,
}


def test_cold(bench: Bench) -> None:
    assert remembered(bench.dispatcher) == COLD
    world = bench.dispatcher.world
    assert world.ports == {name: Port() for name in ("rcs0", "bcs0", "vcs0", "vecs0")}
    assert not world.busy
    assert not world.has_guest
    assert WATCHDOG_NS < 640 * MS, "i915 gives up then"


def test_who_comes_in_is_known(bench: Bench) -> None:
    now, world = bench.clock(), bench.dispatcher.world
    bench.a.spin("vcs0")
    assert remembered(bench.dispatcher) == COLD | {
        "current": bench.a.vgpu,
        "deadline": now + 4 * MS,
        "granted until": now + 4 * MS,
        "used": {"vcs0"},
        "entered": now,
        "busy since": now,
    }
    assert world.ports["vcs0"] == Port(waiting=Load.GUEST, used=True)
    assert world.busy
    assert not world.has_guest
    assert world.counters.world_switches == bench.a.vgpu.counters.world_switches == 1
    assert world.counters.preemptions == 0


def test_who_was_taken_off_is_forgotten(bench: Bench) -> None:
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    bench.skip_ns += 3 * MS
    with bench.locked(bench.a):
        bench.dispatcher.world.withdraw(bench.a.vgpu)
    found = remembered(bench.dispatcher)
    for name in ("current", "ending", "busy since"):
        assert found[name] == COLD[name], name
    assert bench.port("vcs0") == Port()
    assert not bench.dispatcher.world.busy


def test_what_the_one_before_used_is_forgotten(bench: Bench) -> None:
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    with bench.locked(bench.a):
        bench.a.vgpu.parked = True
        bench.dispatcher.world.withdraw(bench.a.vgpu)
    bench.b.spin("rcs0")
    bench.until(lambda: bench.dispatcher.current is bench.b.vgpu)
    assert bench.dispatcher.world._used == {"rcs0"}


def test_time_is_that_of_whose_context_runs(bench: Bench) -> None:
    world, dispatcher, a, b = bench.dispatcher.world, bench.dispatcher, bench.a.vgpu, bench.b.vgpu
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    before = dispatcher.gpu_ns(a), dispatcher.busy_ns()
    bench.skip_ns += 5 * MS
    assert world.running_ns("vcs0") == 5 * MS
    assert world.engine_ns("vcs0") == world.busy_ns(a, "vcs0") == 5 * MS
    assert world.engine_ns("rcs0") == world.busy_ns(b, "vcs0") == 0
    assert (dispatcher.gpu_ns(a) - before[0], dispatcher.busy_ns() - before[1]) == (5 * MS, 5 * MS)
    assert dispatcher.gpu_ns(b) == 0
    with bench.locked(bench.a):
        world.withdraw(a)
    bench.skip_ns += 7 * MS
    assert world.running_ns("vcs0") == 0
    assert world.engine_ns("vcs0") == world.busy_ns(a, "vcs0") == 5 * MS
    assert a.counters.engines["vcs0"].busy_ns == 5 * MS
    assert (dispatcher.gpu_ns(a) - before[0], dispatcher.busy_ns() - before[1]) == (5 * MS, 5 * MS)


def test_patience_begins_anew_with_each_ending(bench: Bench) -> None:
    world = bench.dispatcher.world
    world._patience_ns = 100 * MS
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    world._forgave, world._late_ns = True, 5
    bench.skip_ns += 9 * MS
    now = bench.clock()
    with bench.locked(bench.a):
        world.end(bench.a.vgpu)
    assert (world.ending, world._forgave, world._late_ns) == (True, False, 0)
    assert world.deadline_ns == now + 100 * MS
    assert world.counters.preemptions == bench.a.vgpu.counters.preemptions == 1
    assert bench.port("vcs0").waiting is Load.IDLE
    bench.until(lambda: bench.port("vcs0").waiting is not Load.IDLE)


def patient(world: World, *, deadline: int) -> None:
    """Somebody is being taken off, and has until ``deadline``."""
    world.ending, world._forgave, world._late_ns = True, False, 0
    world.deadline_ns = deadline


def test_lateness_adds_up_and_is_never_negative(bench: Bench) -> None:
    world = bench.dispatcher.world
    for late, total in ((5, 5), (-3, 5), (0, 5), (7, 12)):
        world.note_late(late)
        assert world._late_ns == total


@pytest.mark.parametrize(
    ("late_ms", "forgiven"), [(19, 0), (20, 0), (21, 21), (99, 99), (500, 100)]
)
def test_much_lateness_is_forgiven_once(bench: Bench, late_ms: int, forgiven: int) -> None:
    """What is less than a quiet machine has, is not; and no more than one patience."""
    world, now = bench.dispatcher.world, bench.clock()
    world._patience_ns = 100 * MS
    patient(world, deadline=now - MS)
    world.note_late(late_ms * MS)
    assert world.forgive_lateness() is bool(forgiven)
    assert world.deadline_ns == (now + forgiven * MS if forgiven else now - MS)
    assert world._forgave is bool(forgiven)
    assert not world.forgive_lateness()
    patient(world, deadline=now + 1000 * MS)
    world.note_late(late_ms * MS)
    world.forgive_lateness()
    assert world.deadline_ns == now + 1000 * MS, "a deadline does not come nearer"
    world.ending = False


def test_who_is_not_taken_off_is_forgiven_nothing(bench: Bench) -> None:
    world = bench.dispatcher.world
    world.note_late(50 * MS)
    assert not world.forgive_lateness()
    assert not world.forgive(50 * MS)
    assert (world._forgave, world.deadline_ns) == (False, 0)


def test_how_long_the_dispatcher_sleeps(bench: Bench) -> None:
    """Until the slice ends, or who is taken off is late; at most a second, or ten ms meanwhile."""
    dispatcher, world, now = bench.dispatcher, bench.dispatcher.world, bench.clock()
    assert dispatcher._patience_ms() == 1000
    dispatcher._idle_until = now + 7 * MS
    assert dispatcher._patience_ms() == 7
    dispatcher._idle_until = 0
    bench.a.spin("vcs0")
    for ahead_ms, ending, sleeps in (
        (3, False, 3),
        (0, False, 0),
        (-5, False, 0),
        (5000, False, 1000),
        (3, True, 3),
        (50, True, 10),
    ):
        world.deadline_ns, world.ending = bench.clock() + ahead_ms * MS, ending
        assert dispatcher._patience_ms() == sleeps
    world.ending = False
    dispatcher._busy_since = None
    assert dispatcher._patience_ms() == 1000, "it has nothing to do"


def test_it_has_one_thread_that_ends(bench: Bench) -> None:
    dispatcher = bench.dispatcher
    dispatcher.start()
    thread = dispatcher._thread
    assert thread is not None
    assert thread.daemon
    assert thread.name == "dispatcher"
    dispatcher.stop()
    assert dispatcher._thread is None
    assert not thread.is_alive()


def test_who_has_a_cap_runs_on_within_its_slice_and_nobody_is_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher, vgpu = bench.dispatcher, bench.a.vgpu
    dispatcher.set_share(vgpu, 1, 0.5)
    bench.skip_ns += 100 * MS  # it has allowance
    bench.a.spin("vcs0")
    assert dispatcher.current is vgpu
    asked: list[int] = []
    pick = dispatcher.policy.pick

    def noted(*arguments: Any) -> object:
        asked.append(bench.clock())
        return pick(*arguments)

    monkeypatch.setattr(dispatcher.policy, "pick", noted)
    charged = vgpu.counters.gpu_ns
    bench.skip_ns += dispatcher._granted_until - bench.clock() - 1
    bench.a.spin("rcs0")
    assert asked == []
    assert vgpu.counters.gpu_ns == charged
    bench.skip_ns += 1
    bench.a.spin("bcs0")
    assert len(asked) == 1
    assert vgpu.counters.gpu_ns > charged


def test_who_leaves_is_out_of_dma_space(bench: Bench) -> None:
    """Its memory is taken out, its log is stopped, and nothing of it is asked for again."""
    vgpu = bench.a.vgpu
    bench.run(bench.a, "vcs0", [0, 0])
    vgpu.start_recording()
    old = vgpu.addressing
    closed: list[int] = []
    real = old.close
    old.close = lambda: closed.append(len(old._ranges.all())) or real()  # type: ignore
    vgpu.detach()
    assert closed == [0], "once, and after its memory was unmapped"
    assert vgpu.addressing is not old
    assert old.table_pages == 0
    assert old.take_dirty() == []
    assert not vgpu.attached
    vgpu.detach()
    assert closed == [0]


@pytest.mark.parametrize("again", [False, True], ids=["it enters", "the GPU is restarted"])
def test_a_private_ggtt_is_the_hardwares_while_its_vgpu_is_in(again: bool) -> None:
    """The same addresses of two guests: each has its own pages there, and nobody else's."""
    with running(Bench(ggtt="private")) as bench:
        world = bench.dispatcher.world
        for guest in (bench.a, bench.b):
            guest.spin("vcs0")
            bench.until(lambda guest=guest: world.current is guest.vgpu)  # type: ignore[misc]
            if again:
                with bench.locked(guest):
                    world._restart_hardware(guest.vgpu)
            other = bench.b if guest is bench.a else bench.a
            for chunk in guest.vgpu.ggtt.touched | other.vgpu.ggtt.touched:
                own = guest.vgpu.ggtt.hardware_chunk(chunk)
                assert bench.hardware.ggtt.read_entry(4096 * chunk, 4096) == own
            assert guest.vgpu.ggtt.touched
            with bench.locked(guest):
                world.withdraw(guest.vgpu)


def test_a_ring_that_its_guest_holds_is_let_go_so_that_it_can_give_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the idle context is submitted: it would be held too, and the guest be blamed."""
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    engine = bench.host.engines["vcs0"]
    with bench.locked(bench.a):
        bench.a.vgpu.engines["vcs0"].stop()
    assert engine.read(reg.RING_MI_MODE) & reg.MI_MODE_STOP_RING
    held: list[int] = []
    real = engine.submit_idle

    def submit_idle() -> None:
        held.append(engine.read(reg.RING_MI_MODE) & reg.MI_MODE_STOP_RING)
        real()

    monkeypatch.setattr(engine, "submit_idle", submit_idle)
    bench.end_slice(bench.a)
    assert held == [0]
    bench.until(lambda: bench.dispatcher.current is None)
    assert bench.a.vgpu.counters.hangs == 0


@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize(
    ("running", "waiting"),
    [(Load.NOTHING, Load.NOTHING), (Load.GUEST, Load.NOTHING), (Load.NOTHING, Load.RESUMED)],
)
def test_a_save_is_whole_where_nothing_can_have_been_loaded_since(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    running: Load,
    waiting: Load,
    more: bool,
    news: bool,
) -> None:
    world, a, b = bench.dispatcher.world, bench.a.vgpu, bench.b.vgpu
    monkeypatch.setattr(type(bench.host.engines["vcs0"]), "has_news", property(lambda _: news))
    world.ports["vcs0"] = Port(running, waiting, tells_more=more)
    world.current = a
    free = running is waiting is Load.NOTHING
    assert world.settled(a, "vcs0") is (free or not (more or news))
    assert world.settled(b, "vcs0"), "it is not on the hardware"
    world.ports["vcs0"] = Port()
    world.current = None


@pytest.mark.parametrize(
    ("late_ms", "more_ms"), [(-1, None), (0, 25), (24, 25), (26, 26), (99, 99), (150, 100)]
)
def test_who_is_asked_late_to_give_way_has_a_part_of_the_patience(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, late_ms: int, more_ms: int | None
) -> None:
    """A quarter at least, as much as it was late, and no more than the whole."""
    world = bench.dispatcher.world
    world._patience_ns = 100 * MS
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    now = bench.clock()
    monkeypatch.setattr(bench.host.engines["vcs0"], "submit_idle", lambda: None)
    patient(world, deadline=now - late_ms * MS)
    with bench.locked(bench.a):
        world._drive_out(bench.a.vgpu, "vcs0")
    assert bench.port("vcs0").waiting is Load.IDLE
    assert world._forgave is (more_ms is not None)
    assert world.deadline_ns == (now + MS if more_ms is None else now + more_ms * MS)


def test_a_gpu_that_came_up_again_is_not_restarted_for_the_next_reset(bench: Bench) -> None:
    world = bench.dispatcher.world
    bench.a.spin("vcs0")
    with bench.locked(bench.a):
        world._restart_hardware(bench.a.vgpu)
        world.reset_engine(bench.a.vgpu, "vcs0")
    assert (world._down, world.counters.restarts) == (False, 1)


@pytest.mark.parametrize(
    "does", [lambda b: b.a.vgpu.reset(), lambda b: b.a.vgpu.detach()], ids=["reset", "detach"]
)
def test_who_begins_anew_has_nothing_on_the_hardware(
    bench: Bench, does: Callable[[Bench], None]
) -> None:
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    does(bench)
    assert bench.dispatcher.current is None
    assert bench.port("vcs0") == Port()
    assert bench.hardware.engines["vcs0"].context is None


def test_an_engine_that_stands_is_looked_at_again_but_not_at_once(bench: Bench) -> None:
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    bench.a.vgpu.engines["vcs0"].state.hung = "a test"
    with bench.locked(bench.a):
        bench.dispatcher._consider(bench.a.vgpu)
    assert bench.dispatcher.current is bench.a.vgpu
    assert bench.dispatcher.world.deadline_ns == bench.clock() + 10 * MS


def test_after_a_restart_the_switched_registers_are_its_own_again(bench: Bench) -> None:
    """CS_DEBUG_MODE1, which the guest has set from the processor."""
    world, offset = bench.dispatcher.world, 0x20EC
    bench.a.vgpu.region_write(0, offset, (0x10_0010).to_bytes(4, "little"))
    bench.a.spin("vcs0")
    with bench.locked(bench.a):
        world._restart_hardware(bench.a.vgpu)
    assert bench.hardware.registers.values[offset >> 2] & 0x10


def test_a_list_without_shadows_is_built_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not under the dispatcher's lock: somebody is asked to."""
    world, asked = bench.dispatcher.world, list[int]()
    bench.a.spin("vcs0")
    monkeypatch.setattr(world, "_on_unbuilt", lambda: asked.append(1))
    monkeypatch.setattr("mediator.world.lacks_shadows", lambda _engine, *, idle: True)
    with bench.locked(bench.a):
        world.feed(bench.a.vgpu, "bcs0")
    assert (asked, world._unbuilt) == ([1], {"bcs0"})
    world._unbuilt.clear()


def test_one_engine_with_a_context_is_enough(bench: Bench) -> None:
    world = bench.dispatcher.world
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    assert world.has_guest
    assert world.busy


def test_a_ring_that_is_held_does_not_stay_so_for_the_next(bench: Bench) -> None:
    engine = bench.host.engines["bcs0"]
    bench.a.spin("vcs0")
    with bench.locked(bench.a):
        bench.a.vgpu.engines["bcs0"].stop()
        assert engine.read(reg.RING_MI_MODE) & reg.MI_MODE_STOP_RING
        bench.dispatcher.world.leave(bench.a.vgpu)
    assert not engine.read(reg.RING_MI_MODE) & reg.MI_MODE_STOP_RING
    with bench.locked(bench.a):
        bench.dispatcher.world.current = bench.a.vgpu
        bench.dispatcher.world.withdraw(bench.a.vgpu)
