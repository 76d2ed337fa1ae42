"""The virtual GGTT: what a guest writes, what it reads back, what the hardware gets."""

from __future__ import annotations

import struct
from random import Random

import pytest

from mediator.errors import Reason
from mediator.vgpu.ggtt import CHUNK_SIZE, ENTRIES_SIZE, GgttFault, GgttState, VirtualGgtt
from mmio_trap.guest_memory import GuestMemory
from tests.guest_ram import GuestRam

MIB = 1 << 20
LOW = range(64 * MIB, 128 * MIB)
HIGH = range(512 * MIB, 1024 * MIB)
WINDOW = 0x40_0000_0000
RAM_PAGES = 64


class Bench:
    """A virtual GGTT, and what it told its surroundings."""

    def __init__(self, part: tuple[range, ...] = (LOW, HIGH)) -> None:
        self.ram = GuestRam(RAM_PAGES, start=0)
        self.installed: dict[int, bytes] = {}
        self.rejected: list[Reason] = []
        self.ggtt = VirtualGgtt(
            part,
            self.ram.memory,
            lambda address: WINDOW + address if address < 1 << 34 else None,
            self._install,
            lambda reason, _text, times: self.rejected.extend([reason] * times),
        )

    def _install(self, page: int, entries: bytes) -> None:
        for at in range(0, len(entries), 8):
            self.installed[page + at // 8] = entries[at : at + 8]

    def map(self, address: int, physical: int) -> None:
        self.ggtt.write_entry(address >> 9, qword(physical | 1))


def qword(value: int) -> bytes:
    return value.to_bytes(8, "little")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_all_entries_are_zero_at_first(bench: Bench) -> None:
    assert bench.ggtt.read_entry(LOW.start >> 9, 64) == bytes(64)
    assert bench.ggtt.hardware_chunk(0) == bytes(CHUNK_SIZE)
    assert bench.ggtt.touched == frozenset()


def test_an_entry_reads_back_and_goes_to_the_hardware_translated(bench: Bench) -> None:
    bench.map(LOW.start, 0x12_3000)
    assert bench.ggtt.read_entry(LOW.start >> 9, 8) == qword(0x12_3001)
    page = LOW.start >> 12
    assert bench.installed == {page: qword(WINDOW + 0x12_3001)}
    chunk, index = divmod(page, 512)
    assert bench.ggtt.touched == {chunk}
    assert bench.ggtt.hardware_chunk(chunk)[8 * index :][:8] == qword(WINDOW + 0x12_3001)
    assert bench.ggtt.physical(LOW.start + 0x45) == 0x12_3045
    assert bench.rejected == []


def test_an_entry_taken_back_is_taken_from_the_hardware(bench: Bench) -> None:
    bench.map(LOW.start, 0x12_3000)
    bench.ggtt.write_entry(LOW.start >> 9, qword(0x12_3000))
    assert bench.installed[LOW.start >> 12] == bytes(8)
    assert bench.ggtt.physical(LOW.start) is None
    assert bench.ggtt.read_entry(LOW.start >> 9, 8) == qword(0x12_3000)


@pytest.mark.parametrize("address", [0, LOW.start - 4096, LOW.stop, HIGH.stop])
def test_an_entry_outside_the_part_is_refused(bench: Bench, address: int) -> None:
    bench.map(address, 0x1000)
    assert bench.rejected == [Reason.GGTT_ENTRY]
    assert bench.ggtt.read_entry(address >> 9, 8) == bytes(8)
    assert bench.installed == {}
    assert bench.ggtt.physical(address) is None
    bench.ggtt.write_entry(address >> 9, bytes(8))
    assert len(bench.rejected) == 1, "clearing what is not there harms nobody"


@pytest.mark.parametrize("physical", [1 << 34, 1 << 39, 1 << 45])
def test_an_entry_that_points_at_nothing_is_not_present(bench: Bench, physical: int) -> None:
    bench.map(LOW.start, physical)
    assert bench.rejected == [Reason.GGTT_ENTRY]
    assert bench.installed[LOW.start >> 12] == bytes(8)
    assert bench.ggtt.read_entry(LOW.start >> 9, 8) == qword(physical | 1)
    with pytest.raises(GgttFault):
        bench.ggtt.read(LOW.start, 4)


def test_dwords_and_bytes_make_entries(bench: Bench) -> None:
    at = LOW.start >> 9
    bench.ggtt.write_entry(at + 4, struct.pack("<I", 0x1))
    bench.ggtt.write_entry(at, struct.pack("<I", 0x8001))
    assert bench.installed[LOW.start >> 12] == qword(WINDOW + 0x1_0000_8001)
    bench.ggtt.write_entry(at + 1, b"\x90")
    assert bench.ggtt.read_entry(at, 8) == qword(0x1_0000_9001)
    assert bench.ggtt.read_entry(at + 1, 4) == b"\x90\x00\x00\x01"


def test_one_write_may_hold_many_entries(bench: Bench) -> None:
    at = LOW.stop - 2 * 4096 >> 9
    bench.ggtt.write_entry(at + 4, bytes(4) + qword(0x5001) + qword(0x6001))
    assert set(bench.installed) == {(LOW.stop >> 12) - 2, (LOW.stop >> 12) - 1}
    assert bench.rejected == [Reason.GGTT_ENTRY], "the last one is past the part"


@pytest.mark.parametrize("cut", [1, 4, 8, 12, 64, 4096])
def test_a_long_write_is_as_many_short_ones(cut: int) -> None:
    """Across both ends of a slice, present and not, inside and outside of memory."""
    part = (range(0x30_0000, 0x50_0000), range(0x50_0000, 0x60_0000), range(0x80_0000, 0x90_0000))
    draw = Random(cut)
    whole, bytewise = Bench(part), Bench(part)
    for _ in range(20):
        entries = [draw.choice([0, 1, 1 << 35 | 1, 0x5000]) + (n << 12) for n in range(0xA00)]
        offset = draw.choice([0, 8, 0x17F8, 5])
        data = struct.pack(f"<{len(entries)}Q", *entries)[: draw.choice([8 * 0xA00, 0x1805, 1])]
        whole.ggtt.write_entry(offset, data)
        for at in range(0, len(data), cut):
            bytewise.ggtt.write_entry(offset + at, data[at : at + cut])
        assert whole.ggtt.state() == bytewise.ggtt.state()
        assert whole.installed == bytewise.installed
        if cut % 8 == 0 and offset % 8 == 0:  # half an entry is refused for itself
            assert whole.rejected == bytewise.rejected


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1025])
@pytest.mark.parametrize("first", [LOW.start >> 12, (LOW.start >> 12) + 1, (LOW.start >> 12) + 511])
def test_chunks_are_touched_by_what_is_in_them(bench: Bench, first: int, count: int) -> None:
    """No other is kept, and both sides have the entries of any pages."""
    entries = b"".join(qword(n << 12 | 1) for n in range(count))
    bench.ggtt.write_entry(8 * first, entries)
    assert bench.ggtt.touched == {page // 512 for page in range(first, first + count)}
    assert bench.ggtt.guest_entries(first, count) == entries
    hardware = b"".join(qword(WINDOW + (n << 12) | 1) for n in range(count))
    assert bench.ggtt.hardware_entries(first, count) == hardware
    assert bench.ggtt.guest_entries(first - 1, 2) == bytes(8) + entries[:8]
    assert bench.ggtt.hardware_entries(first + count - 1, 2) == hardware[-8:] + bytes(8)


@pytest.mark.parametrize(
    "part",
    [
        (range(0x10_0000, 0x30_0000),),
        (range(0x30_0000, 0x40_0000), range(0x50_0000, 0x52_1000)),
        (range(0x1F_F000, 0x20_1000), range(0x20_1000, 0x20_2000)),
        (range(0x80_0000, 0x90_0000),),
    ],
    ids=["across a chunk's end", "two slices", "slices that touch", "elsewhere"],
)
def test_of_a_state_only_what_is_in_the_part_is_taken(part: tuple[range, ...]) -> None:
    """Whatever part the state is of: nothing else may reach the hardware."""
    draw = Random(len(part))
    kinds = [0, 1, 1 << 35 | 1, 0x5000_0000, 0x5000_0001]
    chunks = {n: struct.pack("<512Q", *draw.choices(kinds, k=512)) for n in range(3)}
    bench = Bench(part)
    bench.ggtt.load(GgttState(dict(chunks)))
    for page in range(4 * 512):
        guest = chunks.get(page // 512, bytes(4096))[page % 512 * 8 :][:8]
        entry = int.from_bytes(guest, "little")
        own = any(page << 12 in each for each in part)
        present = own and entry & 1 and entry < 1 << 34
        assert bench.ggtt.guest_entries(page, 1) == (guest if own else bytes(8))
        assert bench.ggtt.hardware_entries(page, 1) == qword(WINDOW + entry if present else 0)
        assert bench.ggtt.physical(page << 12) == (entry & -4096 if own and entry & 1 else None)


def test_beyond_the_entries_is_nothing(bench: Bench) -> None:
    bench.ggtt.write_entry(ENTRIES_SIZE, qword(0x1001))
    bench.ggtt.write_entry(ENTRIES_SIZE - 4, qword(0x1001))
    assert bench.ggtt.read_entry(ENTRIES_SIZE, 8) == bytes(8)
    assert bench.ggtt.read_entry(ENTRIES_SIZE - 4, 8) == bytes(8)
    assert bench.ggtt.read_entry(ENTRIES_SIZE + 123, 2) == bytes(2)


def test_ownership_is_to_the_byte(bench: Bench) -> None:
    owns = bench.ggtt.owns
    assert owns(LOW.start, LOW.stop - LOW.start)
    assert owns(HIGH.stop - 1, 1)
    assert not owns(LOW.start - 1, 2)
    assert not owns(LOW.stop - 4, 8)
    assert not owns(LOW.stop, HIGH.start - LOW.stop)
    assert not owns(1 << 40, 4)


@pytest.mark.parametrize(
    "part",
    [
        (range(0x8000, 0x9000), range(0x6000, 0x8000)),
        (range(0x6000, 0x9000), range(0x7000, 0x8000)),
        (range(0x6000, 0x8000), range(0x7000, 0x9000), range(0x2000, 0x2000)),
    ],
    ids=["touch", "within", "overlap"],
)
def test_slices_that_touch_are_one(part: tuple[range, ...]) -> None:
    bench = Bench(part)
    assert bench.ggtt.owns(0x6000, 0x3000)
    for address, length in ((0x5FFF, 2), (0x8FFF, 2), (0x2000, 1), (0x6000, 0x3001)):
        assert not bench.ggtt.owns(address, length)


def test_memory_is_read_and_written_page_by_page(bench: Bench) -> None:
    bench.map(LOW.start, 5 * 4096)
    bench.map(LOW.start + 4096, 2 * 4096)
    bench.ggtt.write(LOW.start + 4094, b"abcd")
    assert bench.ram.memory.read(5 * 4096 + 4094, 2) == b"ab"
    assert bench.ram.memory.read(2 * 4096, 2) == b"cd"
    assert bench.ggtt.read(LOW.start + 4094, 4) == b"abcd"
    for low in range(4):
        bench.ggtt.write_u32(LOW.start + 8 | low, 0x1234_5678 + low)
        assert bench.ggtt.read_u32(LOW.start + 8 | 3 - low) == 0x1234_5678 + low
    bench.ggtt.write(LOW.start + 8000, bytes(range(192)))
    assert bench.ram.memory.read(2 * 4096 + 3904, 192) == bytes(range(192)), "to the page's end"
    assert bench.ggtt.read(LOW.start + 8000, 192) == bytes(range(192))


def test_a_page_that_is_not_there_faults(bench: Bench) -> None:
    bench.map(LOW.start, 5 * 4096)
    bench.map(LOW.start + 8192, RAM_PAGES * 4096)
    with pytest.raises(GgttFault) as caught:
        bench.ggtt.write(LOW.start + 4090, bytes(12))
    assert caught.value.address == LOW.start + 4096
    with pytest.raises(GgttFault) as caught:  # it has an entry, behind which is no memory
        bench.ggtt.write(LOW.start + 8192, bytes(12))
    assert caught.value.address == LOW.start + 8192
    for address in (LOW.start + 4096, LOW.start + 8192, 0):
        with pytest.raises(GgttFault):
            bench.ggtt.read_u32(address)
        with pytest.raises(GgttFault):
            bench.ggtt.write_u32(address, 0)
        with pytest.raises(GgttFault):
            bench.ggtt.read(address, 4)


def test_state_goes_round(bench: Bench) -> None:
    bench.map(LOW.start, 0x1000)
    bench.map(HIGH.start, 1 << 34)
    state = bench.ggtt.state()
    other = Bench()
    other.map(LOW.start + 4096, 0x7000)
    other.map(LOW.stop - 4096, 0x7000)
    other.installed.clear()
    other.ggtt.load(state)
    assert other.ggtt.state() == state
    assert other.ggtt.touched == bench.ggtt.touched
    assert other.installed == {}
    for chunk in state.chunks:
        assert other.ggtt.hardware_chunk(chunk) == bench.ggtt.hardware_chunk(chunk)
    for address in (LOW.start + 4096, LOW.stop - 4096):
        assert other.ggtt.physical(address) is None
        assert other.ggtt.hardware_entries(address >> 12, 1) == bytes(8)


def test_state_of_another_part_keeps_to_this_one(bench: Bench) -> None:
    other = Bench((range(256 * MIB),))
    other.map(0, 0x1000)
    bench.ggtt.load(other.ggtt.state())
    assert bench.ggtt.hardware_chunk(0) == bytes(CHUNK_SIZE)


@pytest.mark.parametrize("chunk", [{1024: bytes(CHUNK_SIZE)}, {-1: bytes(CHUNK_SIZE)}, {0: b"x"}])
def test_state_that_makes_no_sense_is_refused(bench: Bench, chunk: dict[int, bytes]) -> None:
    bench.map(LOW.start, 0x1000)
    with pytest.raises(ValueError, match="chunk"):
        bench.ggtt.load(GgttState(chunk))
    assert bench.ggtt.physical(LOW.start) == 0x1000


def test_clear_leaves_nothing(bench: Bench) -> None:
    places = (LOW.start, LOW.start + (2 << 20) - 4096, LOW.stop - 4096, HIGH.stop - 4096)
    for at in places:
        bench.map(at, 0x1000)
    bench.ggtt.clear()
    assert bench.ggtt.touched == frozenset()
    assert bench.ggtt.state() == GgttState()
    for at in places:
        assert bench.ggtt.hardware_chunk(at >> 21) == bytes(CHUNK_SIZE)
        assert bench.ggtt.read_entry(at >> 9, 8) == bytes(8)


def test_entries_without_memory_are_only_entries() -> None:
    ggtt = VirtualGgtt((LOW,), GuestMemory(), lambda _: None, lambda *_: None, lambda *_: None)
    ggtt.write_entry(LOW.start >> 9, qword(0x1001))
    assert ggtt.read_entry(LOW.start >> 9, 8) == qword(0x1001)


def test_a_ggtt_that_is_closed_has_no_memory(bench: Bench) -> None:
    bench.ggtt.close()
    assert bench.ggtt._guest.closed
    assert bench.ggtt._shadow.closed
