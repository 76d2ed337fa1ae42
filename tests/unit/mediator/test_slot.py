"""Slots: their places in the slab, and the room for batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.gen9.registers import RING_CTL_PAGES
from mediator.physical.partition import PAGE
from mediator.workload.slot import make_slots
from tests.unit.mediator.workload_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_too_much_batch_room(bench: Bench) -> None:
    bench.works._slot = bench.slot
    size = bench.slot.room_size
    first, room = bench.works.place_batch(12, 64)
    assert (len(room), first) == (3, bench.slot.ggtt + 544 * PAGE)
    second, room = bench.works.place_batch(size - PAGE, 64)
    assert (4 * len(room), second) == (size - PAGE, first + 64)
    with pytest.raises(GuestError) as caught:
        bench.works.place_batch(PAGE - 60, 64)
    assert caught.value.reason is Reason.TOO_LARGE
    with pytest.raises(GuestError):
        bench.works.place_batch(4, PAGE)
    assert bench.works.place_batch(PAGE - 64, 64)[0] == second + size - PAGE


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_the_parts_of_a_slot_and_its_name(facts: EngineFacts) -> None:
    """State page, ring and room, in slab and GGTT; the ring has room for the longest of a guest."""
    slab: Any = SimpleNamespace(ggtt=0x8400_0000)
    slots = make_slots(slab, facts)
    assert [slot.number for slot in slots] == list(range(4))
    for slot in slots:
        assert slot.ggtt - slot.base == 0x8400_0000
        assert (slot.state - slot.base, slot.ring - slot.base) == (PAGE, 32 * PAGE)
        assert slot.hardware_ring - slot.ring == 0x8400_0000
        assert slot.take_room(4, 4) == (32 + RING_CTL_PAGES.limit + 1) * PAGE
        assert slot.context_id == 0x100 + slot.number
        assert facts.context_pages <= 32


def test_the_room_of_all_slots_is_apart() -> None:
    """No batch of one slot lies in another slot, nor beyond what the GGTT reaches."""
    slab: Any = SimpleNamespace(ggtt=0)
    used = sorted(
        (slot.base, slot.base + 544 * PAGE + slot.room_size)
        for facts in ENGINES
        for slot in make_slots(slab, facts)
    )
    assert all(end <= start for (_, end), (start, _) in pairwise(used))
    assert used[-1][1] <= 64 << 20
