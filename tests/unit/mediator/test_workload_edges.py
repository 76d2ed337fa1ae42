"""What of a guest's numbers reaches the hardware, and how far: each edge, and each stray bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.context_image import ImageIndex
from mediator.physical.partition import PAGE
from mediator.vgpu.execlist import Element
from mediator.workload import shadow_context
from tests.unit.mediator.workload_bench import (
    BATCH,
    LRCA,
    OWNED,
    PML4,
    RING,
    Bench,
    store,
)

BATCH_END = 0x0A << 23
PRIVILEGED_BATCH = 0x31 << 23 | 1
FOREIGN = 0x8000_0000
FORCE_RESTORE, FORCE_PD_RESTORE = 1 << 2, 1 << 1


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


# -- what the submission port gets ----------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
def test_a_guest_says_of_its_descriptor_no_more_than_what_to_restore(
    bench: Bench, number: int
) -> None:
    """Valid, privileged, 48-bit tables, the slot's place and name, whatever else it wrote."""
    slot = bench.works.slots[number]
    slot.given = True
    own = (0x100 + number) << 32 | slot.ggtt | 1 << 8 | 3 << 3 | 1
    assert slot.ggtt & 0xFFF == 0
    for bit in range(64):
        element = Element(1 << bit, slot=number)
        kept = 1 << bit & (FORCE_RESTORE | FORCE_PD_RESTORE)
        assert bench.works.submitted(element) == own | kept
    element = Element((1 << 64) - 1, slot=number)
    assert bench.works.submitted(element) == own | FORCE_RESTORE | FORCE_PD_RESTORE


# -- rings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 2, 512])
def test_of_a_rings_registers_only_what_they_mean_counts(pages: int) -> None:
    bench = Bench(ring_pages=pages)
    bench.emit(store(1))
    bench.set(ImageIndex.RING_CTL, 0xFFE0_0FFF | pages - 1 << 12)
    bench.set(ImageIndex.RING_START, RING | 0xFFF)
    bench.set(ImageIndex.RING_TAIL, 0xFFE0_0000 | bench.tail | 7)
    bench.build()
    assert bench.shadow(ImageIndex.RING_CTL) == pages - 1 << 12 | 1
    assert bench.shadow(ImageIndex.RING_START) == bench.slot.hardware_ring
    assert bench.shadow(ImageIndex.RING_TAIL) == bench.tail
    assert bench.shadow_ring(0, 16) == store(1)
    assert (bench.slot.copy.start, bench.slot.copy.size) == (RING, pages * PAGE)
    bench.emit(store(2))
    bench.set(ImageIndex.RING_TAIL, 0xFFE0_0000 | bench.tail | 7)
    assert bench.works.extend(bench.slot, 0, loaded=True)
    assert bench.shadow(ImageIndex.RING_TAIL) == bench.tail
    bench.close()


def test_a_head_has_laps_beside_its_offset(bench: Bench) -> None:
    bench.emit([*store(1), *store(2)])
    bench.set(ImageIndex.RING_HEAD, 0xFFE0_0010)
    bench.build()
    assert bench.slot.copy.bound == 16
    assert bench.shadow(ImageIndex.RING_HEAD) == 0xFFE0_0010
    assert bench.shadow_ring(0, 32) == [0, 0, 0, 0, *store(2)]


@pytest.mark.parametrize(
    ("start", "allowed"),
    [
        (OWNED.start - PAGE, False),
        (OWNED.start, True),
        (OWNED.stop - 2 * PAGE, True),
        (OWNED.stop - PAGE, False),
        (OWNED.stop, False),
    ],
)
def test_all_pages_of_a_ring_are_the_guests(bench: Bench, start: int, allowed: bool) -> None:
    bench.set(ImageIndex.RING_START, start)
    if allowed:
        bench.build()
        assert bench.slot.copy.start == start
        return
    with pytest.raises(GuestError) as caught:
        bench.build()
    assert caught.value.reason is Reason.RING


@pytest.mark.parametrize("over", [0, 8])
def test_so_much_ring_at_once_and_no_more(over: int) -> None:
    bench = Bench(ring_pages=256)
    bench.set(ImageIndex.RING_TAIL, (512 << 10) + over)
    if over:
        with pytest.raises(GuestError) as caught:
            bench.build()
        assert caught.value.reason is Reason.TOO_LARGE
    else:
        bench.build()
        assert bench.slot.copy.tail == 512 << 10
    bench.close()


# -- room -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [0, 1])
def test_with_so_much_room_in_use_a_shadow_is_kept_and_with_more_it_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    bench.emit(store(1))
    bench.build()
    bench.runs_to(16)
    made: list[int] = []
    real = shadow_context.build

    def build(*args: Any) -> bytes:
        made.append(1)
        return real(*args)

    monkeypatch.setattr(shadow_context, "build", build)
    bench.slot.room_used = 64 * PAGE + over
    bench.build()
    assert len(made) == over
    assert bench.slot.room_used == (0 if over else 64 * PAGE)


@pytest.mark.parametrize("used", [0, 64])
@pytest.mark.parametrize("what", ["too large", "foreign"])
def test_a_shadow_is_built_anew_only_where_that_frees_room(
    bench: Bench, used: int, what: str
) -> None:
    """What is refused for another reason, or has no room to free, is refused again."""
    bench.emit(store(1))
    bench.build()
    if what == "too large":
        bench.put(BATCH, [*store(0x600D), BATCH_END, 0])
        bench.emit([PRIVILEGED_BATCH, BATCH, 0, 0])
        bench.slot.room_size = used
    else:
        bench.emit([0x20 << 23 | 1 << 22 | 2, FOREIGN, 0, 0])
    bench.slot.room_used = used
    if what == "too large" and used:
        assert not bench.works.extend(bench.slot, 0, loaded=True)
        return
    with pytest.raises(GuestError) as caught:
        bench.works.extend(bench.slot, 0, loaded=True)
    assert caught.value.reason is (Reason.ADDRESS if what == "foreign" else Reason.TOO_LARGE)


# -- batches of the context -----------------------------------------------------------------------


def test_pointers_of_a_context_that_are_not_valid_are_nothing(bench: Bench) -> None:
    bench.set(ImageIndex.BB_PER_CTX_PTR, FOREIGN | 0xFFE)
    bench.set(ImageIndex.INDIRECT_CTX, FOREIGN | 0xFC0)
    bench.build()
    assert bench.shadow(ImageIndex.BB_PER_CTX_PTR) == 0
    assert bench.shadow(ImageIndex.INDIRECT_CTX) == 0


def test_the_batch_of_each_context_is_a_page_of_the_guests(bench: Bench) -> None:
    """Bits below are no part of its address; the shadow's has nothing in them but that it is."""
    bench.put(BATCH, [*store(1), BATCH_END])
    bench.set(ImageIndex.BB_PER_CTX_PTR, BATCH | 0xFFF)
    bench.build()
    pointer = bench.shadow(ImageIndex.BB_PER_CTX_PTR)
    assert pointer & 0xFFF == 1
    at = pointer - 1 - bench.slot.ggtt + bench.slot.base >> 2
    assert bench.slab.u32[at : at + 5].tolist() == [*store(1), BATCH_END]


# -- page tables ----------------------------------------------------------------------------------


def test_page_tables_are_prepared_in_the_order_of_the_list(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 64 bits of each; a context without an image is left for its admission to refuse."""
    other, gone = LRCA + 0x1_0000, LRCA + 0x2_0000
    image = other + PAGE
    bench.put(image + 4 * ImageIndex.PDP0_UDW, [0x12])
    bench.put(image + 4 * ImageIndex.PDP0_LDW, [0x3456_7000])
    bench.vgpu.ggtt.gone.add(gone + PAGE)
    prepared: list[list[int]] = []

    def prepare(roots: Iterable[int]) -> None:
        prepared.append(list(roots))

    monkeypatch.setattr(bench.vgpu.addressing, "prepare", prepare, raising=False)
    bench.works.prepare(Element(lrca | 1) for lrca in (other, gone, LRCA))
    assert prepared == [[0x12_3456_7000, PML4]]


def test_entries_that_a_command_writes_are_whole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, bytes]] = []
    monkeypatch.setattr(
        bench.vgpu.ggtt, "write_entry", lambda at, data: written.append((at, data)), raising=False
    )
    bench.works.update_ggtt(BATCH, [0x8765_4321_1234_5001, 1])
    data = 0x8765_4321_1234_5001.to_bytes(8, "little") + (1).to_bytes(8, "little")
    assert written == [(BATCH // PAGE * 8, data)]
