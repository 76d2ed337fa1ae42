"""What a vGPU does when it is parked, faults, is recorded, or loses its work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.vgpu.observer import Unobserved
from mediator.vgpu.vgpu import Vgpu
from tests.unit.mediator.dispatcher_bench import PATIENCE_S, Bench, running

FAULT = reg.GEN8_RING_FAULT_REG
WHERE = (reg.GEN8_FAULT_TLB_DATA0, reg.GEN8_FAULT_TLB_DATA1)
NAMES = [facts.name for facts in ENGINES]


class Heard(Unobserved):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def attached(self, vgpu: Vgpu) -> None:
        self.told.append(("attached", vgpu.name))

    def detached(self, vgpu: Vgpu) -> None:
        self.told.append(("detached", vgpu.name))

    def hung(self, vgpu: Vgpu, engine: str, reason: str) -> None:
        self.told.append(("hung", vgpu.name, engine, reason))

    def was_reset(self, vgpu: Vgpu, what: str) -> None:
        self.told.append(("reset", vgpu.name, what))


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Bench()) as made:
        yield made


def enter(bench: Bench) -> Vgpu:
    bench.a.spin("vcs0")
    bench.until(lambda: bench.port("vcs0").has_guest)
    return bench.a.vgpu


def hung(vgpu: Vgpu) -> dict[str, str]:
    return {name: engine.state.hung for name, engine in vgpu.engines.items()}


# -- parking ---------------------------------------------------------------------------------------


def test_who_is_parked_keeps_its_work_and_goes_on_with_it(bench: Bench) -> None:
    vgpu = enter(bench)
    bench.dispatcher.start()
    vgpu.park(PATIENCE_S)
    assert bench.dispatcher.current is None
    assert (vgpu.parked, vgpu.has_work) == (True, False)
    assert vgpu.engines["vcs0"].has_work
    assert hung(vgpu) == dict.fromkeys(NAMES, "")
    vgpu.unpark()
    assert (vgpu.parked, vgpu.has_work) == (False, True)
    bench.hardware_does(lambda: bench.dispatcher.current is vgpu)
    bench.dispatcher.stop()


def test_who_does_not_leave_in_time_is_named(bench: Bench) -> None:
    vgpu = enter(bench)
    with pytest.raises(TimeoutError, match=f"{vgpu.name} did not leave the hardware in 0.001 s"):
        vgpu.park(0.001)
    assert bench.dispatcher.world.ending
    deadline = bench.dispatcher.world.deadline_ns
    with pytest.raises(TimeoutError):
        vgpu.park(0.001)
    assert bench.dispatcher.world.deadline_ns == deadline, "it has one patience"
    bench.until(lambda: bench.dispatcher.current is not vgpu)
    vgpu.park(0.001)


def test_only_who_is_parked_is_saved(bench: Bench) -> None:
    with pytest.raises(AssertionError, match="parked"):
        bench.a.vgpu.save()


# -- faults ----------------------------------------------------------------------------------------


def fault(bench: Bench, facts: EngineFacts, *, valid: bool = True) -> None:
    """The hardware has a fault of this engine."""
    values = bench.hardware.registers.values
    values[FAULT >> 2] = facts.fault_id << 12 | 0x30 | valid
    for number, offset in enumerate(WHERE):
        values[offset >> 2] = 0x1000 + number


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_a_fault_is_its_engines_alone(bench: Bench, facts: EngineFacts) -> None:
    vgpu = enter(bench)
    fault(bench, facts)
    assert vgpu.read_fault(FAULT) == facts.fault_id << 12 | 0x31
    assert [vgpu.read_fault(offset) for offset in WHERE] == [0x1000, 0x1001]
    assert hung(vgpu) == dict.fromkeys(NAMES, "") | {facts.name: "page fault"}
    assert vgpu.counters.faults == 1
    assert not bench.hardware.registers.values[FAULT >> 2]
    assert vgpu.read_fault(FAULT) & 1, "until the guest has cleared it"


def test_what_is_no_fault_or_not_its_own_is_not_taken(bench: Bench) -> None:
    vgpu = enter(bench)
    fault(bench, ENGINES[0], valid=False)
    assert vgpu.read_fault(FAULT) == 0
    fault(bench, ENGINES[0])
    assert bench.b.vgpu.read_fault(FAULT) == 0
    assert bench.hardware.registers.values[FAULT >> 2]
    assert hung(vgpu) == hung(bench.b.vgpu) == dict.fromkeys(NAMES, "")
    assert bench.b.vgpu.counters.faults == 0


# -- what others hear of it, and what is recorded --------------------------------------------------


def test_who_watches_hears_of_each_step(bench: Bench) -> None:
    vgpu = enter(bench)
    heard = vgpu.observer = Heard()
    name = vgpu.name
    vgpu.lose_work("an operator's wish")
    assert hung(vgpu) == dict.fromkeys(NAMES, "") | {"vcs0": "an operator's wish"}
    assert vgpu.counters.hangs == 1
    with vgpu.lock:
        vgpu.engines["vcs0"].reset()
    vgpu.reset()
    vgpu.detach()
    vgpu.lose_work("too late")
    assert heard.told == [
        ("hung", name, "vcs0", "an operator's wish"),
        ("reset", name, "vcs0"),
        ("reset", name, "function"),
        ("detached", name),
    ]


def test_pages_that_the_mediator_and_the_gpu_wrote_are_told_once_in_order(bench: Bench) -> None:
    vgpu = bench.a.vgpu
    assert vgpu.take_dirty() == []
    vgpu.start_recording()
    vgpu.take_dirty()
    for page in (9, 3):
        vgpu.memory.write(page << 12, b"the mediator")
    space, base = bench.mediation._space, vgpu.addressing.iova(0)
    assert base is not None
    for page in (7, 3):
        space.memory.write(base + (page << 12), b"the GPU")  # type: ignore[attr-defined]
    assert vgpu.take_dirty() == [3, 7, 9]
    assert vgpu.take_dirty() == []
    vgpu.stop_recording()
    vgpu.memory.write(5 << 12, b"the mediator")
    space.memory.write(base + (5 << 12), b"the GPU")  # type: ignore[attr-defined]
    assert vgpu.take_dirty() == []
    assert vgpu.memory.dirty_bytes is None
