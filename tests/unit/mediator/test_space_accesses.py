"""GPU address spaces: what each access says when it fails, and what a cache may still know."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from mediator.softgpu.address_space import AddressSpace, Ggtt, PageFault, Ppgtt
from mmio_trap.guest_memory import GuestMemory
from tests.guest_ram import PAGE, PRESENT, WRITABLE, GuestRam, Tables

Access = Callable[[AddressSpace, int], object]

READS: dict[str, Access] = {
    "page": lambda space, at: space.page(at),
    "read": lambda space, at: space.read(at, 4),
    "read_pages": lambda space, at: space.read_pages(at, 1),
    "read_u32": lambda space, at: space.read_u32(at),
    "read_u64": lambda space, at: space.read_u64(at),
    "half of read_u64": lambda space, at: space.read_u64(at | 4),
}
WRITES: dict[str, Access] = {
    "write": lambda space, at: space.write(at, b"1234"),
    "write_u32": lambda space, at: space.write_u32(at, 1),
    "write_u64": lambda space, at: space.write_u64(at, 1),
    "half of write_u64": lambda space, at: space.write_u64(at | 4, 1),
    "atomic": lambda space, at: space.atomic(at, 4, 5, 0, 0),
}
ACCESSES = [(name, access, False) for name, access in READS.items()] + [
    (name, access, True) for name, access in WRITES.items()
]
OUTSIDE = 0x4000_0000
"""No memory of the guest is there."""


@pytest.fixture
def ram() -> GuestRam:
    return GuestRam(64)


def _qword(value: int) -> bytes:
    return value.to_bytes(8, "little")


@pytest.mark.parametrize("entry", [0, OUTSIDE | PRESENT], ids=["absent", "outside"])
@pytest.mark.parametrize(("name", "access", "write"), ACCESSES, ids=lambda value: str(value)[:18])
def test_a_fault_names_its_access(
    ram: GuestRam, entry: int, name: str, access: Access, write: bool
) -> None:
    """The address within the space, and whether it was to be written."""
    ggtt = Ggtt(ram.memory)
    ggtt.write_entry(8 * 3, _qword(entry))
    with pytest.raises(PageFault) as raised:
        access(ggtt, 1 << 32 | 0x3000)
    assert raised.value.address in (0x3000, 0x3004), name
    assert raised.value.write is write


@pytest.mark.parametrize("low", range(4))
def test_the_low_bits_of_an_address_are_ignored(ram: GuestRam, low: int) -> None:
    page = ram.page()
    ggtt = ram.ggtt({3: page})
    ggtt.write_u32(0x3010 | low, 0x1111_1111)
    ggtt.write_u64(0x3018 | low, 0x2222_2222_3333_3333)
    ggtt.write_u64(0x3024 | low, 0x4444_4444_5555_5555)
    expected = [0x1111_1111, 0, 0x3333_3333, 0x2222_2222, 0, 0x5555_5555, 0x4444_4444]
    assert [ram.memory.read_u32(page + 0x10 + 4 * n) for n in range(7)] == expected
    assert ggtt.read_u32(0x3010 | low) == 0x1111_1111
    assert ggtt.read_u64(0x3018 | low) == 0x2222_2222_3333_3333
    assert ggtt.read_u64(0x3024 | low) == 0x4444_4444_5555_5555


def test_an_access_of_no_bytes_reaches_nothing() -> None:
    ggtt = Ggtt(None)
    assert ggtt.read(0x5000, 0) == b""
    assert ggtt.read_pages(0x5000, 0) == b""
    ggtt.write(0x5000, b"")


def test_sizes_as_they_are_made() -> None:
    ggtt, ppgtt = Ggtt(None), Ppgtt(None)
    assert (ggtt.table_bytes, ggtt.root, ggtt.mask) == (8 << 20, 0, (1 << 32) - 1)
    assert (ppgtt.entries, ppgtt.root, ppgtt.mask) == (None, 0, (1 << 48) - 1)
    assert (ggtt.stale, ppgtt.stale) == (False, False)
    assert (ggtt.discarded_writes, ppgtt.discarded_writes) == (0, 0)


def test_a_translation_is_used_until_a_flush(ram: GuestRam) -> None:
    tables, first, second = Tables(ram), ram.page(), ram.page()
    tables.map(0x5000, first)
    space = tables.space()
    space.write_u32(0x5000, 1)
    view = space.page(0x5000)
    tables.map(0x5000, second)
    space.write_u32(0x5004, 2)
    assert space.page(0x5004) is view
    assert (ram.memory.read_u32(first + 4), ram.memory.read_u32(second + 4)) == (2, 0)
    space.flush()
    assert space.read_u32(0x5000) == 0
    assert space.read(0x5004, 4) == bytes(4)


def test_other_tables_hold_at_once(ram: GuestRam) -> None:
    one, other, first, second = Tables(ram), Tables(ram), ram.page(), ram.page()
    one.map(0x5000, first)
    other.map(0x5000, second)
    space = one.space()
    space.write_u32(0x5000, 1)
    assert space.read_u32(0x5000) == 1
    space.load(other.root)
    assert space.root == other.root
    assert space.read_u32(0x5000) == 0


def _memory(content: bytes) -> GuestMemory:
    memory = GuestMemory()
    fd = os.memfd_create("ram")
    os.ftruncate(fd, PAGE)
    memory.map(0, PAGE, fd, 0, True, True)
    os.close(fd)
    memory.write(0, content)
    return memory


def test_other_memory_holds_at_once() -> None:
    """Even where both have had as many changes of their map."""
    old, new = _memory(b"old!"), _memory(b"new!")
    assert old.generation == new.generation
    ggtt = Ggtt(old)
    ggtt.write_entry(0, _qword(PRESENT))
    assert ggtt.read(0, 4) == ggtt.page(0).tobytes()[:4] == ggtt.read_pages(0, 1)[:4] == b"old!"
    ggtt.attach(new)
    assert ggtt.memory is new
    assert ggtt.read(0, 4) == ggtt.page(0).tobytes()[:4] == ggtt.read_pages(0, 1)[:4] == b"new!"
    for memory in (old, new):
        memory.close()


def test_a_change_of_the_map_holds_for_whole_pages_and_costs_one_look() -> None:
    memory = _memory(b"old!")
    ggtt = Ggtt(memory)
    ggtt.write_entry(0, _qword(PRESENT))
    assert ggtt.read_pages(0, 1)[:4] == b"old!"
    memory.unmap(0, PAGE)
    with pytest.raises(PageFault):
        ggtt.read_pages(0, 1)
    fd = os.memfd_create("ram")
    os.ftruncate(fd, PAGE)
    memory.map(0, PAGE, fd, 0, True, True)
    os.close(fd)
    assert ggtt.read_pages(0, 1) == bytes(PAGE)
    assert ggtt.page(0) is ggtt.page(0)
    memory.close()


class Racing(GuestMemory):
    """Memory in which something happens once, behind a read or a look at a page."""

    def __init__(self) -> None:
        super().__init__()
        self.once: list[Callable[[], object]] = []

    def _happen(self) -> None:
        while self.once:
            self.once.pop()()

    def read(self, address: int, length: int) -> bytes:
        found = super().read(address, length)
        self._happen()
        return found

    def page_u32(self, address: int) -> memoryview:
        found = super().page_u32(address)
        self._happen()
        return found


@pytest.fixture
def racing() -> Racing:
    memory = Racing()
    fd = os.memfd_create("ram")
    os.ftruncate(fd, 4 * PAGE)
    memory.map(0, 4 * PAGE, fd, 0, True, True)
    os.close(fd)
    memory.write(PAGE, b"1111")
    memory.write(2 * PAGE, b"2222")
    return memory


def test_an_atomic_is_done_on_what_is_there(racing: Racing) -> None:
    """A processor of the guest writes between the first look and the exchange."""
    ggtt = Ggtt(racing)
    ggtt.write_entry(0, _qword(PRESENT))
    racing.once.append(lambda: racing.write_u32(8, 41))
    assert ggtt.atomic(8, 4, 0x05, 0, 0) == (41, 42)
    assert racing.read_u32(8) == 42


def test_a_page_of_an_entry_that_is_edited_meanwhile_is_not_kept(racing: Racing) -> None:
    ggtt = Ggtt(racing)
    ggtt.write_entry(0, _qword(PAGE | PRESENT))
    racing.once.append(lambda: ggtt.write_entry(0, _qword(2 * PAGE | PRESENT)))
    ggtt.page(0)
    assert ggtt.page(0).tobytes()[:4] == b"2222"


@pytest.mark.parametrize("edit", ["write", "clear", "publish"])
def test_a_walk_of_an_entry_that_is_edited_meanwhile_is_not_kept(racing: Racing, edit: str) -> None:
    stale = edit == "publish"

    class Walked(Ggtt):
        """An entry is written while the table is walked."""

        once = True

        def _walk(self, address: int) -> tuple[int, bool]:
            found = super()._walk(address)
            if self.once and address == 0:
                self.once = False
                if edit == "clear":
                    self.clear()
                self.write_entry(0, _qword(2 * PAGE | PRESENT))
                if stale:
                    self.publish()
            return found

    ggtt = Walked(racing, stale=stale)
    ggtt.write_entry(0, _qword(PAGE | PRESENT))
    ggtt.publish()
    ggtt.read(0, 4)
    assert ggtt.read(0, 4) == b"2222"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 11, 16])
def test_an_entry_that_comes_in_pieces_holds_after_each(ram: GuestRam, size: int) -> None:
    """Whatever lies in one write: what is translated is what the table says."""
    pages = [ram.page() for _ in range(6)]
    ggtt = ram.ggtt({n: pages[n] for n in range(3)})
    new = b"".join(_qword(page | PRESENT) for page in reversed(pages[3:]))
    for at in range(0, len(new), size):
        for n in range(3):
            assert ggtt.translate(n * PAGE, write=False)[0] == ggtt.entry(n) & ~0xFFF
        ggtt.write_entry(at, new[at : at + size])
    assert [ggtt.translate(n * PAGE, write=False)[0] for n in range(3)] == pages[:2:-1]


@pytest.mark.parametrize("count", [1, 31, 32, 33, 34, 64])
def test_many_entries_hold_at_once(ram: GuestRam, count: int) -> None:
    old, new = ram.page(), ram.page()
    ggtt = ram.ggtt(dict.fromkeys(range(70), old))
    for number in range(70):
        ggtt.page(number * PAGE)
    ggtt.write_entry(8 * 3, _qword(new | PRESENT) * count)
    for number in range(70):
        expected = new if 3 <= number < 3 + count else old
        assert ggtt.translate(number * PAGE, write=False)[0] == expected
    ram.memory.write_u32(new, 7)
    assert [ggtt.page(n * PAGE)[0] for n in (2, 3, 2 + count, 3 + count)] == [0, 7, 7, 0]


@pytest.mark.parametrize("stale", [False, True])
def test_a_cleared_table_is_as_a_new_one(ram: GuestRam, stale: bool) -> None:
    page = ram.page()
    ggtt = Ggtt(ram.memory, stale=stale)
    ggtt.write_entry(24, _qword(page | PRESENT))
    ggtt.clear()
    assert ggtt._unpublished == []
    assert ggtt.read_entry(24, 8) == bytes(8)
    ggtt.write_entry(24, _qword(page | PRESENT))
    assert ggtt.read_entry(24, 8) == _qword(page | PRESENT)
    assert ggtt.entry(3) == (0 if stale else page | PRESENT)
    ggtt.publish()
    assert ggtt.entry(3) == page | PRESENT
    assert ggtt._unpublished == []


def test_what_is_past_the_table_changes_nothing() -> None:
    ggtt = Ggtt(None, 8 * PAGE)
    for at in (64, 65, 1 << 23):
        ggtt.write_entry(at, _qword(PRESENT))
        assert ggtt.read_entry(at, 3) == bytes(3)
    assert not any(ggtt.entry(n) for n in range(8))
    with pytest.raises(IndexError):
        ggtt.entry(8)


def test_a_run_of_stores_needs_a_page_that_can_be_written(ram: GuestRam) -> None:
    """It is left to the single command to say what is wrong."""
    header = 0x20 << 23 | 2
    dwords = memoryview(_qword(0x5008 << 32 | header) + _qword(77 << 32)).cast("I")
    tables, page = Tables(ram), ram.page()
    space = tables.space()
    assert space.store_run(dwords, header, 0x5008) == 0, "absent"
    tables.map(0x5000, page, PRESENT)
    assert space.store_run(dwords, header, 0x5008) == 0, "read-only"
    tables.map(0x5000, OUTSIDE, PRESENT | WRITABLE)
    space.flush()
    assert space.store_run(dwords, header, 0x5008) == 0, "outside"
    assert space.discarded_writes == 0
    tables.map(0x5000, page)
    space.flush()
    assert space.store_run(dwords, header, 0x5008) == 1
    assert ram.memory.read_u32(page + 8) == 77
