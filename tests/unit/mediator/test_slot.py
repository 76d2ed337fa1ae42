"""Slots: their places in the slab, and the room for batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.engines import ENGINES
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
