"""The dispatcher's thread and its failures, and what reaches only the vGPU whose world it is."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.engines import BCS0
from mediator.port import Port
from mediator.vgpu.register_policy import SWITCHED
from tests.readiness import readable
from tests.unit.mediator.dispatcher_bench import PATIENCE_S, Bench, Guest, running

MS = 1_000_000
CHICKEN = 0x20E0
"""A switched register that is masked."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        yield made


def poller(bench: Bench) -> select.poll:
    made = select.poll()
    made.register(bench.host.gpu.interrupt_fd, select.POLLIN)
    made.register(bench.dispatcher._wake_fd, select.POLLIN)
    return made


def is_ready(fd: int) -> bool:
    return readable(fd, 0)


def test_it_is_woken_once_and_leaves_interrupts_to_who_serves_them(bench: Bench) -> None:
    dispatcher, interrupts = bench.dispatcher, bench.host.gpu.interrupt_fd
    bench.turn()
    os.eventfd_write(interrupts, 1)
    dispatcher.wake()
    dispatcher.wake()
    dispatcher._sleep(poller(bench))
    assert not is_ready(dispatcher._wake_fd)
    assert is_ready(interrupts)
    bench.turn()
    assert not is_ready(interrupts)


def test_a_failure_costs_the_one_who_is_there_and_the_thread_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = bench.dispatcher
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    bench.a.driver.run(bench.a.driver.create_context("bcs0"), [])
    real, went_on = dispatcher._turn, threading.Event()
    failures = [RuntimeError("our bug"), RuntimeError("another")]

    def turn() -> None:
        if failures:
            raise failures.pop()
        real()
        went_on.set()

    monkeypatch.setattr(dispatcher, "_turn", turn)
    dispatcher.start()
    dispatcher.wake()
    assert went_on.wait(PATIENCE_S)
    dispatcher.stop()
    assert dispatcher._exit
    engines = bench.a.vgpu.engines
    assert engines["vcs0"].state.hung == "internal error"
    assert (engines["rcs0"].state.hung, engines["vecs0"].state.hung) == ("", "")
    assert bench.port("vcs0") == Port()
    assert bench.b.vgpu.counters.hangs == 0


def test_who_cannot_even_be_taken_off_does_not_end_the_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("our bug")

    monkeypatch.setattr(bench.dispatcher, "_expel", fail)
    bench.dispatcher._expel_safely()


def test_after_a_failure_the_hardware_is_nobodys(bench: Bench) -> None:
    """What waits behind a semaphore of our own making is lost, what is elsewhere is not."""
    dispatcher, vgpu = bench.dispatcher, bench.a.vgpu
    dispatcher._expel()
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    bench.b.spin("vcs0")
    dispatcher._expel()
    assert dispatcher.current is None
    hung = {name: engine.state.hung for name, engine in vgpu.engines.items()}
    assert hung == {"rcs0": "", "bcs0": "", "vcs0": "internal error", "vecs0": ""}
    assert {name: bench.port(name) for name in hung} == {name: Port() for name in hung}
    assert not any(engine.state.hung for engine in bench.b.vgpu.engines.values())
    assert is_ready(dispatcher._wake_fd)
    bench.until(lambda: dispatcher.current is bench.b.vgpu)


def test_a_failure_leaves_an_engine_of_which_nothing_is_known_cold(bench: Bench) -> None:
    """It was used before, and the idle context has not run since: its registers are a guest's."""
    bench.run(bench.a, "bcs0", [])
    assert bench.port("bcs0").used
    bench.dispatcher._expel()
    assert bench.port("bcs0") == Port()
    assert bench.a.vgpu.engines["bcs0"].state.hung == ""


# -- what is told by one whose world it is, and by one whose world it is not -----------------------


@pytest.fixture
def entered(bench: Bench) -> Bench:
    """The hardware is in the world of `a`."""
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    return bench


def guest(bench: Bench, name: str) -> Guest:
    return bench.a if name == "a" else bench.b


@pytest.mark.parametrize("who", ["a", "b"])
def test_masks_and_registers_reach_the_hardware_in_their_own_world_alone(
    entered: Bench, who: str
) -> None:
    bench, vgpu = entered, guest(entered, who).vgpu
    assert CHICKEN in SWITCHED
    hardware = bench.hardware.registers.values
    imr = (BCS0.mmio_base + reg.RING_IMR) >> 2
    before = hardware[imr], hardware[CHICKEN >> 2]
    vgpu.region_write(0, BCS0.mmio_base + reg.RING_IMR, (0xFFFF_FFFE).to_bytes(4, "little"))
    vgpu.region_write(0, CHICKEN, (0x0008_0008).to_bytes(4, "little"))
    changed = hardware[imr] != before[0], hardware[CHICKEN >> 2] != before[1]
    assert changed == ((True, True) if who == "a" else (False, False))


@pytest.mark.parametrize("who", ["a", "b"])
def test_rings_are_held_and_let_go_in_their_own_world_alone(
    entered: Bench, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, vgpu = entered, guest(entered, who).vgpu
    did: list[str] = []
    engine = bench.host.engines["vcs0"]
    for name in ("stop", "resume"):
        monkeypatch.setattr(engine, name, lambda name=name: did.append(name))
    fed: list[str] = []
    monkeypatch.setattr(bench.dispatcher.world, "feed", lambda _vgpu, name: fed.append(name))
    with vgpu.lock:
        bench.dispatcher.stop_engine(vgpu, "vcs0")
        bench.dispatcher.resume_engine(vgpu, "vcs0")
    own = who == "a"
    assert did == (["stop", "resume"] if own else [])
    assert fed == (["vcs0"] if own else [])
    did.clear()
    fed.clear()
    monkeypatch.setattr(bench.dispatcher.world, "ending", True)
    with vgpu.lock:
        bench.dispatcher.stop_engine(vgpu, "vcs0")
        bench.dispatcher.resume_engine(vgpu, "vcs0")
    assert did == (["resume"] if own else []), "who leaves is not held up"
    assert fed == []
    monkeypatch.setattr(bench.dispatcher.world, "ending", False)


@pytest.mark.parametrize("who", ["a", "b"])
def test_what_runs_and_what_stands(entered: Bench, who: str) -> None:
    dispatcher, vgpu = entered.dispatcher, guest(entered, who).vgpu
    own = who == "a"
    asks: dict[str, Callable[[str], Any]] = {
        "runs": lambda name: dispatcher.runs(vgpu, name),
        "holds": lambda name: dispatcher.holds(vgpu, name),
        "stands": lambda name: dispatcher.stands(vgpu, name),
    }
    found = {ask: [answer("vcs0"), answer("rcs0")] for ask, answer in asks.items()}
    assert found == {"runs": [own, False], "holds": [own, False], "stands": [not own, True]}
    if own:
        entered.host.engines["vcs0"].stop()
        entered.hardware_does(lambda: dispatcher.stands(vgpu, "vcs0"))
        assert dispatcher.runs(vgpu, "vcs0")


def test_an_audit_is_charged_to_who_is_there(bench: Bench) -> None:
    charged: list[tuple[int, int]] = []
    real = bench.dispatcher.policy.charge

    def charge(vgpu: int, used_ns: int, now_ns: int) -> None:
        charged.append((vgpu, used_ns))
        real(vgpu, used_ns, now_ns)

    bench.dispatcher.policy.charge = charge  # type: ignore[method-assign]
    bench.dispatcher.charge_audit(bench.b.vgpu, 7 * MS)
    assert charged == [(bench.b.vgpu.index, 7 * MS)]
    gone = bench.b.vgpu
    gone.detach()
    charged.clear()
    bench.dispatcher.charge_audit(gone, 7 * MS)
    assert charged == []
