"""What a shadow context names and takes: page tables, pages of the guest, GGTT entries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mediator.errors import GuestError
from mediator.gen9.context_image import ImageIndex
from mediator.physical.partition import PAGE
from mediator.vgpu.execlist import Element
from tests.unit.mediator.workload_bench import (
    BATCH,
    OWNED,
    PML4,
    RING,
    ROOT,
    ROOT_STEP,
    Bench,
    store,
)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_page_tables_are_those_of_the_last_submission(bench: Bench) -> None:
    """The 64-bit address of their shadow, in the shadow's image; the guest's stays the guest's."""

    def installed() -> int:
        return bench.shadow(ImageIndex.PDP0_UDW) << 32 | bench.shadow(ImageIndex.PDP0_LDW)

    bench.emit(store(1))
    bench.set(ImageIndex.PDP0_UDW, 0x12)
    bench.build()
    assert installed() == ROOT + ROOT_STEP
    for count in (2, 3):
        bench.emit(store(count))
        bench.vgpu.addressing.steps = count
        assert bench.works.extend(bench.slot, 0, loaded=False)
        assert installed() == ROOT + count * ROOT_STEP
    bench.runs_to(48)
    bench.vgpu.addressing.steps = 4
    bench.build()
    assert installed() == ROOT + 4 * ROOT_STEP
    assert bench.vgpu.addressing.roots == [0x12 << 32 | PML4] * 4
    assert bench.get(ImageIndex.PDP0_UDW) == 0x12


@pytest.mark.parametrize("gone", [False, True])
def test_a_loaded_shadow_keeps_its_page_tables(bench: Bench, gone: bool) -> None:
    """The hardware may be restoring it: of two dwords it might find one of each address.

    Half of `EMPTY_TABLES` and half of another is an address in the window of a guest, who could
    have page tables there.
    """
    bench.vgpu.addressing.refuses = gone
    bench.emit(store(1))
    bench.build()
    before = bytes(bench.slab.bytes[bench.slot.state : bench.slot.state + PAGE])
    bench.emit(store(2))
    bench.vgpu.addressing.refuses = not gone
    assert not bench.works.extend(bench.slot, 0, loaded=True)
    assert bytes(bench.slab.bytes[bench.slot.state : bench.slot.state + PAGE]) == before
    bench.vgpu.addressing.refuses = gone
    assert bench.works.extend(bench.slot, 0, loaded=True)
    assert bench.shadow(ImageIndex.RING_TAIL) == 32


@pytest.mark.parametrize("pages", [-1, 0, 1])
@pytest.mark.parametrize("edge", [OWNED.start, OWNED.stop - 2 * PAGE])
def test_all_pages_of_a_context_are_the_guests(bench: Bench, edge: int, pages: int) -> None:
    """Its status page too, which comes first and is not read."""
    lrca = edge + pages * PAGE
    bench.element = Element(lrca | 1 | 3 << 3)
    with pytest.raises(GuestError) as caught:
        bench.build()
    outside = lrca < OWNED.start or lrca + 2 * PAGE > OWNED.stop
    assert ("is not the vGPU's" in str(caught.value)) is outside


def test_forgotten_shadows_give_back_as_many_entries_as_they_took(bench: Bench) -> None:
    bench.build()
    taken = {page: len(data) for page, data in bench.vgpu.hardware_ggtt.items()}
    bench.vgpu.hardware_ggtt.clear()
    bench.works.forget()
    given = {page: len(data) for page, data in bench.vgpu.hardware_ggtt.items()}
    assert given == taken == {bench.slot.ggtt // PAGE: 2 * 8}


@pytest.mark.parametrize("new", [[], store(3)])
def test_a_batch_of_the_context_is_copied_anew_each_time(bench: Bench, new: list[int]) -> None:
    """Its ring may have nothing new, and its shadow lie ready: the batch can be another."""
    end = 0x0A << 23
    bench.put(BATCH, [*store(1), end])
    bench.set(ImageIndex.BB_PER_CTX_PTR, BATCH | 1)
    bench.build()
    bench.runs_to(bench.tail)
    bench.put(BATCH, [*store(2), end])
    bench.emit(new)
    bench.build()
    at = bench.shadow(ImageIndex.BB_PER_CTX_PTR) - bench.slot.ggtt + bench.slot.base
    assert at & 1
    assert bench.slab.u32[at >> 2 : (at >> 2) + 5].tolist() == [*store(2), end]


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_all_lines_of_an_indirect_batch_are_copied(bench: Bench, lines: int) -> None:
    commands = [dword for number in range(4 * lines) for dword in store(number)]
    bench.put(BATCH, commands)
    bench.set(ImageIndex.INDIRECT_CTX, BATCH | lines)
    bench.build()
    pointer = bench.shadow(ImageIndex.INDIRECT_CTX)
    assert pointer & 0x3F == lines
    at = (pointer & ~0x3F) - bench.slot.ggtt + bench.slot.base >> 2
    assert bench.slab.u32[at : at + 16 * lines].tolist() == commands


def test_the_end_of_the_shadow_ring_is_not_in_it(bench: Bench) -> None:
    bench.build()
    ring = bench.slot.hardware_ring
    places = [bench.works.to_guest(bench.slot, ring + at).address for at in (-4, 0, bench.size - 4)]
    assert places == [ring - 4, RING, RING + bench.size - 4]
    assert bench.works.to_guest(bench.slot, ring + bench.size).address == ring + bench.size
