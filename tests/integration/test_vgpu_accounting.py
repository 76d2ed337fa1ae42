"""Counters of vGPUs add up, whatever happens; and what is told of them makes sense.

Every request ends in one way: submitted = completed + preempted + failed + those still there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mediator.gen9.interrupts import MASTER_IRQ
from mediator.vgpu.metrics import EngineCounters
from mediator.vgpu.mmio_table import REGISTER_MAP
from mediator.vgpu.observer import VgpuObserver
from mediator.vgpu.trace import INSTANT, Record, Trace
from mediator.vgpu.vgpu import Vgpu
from tests.gpu_driver import ENGINE_BASES, MI_ARB_CHECK, MI_BATCH_BUFFER_END, Context
from tests.gpu_driver.commands import ILLEGAL, batch_start, semaphore_wait
from tests.integration.mode_cases import cases
from tests.integration.vgpu_rig import DIRECT, MEDIATED, PATIENCE_S, Guest, Rig, rig
from tests.integration.vgpu_worker import Worker, neighbour

ENGINES = list(ENGINE_BASES)
BATCH = 0x10_0000
TIMESTAMP = 0x2358
SPIN_S = 0.3


class Told(VgpuObserver):
    """Notes what it hears."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def attached(self, vgpu: Vgpu) -> None:
        self.events.append(("attached", vgpu.name))

    def detached(self, vgpu: Vgpu) -> None:
        self.events.append(("detached", vgpu.name))

    def hung(self, vgpu: Vgpu, engine: str, reason: str) -> None:
        self.events.append(("hung", vgpu.name, engine, reason))

    def was_reset(self, vgpu: Vgpu, what: str) -> None:
        self.events.append(("reset", vgpu.name, what))

    def refused(self, vgpu: Vgpu, reason: str, text: str) -> None:
        assert text
        self.events.append(("refused", vgpu.name, reason))

    def take(self) -> list[tuple[str, ...]]:
        found, self.events = self.events, []
        return found


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(params=cases(MEDIATED, quick=[DIRECT]), ids=str)
def made(request: pytest.FixtureRequest, tmp_path: Path, told: Told) -> Iterator[Rig]:
    with rig(tmp_path, request.param, 2, observer=told) as shared:
        yield shared


@pytest.fixture
def guest(made: Rig, told: Told) -> Iterator[Guest]:
    with made.guest(0) as connected:
        told.take()
        yield connected


def spinner(guest: Guest, engine: str) -> tuple[Context, Callable[[], None]]:
    """A context that loops and can be preempted; what lets it end."""
    context = guest.driver.create_context(engine)
    page = context.tables.place(BATCH, [MI_ARB_CHECK, *batch_start(BATCH)])
    return context, lambda: guest.driver.ram.write_u32(page, MI_BATCH_BUFFER_END)


def balance(vgpu: Vgpu) -> dict[str, EngineCounters]:
    """The counters, which add up."""
    with vgpu.lock:
        for name, engine in vgpu.engines.items():
            counters = engine.counters
            there = sum(element.requests for element in engine.lists.elements)
            ended = counters.completed + counters.preempted + sum(counters.failed.values())
            assert counters.submitted == ended + there, (name, counters.submitted, ended, there)
        return vgpu.counters.engines


def ended(vgpu: Vgpu) -> dict[str, EngineCounters]:
    """The same, and nothing is there any more."""
    until(lambda: not any(engine.lists.elements for engine in vgpu.engines.values()))
    return balance(vgpu)


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.001)


# -- requests --------------------------------------------------------------------------------------


def test_work_on_all_engines_beside_a_neighbour(made: Rig, guest: Guest) -> None:
    with neighbour(made) as beside:
        worker = Worker(guest, 1)
        for _ in range(8):
            worker.round()
            balance(made.vgpu(0))
            balance(made.vgpu(1))
        beside.goes_on(1)
    guest.driver.wait_idle()
    for counters in ended(made.vgpu(0)).values():
        assert counters.completed + counters.preempted == counters.submitted >= 8
        assert counters.waits.count <= counters.submitted
        assert counters.latency.count <= counters.completed
        assert 0 < counters.waits.total_ns <= counters.latency.total_ns
    for counters in made.vgpu(1).counters.engines.values():  # its client may have left by now
        assert set(counters.failed) <= {"client-gone"}


def test_lite_restores_are_requests_of_their_own(made: Rig, guest: Guest) -> None:
    """Submitted again and again while it runs: all of them end with its one end."""
    context, let_go = spinner(guest, "rcs0")
    driver = guest.driver
    requests = [driver.run(context, batch_start(BATCH))]
    for number in range(1, 5):
        driver.wait_until(lambda: not driver.ports["rcs0"].pending, "an acknowledgement")
        requests.append(driver.run(context))
        driver.read32(TIMESTAMP)  # posted writes are there after it
        counters = balance(made.vgpu(0))["rcs0"]
        assert (counters.submitted, counters.completed) == (number + 1, 0)
    let_go()
    driver.wait(*requests)
    driver.wait_idle()
    counters = ended(made.vgpu(0))["rcs0"]
    assert (counters.submitted, counters.completed, counters.preempted) == (5, 5, 0)


def test_what_the_guest_preempts_it_submits_again(made: Rig, guest: Guest) -> None:
    driver = guest.driver
    context, let_go = spinner(guest, "vcs0")
    first = driver.run(context, batch_start(BATCH))
    driver.wait_until(lambda: driver.ports["vcs0"].active == [context], "its promotion")
    urgent = driver.create_context("vcs0", priority=2)
    driver.wait(driver.run(urgent))
    balance(made.vgpu(0))
    let_go()
    driver.wait(first)
    driver.wait_idle()
    counters = ended(made.vgpu(0))["vcs0"]
    assert counters.completed + counters.preempted == counters.submitted
    assert counters.failed == {}


def test_requests_that_fail_are_counted_by_why(made: Rig, guest: Guest) -> None:
    """A hang with another behind it, a refusal, a reset, a function-level reset."""
    vgpu, driver = made.vgpu(0), guest.driver
    guilty, behind = driver.create_context("rcs0"), driver.create_context("rcs0")
    guilty.tables.place(BATCH, [ILLEGAL])
    driver.run(guilty, batch_start(BATCH))
    driver.run(behind)
    driver.wait_until(lambda: driver.error("rcs0"), "an error")
    balance(vgpu)
    driver.recover("rcs0", guilty)
    driver.wait_idle()
    failed = ended(vgpu)["rcs0"].failed
    assert failed["hang"] == 1
    bad = driver.create_context("bcs0")
    driver.run(bad, [ILLEGAL])
    driver.wait_until(lambda: driver.error("bcs0"), "a refusal")
    driver.recover("bcs0", bad)
    assert ended(vgpu)["bcs0"].failed == {"refused": 1}
    context, _ = spinner(guest, "vcs0")
    driver.run(context, batch_start(BATCH))
    driver.wait_until(lambda: driver.ports["vcs0"].active == [context], "its promotion")
    driver.recover("vcs0", context)
    assert ended(vgpu)["vcs0"].failed == {"reset": 1}
    flag = driver.ggtt_map(driver.ram.allocate())
    driver.run(driver.create_context("vecs0"), semaphore_wait(flag, 1, ggtt=True))
    guest.client.reset()
    counters = ended(vgpu)["vecs0"]
    assert sum(counters.failed.values()) + counters.preempted == counters.submitted == 1


def test_what_a_client_leaves_behind_has_failed(made: Rig) -> None:
    with made.guest(0) as leaving:
        for engine in ENGINES:
            context, _ = spinner(leaving, engine)
            leaving.driver.run(context, batch_start(BATCH))
    for counters in ended(made.vgpu(0)).values():
        assert (counters.submitted, counters.failed) == (1, {"client-gone": 1})


def test_a_list_for_which_there_is_no_room_is_no_request(made: Rig, guest: Guest) -> None:
    vgpu, driver = made.vgpu(0), guest.driver
    vgpu.parked = True
    first, second = driver.create_context("rcs0"), driver.create_context("rcs0")
    driver.add_request(first)
    driver.add_request(second)
    driver.submit(first)
    driver.submit(second)
    driver.read32(TIMESTAMP)
    counters = balance(vgpu)["rcs0"]
    assert (vgpu.counters.submissions, counters.submitted) == (2, 1)
    assert vgpu.counters.rejections == {"submission": 1}
    vgpu.unpark()
    driver.ports["rcs0"].pending = [first]
    driver.wait_idle()


# -- time ------------------------------------------------------------------------------------------


class Since:
    """What a counter of time has gone on by; and what it should, if it runs all the time.

    The second is between two bounds: this thread may stand still between two looks at a clock.
    """

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._earliest = time.monotonic_ns()
        self._before = read()
        self._latest = time.monotonic_ns()

    def check(self) -> None:
        """It has gone on all the time."""
        earliest = time.monotonic_ns()
        used = self._read() - self._before
        latest = time.monotonic_ns()
        assert earliest - self._latest <= used <= latest - self._earliest


def test_an_engine_is_busy_as_long_as_it_spins(made: Rig, guest: Guest) -> None:
    assert made.mediation is not None
    vgpu, dispatcher = made.vgpu(0), made.mediation.dispatcher
    context, let_go = spinner(guest, "rcs0")
    idle = {name: dispatcher.world.busy_ns(vgpu, name) for name in ENGINES}
    request = guest.driver.run(context, batch_start(BATCH))
    until(lambda: dispatcher.world.ports["rcs0"].has_guest)
    began, seen = time.monotonic_ns(), [dispatcher.world.busy_ns(vgpu, "rcs0")]
    counters = [
        Since(lambda: dispatcher.world.busy_ns(vgpu, "rcs0")),
        Since(lambda: dispatcher.gpu_ns(vgpu)),
        Since(dispatcher.busy_ns),
    ]
    while time.monotonic_ns() - began < SPIN_S * 1e9:
        time.sleep(0.005)
        seen.append(dispatcher.world.busy_ns(vgpu, "rcs0"))
    assert seen == sorted(seen)
    for counter in counters:
        counter.check()
    let_go()
    guest.driver.wait(request)
    guest.driver.wait_idle()
    until(lambda: not dispatcher.world.has_guest)
    assert dispatcher.world.engine_ns("rcs0") == vgpu.counters.engines["rcs0"].busy_ns
    for name in ENGINES[1:]:
        assert dispatcher.world.busy_ns(vgpu, name) == idle[name]


@pytest.mark.modes
def test_two_that_spin_share_the_engines_time(made: Rig, guest: Guest) -> None:
    """The sum over vGPUs is what the GPU's own counter says, and not more than the wall time."""
    assert made.mediation is not None
    world, vgpus = made.mediation.dispatcher.world, made.mediation.vgpus
    with made.guest(1) as other:
        spinning = [spinner(each, "rcs0") for each in (guest, other)]
        began = time.monotonic_ns()
        requests = [
            each.driver.run(context, batch_start(BATCH))
            for each, (context, _) in zip((guest, other), spinning, strict=True)
        ]

        def had_a_share() -> bool:
            """Soon: a turn in which the machine stands still is made up for by those after it."""
            wall = time.monotonic_ns() - began
            return min(world.busy_ns(vgpu, "rcs0") for vgpu in vgpus) > 0.1 * wall > 0.1e9 * SPIN_S

        until(had_a_share)
        for _, let_go in spinning:
            let_go()
        for each, request in zip((guest, other), requests, strict=True):
            each.driver.wait(request)
            each.driver.wait_idle()
        until(lambda: not world.has_guest)
        wall = time.monotonic_ns() - began
        busy = sum(vgpu.counters.engines["rcs0"].busy_ns for vgpu in vgpus)
        assert busy == world.engine_ns("rcs0") <= wall
        assert sum(vgpu.counters.gpu_ns for vgpu in vgpus) <= wall


# -- traces ----------------------------------------------------------------------------------------


def test_a_trace_tells_what_happened(made: Rig, guest: Guest) -> None:
    vgpu, driver = made.vgpu(0), guest.driver
    driver.read32(MASTER_IRQ)  # what was posted has been served
    began = vgpu.clock()
    trace = vgpu.trace = Trace()
    context, other = driver.create_context("rcs0"), driver.create_context("bcs0")
    driver.wait(driver.run(context), driver.run(other))
    driver.wait_idle()
    with made.guest(1) as second:  # whose turn ends the slice
        second.driver.wait(second.driver.run(second.driver.create_context("rcs0")))
    until(lambda: any(record.track == "slices" for record in trace.records))
    vgpu.trace = None
    ends, records = vgpu.clock(), trace.take()
    for record in records:
        assert record.duration_ns >= 0 or record.duration_ns == INSTANT
        # What was under way when the trace began is in it whole: a slice, a trap of another thread.
        assert began <= record.start_ns + max(record.duration_ns, 0) <= ends
    tracks = {record.track for record in records}
    assert {"traps", "interrupts", "slices", "rcs0", "rcs0 busy", "bcs0", "bcs0 busy"} <= tracks
    names = [record.name for record in records if record.track == "traps"]
    assert {
        "write RCS0_ELSP",
        "write gtt",
        f"write {REGISTER_MAP.by_offset[MASTER_IRQ].name}",
    } <= set(names)
    for engine, wanted in (("rcs0", context), ("bcs0", other)):
        (request,) = _of(records, engine)
        assert f"{wanted.reported:#x}" in request.name
        busy = _of(records, f"{engine} busy")
        assert sum(record.duration_ns for record in busy) >= 0
        assert min(record.start_ns for record in busy) >= request.start_ns
    driver.wait(driver.run(context))
    assert trace.take() == []


def _of(records: list[Record], track: str) -> list[Record]:
    return [record for record in records if record.track == track]


@pytest.mark.modes
def test_a_trace_may_end_at_any_time(made: Rig, guest: Guest) -> None:
    """Who wants it goes while the guest works: neither trap nor dispatcher stumbles."""
    vgpu, worker = made.vgpu(0), Worker(guest, 1)
    traces = []
    with neighbour(made):
        for _ in range(6):
            traces.append(Trace(room=10))
            vgpu.trace = traces[-1]
            worker.round()
            vgpu.trace = None
            worker.round()
    assert all(len(trace.take()) == 10 and trace.dropped for trace in traces)


# -- who hears of it -------------------------------------------------------------------------------


def test_an_observer_hears_what_happens(made: Rig, told: Told) -> None:
    with made.guest(0) as guest:
        assert told.take()[0] == ("attached", "vgpu0")
        driver = guest.driver
        guilty = driver.create_context("vcs0")
        driver.run(guilty, [ILLEGAL])
        driver.wait_until(lambda: driver.error("vcs0"), "a refusal")
        refused, hung = told.take()
        assert refused[:2] == ("refused", "vgpu0")
        assert hung[:3] == ("hung", "vgpu0", "vcs0")
        driver.recover("vcs0", guilty)
        assert told.take() == [("reset", "vgpu0", "vcs0")]
        made.vgpu(0).lose_work("nothing is there to lose")
        assert told.take() == []
        guest.client.reset()
        assert told.take() == [("reset", "vgpu0", "function")]
    assert told.take() == [("detached", "vgpu0")]
    counters = made.vgpu(0).counters
    assert (counters.attaches, counters.full_resets, counters.hangs) == (1, 2, 1)
