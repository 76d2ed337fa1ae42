"""A virtual engine by itself: what it shows of a context, and what it does when told."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from mediator.errors import GuestError, Reason, Unfinished
from mediator.gen9 import registers as reg
from mediator.gen9.engines import VCS0
from mediator.vgpu.engine import SNAPSHOT, EngineState, VirtualEngine
from mediator.vgpu.execlist import NO_SLOT, Element
from mediator.vgpu.ggtt import GgttFault
from mediator.vgpu.metrics import Failure
from mediator.workload.command_stream import Target
from tests.unit.mediator.vgpu_fake import FakeVgpu

BASE = VCS0.mmio_base
NAME = "vcs0"
MOVED = 0x1000_0000
"""How far the copy of a batch is from the guest's own."""
STATUS_PAGE = 0x70_0000
RING = 0x30_0000


@dataclass
class Works:
    """In the place of `Workloads`: two shadows, and what was asked."""

    slots: list[Any] = field(default_factory=list)
    carried: list[int] = field(default_factory=list)
    again: list[bool] = field(default_factory=list)
    user: bool = False

    def __post_init__(self) -> None:
        self.slots = [
            SimpleNamespace(
                number=n,
                pml4=0x7000 + n,
                copy=SimpleNamespace(tail=0x80 + n, start=RING + 0x1000 * n, size=0x4000),
            )
            for n in range(2)
        ]

    def head(self, slot: Any) -> int:
        number: int = slot.number
        return 0xABE0_0040 + number

    def to_guest(self, _slot: Any, address: int) -> Target:
        return Target((address - MOVED) & ((1 << 48) - 1), self.user)

    def carry_back(self, slot: Any, *, again: bool = False) -> None:
        self.carried.append(slot.number)
        self.again.append(again)


class Vgpu(FakeVgpu):
    """With a dispatcher that says what a test wants, and hardware that is a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.here = False
        self.told: list[Any] = []
        self.now = 5000
        self.values: dict[int, int] = {}
        self.written: list[tuple[int, int, int]] = []
        self.gone = False
        self.images: dict[int, int] = {}
        engine = SimpleNamespace(read=lambda offset: self.values.get(offset, 0))
        self.host = SimpleNamespace(engines={NAME: engine})
        self.ggtt = SimpleNamespace(physical=self._physical, read_u32=self._read)
        self.memory = SimpleNamespace(
            write_u64=lambda address, value: self.written.append((8, address, value)),
            write_u32=lambda address, value: self.written.append((4, address, value)),
        )
        self.observer = SimpleNamespace(
            was_reset=lambda _v, name: self.told.append(("reset", name))
        )

    def clock(self) -> int:
        return self.now

    def runs(self, _vgpu: Any, _name: str) -> bool:
        return self.here

    holds = runs

    def stands(self, _vgpu: Any, _name: str) -> bool:
        return True

    def take_fault(self) -> None:
        self.told.append("fault")

    def note_hang(self, name: str, reason: str) -> None:
        self.counters.hangs += 1
        self.told.append((name, reason))

    def reject(self, reason: Reason, _text: str, times: int = 1, *, engine: str = "") -> None:
        self.rejected.extend([reason] * times)

    def __getattr__(self, name: str) -> Any:
        if name in {"stop_engine", "resume_engine", "reset_engine", "submit"}:
            return lambda _vgpu, engine: self.told.append((name, engine))
        raise AttributeError(name)

    def _physical(self, page: int) -> int | None:
        return None if self.gone else page + 0x1_0000_0000

    def _read(self, address: int) -> int:
        if self.gone:
            raise GgttFault(address)
        return self.images.get(address, 0)


@pytest.fixture
def vgpu() -> Vgpu:
    return Vgpu()


@pytest.fixture
def engine(vgpu: Vgpu) -> VirtualEngine:
    made = VirtualEngine.__new__(VirtualEngine)
    fake: Any = vgpu
    made.vgpu, made.facts, made.name = fake, VCS0, NAME
    made.state, made.workloads = EngineState(), Works()  # type: ignore[assignment]
    store(vgpu, reg.RING_HWS_PGA, STATUS_PAGE | 0x123)
    return made


def store(vgpu: Vgpu, offset: int, value: int) -> None:
    vgpu.registers.values[(BASE + offset) >> 2] = value


def stored(vgpu: Vgpu, offset: int) -> int:
    return vgpu.registers.values[(BASE + offset) >> 2]


def element(number: int, slot: int = NO_SLOT, requests: int = 1) -> Element:
    return Element(number << 37 | number << 20 | 1, slot=slot, requests=requests)


def running(engine: VirtualEngine, *elements: Element) -> None:
    engine.lists.active = list(elements)


# -- what its registers show -----------------------------------------------------------------------


def shown(engine: VirtualEngine) -> list[int]:
    return [
        *(engine.ring_head(), engine.ring_tail(), engine.ring_start(), engine.ring_control()),
        engine.active_head(),
        *(engine.batch_address(second=False), engine.batch_address(second=True)),
        *(engine.batch_state(), engine.context_timestamp()),
    ]


def test_an_idle_engine_shows_what_is_stored(engine: VirtualEngine, vgpu: Vgpu) -> None:
    for number, offset in enumerate((0x34, 0x30, 0x38, 0x3C, 0x74)):
        store(vgpu, offset, 0x100 + number)
    assert shown(engine) == [0x100, 0x101, 0x102, 0x103, 0x104, 0, 0, 0, 0]


def test_a_context_on_the_hardware_shows_that_in_the_guests_terms(
    engine: VirtualEngine, vgpu: Vgpu
) -> None:
    running(engine, element(1, 1))
    vgpu.here = True
    vgpu.values = {
        0x34: 0x1111,
        0x3C: 0x3401,
        0x74: 0x2345_6780,
        0x5C: 0x12,
        0x140: 0x2000_1001,
        0x168: 0x34,
        0x114: 0x3000_1002,
        0x11C: 0x56,
        0x110: 0x7,
        0x3A8: 0x99,
    }
    assert shown(engine) == [
        *(0x1111, 0x81, RING + 0x1000, 0x3401, 0x12_2345_6780 - MOVED),
        *(0x34_2000_1000 - MOVED | 1, 0x56_3000_1000 - MOVED),
        *(0x7, 0x99),
    ]
    engine.workloads.user = True  # type: ignore[attr-defined]
    assert engine.batch_state() == 0x27
    vgpu.values[0x140] &= ~1
    assert engine.batch_state() == 0x7


def test_a_context_that_waits_shows_its_shadow(engine: VirtualEngine) -> None:
    running(engine, element(1, 1))
    assert shown(engine) == [0xABE0_0041, 0x81, RING + 0x1000, 0x3001, RING + 0x1040, 0, 0, 0, 0]


def test_a_context_that_was_lost_shows_where_it_stood(engine: VirtualEngine) -> None:
    running(engine, element(1, 0))
    state = engine.state
    state.lost = True
    state.stands_at, state.stands_at_head = 0x1_2345_0000, 0x5678
    state.stands_in_batches, state.stands_in_ppgtt = [0x9001, 0xA000], True
    assert shown(engine) == [0x5678, 0x80, RING, 0x3001, 0x1_2345_0000, 0x9001, 0xA000, 0x20, 0]


def test_pointers_of_the_status_buffer(engine: VirtualEngine) -> None:
    assert engine.status_pointer() == 0x505
    for value, pointers in ((0x304, (4, 3)), (7, (5, 0)), (0x700, (0, 7))):
        engine.write_status_pointer(value)
        assert (engine.lists.write_pointer, engine.lists.read_pointer) == pointers
    engine.lists.entries[2] = (0x18, 0x20)
    assert [engine.status_entry(dword) for dword in range(3, 6)] == [0, 0x18, 0x20]


def test_time_is_the_hardwares(engine: VirtualEngine, vgpu: Vgpu) -> None:
    vgpu.values = {0x358: 0x8765_4321, 0x35C: 0xA, 0x68: 7}
    assert engine.timestamp() == 0xA_8765_4321
    store(vgpu, 0x68, 9)
    assert engine.error_register(0x68) == 9
    vgpu.here = True
    assert engine.error_register(0x68) == 7


def test_it_stands_where_nothing_runs(engine: VirtualEngine) -> None:
    assert engine.stands()
    running(engine, element(1))
    assert not engine.stands()
    engine.state.stopped = True
    assert engine.stands()


@pytest.mark.parametrize("hung", ["", "a test"])
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("elements", [0, 1])
def test_what_the_hardware_could_do(
    engine: VirtualEngine, hung: str, stopped: bool, elements: int
) -> None:
    running(engine, *[element(1)] * elements)
    engine.state.hung, engine.state.stopped = hung, stopped
    assert engine.has_work is (bool(elements) and not hung and not stopped)


def test_page_tables_in_use(engine: VirtualEngine) -> None:
    running(engine, element(1, 1), element(2))
    assert engine.roots() == {0x7001}
    engine.lists.pending = [element(3, 0)]
    assert engine.roots() == {0x7000, 0x7001}


# -- what it is told -------------------------------------------------------------------------------

PHYSICAL = STATUS_PAGE + 0x1_0000_0000


def test_events_are_written_and_counted(engine: VirtualEngine, vgpu: Vgpu) -> None:
    counters = vgpu.counters.engines[NAME]
    first, second = element(1, 0, 2), element(2, 1, 3)
    first.admitted_ns = second.admitted_ns = 1000
    engine.lists.pending = [first, second]
    engine.promoted()
    assert vgpu.written == [(8, PHYSICAL + 0x40, 1), (4, PHYSICAL + 0x7C, 0)]
    vgpu.written.clear()
    engine.ended(waits=False)
    assert vgpu.written == [(8, PHYSICAL + 0x48, 0x20 << 32 | 0x14), (4, PHYSICAL + 0x7C, 1)]
    assert (counters.completed, counters.preempted) == (2, 0)
    engine.ended(waits=True)
    assert (counters.completed, counters.preempted) == (2, 3)
    assert engine.workloads.carried == [0, 1]  # type: ignore[attr-defined]
    assert (counters.latency.count, counters.latency.total_ns) == (1, 4000)
    assert vgpu.counters.hangs == 0


@pytest.mark.parametrize("lite", [False, True])
def test_a_list_that_gives_way(engine: VirtualEngine, vgpu: Vgpu, lite: bool) -> None:
    running(engine, element(1, 0, 2), element(2, 1, 3))
    engine.lists.pending = [element(3, 1)]
    engine.preempted(lite=lite)
    assert vgpu.counters.engines[NAME].preempted == 5
    assert engine.workloads.carried == ([] if lite else [0])  # type: ignore[attr-defined]
    assert not any(engine.workloads.again)  # type: ignore[attr-defined]
    event = 0x8002 if lite else 2
    assert vgpu.written[0] == (8, PHYSICAL + 0x40, 0x20 << 32 | event)


@pytest.mark.parametrize("ended", [False, True])
def test_a_context_that_also_waits_may_run_again_by_now(engine: VirtualEngine, ended: bool) -> None:
    running(engine, element(1, 0))
    engine.lists.pending = [element(2, 1), element(1, 0)]
    if ended:
        engine.ended(waits=False)
    else:
        engine.preempted(lite=False)
    engine.lists.active, engine.lists.element = [element(1, 0)], 0
    engine.lists.pending = []
    engine.ended(waits=False)
    assert engine.workloads.carried == [0, 0]  # type: ignore[attr-defined]
    assert engine.workloads.again == [True, False]  # type: ignore[attr-defined]


@pytest.mark.parametrize("force", [0, 1 << 2])
@pytest.mark.parametrize("same", [False, True])
def test_a_list_that_gave_way_without_the_hardware(
    engine: VirtualEngine, vgpu: Vgpu, force: int, same: bool
) -> None:
    running(engine, element(1, 0))
    waiting = element(1 if same else 2)
    waiting.descriptor |= force
    engine.lists.pending = [waiting]
    engine.gave_way()
    lite = same and not force
    assert vgpu.written[0][2] & 0xFFFF_FFFF == (0x8002 if lite else 2)
    assert engine.workloads.carried == [0]  # type: ignore[attr-defined]


def test_without_a_status_page_it_stands(engine: VirtualEngine, vgpu: Vgpu) -> None:
    vgpu.gone = True
    engine.lists.pending = [element(1)]
    engine.promoted()
    assert vgpu.rejected == [Reason.ADDRESS]
    assert engine.state.hung == "no status page"
    assert vgpu.written == []


@pytest.mark.parametrize("why", [Failure.RESET, Failure.CLIENT_GONE])
@pytest.mark.parametrize("hung", ["", "a test"])
def test_what_is_dropped_has_failed_once(
    engine: VirtualEngine, vgpu: Vgpu, why: Failure, hung: str
) -> None:
    running(engine, element(1, 0, 2), element(2, 1, 3))
    engine.lists.pending = [element(3, NO_SLOT, 4)]
    engine.state.hung = hung
    engine.drop(why)
    engine.drop(why)
    failed = vgpu.counters.engines[NAME].failed
    if hung and why is Failure.RESET:
        assert failed == {Failure.HANG: 2, why: 7}
    else:
        assert failed == {why: 9}


def test_a_refused_context_makes_it_stand(engine: VirtualEngine, vgpu: Vgpu) -> None:
    bad = element(1)
    error = GuestError(Reason.BAD_COMMAND, "of 1 dword", command=0x1234_0000, offset=0x48)
    engine.refuse_element(bad, error)
    assert vgpu.rejected == [Reason.BAD_COMMAND]
    assert vgpu.counters.engines[NAME].failed == {Failure.REFUSED: 1}
    assert (bad.refused, bad.refused_command, bad.refused_at) == (str(error), 0x1234_0000, 0x48)
    image = bad.lrca + 0x1000
    vgpu.images = {
        image + 4 * 5: 0x0060_0010,
        image + 4 * 7: 0x50,
        image + 4 * 9: RING | 0xFFF,
        image + 4 * 11: 0x1001,
    }
    engine.refuse(bad)
    shows = [stored(vgpu, offset) for offset in (0x68, 0x34, 0x30, 0x38, 0x3C, 0x74, 0xB0)]
    ring = RING | 0xFFF
    assert shows == [0x1234_0000, 0x0060_0048, 0x50, ring, 0x1001, RING + 0x48, 1]
    assert engine.state.hung == str(error)
    assert vgpu.counters.hangs == 1


def test_a_refused_context_without_an_image_too(engine: VirtualEngine, vgpu: Vgpu) -> None:
    vgpu.gone = True
    bad = element(1)
    bad.refused, bad.refused_command = "because", 0x55
    engine.refuse(bad)
    assert stored(vgpu, 0x68) == 0x55
    assert engine.state.hung == "because"


@pytest.mark.parametrize("emr", [0, 1])
def test_an_error_interrupts_unless_it_is_masked(
    engine: VirtualEngine, vgpu: Vgpu, emr: int
) -> None:
    bank = VCS0.interrupt_bank
    for offset in (bank.imr, BASE + reg.RING_IMR):
        vgpu.registers.values[offset >> 2] = 0
    store(vgpu, reg.RING_EMR, emr)
    engine.fail("a test")
    assert vgpu.registers.values[bank.iir >> 2] == (0 if emr else 1 << 3)
    assert stored(vgpu, 0xB0) == 1
    assert vgpu.told == [(NAME, "a test")]


def test_what_the_hardware_says_of_a_hang_is_kept(engine: VirtualEngine, vgpu: Vgpu) -> None:
    vgpu.values = {offset: 0x100 + offset for offset in SNAPSHOT}
    assert SNAPSHOT == (0x64, 0x68, 0x6C, 0x70, 0xB0)
    engine.note_error()
    for offset in SNAPSHOT:
        assert stored(vgpu, offset) == (0x100 + offset) | (offset == 0xB0)
    assert engine.state.hung == "illegal command"


def test_a_page_fault_counts_once(engine: VirtualEngine, vgpu: Vgpu) -> None:
    for _ in range(2):
        engine.note_fault()
    assert engine.state.hung == "page fault"
    assert (vgpu.counters.faults, vgpu.counters.hangs) == (1, 1)


@pytest.mark.parametrize("here", [False, True])
@pytest.mark.parametrize("hung", ["", "before"])
def test_what_is_lost_stays_as_it_stood(
    engine: VirtualEngine, vgpu: Vgpu, here: bool, hung: str
) -> None:
    running(engine, element(1, 0))
    engine.state.hung = hung
    vgpu.here = here
    vgpu.values = {0x34: 0x44, 0x74: MOVED + 0x60, 0x140: MOVED + 0x1001, 0x110: 0x20, 0x68: 8}
    engine.lose("a test")
    state = engine.state
    assert state.lost
    assert state.hung == (hung or "a test")
    assert vgpu.counters.hangs == (0 if hung else 1)
    assert vgpu.told.count("fault") == 1
    assert (state.stands_at_head, state.stands_at) == (
        (0x44, 0x60) if here else (0xABE0_0040, RING + 0x40)
    )
    assert state.stands_in_ppgtt is here
    assert state.stands_in_batches[0] == (0x1001 if here else 0)
    assert stored(vgpu, 0x68) == (8 if here else 0)


def test_rings_are_held_once(engine: VirtualEngine, vgpu: Vgpu) -> None:
    engine.resume()
    assert vgpu.told == []
    for _ in range(2):
        engine.stop()
    assert vgpu.told == [("stop_engine", NAME)]
    assert engine.request_reset()
    store(vgpu, reg.RING_MI_MODE, 1 << 8)
    engine.withdraw_reset()
    assert engine.state.stopped, "the guest holds it by MI_MODE"
    store(vgpu, reg.RING_MI_MODE, 0)
    engine.withdraw_reset()
    engine.resume()
    assert vgpu.told == [("stop_engine", NAME), ("resume_engine", NAME)]


def test_a_reset_request_holds_the_ring(engine: VirtualEngine, vgpu: Vgpu) -> None:
    assert engine.request_reset()
    assert engine.state.stopped
    assert vgpu.told == [("stop_engine", NAME)]


def test_a_reset_makes_it_cold(engine: VirtualEngine, vgpu: Vgpu) -> None:
    running(engine, element(1, 0, 2))
    state = engine.state
    state.hung, state.stopped, state.lost = "a test", True, True
    store(vgpu, reg.RING_IMR, 5)
    engine.reset()
    assert engine.state == EngineState()
    assert stored(vgpu, reg.RING_IMR) == 0xFFFF_FFFF
    assert vgpu.told == [("reset_engine", NAME), ("reset", NAME)]
    assert vgpu.counters.engines[NAME].failed == {Failure.HANG: 2}


def test_shadows_are_given_up(engine: VirtualEngine) -> None:
    running(engine, element(1, 0), element(2))
    engine.lists.pending = [element(3, 1)]
    for each in engine.lists.elements:
        each.submitted_ns = each.admitted_ns = each.started_ns = 5
    engine.give_up_shadows()
    assert engine.workloads.carried == [0, 1]  # type: ignore[attr-defined]
    for each in (*engine.lists.active, *engine.lists.pending):
        assert each.slot == NO_SLOT
        assert (each.submitted_ns, each.admitted_ns, each.started_ns) == (0, 0, 0)


@pytest.mark.parametrize(("admitted", "at_once"), [((5, 5), 0), ((5, 0), 2), ((0, 0), 2)])
def test_what_comes_from_elsewhere_is_prepared_at_once(
    engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch, admitted: tuple[int, int], at_once: int
) -> None:
    """Until it is done; what was admitted here and waits for its context has its tables."""
    asked: list[int] = []

    def prepare(elements: list[Element]) -> None:
        asked.append(len(elements))
        if len(asked) == 1:
            raise Unfinished

    engine.workloads.prepare = prepare  # type: ignore[assignment, method-assign]
    built: list[list[Element]] = []
    monkeypatch.setattr("mediator.vgpu.engine.admit", lambda _, elements: built.append(elements))
    elements = [element(1), element(2), element(3, 1)]
    for each, admitted_ns in zip(elements, admitted, strict=False):
        each.admitted_ns = admitted_ns
    engine.build_missing(elements)
    assert (len(asked), built) == (at_once, [elements])
    assert set(asked) <= {2}
    engine.build_missing(elements[2:])
    assert len(built) == 1
