"""Workloads: a submitted context becomes a shadow, is extended, carried back, and used again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mediator.errors import GuestError, Reason
from mediator.gen9.context_image import ImageIndex
from mediator.physical.partition import EMPTY_TABLES, PAGE
from mediator.vgpu.execlist import Element
from mediator.workload import shadow_context
from mediator.workload.command_stream import Target
from tests.unit.mediator.workload_bench import (
    BATCH,
    HAS_RUN,
    LRCA,
    NEVER_RAN,
    OWNED,
    RING,
    ROOT,
    ROOT_STEP,
    SLAB_AT,
    SLAB_IOVA,
    Bench,
    store,
)

NOOP = 0
BATCH_END = 0x0A << 23
PRIVILEGED_BATCH = 0x31 << 23 | 1
FOREIGN = 0x8000_0000


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each register state page that was made from a guest's."""
    made: list[int] = []
    real = shadow_context.build

    def build(*args: Any) -> bytes:
        made.append(1)
        return real(*args)

    monkeypatch.setattr(shadow_context, "build", build)
    return made


def refused(bench: Bench) -> Reason:
    with pytest.raises(GuestError) as caught:
        bench.build()
    return caught.value.reason


# -- the first time -------------------------------------------------------------------------------


def test_a_shadow_has_the_guests_commands_at_the_same_offsets(bench: Bench) -> None:
    bench.emit([NOOP] * 6)
    bench.set(ImageIndex.RING_HEAD, 8)
    bench.emit(store(0x600D))
    bench.build()
    assert bench.shadow_ring(8, bench.tail) == bench.guest_ring(8, bench.tail)
    assert (bench.shadow(ImageIndex.RING_HEAD), bench.shadow(ImageIndex.RING_TAIL)) == (8, 40)
    assert bench.shadow(ImageIndex.RING_START) == bench.slot.hardware_ring
    assert bench.shadow(ImageIndex.PDP0_UDW) << 32 | bench.shadow(ImageIndex.PDP0_LDW) == (
        ROOT + ROOT_STEP
    )


def test_only_the_status_page_of_a_shadow_context_is_the_guests(bench: Bench) -> None:
    bench.build()
    entries = bench.vgpu.hardware_ggtt[bench.slot.ggtt // PAGE]
    assert entries[:8] == (LRCA | 1).to_bytes(8, "little")
    assert entries[8:] == (SLAB_IOVA + bench.slot.state | 1).to_bytes(8, "little")


def test_entries_that_are_there_are_not_written_again(bench: Bench) -> None:
    bench.build()
    bench.vgpu.hardware_ggtt.clear()
    bench.build()
    assert bench.vgpu.hardware_ggtt == {}
    bench.works.reinstall()
    assert list(bench.vgpu.hardware_ggtt) == [bench.slot.ggtt // PAGE]


def test_forgotten_shadows_give_their_entries_back(bench: Bench) -> None:
    bench.build()
    bench.works.forget()
    entries = bench.vgpu.hardware_ggtt[bench.slot.ggtt // PAGE]
    assert entries == bench.slab.entries(bench.slot.base, 2)
    assert not any(slot.lrca or slot.warm or slot.copy.raw for slot in bench.works.slots)


def test_the_hardwares_descriptor(bench: Bench) -> None:
    bench.element = Element(bench.element.descriptor | 1 << 2 | 1 << 5 | 0xABC << 40)
    bench.element.slot = 0
    bench.slot.given = True
    descriptor = bench.works.submitted(bench.element)
    assert descriptor & 0xFFFF_F000 == bench.slot.ggtt
    assert descriptor & 0xFFF == 1 | 3 << 3 | 1 << 8 | 1 << 2
    assert descriptor >> 32 == bench.slot.context_id


@pytest.mark.parametrize(
    ("descriptor", "reason"),
    [
        (LRCA | 1 | 1 << 3, Reason.CONTEXT),
        (OWNED.stop - PAGE | 1 | 3 << 3, Reason.CONTEXT),
        (0x1000 | 1 | 3 << 3, Reason.CONTEXT),
    ],
    ids=["32-bit tables", "its end is not owned", "not owned"],
)
def test_contexts_that_cannot_be_run(bench: Bench, descriptor: int, reason: Reason) -> None:
    bench.element = Element(descriptor)
    assert refused(bench) is reason


def test_a_context_without_memory_is_refused(bench: Bench) -> None:
    bench.vgpu.ggtt.gone.add(LRCA + PAGE)
    assert refused(bench) is Reason.CONTEXT


@pytest.mark.parametrize(
    ("index", "value", "says"),
    [
        (ImageIndex.RING_CTL, 0x1000, "not enabled"),
        (ImageIndex.RING_START, OWNED.stop - PAGE, "not the vGPU's"),
        (ImageIndex.RING_HEAD, 2 * PAGE, "head 0x2000 or tail 0x0 outside"),
        (ImageIndex.RING_TAIL, 2 * PAGE, "head 0x0 or tail 0x2000 outside"),
    ],
    ids=["not enabled", "not owned", "head outside", "tail outside"],
)
def test_rings_that_make_no_sense(bench: Bench, index: ImageIndex, value: int, says: str) -> None:
    bench.set(index, value)
    with pytest.raises(GuestError, match=says) as caught:
        bench.build()
    assert caught.value.reason is Reason.RING


def test_a_ring_without_memory_is_refused(bench: Bench) -> None:
    bench.emit([NOOP] * 4)
    bench.vgpu.ggtt.gone.add(RING)
    assert refused(bench) is Reason.RING


def test_a_refused_command_is_named_by_its_place_in_the_ring(bench: Bench) -> None:
    bench.emit([NOOP] * (bench.size // 4 - 4))
    bench.set(ImageIndex.RING_HEAD, bench.tail)
    bench.emit([NOOP, NOOP, *store(1), 0x20 << 23 | 1 << 22 | 2, FOREIGN, 0, 0])
    with pytest.raises(GuestError) as caught:
        bench.build()
    assert (caught.value.reason, caught.value.offset) == (Reason.ADDRESS, 8)


def test_page_tables_nowhere_are_empty_ones(bench: Bench) -> None:
    bench.vgpu.addressing.refuses = True
    bench.build()
    root = bench.shadow(ImageIndex.PDP0_UDW) << 32 | bench.shadow(ImageIndex.PDP0_LDW)
    assert root == EMPTY_TABLES
    assert bench.vgpu.rejected == [Reason.PAGE_TABLE]


@pytest.mark.parametrize("head", [0x1FF0, 0x1FE0, 0])
def test_a_ring_wraps(bench: Bench, head: int) -> None:
    bench.tail = head
    bench.set(ImageIndex.RING_HEAD, head)
    bench.emit([*store(1), *store(2)])
    bench.build()
    assert bench.shadow_ring(0, bench.size) == bench.guest_ring(0, bench.size)
    assert bench.shadow(ImageIndex.RING_TAIL) == (head + 32) % bench.size


def test_a_command_across_the_rings_end_is_refused(bench: Bench) -> None:
    """Who reads on behind the end, and not at the beginning, finds other operands there."""
    bench.tail = bench.size - 8
    bench.set(ImageIndex.RING_HEAD, bench.tail)
    bench.emit([*store(1), *store(2)])
    with pytest.raises(GuestError) as caught:
        bench.build()
    assert (caught.value.reason, caught.value.offset) == (Reason.BAD_COMMAND, bench.size - 8)


def test_a_command_up_to_the_rings_end_is_not_across_it(bench: Bench) -> None:
    bench.tail = bench.size - 16
    bench.set(ImageIndex.RING_HEAD, bench.tail)
    bench.emit(store(1))
    bench.build()
    assert bench.shadow_ring(bench.size - 16, bench.size) == store(1)
    assert bench.slot.copy.tail == 0


def test_too_much_ring_at_once(bench: Bench) -> None:
    big = Bench(ring_pages=512)
    big.set(ImageIndex.RING_TAIL, (512 << 10) + 8)
    assert refused(big) is Reason.TOO_LARGE
    big.close()


def test_a_privileged_batch_runs_as_a_copy(bench: Bench) -> None:
    bench.put(BATCH, [*store(0x600D), BATCH_END, NOOP])
    bench.emit([PRIVILEGED_BATCH, BATCH, 0, NOOP])
    bench.build()
    copy = bench.shadow_ring(4, 8)[0]
    at = copy - SLAB_AT >> 2
    bench.put(BATCH, [BATCH_END] * 6)
    assert bench.slab.u32[at : at + 5].tolist() == [*store(0x600D), BATCH_END]
    assert bench.works.to_guest(bench.slot, copy + 16) == Target(BATCH + 16)
    assert bench.works.to_guest(bench.slot, bench.slot.hardware_ring + 8) == Target(RING + 8)
    assert bench.works.to_guest(bench.slot, 0x1234_5000) == Target(0x1234_5000)


# -- again, while it is in use --------------------------------------------------------------------


def test_extend_takes_over_what_is_new(bench: Bench) -> None:
    bench.emit(store(1))
    bench.build()
    bench.vgpu.ggtt.reads.clear()
    bench.emit(store(2))
    bench.works.extend(bench.slot, 0, loaded=True)
    assert bench.shadow_ring(0, 32) == [*store(1), *store(2)]
    assert bench.slot.copy.tail == bench.shadow(ImageIndex.RING_TAIL) == 32


def test_extend_never_lays_over_what_the_hardware_may_be_fetching(bench: Bench) -> None:
    bench.emit([*store(1), *store(2)])
    bench.build()
    bench.put(RING, store(0xBAD))
    bench.emit(store(3))
    bench.works.extend(bench.slot, 0, loaded=True)
    assert bench.shadow_ring(0, 48) == [*store(1), *store(2), *store(3)]


def test_a_rewritten_ring_that_is_not_on_the_hardware_is_built_anew(bench: Bench) -> None:
    bench.emit([*store(1), *store(2)])
    bench.build()
    bench.put(RING, store(4))
    bench.emit(store(3))
    assert not bench.works.extend(bench.slot, 0, loaded=False)
    bench.runs_to(0)
    bench.build()
    assert bench.shadow_ring(0, 48) == [*store(4), *store(2), *store(3)]


def test_a_ring_that_is_not_on_the_hardware_goes_on_where_it_is_the_same(bench: Bench) -> None:
    bench.emit([*store(1), *store(2)])
    bench.build()
    bench.emit(store(3))
    assert bench.works.extend(bench.slot, 16, loaded=False)
    assert bench.shadow_ring(0, 48) == [*store(1), *store(2), *store(3)]


def test_extend_wraps(bench: Bench) -> None:
    bench.tail = bench.size - 16
    bench.set(ImageIndex.RING_HEAD, bench.tail)
    bench.emit(store(1)[:2] + store(1)[2:])
    bench.build()
    assert bench.tail == 0
    bench.emit(store(2))
    bench.works.extend(bench.slot, bench.size - 16, loaded=True)
    assert bench.shadow_ring(bench.size - 16, bench.size) == store(1)
    assert bench.shadow_ring(0, 16) == store(2)


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize(
    ("head", "tail"),
    [(0, 32), (0, 8), (0, 0), (16, 40), (16, 16), (None, 32)],
    ids=["less", "in a command", "to the start", "less too", "to the head", "head not known"],
)
def test_a_tail_that_does_not_go_on_leaves_all_as_it_is(
    bench: Bench, head: int | None, tail: int, *, loaded: bool
) -> None:
    """The hardware may be anywhere up to the old tail, and goes on round the ring."""
    bench.emit([*store(1), *store(2), *store(3)])
    bench.build()
    before = bench.shadow_ring(0, bench.size)
    bench.put(RING, [NOOP] * 12)
    bench.set(ImageIndex.RING_TAIL, tail)
    assert not bench.works.extend(bench.slot, head, loaded=loaded)
    assert bench.shadow(ImageIndex.RING_TAIL) == bench.slot.copy.tail == 48
    assert bench.shadow_ring(0, bench.size) == before


def test_the_same_tail_is_no_new_text(bench: Bench) -> None:
    bench.emit([*store(1), *store(2)])
    bench.build()
    bench.put(RING, store(0xBAD))
    bench.vgpu.ggtt.reads.clear()
    assert bench.works.extend(bench.slot, 16, loaded=True)
    assert bench.vgpu.ggtt.reads == [(LRCA + PAGE + 4 * ImageIndex.RING_TAIL, 4)]


def test_a_lap_of_the_hardware_is_waited_for(bench: Bench) -> None:
    """What is behind a head that was seen may be laid over, and nothing of what is before it."""
    bench.emit([NOOP] * (bench.size // 4 - 4))
    bench.build()
    bench.emit(store(1))  # up to the end: tail 0
    assert bench.works.extend(bench.slot, 64, loaded=True)
    bench.emit([NOOP] * 16)  # tail 64 is the head that was seen: a lap
    assert not bench.works.extend(bench.slot, 64, loaded=True)
    assert bench.works.extend(bench.slot, 128, loaded=True)
    assert bench.slot.copy.tail == 64


def test_a_head_that_is_not_known_moves_nothing(bench: Bench) -> None:
    bench.emit([NOOP] * (bench.size // 4 - 16))
    bench.build()
    bench.emit([NOOP] * 32)  # round the end: tail 64
    assert bench.works.extend(bench.slot, bench.size - 256, loaded=True)
    bench.set(ImageIndex.RING_TAIL, bench.size - 128)  # nearly a lap, and over the head
    assert not bench.works.extend(bench.slot, None, loaded=True)
    assert bench.slot.copy.bound == bench.size - 256


def test_a_head_outside_the_text_says_nothing(bench: Bench) -> None:
    bench.emit([*store(1), *store(2)])
    bench.build()
    assert bench.works.extend(bench.slot, 16, loaded=True)
    assert bench.works.extend(bench.slot, 0, loaded=True)
    assert bench.works.extend(bench.slot, 40, loaded=True)
    assert bench.slot.copy.bound == 16


def test_no_more_room_for_batches_makes_another_shadow(bench: Bench) -> None:
    bench.put(BATCH, [*store(0x600D), BATCH_END, NOOP])
    bench.emit([PRIVILEGED_BATCH, BATCH, 0, NOOP])
    bench.build()
    bench.slot.room_used = bench.slot.room_size
    bench.put(BATCH, [*store(2), BATCH_END, NOOP])
    bench.emit([PRIVILEGED_BATCH, BATCH, 0, NOOP])
    assert not bench.works.extend(bench.slot, 0, loaded=True)
    bench.runs_to(16)
    bench.build()
    assert bench.slot.room_used == 24


def test_a_command_that_extend_refuses_does_not_reach_the_shadow(bench: Bench) -> None:
    bench.emit(store(1))
    bench.build()
    bench.emit([0x20 << 23 | 1 << 22 | 2, FOREIGN, 0, 1])
    before = bench.shadow_ring(0, bench.size)
    with pytest.raises(GuestError) as caught:
        bench.works.extend(bench.slot, 0, loaded=True)
    assert (caught.value.reason, caught.value.offset) == (Reason.ADDRESS, 16)
    assert bench.shadow_ring(0, bench.size) == before
    assert bench.shadow(ImageIndex.RING_TAIL) == 16


@pytest.mark.parametrize("what", ["tail outside", "no memory"])
def test_extend_refuses_what_makes_no_sense(bench: Bench, what: str) -> None:
    bench.build()
    if what == "no memory":
        bench.vgpu.ggtt.gone.add(LRCA + PAGE)
    bench.set(ImageIndex.RING_TAIL, bench.size)
    with pytest.raises(GuestError) as caught:
        bench.works.extend(bench.slot, 0, loaded=True)
    assert caught.value.reason is (Reason.RING if what == "tail outside" else Reason.CONTEXT)


# -- the way back, and once more ------------------------------------------------------------------


def test_what_the_hardware_saved_comes_back(bench: Bench) -> None:
    bench.emit(store(1))
    bench.build()
    bench.runs_to(16)
    assert bench.get(ImageIndex.RING_HEAD) == 16
    assert bench.get(ImageIndex.CONTEXT_CONTROL) == HAS_RUN
    assert bench.get(ImageIndex.RING_START) == RING
    assert bench.slot.warm


@pytest.mark.parametrize("how", ["unmapped", "no memory"])
def test_a_context_that_went_away_while_it_ran_is_counted(bench: Bench, how: str) -> None:
    bench.build()
    if how == "unmapped":
        bench.vgpu.ggtt.gone.add(LRCA + PAGE)
    bench.vgpu.memory.refuses = how == "no memory"
    bench.runs_to(0)
    assert bench.vgpu.rejected == [Reason.CONTEXT]
    assert not bench.slot.warm


def ran_once(bench: Bench) -> None:
    bench.emit(store(1))
    bench.build()
    bench.runs_to(16)


def test_a_context_of_which_only_the_tail_is_new_keeps_its_shadow(
    bench: Bench, built: list[int]
) -> None:
    ran_once(bench)
    bench.emit(store(2))
    bench.build()
    assert built == [1]
    assert bench.shadow_ring(0, 32) == [*store(1), *store(2)]
    assert bench.shadow(ImageIndex.RING_HEAD) == 16
    assert bench.shadow(ImageIndex.RING_TAIL) == bench.slot.copy.tail == 32
    assert not bench.slot.warm


def test_a_kept_shadow_has_new_page_tables(bench: Bench) -> None:
    ran_once(bench)
    before = bench.shadow(ImageIndex.PDP0_LDW)
    bench.vgpu.addressing.steps += 1
    bench.build()
    assert bench.shadow(ImageIndex.PDP0_LDW) == before + PAGE


@pytest.mark.parametrize(
    ("index", "flipped"),
    [
        (ImageIndex.CONTEXT_CONTROL, 2),
        (ImageIndex.RING_HEAD, 16),
        (ImageIndex.RING_START, 0x10_0000),
        (ImageIndex.RING_CTL, 1 << 12),
        (ImageIndex.CTX_TIMESTAMP, 1),
        (ImageIndex.PDP0_LDW, 0x1000),
        (ImageIndex.CS_GPR0, 1),
        (ImageIndex.BB_ADDR, 4),
        (1023, 1),
    ],
)
def test_any_other_change_of_the_page_makes_a_new_shadow(
    bench: Bench, built: list[int], index: int, flipped: int
) -> None:
    ran_once(bench)
    bench.set(index, bench.get(index) ^ flipped)
    bench.build()
    assert built == [1, 1]


def test_another_context_makes_a_new_shadow(bench: Bench, built: list[int]) -> None:
    ran_once(bench)
    memory = bench.vgpu.ggtt.memory
    other = LRCA + 0x1_0000
    memory[other : other + 2 * PAGE] = memory[LRCA : LRCA + 2 * PAGE]
    bench.element = Element(other | 1 | 3 << 3)
    bench.build()
    assert built == [1, 1]


def test_a_shadow_that_was_refused_is_not_used_again(bench: Bench, built: list[int]) -> None:
    ran_once(bench)
    bench.set(ImageIndex.RING_TAIL, bench.size)
    assert refused(bench) is Reason.RING
    bench.set(ImageIndex.RING_TAIL, bench.tail)
    bench.build()
    assert built == [1, 1]


def test_a_context_within_a_batch_makes_a_new_shadow(bench: Bench, built: list[int]) -> None:
    """It goes on in the batch, which the guest may have changed."""
    bench.emit(store(1))
    bench.build()
    at = bench.slot.state >> 2
    bench.slab.u32[at + ImageIndex.BB_ADDR] = 0x1001
    bench.slab.u32[at + ImageIndex.BB_STATE] = 0x20
    bench.runs_to(0)
    bench.build()
    assert built == [1, 1]
    assert bench.shadow(ImageIndex.BB_ADDR) == 0x1001


def test_much_batch_room_in_use_makes_a_new_shadow(bench: Bench, built: list[int]) -> None:
    ran_once(bench)
    bench.slot.room_used = 65 * PAGE
    bench.build()
    assert built == [1, 1]
    assert bench.slot.room_used == 0


def test_a_context_that_never_ran_is_made_of_golden_values(bench: Bench) -> None:
    assert bench.get(ImageIndex.CONTEXT_CONTROL) == NEVER_RAN
    bench.set(ImageIndex.CS_GPR0, 0xBAD)
    bench.build()
    assert bench.shadow(ImageIndex.CS_GPR0) == 0x6000_0000 + ImageIndex.CS_GPR0
