"""Shadow page tables of one vGPU: errors, room, forgetting. What they say is a property test's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from mediator.errors import GuestError, Reason, Unfinished
from mediator.physical.memory import Slab
from mediator.physical.partition import GIB, MIB, Window
from mediator.translation import page_table_shadow
from mediator.translation.page_table_shadow import PageTableShadow
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables

WINDOW = Window(64 * GIB, 64 * GIB)
SLAB_IOVA = GIB
GGTT_PART = 16 * PAGE
ROOM = 8
ADDRESS_BITS = ((1 << 39) - 1) & -PAGE


@pytest.fixture
def slab() -> Iterator[Slab]:
    made = Slab(GGTT_PART + ROOM * PAGE, SLAB_IOVA, 0, GGTT_PART)
    yield made
    made.close()


@pytest.fixture
def ram() -> GuestRam:
    return GuestRam(64)


@pytest.fixture
def shadow(slab: Slab, ram: GuestRam) -> PageTableShadow:
    return PageTableShadow(slab, WINDOW, ram.memory)


def find(slab: Slab, root: int, address: int) -> int:
    """The last entry of a walk of 4K pages through the slab."""
    table = root
    for shift in (39, 30, 21, 12):
        assert SLAB_IOVA + GGTT_PART <= table < SLAB_IOVA + slab.size
        entry = slab.u64[(table - SLAB_IOVA) // 8 + (address >> shift & 511)]
        table = entry & ADDRESS_BITS
    return entry


def tree(ram: GuestRam, *addresses: int) -> Tables:
    tables = Tables(ram)
    for address in addresses:
        tables.map(address, address & ADDRESS_BITS)
    return tables


def test_a_page_moves_into_the_window(shadow: PageTableShadow, slab: Slab, ram: GuestRam) -> None:
    tables = tree(ram, 0x1234_5000)
    root = shadow.sync(tables.root | 0xFFF)
    assert find(slab, root, 0x1234_5000) == WINDOW.base + 0x1234_5000 | PRESENT | WRITABLE
    tables.map(0x1234_5000, 0x6000, PRESENT)
    assert shadow.sync(tables.root) == root
    assert find(slab, root, 0x1234_5000) == WINDOW.base + 0x6000 | PRESENT


def test_a_page_past_the_window_is_absent_and_counted(
    shadow: PageTableShadow, slab: Slab, ram: GuestRam
) -> None:
    tables = tree(ram, 0)
    tables.map(0, WINDOW.size)
    assert find(slab, shadow.sync(tables.root), 0) == 0
    tables.map(0, WINDOW.size - PAGE)
    assert find(slab, shadow.sync(tables.root), 0) & PRESENT
    assert shadow.figures.refused == 1
    assert shadow.figures.passes == 2


@pytest.mark.parametrize("pml4", [0, 0xF_F000, 1 << 38, 1 << 39, 1 << 45, 1 << 63])
def test_tables_that_are_nowhere(shadow: PageTableShadow, pml4: int) -> None:
    with pytest.raises(GuestError, match=f"{pml4:#x}") as caught:
        shadow.sync(pml4)
    assert caught.value.reason is Reason.PAGE_TABLE


def test_old_tables_make_room(shadow: PageTableShadow, slab: Slab, ram: GuestRam) -> None:
    for _ in range(5):
        tables = tree(ram, 0x5000)
        assert find(slab, shadow.sync(tables.root), 0x5000) & PRESENT


def test_tables_in_use_stay_when_room_is_made(
    shadow: PageTableShadow, slab: Slab, ram: GuestRam
) -> None:
    used = tree(ram, 0x5000)
    root = shadow.sync(used.root)
    shadow.in_use = lambda: [used.root]
    before = slab.bytes[GGTT_PART : GGTT_PART + 4 * PAGE]
    for _ in range(4):
        other = tree(ram, 0x7000)
        assert find(slab, shadow.sync(other.root), 0x7000) & PRESENT
        assert slab.bytes[GGTT_PART : GGTT_PART + 4 * PAGE] == before
    assert shadow.sync(used.root) == root


def test_too_many_tables(shadow: PageTableShadow, slab: Slab, ram: GuestRam) -> None:
    fits = tree(ram, *(n << 21 for n in range(ROOM - 3)))
    assert find(slab, shadow.sync(fits.root), 0) & PRESENT
    large = tree(ram, *(n << 21 for n in range(ROOM - 2)))
    with pytest.raises(GuestError, match="more than 8 pages") as caught:
        shadow.sync(large.root)
    assert caught.value.reason is Reason.TOO_LARGE
    assert find(slab, shadow.sync(fits.root), 4 << 21) & PRESENT
    shadow.in_use = lambda: [fits.root]
    with pytest.raises(GuestError):
        shadow.sync(tree(ram, 0x9000).root)
    assert find(slab, shadow.sync(fits.root), 4 << 21) & PRESENT


def test_forgetting_scrubs_the_tables_and_nothing_else(
    shadow: PageTableShadow, slab: Slab, ram: GuestRam
) -> None:
    tables = tree(ram, 0x5000)
    slab.bytes[0:4] = b"ring"
    shadow.sync(tables.root)
    passes = shadow.figures.passes
    shadow.forget()
    assert not any(slab.bytes[GGTT_PART:])
    assert slab.bytes[0:4] == b"ring"
    assert find(slab, shadow.sync(tables.root), 0x5000) & PRESENT
    assert shadow.figures.passes == passes + 1


def test_a_slab_that_was_used_before(shadow: PageTableShadow, slab: Slab, ram: GuestRam) -> None:
    slab.bytes[GGTT_PART:] = b"\xff" * (ROOM * PAGE)
    root = shadow.sync(tree(ram, 0x5000).root)
    assert find(slab, root, 0x5000) & PRESENT
    assert find(slab, root, 0x6000) == 0


def test_tables_whose_memory_has_gone(shadow: PageTableShadow, slab: Slab, ram: GuestRam) -> None:
    tables = tree(ram, 0x5000)
    shadow.sync(tables.root)
    ram.memory.unmap_all()
    with pytest.raises(GuestError) as caught:
        shadow.sync(tables.root)
    assert caught.value.reason is Reason.PAGE_TABLE


def test_a_window_past_the_dma_space(slab: Slab, ram: GuestRam) -> None:
    PageTableShadow(slab, Window((1 << 39) - MIB, MIB), ram.memory)
    for base, size in ((1 << 39, MIB), ((1 << 39) - MIB, 2 * MIB), ((1 << 39) - MIB, MIB + 1)):
        with pytest.raises(ValueError, match="past the DMA space"):
            PageTableShadow(slab, Window(base, size), ram.memory)


# -- in steps -------------------------------------------------------------------------------------


def prepared(shadow: PageTableShadow, *roots: int) -> int:
    """How many turns it took to get the tables under ``roots`` ready."""
    for turn in range(1, 100):
        with suppress(Unfinished):
            shadow.prepare(roots)
            return turn
    raise AssertionError("it has no end")


def test_many_new_tables_are_done_in_steps(
    shadow: PageTableShadow, slab: Slab, ram: GuestRam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_table_shadow, "STEP", 2)
    tables = tree(ram, *(n << 21 for n in range(4)))  # and three above them
    assert prepared(shadow, tables.root) == 4
    root = shadow.sync(tables.root)
    for n in range(4):
        assert find(slab, root, n << 21) == WINDOW.base + (n << 21) | PRESENT | WRITABLE
    assert prepared(shadow, tables.root) == 1, "nothing is new"


def test_tables_that_were_not_prepared_have_one_step(
    shadow: PageTableShadow, ram: GuestRam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a guest would have them grow between the look and the use."""
    monkeypatch.setattr(page_table_shadow, "STEP", 4)
    shadow.sync(tree(ram, 0).root)
    with pytest.raises(GuestError, match="have grown") as caught:
        shadow.sync(tree(ram, 0, 1 << 21).root)
    assert caught.value.reason is Reason.TOO_LARGE


def test_what_was_prepared_is_used_once_more_and_never_after_a_change(
    shadow: PageTableShadow, slab: Slab, ram: GuestRam
) -> None:
    """A root that was found before tables were freed would lead into another's."""
    one, other = tree(ram, 0x5000), tree(ram, 0x7000)
    shadow.prepare([one.root])
    root = shadow.sync(one.root)
    passes = shadow.figures.passes
    assert shadow.sync(one.root) == root
    assert shadow.figures.passes == passes
    one.map(0x5000, 0x9000)
    shadow.prepare([other.root])
    assert find(slab, shadow.sync(one.root), 0x5000) == WINDOW.base + 0x9000 | PRESENT | WRITABLE
    shadow.prepare([one.root])
    shadow.forget()
    assert find(slab, shadow.sync(one.root), 0x5000) & PRESENT
    assert shadow.figures.passes > passes


@pytest.mark.parametrize("step", [1, 2, 8])
def test_of_two_that_do_not_fit_together_the_first_is_prepared(
    shadow: PageTableShadow, slab: Slab, ram: GuestRam, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Neither makes room for itself again and again with what the other had."""
    monkeypatch.setattr(page_table_shadow, "STEP", step)
    first, second = (tree(ram, *(n << 21 for n in range(ROOM - 4))) for _ in range(2))
    prepared(shadow, tree(ram, 0x5000).root)
    prepared(shadow, first.root, second.root)
    root = shadow.sync(first.root)
    shadow.in_use = lambda: [first.root]
    with pytest.raises(GuestError) as caught:
        shadow.sync(second.root)
    assert caught.value.reason is Reason.TOO_LARGE
    assert find(slab, root, 0) & PRESENT
    shadow.in_use = tuple
    prepared(shadow, second.root)
    assert find(slab, shadow.sync(second.root), 0) & PRESENT


@pytest.mark.parametrize("step", [1, 2, 8])
def test_room_is_made_once_for_what_is_prepared(
    shadow: PageTableShadow, slab: Slab, ram: GuestRam, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(page_table_shadow, "STEP", step)
    for _ in range(5):
        tables = tree(ram, 0x5000)
        prepared(shadow, tables.root)
        assert find(slab, shadow.sync(tables.root), 0x5000) & PRESENT
    large = tree(ram, *(n << 21 for n in range(ROOM - 2)))
    prepared(shadow, large.root)
    with pytest.raises(GuestError):
        shadow.sync(large.root)
