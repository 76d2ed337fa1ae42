"""Tails that are moved just at the ring's end, as a lite restore moves them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.context_image import ImageIndex
from tests.unit.mediator.workload_bench import RING, Bench, store

NOOP = 0


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("before", [16, 24, 40])
def test_extend_up_to_the_rings_end_and_on_from_its_beginning(
    bench: Bench, loaded: bool, before: int
) -> None:
    """The tail becomes 0: nothing is laid at the ring's beginning, and the next goes there."""
    bench.tail = start = bench.size - before
    bench.set(ImageIndex.RING_HEAD, start)
    bench.emit([NOOP] * ((before - 16) // 4))
    bench.build()
    bench.put(RING, store(0xBAD))
    bench.emit(store(2))
    assert bench.works.extend(bench.slot, start, loaded=loaded)
    assert bench.shadow(ImageIndex.RING_TAIL) == bench.slot.copy.tail == 0
    assert bench.shadow_ring(bench.size - 16, bench.size) == store(2)
    assert bench.shadow_ring(0, 16) == [0] * 4
    bench.emit(store(3))
    assert bench.works.extend(bench.slot, start, loaded=loaded)
    assert bench.shadow(ImageIndex.RING_TAIL) == 16
    assert bench.shadow_ring(0, 16) == store(3)


@pytest.mark.parametrize("tail", [0, 8])
def test_a_tail_behind_the_rings_end_is_refused(bench: Bench, tail: int) -> None:
    bench.emit(store(1))
    bench.build()
    bench.set(ImageIndex.RING_TAIL, bench.size + tail)
    with pytest.raises(GuestError, match="outside") as caught:
        bench.works.extend(bench.slot, 0, loaded=True)
    assert caught.value.reason is Reason.RING
    assert bench.slot.copy.tail == bench.shadow(ImageIndex.RING_TAIL) == 16


def test_the_longest_stretch_of_ring_at_once() -> None:
    big = Bench(ring_pages=512)
    big.set(ImageIndex.RING_TAIL, 512 << 10)
    big.build()
    assert big.slot.copy.tail == 512 << 10
    big.close()
