"""Which shadow of a context that has run may be run again as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.engines import ENGINES
from mediator.gen9.execlist import Descriptor
from mediator.physical.partition import PAGE
from tests.unit.mediator.workload_bench import HAS_RUN, LRCA, NEVER_RAN, Bench, store


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("settled", [True, False])
def test_a_shadow_that_may_run_again_is_no_known_save(bench: Bench, settled: bool) -> None:
    """The hardware may go on with it, and save it once more, before the guest resets its engine."""
    bench.emit(store(1))
    bench.build()
    at = bench.slot.state >> 2
    bench.slab.u32[at + ImageIndex.CS_GPR0] = 0xBAD
    bench.slab.u32[at + ImageIndex.RING_HEAD] = 16
    bench.vgpu.is_settled = settled
    bench.works.carry_back(bench.slot, again=True)
    assert bench.get(ImageIndex.RING_HEAD) == 16
    assert bench.get(ImageIndex.CONTEXT_CONTROL) == (HAS_RUN if settled else NEVER_RAN)
    assert bench.get(ImageIndex.CS_GPR0) == (0xBAD if settled else 0)
    assert not bench.slot.warm


def test_a_shadow_that_was_made_or_made_ready_is_restored_whole_once(bench: Bench) -> None:
    """Hardware that had the slot's last shadow might go on at the head where that ended."""
    bench.element.slot = 0
    for _ in range(2):
        bench.emit(store(1))
        bench.build()
        assert bench.works.submitted(bench.element) & Descriptor.FORCE_RESTORE
        bench.emit(store(2))
        assert bench.works.extend(bench.slot, None, loaded=True)
        assert not bench.works.submitted(bench.element) & Descriptor.FORCE_RESTORE
        bench.runs_to(bench.tail)
        assert bench.slot.warm


@pytest.mark.parametrize("settled", [True, False])
def test_only_a_whole_save_is_remembered(settled: bool) -> None:
    """The hardware saves the context once more while the first save is carried back."""
    rcs = Bench(facts=ENGINES[0])
    rcs.emit(store(1))
    rcs.build()
    shadow = rcs.slab.u32[(rcs.slot.state + PAGE) >> 2 : (rcs.slot.state + 2 * PAGE) >> 2]
    shadow[0] = 0x600D
    rcs.vgpu.is_settled = settled
    rcs.vgpu.asked = lambda: shadow.__setitem__(0, 0xBAD)
    rcs.works.carry_back(rcs.slot, again=True)
    found = rcs.vgpu.ggtt.read_u32(LRCA + 2 * PAGE)
    assert found == (0x600D if settled else 0)
    rcs.build(rcs.works.slots[1])
    assert rcs.vgpu.rejected == []
    shadow.release()
    rcs.close()


def test_a_shadow_with_another_head_than_its_guest_knows_is_made_anew(bench: Bench) -> None:
    """The ring is laid from the guest's head on: the hardware has to start there."""
    bench.emit(store(1))
    bench.build()
    bench.runs_to(16)
    assert bench.slot.warm
    bench.slab.u32[(bench.slot.state >> 2) + ImageIndex.RING_HEAD] = 24
    bench.build()
    assert bench.shadow(ImageIndex.RING_HEAD) == bench.slot.copy.bound == 16
