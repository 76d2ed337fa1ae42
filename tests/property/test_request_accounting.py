"""Every request ends in one way, whatever guest and hardware do, in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mediator.errors import GuestError, Reason
from mediator.gen9.engines import ENGINES
from mediator.vgpu.engine import EngineState, VirtualEngine
from mediator.vgpu.execlist import Element
from mediator.vgpu.metrics import Failure
from mediator.vgpu.observer import Unobserved
from mediator.workload.slot import SLOTS, Slot
from tests.unit.mediator.vgpu_fake import FakeVgpu

CONTEXTS = st.sampled_from([0x10_0000, 0x20_0000, 0x30_0000])


@dataclass
class Shadows:
    """Workloads that copy nothing; what is in ``bad`` is refused."""

    bad: set[int] = field(default_factory=set)
    slots: list[Slot] = field(default_factory=lambda: [Slot(n, 0, 0, 0) for n in range(SLOTS)])

    def build(self, element: Element, slot: Slot) -> None:
        slot.lrca = element.lrca
        self.check(slot)

    def extend(self, slot: Slot, _head: int, *, loaded: bool) -> None:
        assert not loaded
        self.check(slot)

    def check(self, slot: Slot) -> None:
        if slot.lrca in self.bad:
            raise GuestError(Reason.RING, "as the test likes")

    def prepare(self, _elements: object) -> None:
        return

    def head(self, _slot: Slot) -> int:
        return 0

    def carry_back(self, _slot: Slot, *, again: bool = False) -> None:
        return


class Vgpu(FakeVgpu):
    """With memory and a dispatcher that do nothing."""

    def __init__(self) -> None:
        super().__init__()
        ticks = count(1)
        self.clock = lambda: next(ticks)
        nothing: Any = lambda *_args, **_options: None  # noqa: E731
        self.addressing = SimpleNamespace(slab=SimpleNamespace(ggtt=0))
        self.ggtt = SimpleNamespace(physical=lambda at: at, read_u32=lambda _at: 0)
        self.memory = SimpleNamespace(write_u64=nothing, write_u32=nothing)
        self.observer = Unobserved()
        self.hangs = 0
        self.reject = nothing  # type: ignore[method-assign]
        self.take_fault = self.note_hang = nothing
        self.dispatcher = SimpleNamespace(  # type: ignore[assignment]
            submit=nothing,
            reset_engine=nothing,
            charge_audit=nothing,
            holds=lambda *_: False,
            runs=lambda *_: False,
        )


class Requests(RuleBasedStateMachine):
    """One engine: a guest that submits, and hardware that answers."""

    def __init__(self) -> None:
        super().__init__()
        made: Any = Vgpu()
        self.engine = VirtualEngine(made, ENGINES[0])
        self.shadows = Shadows()
        self.engine.workloads = self.shadows  # type: ignore[assignment]
        self.admitted = 0

    @property
    def current(self) -> Element | None:
        return self.engine.lists.current

    @rule(first=CONTEXTS, second=CONTEXTS | st.none(), bad=st.sets(CONTEXTS, max_size=1))
    def submit(self, first: int, second: int | None, bad: set[int]) -> None:
        self.shadows.bad = bad
        taken = not self.engine.lists.pending
        descriptors = (0 if second is None else second << 32 | second | 1, first << 32 | first | 1)
        for descriptor in descriptors:
            self.engine.write_elsp(descriptor >> 32)
            self.engine.write_elsp(descriptor & 0xFFFF_FFFF)
        if taken:
            self.admitted += 1 + (second is not None)

    @precondition(lambda self: self.engine.lists.pending and not self.engine.state.hung)
    @rule()
    def acknowledge(self) -> None:
        lists, current = self.engine.lists, self.current
        head = lists.pending[0]
        if current is None:
            self.engine.promoted()
        elif not head.refused and not current.refused:
            self.engine.preempted(lite=head.same_context(current))
        if self.current is not None and self.current.refused:
            self.engine.refuse(self.current)

    @precondition(lambda self: self.current and not self.engine.state.hung)
    @rule(waits=st.booleans())
    def end(self, waits: bool) -> None:
        self.engine.ended(waits=waits)
        if self.current is not None and self.current.refused:
            self.engine.refuse(self.current)

    @precondition(lambda self: self.engine.has_work)
    @rule()
    def hang(self) -> None:
        self.engine.lose("as the test likes")

    @rule()
    def reset(self) -> None:
        self.engine.reset()

    @rule()
    def client_leaves(self) -> None:
        self.engine.drop(Failure.CLIENT_GONE)
        self.engine.state = EngineState()

    @invariant()
    def every_request_is_somewhere(self) -> None:
        counters = self.engine.counters
        there = sum(element.requests for element in self.engine.lists.elements)
        ended = counters.completed + counters.preempted + sum(counters.failed.values())
        assert counters.submitted == self.admitted
        assert counters.submitted == ended + there
        assert all(value > 0 for value in counters.failed.values())
        assert counters.latency.count <= counters.completed


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
