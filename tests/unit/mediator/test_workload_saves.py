"""Which shadow of a context that has run may be run again as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediator.gen9.context_image import ImageIndex
from tests.unit.mediator.workload_bench import NEVER_RAN, Bench, store


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_shadow_that_may_run_again_is_no_known_save(bench: Bench) -> None:
    """The hardware may go on with it, and save it once more, before the guest resets its engine."""
    bench.emit(store(1))
    bench.build()
    at = bench.slot.state >> 2
    bench.slab.u32[at + ImageIndex.CS_GPR0] = 0xBAD
    bench.slab.u32[at + ImageIndex.RING_HEAD] = 16
    bench.works.carry_back(bench.slot, again=True)
    assert bench.get(ImageIndex.RING_HEAD) == 16
    assert bench.get(ImageIndex.CONTEXT_CONTROL) == NEVER_RAN
    assert bench.get(ImageIndex.CS_GPR0) == 0
    assert not bench.slot.warm


def test_a_shadow_with_another_head_than_its_guest_knows_is_made_anew(
    bench: Bench,
) -> None:
    """The ring is laid from the guest's head on: the hardware has to start there."""
    bench.emit(store(1))
    bench.build()
    bench.runs_to(16)
    assert bench.slot.warm
    bench.slab.u32[(bench.slot.state >> 2) + ImageIndex.RING_HEAD] = 24
    bench.build()
    assert bench.shadow(ImageIndex.RING_HEAD) == bench.slot.copy.bound == 16
