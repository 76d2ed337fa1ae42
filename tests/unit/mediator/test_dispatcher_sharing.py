"""The dispatcher when shares change, work is taken away, or the GPU must be brought up again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mediator.physical.host import HardwareError
from tests.gpu_driver import MI_BATCH_BUFFER_END
from tests.gpu_driver.commands import batch_start, store_dword
from tests.unit.mediator.dispatcher_bench import BATCH, Bench, Guest, running

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
    assert patience_ms(bench) > 100
    bench.b.spin("rcs0")
    bench.skip_ns += 2 * bench.dispatcher.world._patience_ns
    bench.turn()
    assert bench.a.vgpu.counters.hangs == 1
    bench.a.driver.ram.write_u32(page, MI_BATCH_BUFFER_END)


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
        bench.hardware = bench.host.gpu._gpu  # type: ignore[attr-defined]

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
