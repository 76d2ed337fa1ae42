"""GPU address spaces: translation, its cache, faults, and what a read-only page does."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from mediator.softgpu.address_space import (
    MOST_TRANSLATIONS,
    AddressSpace,
    Ggtt,
    PageFault,
    Ppgtt,
)
from mmio_trap.guest_memory import GuestMemory
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables

TOP = 1 << 48


@pytest.fixture
def ram() -> GuestRam:
    return GuestRam(256)


def _qword(value: int) -> bytes:
    return value.to_bytes(8, "little")


class TestGgtt:
    def test_an_absent_entry_faults(self, ram: GuestRam) -> None:
        ggtt = ram.ggtt({})
        with pytest.raises(PageFault) as raised:
            ggtt.write_u32(0x5004, 1)
        assert (raised.value.address, raised.value.write) == (0x5004, True)
        assert raised.value.reason == "page not present"

    def test_a_write_lands_in_the_page(self, ram: GuestRam) -> None:
        page = ram.page()
        ggtt = ram.ggtt({5: page})
        ggtt.write_u32(0x5004, 0x1234_5678)
        assert ram.memory.read_u32(page + 4) == 0x1234_5678
        assert ggtt.page(0x5ABC)[1] == 0x1234_5678

    def test_an_entry_write_holds_at_once(self, ram: GuestRam) -> None:
        first, second = ram.page(), ram.page()
        ram.memory.write_u32(first, 1)
        ram.memory.write_u32(second, 2)
        ggtt = ram.ggtt({5: first})
        assert (ggtt.read_u32(0x5000), ggtt.page(0x5000)[0]) == (1, 1)
        ggtt.write_entry(8 * 5, _qword(second | PRESENT))
        assert (ggtt.read_u32(0x5000), ggtt.page(0x5000)[0]) == (2, 2)
        ggtt.write_entry(8 * 5, _qword(0))
        with pytest.raises(PageFault):
            ggtt.read_u32(0x5000)

    def test_an_entry_may_come_in_two_halves(self, ram: GuestRam) -> None:
        page = ram.page()
        entry = _qword(page | PRESENT)
        ggtt = ram.ggtt({})
        ggtt.write_entry(8 * 7 + 4, entry[4:])
        ggtt.write_entry(8 * 7, entry[:4])
        assert ggtt.entry(7) == page | PRESENT
        assert ggtt.read_entry(8 * 7, 8) == entry
        ggtt.write_u64(0x7000, 9)
        assert ram.memory.read_u64(page) == 9

    def test_one_write_may_cover_several_entries(self, ram: GuestRam) -> None:
        pages = [ram.page(), ram.page()]
        ggtt = ram.ggtt({1: pages[1], 2: pages[0]})
        ggtt.read(PAGE, 2 * PAGE)
        ggtt.write_entry(8, b"".join(_qword(page | PRESENT) for page in pages))
        ggtt.write(PAGE, b"a" * PAGE + b"b" * PAGE)
        assert [ram.memory.read(page, 1) for page in pages] == [b"a", b"b"]

    def test_the_table_ends_where_it_ends(self) -> None:
        ggtt = Ggtt(None, 8 * PAGE)
        ggtt.write_entry(8 * 7 + 4, bytes(range(8)))
        ggtt.write_entry(8 * 8, _qword(1))
        assert ggtt.read_entry(8 * 7 + 4, 8) == bytes([0, 1, 2, 3, 0, 0, 0, 0])
        with pytest.raises(PageFault):
            ggtt.read(8 * PAGE, 4)

    def test_addresses_wrap_at_4_gib(self, ram: GuestRam) -> None:
        first, last = ram.page(), ram.page()
        ggtt = ram.ggtt({0: first, 0xF_FFFF: last})
        ggtt.write(0xFFFF_FFFC, b"12345678")
        assert ram.memory.read(last + 0xFFC, 4) + ram.memory.read(first, 4) == b"12345678"
        assert ggtt.read(0xFFFF_FFFC, 8) == b"12345678"

    @pytest.mark.parametrize("bit", range(39, 46))
    def test_physical_addresses_end_at_39_bits(self, ram: GuestRam, bit: int) -> None:
        ggtt = ram.ggtt({3: ram.page() | 1 << bit})
        with pytest.raises(PageFault, match="39 bits"):
            ggtt.read_u32(0x3000)

    def test_a_page_outside_guest_memory_faults(self, ram: GuestRam) -> None:
        ggtt = ram.ggtt({3: 0x4000_0000})
        accesses: list[Callable[[], object]] = [
            lambda: ggtt.page(0x3000),
            lambda: ggtt.read(0x3000, 4),
            lambda: ggtt.write(0x3000, b"1"),
            lambda: ggtt.read_u64(0x3000),
            lambda: ggtt.write_u32(0x3000, 1),
            lambda: ggtt.write_u64(0x3000, 1),
            lambda: ggtt.atomic(0x3000, 4, 5, 0, 0),
        ]
        for access in accesses:
            with pytest.raises(PageFault, match="outside guest memory"):
                access()

    def test_without_memory_everything_faults(self) -> None:
        ggtt = Ggtt(None)
        ggtt.write_entry(0, _qword(PRESENT))
        with pytest.raises(PageFault):
            ggtt.read(0, 1)

    def test_clear_makes_every_entry_absent(self, ram: GuestRam) -> None:
        ggtt = ram.ggtt({3: ram.page()})
        ggtt.read_u32(0x3000)
        ggtt.clear()
        assert ggtt.entry(3) == 0
        with pytest.raises(PageFault):
            ggtt.read_u32(0x3000)


class TestMemoryMap:
    def test_an_unmap_reaches_cached_translations(self) -> None:
        memory = GuestMemory()
        fd = os.memfd_create("ram")
        os.ftruncate(fd, 2 * PAGE)
        memory.map(0, PAGE, fd, 0, True, True)
        ggtt = Ggtt(memory)
        ggtt.write_entry(0, _qword(PRESENT))
        ggtt.write_u32(0, 1)
        assert ggtt.page(0)[0] == 1
        memory.unmap(0, PAGE)
        with pytest.raises(PageFault):
            ggtt.page(0)
        memory.map(0, PAGE, fd, PAGE, True, True)
        os.close(fd)
        assert ggtt.page(0)[0] == 0

    def test_memory_that_is_read_only_faults_on_a_write(self) -> None:
        memory = GuestMemory()
        fd = os.memfd_create("rom")
        os.ftruncate(fd, PAGE)
        memory.map(0, PAGE, fd, 0, True, False)
        os.close(fd)
        ggtt = Ggtt(memory)
        ggtt.write_entry(0, _qword(PRESENT))
        assert ggtt.read_u32(0) == 0
        for write in (lambda: ggtt.write_u32(0, 1), lambda: ggtt.atomic(0, 4, 5, 0, 0)):
            with pytest.raises(PageFault):
                write()

    def test_writes_pass_the_dirty_log(self, ram: GuestRam) -> None:
        page = ram.page()
        ggtt = ram.ggtt({0: page})
        ram.memory.start_recording()
        for write in (
            lambda: ggtt.write(5, b"1"),
            lambda: ggtt.write_u32(8, 1),
            lambda: ggtt.write_u64(8, 1),
            lambda: ggtt.atomic(8, 16, 0x4E, 1, 2),
        ):
            write()
            assert ram.memory.take_dirty() == [page // PAGE]


class TestPpgtt:
    def test_a_page_of_4k(self, ram: GuestRam) -> None:
        tables, page = Tables(ram), ram.page()
        tables.map(0x7FFF_1234_5000, page)
        space = tables.space()
        space.write_u32(0x7FFF_1234_5008, 77)
        assert ram.memory.read_u32(page + 8) == 77

    def test_addresses_are_canonical(self, ram: GuestRam) -> None:
        tables, page = Tables(ram), ram.page()
        tables.map(TOP - PAGE, page)
        tables.space().write_u32(-4 & ~(-1 << 64), 5)
        assert ram.memory.read_u32(page + PAGE - 4) == 5

    def test_an_access_crosses_pages_and_the_top(self, ram: GuestRam) -> None:
        tables, low, high = Tables(ram), ram.page(), ram.page()
        tables.map(TOP - PAGE, high)
        tables.map(0, low)
        space = tables.space()
        space.write_u64(TOP - 4, 0x1122_3344_5566_7788)
        assert ram.memory.read_u32(high + PAGE - 4) == 0x5566_7788
        assert ram.memory.read_u32(low) == 0x1122_3344
        assert space.read_u64(TOP - 4) == 0x1122_3344_5566_7788

    @pytest.mark.parametrize("level", range(4))
    def test_an_entry_is_absent(self, ram: GuestRam, level: int) -> None:
        tables = Tables(ram)
        tables.map(0x1000, ram.page())
        tables.put(0x1000, 0, level)
        with pytest.raises(PageFault, match="not present"):
            tables.space().read_u32(0x1000)

    @pytest.mark.parametrize("level", range(4))
    def test_read_only_at_any_level_discards_writes(self, ram: GuestRam, level: int) -> None:
        tables, page = Tables(ram), ram.page()
        at = tables.map(0x1000, page)
        if level < 3:
            at = tables.root
            for _ in range(level):
                at = ram.memory.read_u64(at) & ~0xFFF
        ram.memory.write_u64(at, ram.memory.read_u64(at) & ~WRITABLE)
        space = tables.space()
        space.write(0x1000, b"1")
        space.write_u32(0x1000, 1)
        space.write_u64(0x1000, 1)
        assert space.atomic(0x1000, 4, 5, 0, 0) == (0, 1)
        assert ram.memory.read_u64(page) == 0
        assert space.discarded_writes == 4

    def test_pages_of_64k_use_every_16th_entry(self, ram: GuestRam) -> None:
        base = ram.start + 0x2_0000
        tables = Tables(ram)
        tables.map(0x20_0000, base)
        directory_entry = ram.start + 2 * PAGE
        ram.memory.write_u64(
            directory_entry + 8, ram.memory.read_u64(directory_entry + 8) | 1 << 11
        )
        space = tables.space()
        space.write_u32(0x20_0000 + 0xF004, 3)
        assert ram.memory.read_u32((base & ~0xFFFF) + 0xF004) == 3
        with pytest.raises(PageFault):
            space.read_u32(0x21_0000)

    @pytest.mark.parametrize(("level", "size"), [(2, 1 << 21), (1, 1 << 30)])
    def test_large_pages(self, ram: GuestRam, level: int, size: int) -> None:
        tables = Tables(ram)
        tables.put(0, ram.start & -size | 0x80 | PRESENT | WRITABLE, level)
        space = tables.space()
        space.write_u32(ram.start % size + 8 * PAGE, 4)
        assert ram.memory.read_u32(ram.start + 8 * PAGE) == 4

    def test_a_table_outside_memory_faults(self, ram: GuestRam) -> None:
        for root in (0x7000_0000, 1 << 40, (1 << 64) - 1):
            space = Ppgtt(ram.memory)
            space.load(root)
            with pytest.raises(PageFault):
                space.read_u32(0)

    def test_edits_show_after_a_flush(self, ram: GuestRam) -> None:
        tables, first, second = Tables(ram), ram.page(), ram.page()
        tables.map(0, first)
        space = tables.space()
        space.write_u32(0, 1)
        tables.map(0, second)
        space.flush()
        space.write_u32(0, 2)
        assert [ram.memory.read_u32(page) for page in (first, second)] == [1, 2]

    def test_an_absent_page_is_not_remembered(self, ram: GuestRam) -> None:
        tables = Tables(ram)
        space = tables.space()
        with pytest.raises(PageFault):
            space.read_u32(0)
        tables.map(0, ram.page())
        assert space.read_u32(0) == 0

    def test_a_write_stops_at_the_page_that_faults(self, ram: GuestRam) -> None:
        tables, page = Tables(ram), ram.page()
        tables.map(0, page)
        with pytest.raises(PageFault) as raised:
            tables.space().write(PAGE - 4, b"12345678")
        assert raised.value.address == PAGE
        assert ram.memory.read(page + PAGE - 4, 4) == b"1234"


def _atomic_pair(space: AddressSpace, address: int, size: int, *operands: int) -> tuple[int, int]:
    return space.atomic(address, size, *operands)


@pytest.mark.parametrize("size", [4, 8])
def test_atomic_adds(ram: GuestRam, size: int) -> None:
    ggtt = ram.ggtt({0: ram.page()})
    assert _atomic_pair(ggtt, 0x10, size, 0x07, 5, 0) == (0, 5)
    assert _atomic_pair(ggtt, 0x10, size, 0x07, -1, 0) == (5, 4)
    assert ggtt.read_u64(0x10) == 4


def test_atomic_aligns_down_and_refuses_unknown_operations(ram: GuestRam) -> None:
    ggtt = ram.ggtt({0: ram.page()})
    ggtt.atomic(0x17, 8, 0x24, 9, 0)
    assert ggtt.read_u64(0x10) == 9
    with pytest.raises(ValueError, match="AtomicOp"):
        ggtt.atomic(0, 4, 0x10, 0, 0)


class TestStale:
    """What hardware may do: keep to old translations until it is told to drop them."""

    def _ggtt(self, ram: GuestRam) -> tuple[Ggtt, int, int]:
        old, new = ram.page(), ram.page()
        ram.memory.write_u32(old, 1)
        ram.memory.write_u32(new, 2)
        ggtt = Ggtt(ram.memory, stale=True)
        ggtt.write_entry(24, _qword(old | PRESENT))
        ggtt.publish()
        return ggtt, old, new

    @pytest.mark.parametrize("used", [False, True])
    def test_a_ggtt_entry_shows_once_it_is_published(self, ram: GuestRam, used: bool) -> None:
        ggtt, _, new = self._ggtt(ram)
        if used:
            ggtt.read_u32(0x3000)
        ggtt.write_entry(24, _qword(new | PRESENT))
        assert ggtt.read_entry(24, 8) == _qword(new | PRESENT), "it reads back at once"
        ggtt.flush()
        assert ggtt.read_u32(0x3000) == 1
        ggtt.publish()
        assert ggtt.read_u32(0x3000) == 2

    def test_an_entry_written_in_halves_is_published_whole(self, ram: GuestRam) -> None:
        ggtt, _, new = self._ggtt(ram)
        entry = _qword(new | PRESENT)
        ggtt.write_entry(24, entry[:4])
        ggtt.write_entry(28, entry[4:])
        ggtt.publish()
        assert ggtt.entry(3) == new | PRESENT

    def test_a_removed_entry_stays_reachable_until_then(self, ram: GuestRam) -> None:
        ggtt, _, _ = self._ggtt(ram)
        ggtt.write_entry(24, bytes(8))
        assert ggtt.page(0x3000)[0] == 1
        ggtt.publish()
        with pytest.raises(PageFault):
            ggtt.page(0x3000)
        ggtt.write_entry(24, _qword(ram.page() | PRESENT))
        ggtt.clear()
        ggtt.publish()
        assert ggtt.entry(3) == 0

    @pytest.mark.parametrize("level", range(3))
    def test_a_ppgtt_keeps_its_upper_levels_until_a_flush(self, ram: GuestRam, level: int) -> None:
        """A table that is given another use is still walked."""
        old, new = ram.page(), ram.page()
        ram.memory.write_u32(old, 1)
        ram.memory.write_u32(new, 2)
        before, after = Tables(ram), Tables(ram)
        before.map(0x1000, old)
        before.map(0x2000, old)
        after.map(0x2000, new)
        space = Ppgtt(ram.memory, stale=True)
        space.load(before.root)
        assert space.read_u32(0x1000) == 1
        places = [before.root, after.root]
        for _ in range(level):
            places = [ram.memory.read_u64(place) & ~0xFFF for place in places]
        ram.memory.write_u64(places[0], ram.memory.read_u64(places[1]))
        assert space.read_u32(0x2000) == 1
        space.flush()
        assert space.read_u32(0x2000) == 2

    def test_an_absent_entry_is_never_kept(self, ram: GuestRam) -> None:
        tables, page = Tables(ram), ram.page()
        space = Ppgtt(ram.memory, stale=True)
        space.load(tables.root)
        with pytest.raises(PageFault):
            space.read_u32(0x1000)
        tables.map(0x1000, page)
        space.write_u32(0x1000, 5)
        assert ram.memory.read_u32(page) == 5


def test_whole_pages_are_those_that_were_asked_for(ram: GuestRam) -> None:
    """Known and not, beside each other and over the end of the space."""
    pages = [ram.page() for _ in range(4)]
    for n, page in enumerate(pages):
        ram.memory.write(page, bytes([n + 1]) * PAGE)
    top = (1 << 20) - 1
    ggtt = ram.ggtt({top: pages[0], 0: pages[1], 1: pages[2], 7: pages[3]})
    for _ in range(2):  # from the tables, then from what is remembered
        assert ggtt.read_pages(top << 12, 1) == b"\x01" * PAGE
        assert ggtt.read_pages(0, 1) == b"\x02" * PAGE
        assert ggtt.read_pages(0, 2) == b"\x02" * PAGE + b"\x03" * PAGE
        assert ggtt.read_pages(7 << 12, 1) == b"\x04" * PAGE
        assert ggtt.read_pages(top << 12, 2) == b"\x01" * PAGE + b"\x02" * PAGE


@pytest.mark.parametrize("stale", [False, True])
def test_a_ppgtt_that_was_never_loaded_has_no_page(stale: bool) -> None:
    space = Ppgtt(GuestMemory(), stale=stale)
    assert space.root == 0
    with pytest.raises(PageFault):
        space.read_u32(0x1000)


@pytest.mark.parametrize("stale", [False, True])
def test_tables_that_name_themselves_fill_no_memory(ram: GuestRam, stale: bool) -> None:
    """A root is its own table at each level: every page of the space is the root."""
    root = ram.page()
    for index in range(512):
        ram.memory.write_u64(root + 8 * index, root | PRESENT | WRITABLE)
    space = Ppgtt(ram.memory, stale=stale)
    space.load(root)
    for number in range(MOST_TRANSLATIONS + 100):
        space.page(number << 12)
    assert space.cached <= MOST_TRANSLATIONS
    assert space.page(5 << 12)[2] == root | PRESENT | WRITABLE
