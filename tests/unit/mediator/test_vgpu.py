"""The control block as a PCI function: its regions, what a reset leaves, what a state carries."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.identity import KABY_LAKE_GT2
from mediator.gen9.interrupts import GT0
from mediator.mediation import Mediation
from mediator.physical.partition import PAGE
from mediator.physical.soft import SoftPhysicalGpu
from mediator.vgpu.regions import GSM_OFFSET, REGISTERS_SIZE
from mediator.vgpu.saving import check_fits, state_of, take_over
from mediator.vgpu.state import VgpuState
from mediator.vgpu.vgpu import Vgpu
from mediator.vgpu.vgpu_type import TYPES
from mmio_trap.device import RegionIndex
from scheduler.policies.timeslice import Timeslice
from tests.unit.mediator.dispatcher_bench import Bench, Guest, running

COMMAND = 0x04
ASLS = 0xFC
FENCE0 = 0x10_0000


@pytest.fixture(params=["shadow", "direct"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with running(Bench(request.param)) as made:
        yield made


def config(vgpu: Vgpu) -> bytes:
    return vgpu.region_read(RegionIndex.CONFIG, 0, 256)


def put(vgpu: Vgpu, offset: int, value: int, region: int = RegionIndex.BAR0) -> None:
    vgpu.region_write(region, offset, value.to_bytes(4, "little"))


def get(vgpu: Vgpu, offset: int, region: int = RegionIndex.BAR0) -> int:
    return int.from_bytes(vgpu.region_read(region, offset, 4), "little")


def test_regions_are_told_apart_at_their_ends(bench: Bench) -> None:
    vgpu = bench.a.vgpu
    cold = config(vgpu)
    put(vgpu, COMMAND, 6, RegionIndex.CONFIG)
    assert get(vgpu, COMMAND, RegionIndex.CONFIG) & 0xFFFF == 6
    assert config(vgpu)[6:] == cold[6:]
    last = GSM_OFFSET + 8 * (vgpu.plan.part[0].start // PAGE)
    put(vgpu, last, 0xABCD_E001)
    assert get(vgpu, last) == 0xABCD_E001
    for offset in (REGISTERS_SIZE, GSM_OFFSET - 4):
        put(vgpu, offset, 0x7777)
        assert get(vgpu, offset) == 0
    for region in (RegionIndex.BAR4, RegionIndex.BAR1):
        put(vgpu, 0, 0x7777, region)
        assert get(vgpu, 0, region) == 0


def test_accesses_are_counted_by_kind(bench: Bench) -> None:
    vgpu = bench.a.vgpu
    before = deepcopy(vgpu.counters.traps)
    get(vgpu, 0x2034)
    put(vgpu, reg.RING_IMR + 0x2000, 1)
    get(vgpu, GSM_OFFSET)
    put(vgpu, GSM_OFFSET, 0)
    get(vgpu, 0, RegionIndex.CONFIG)
    put(vgpu, ASLS, 5, RegionIndex.CONFIG)
    get(vgpu, 0, RegionIndex.BAR2)
    put(vgpu, 0, 0, RegionIndex.BAR2)
    for kind, now in vgpu.counters.traps.items():
        assert (now.reads, now.writes) == (before[kind].reads + 1, before[kind].writes + 1), kind


def test_nothing_of_the_guest_stays_after_a_function_reset(bench: Bench) -> None:
    """Configuration space, registers, fences, GGTT, page tables, shadows, interrupt line."""
    vgpu, driver = bench.a.vgpu, bench.a.driver
    cold = build_cold(vgpu)
    put(vgpu, COMMAND, 6, RegionIndex.CONFIG)
    put(vgpu, ASLS, 0x1234_5678, RegionIndex.CONFIG)
    put(vgpu, FENCE0 + 4, 0x0001_0003)
    put(vgpu, FENCE0, 0x0000_0001 | 0x1000)
    bench.run(bench.a, "rcs0", [0, 0])
    driver.ggtt_map(driver.ram.allocate(1), 1)
    vgpu.registers.values[GT0.iir >> 2] = 1
    vgpu.second_events[GT0.iir] = 1
    vgpu.interrupts.set_level(True)
    resets = vgpu.counters.full_resets
    vgpu.reset()
    assert config(vgpu) == cold
    assert vgpu.counters.full_resets == resets + 1
    assert vgpu.fences == {}
    assert vgpu.second_events == {}
    assert not vgpu.interrupts._level
    assert vgpu.addressing.table_pages == 0
    assert not any(vgpu.ggtt.state().chunks)
    assert not any(engine.has_work for engine in vgpu.engines.values())
    assert not any(
        slot.lrca or slot.warm for e in vgpu.engines.values() for slot in e.workloads.slots
    )
    assert vgpu.slab.bytes[:] == bytes(vgpu.slab.size)
    for offset, row in vgpu.registers.map.by_offset.items():
        assert vgpu.registers.values[offset >> 2] == row.reset


def build_cold(vgpu: Vgpu) -> bytes:
    """Configuration space as a client finds it."""
    other = deepcopy(vgpu.config)
    other.reset()
    return other.read(0, 256)


def test_shadows_are_written_again_when_the_gpu_comes_up_from_cold(bench: Bench) -> None:
    """Slabs and shadow contexts of all vGPUs have their GGTT entries as before."""
    spots = []
    for guest in (bench.a, bench.b):
        bench.run(guest, "rcs0", [0, 0])
        slab = guest.vgpu.slab
        spots.append((8 * (slab.ggtt // PAGE), 8 * (slab.ggtt_size // PAGE)))
    table = bench.hardware.ggtt
    before = [table.read_entry(offset, size) for offset, size in spots]
    assert len({entries[:64] for entries in before}) == 2
    for offset, size in spots:
        table.write_entry(offset, bytes(size))
    with bench.dispatcher.lock:
        bench.mediation._reinstall()
    assert [table.read_entry(offset, size) for offset, size in spots] == before


# -- a state --------------------------------------------------------------------------------------


@pytest.fixture
def two() -> Iterator[tuple[Guest, Vgpu]]:
    """A guest that has done something, and a vGPU of another GPU that is just like its own."""
    here = Mediation(SoftPhysicalGpu(KABY_LAKE_GT2), Timeslice(), "shadow")
    there = Mediation(SoftPhysicalGpu(KABY_LAKE_GT2), Timeslice(), "shadow")
    guest = Guest(here.add("one", TYPES["V9_4"]))
    other = there.add("one", TYPES["V9_4"])
    yield guest, other
    guest.vgpu.detach()
    here.stop()
    there.stop()


def test_a_state_is_taken_over_whole(two: tuple[Guest, Vgpu]) -> None:
    guest, heir = two
    vgpu = guest.vgpu
    put(vgpu, COMMAND, 6, RegionIndex.CONFIG)
    put(vgpu, FENCE0 + 4, 0x0001_0003)
    put(vgpu, FENCE0, 0x0000_0001 | 0x1000)
    guest.driver.ggtt_map(guest.driver.ram.allocate(3), 3)
    vgpu.second_events[GT0.iir] = 0x11
    vgpu.counters.hangs = 7
    heir.registers.values[0x2034 >> 2] = 0x5555  # what it had before goes
    state = deepcopy(state_of(vgpu))
    check_fits(heir, state)
    take_over(heir, state)
    assert state_of(heir) == state_of(vgpu)
    assert heir.fences == vgpu.fences != {}
    assert heir.counters.hangs == 7
    assert heir.registers.values[0x2034 >> 2] == vgpu.registers.values[0x2034 >> 2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device_id", 0x1912),
        ("private_ggtt", True),
        ("part", [(0, 4096)]),
        ("registers", {0x2034: 1, 0x7777_0000: 1}),
        ("engines", {}),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    two: tuple[Guest, Vgpu], field: str, value: object
) -> None:
    guest, heir = two
    state: VgpuState = deepcopy(state_of(guest.vgpu))
    setattr(state, field, value)
    with pytest.raises(ValueError, match=r"^vGPU state with "):
        check_fits(heir, state)
