"""Admission of a list: who gets which shadow, who waits, who is refused, and who pays."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9 import registers as reg
from mediator.gen9.execlist import Descriptor
from mediator.vgpu.admission import admit, build_next, lacks_shadows
from mediator.vgpu.execlist import NO_SLOT, Element, Execlists

NOW = 7_000
RING = 0x8000_0000


@dataclass
class Engine:
    """In the place of a `VirtualEngine`: four slots, and what was asked of it."""

    lists: Execlists = field(default_factory=Execlists)
    loaded: bool = False
    goes_on: bool = True
    waits: bool | None = None
    """Whether a list waits for the hardware to be left; None: as elements say."""
    registers: list[int] = field(default_factory=list)
    """What the hardware's registers read, one after another."""
    took_ns: int = 0
    did: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = "vcs0"
        self.state = SimpleNamespace(hung="", stopped=False)
        self.counters = SimpleNamespace(submitted=0)
        slots = [SimpleNamespace(lrca=0, hardware_ring=RING + 0x1000 * n) for n in range(4)]
        self.workloads = SimpleNamespace(
            slots=slots, build=self._build, extend=self._extend, head=lambda _: 0xFFE0_0040
        )
        read = lambda offset: self.did.append(("read", offset)) or self.registers.pop(0)  # type: ignore  # noqa: E731
        dispatcher = SimpleNamespace(
            holds=lambda _vgpu, _name: self.loaded,
            host=SimpleNamespace(engines={self.name: SimpleNamespace(read=read)}),
            charge_audit=lambda _vgpu, used: self.did.append(("pays", used)),
        )
        self.now = NOW
        self.vgpu: Any = SimpleNamespace(
            clock=lambda: self.now,
            dispatcher=dispatcher,
            rest=SimpleNamespace(owe=lambda used: self.did.append(("rests", used >= 0))),
        )

    @property
    def must_leave(self) -> bool:
        if self.waits is not None:
            return self.waits
        return bool(self.lists.pending) and any(e.must_leave for e in self.lists.elements)

    def _build(self, element: Element, slot: Any) -> None:
        self.now += self.took_ns
        self.did.append(("build", element.lrca >> 12, self.workloads.slots.index(slot)))

    def _extend(self, slot: Any, head: int | None, *, loaded: bool) -> bool:
        self.did.append(("extend", self.workloads.slots.index(slot), head, loaded))
        return self.goes_on

    def refuse_element(self, element: Element, error: GuestError) -> None:
        element.refused = str(error.reason)

    def gave_way(self) -> None:
        self.did.append("gave way")
        self.lists.active, self.lists.pending = self.lists.pending, []
        for element in self.lists.active:
            element.must_leave = False

    def next_list(self) -> None:
        self.did.append("next")

    def build_missing(self, elements: list[Element]) -> None:
        self.did.append(("missing", elements))


def element(number: int, slot: int = NO_SLOT, flags: int = 0) -> Element:
    return Element(number << 32 | number << 12 | 1 | flags, slot=slot)


def admitted(engine: Engine, *elements: Element) -> list[Any]:
    """What was done for ``elements`` as the pending list."""
    engine.lists.pending = list(elements)
    made: Any = engine
    admit(made, engine.lists.pending)
    return engine.did


def test_a_context_gets_a_free_slot_that_of_its_last_shadow_if_it_is_free() -> None:
    engine = Engine()
    engine.lists.active = [element(8, 0), element(9, 2)]
    engine.workloads.slots[2].lrca = 5 << 12  # in use by another
    engine.workloads.slots[3].lrca = 6 << 12
    new = [element(5), element(6)]
    assert admitted(engine, *new) == [("build", 5, 1), ("build", 6, 3)]
    assert [each.slot for each in new] == [1, 3]
    assert engine.counters.submitted == 2
    for each in new:
        assert (each.requests, each.submitted_ns, each.admitted_ns) == (1, NOW, NOW)


def test_who_has_a_shadow_or_is_refused_is_left_alone() -> None:
    engine, refused = Engine(), element(6)
    refused.refused = "a test"
    assert admitted(engine, element(5, 1), refused, element(7)) == [("build", 7, 0)]
    assert (engine.counters.submitted, refused.slot) == (1, NO_SLOT)


def test_two_new_contexts_get_two_slots() -> None:
    assert admitted(Engine(), element(5), element(6)) == [("build", 5, 0), ("build", 6, 1)]


def test_a_submission_is_counted_once_and_its_times_stay() -> None:
    engine, each = Engine(), element(5)
    each.requests, each.submitted_ns, each.admitted_ns = 3, 11, 12
    admitted(engine, each)
    assert engine.counters.submitted == 0
    assert (each.requests, each.submitted_ns, each.admitted_ns) == (3, 11, 12)


@pytest.mark.parametrize("running", [False, True])
def test_a_context_twice_in_one_list_is_refused_the_second_time(running: bool) -> None:
    engine = Engine()
    if running:
        engine.lists.active = [element(5, 0)]
    first, second = element(5), element(5)
    admitted(engine, first, second)
    assert (first.slot, first.refused) == (0, "")
    assert (second.slot, second.refused) == (NO_SLOT, str(Reason.SUBMISSION))
    assert (second.submitted_ns, second.admitted_ns) == (0, 0)
    assert engine.counters.submitted == 2


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_context_that_runs_keeps_its_shadow_or_has_to_leave(goes_on: bool) -> None:
    engine = Engine(loaded=True, goes_on=goes_on)
    engine.registers = [RING + 0x2000, 0xFFE0_0080, RING + 0x2000]
    engine.lists.active = [element(5, 2)]
    again = element(5)
    reads = [("read", at) for at in (reg.RING_START, reg.RING_HEAD, reg.RING_START)]
    assert admitted(engine, again) == [*reads, ("extend", 2, 0x80, True)]
    assert (again.slot, again.must_leave) == ((2, False) if goes_on else (NO_SLOT, True))


@pytest.mark.parametrize("seen", [[RING], [RING + 0x1000, 0x80, RING]])
def test_a_head_is_known_only_while_the_hardware_is_seen_in_the_ring(seen: list[int]) -> None:
    """Before it was looked at, and still afterwards."""
    engine = Engine(loaded=True, registers=seen)
    engine.lists.active = [element(5, 1)]
    assert admitted(engine, element(5))[-1] == ("extend", 1, None, True)
    assert engine.registers == []


def test_the_head_of_a_context_off_the_hardware_is_its_images() -> None:
    engine = Engine()
    engine.lists.active = [element(5, 1)]
    assert admitted(engine, element(5)) == [("extend", 1, 0x40, False)]


@pytest.mark.parametrize("loaded", [False, True])
def test_a_forced_restore_of_what_may_run_takes_it_off(loaded: bool) -> None:
    engine = Engine(loaded=loaded)
    engine.lists.active = [element(5, 1)]
    again = element(5, flags=Descriptor.FORCE_RESTORE)
    found = admitted(engine, again)
    assert again.must_leave is loaded
    assert found == ([] if loaded else [("extend", 1, 0x40, False)])


@pytest.mark.parametrize("hung", ["", "it"])
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("loaded", [False, True])
def test_who_is_off_the_hardware_gives_way_at_once_unless_the_engine_stands(
    hung: str, stopped: bool, loaded: bool
) -> None:
    engine = Engine(loaded=loaded, goes_on=False, registers=[RING])
    engine.state.hung, engine.state.stopped = hung, stopped
    engine.lists.active = [element(5, 1)]
    again = element(5)
    found = admitted(engine, again)
    if loaded or hung or stopped:
        assert "gave way" not in found
        assert (again.slot, again.must_leave) == (NO_SLOT, True)
    else:
        assert found[-2:] == ["gave way", ("build", 5, 0)]
        assert (again.slot, again.must_leave) == (0, False)


@pytest.mark.parametrize("over", [0, 1])
def test_a_long_audit_is_paid_for(over: int) -> None:
    engine = Engine(took_ns=1_000_000 + over)
    found = admitted(engine, element(5), element(6))
    paid = [("pays", 2_000_002), ("rests", True)] if over else []
    assert found[2:] == paid


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("active", [None, 1, NO_SLOT])
@pytest.mark.parametrize("pending", [None, 1, NO_SLOT])
@pytest.mark.parametrize("refused", ["", "a test"])
def test_which_list_lacks_shadows(
    idle: bool, waits: bool, active: int | None, pending: int | None, refused: str
) -> None:
    """Of an idle engine what runs comes first; of another what waits, unless it waits to leave."""
    lists: dict[str, list[Element]] = {"active": [], "pending": []}
    for name, slot in (("active", active), ("pending", pending)):
        if slot is not None:
            lists[name].append(element(5, slot))
            lists[name][0].refused = refused
    engine: Any = Engine(Execlists(**lists), waits=waits)  # type: ignore[arg-type]
    missing = {"active": active == NO_SLOT and not refused}
    missing["pending"] = pending == NO_SLOT and not refused
    if not idle:
        expected = not waits and missing["pending"]
    elif active is not None:
        expected = waits or missing["active"]
    else:
        expected = missing["pending"]
    assert lacks_shadows(engine, idle=idle) is expected
    build_next(engine, idle=idle)
    if idle:
        assert engine.did == ["next"]
    else:
        assert engine.did == ([] if waits else [("missing", lists["pending"])])
