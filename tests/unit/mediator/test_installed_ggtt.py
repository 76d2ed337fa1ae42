"""Private GGTT entries on the hardware: all of this world's, none of any other."""

from __future__ import annotations

import struct

import pytest

from mediator.physical.installed_ggtt import CHUNK_PAGES, InstalledGgtt

ONE, OTHER = 0x1000_0001, 0x2000_0001


class Hardware:
    """A GGTT: entries by page number, those that are not 0."""

    def __init__(self) -> None:
        self.entries: dict[int, int] = {}
        self.writes: list[int] = []
        """Chunks written, in order."""
        self.flushed = True

    def write_ggtt(self, page: int, entries: bytes) -> None:
        self.flushed = False
        self.writes.append(page // CHUNK_PAGES)
        for n, (entry,) in enumerate(struct.iter_unpack("<Q", entries), page):
            if entry:
                self.entries[n] = entry
            else:
                self.entries.pop(n, None)

    def flush_ggtt(self) -> None:
        self.flushed = True

    def take_writes(self) -> list[int]:
        found, self.writes = sorted(self.writes), []
        return found


class Guest:
    """A guest's GGTT."""

    def __init__(self, entries: dict[int, int]) -> None:
        self.entries = entries

    @property
    def touched(self) -> frozenset[int]:
        return frozenset(page // CHUNK_PAGES for page in self.entries)

    def hardware_chunk(self, n: int) -> bytes:
        first = n * CHUNK_PAGES
        pages = range(first, first + CHUNK_PAGES)
        return b"".join(struct.pack("<Q", self.entries.get(page, 0)) for page in pages)


@pytest.fixture
def hardware() -> Hardware:
    return Hardware()


@pytest.fixture
def installed(hardware: Hardware) -> InstalledGgtt:
    return InstalledGgtt(hardware)  # type: ignore[arg-type]


def test_a_world_has_its_entries_and_no_others(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    one = Guest({3: ONE, CHUNK_PAGES: ONE, 7 * CHUNK_PAGES + 511: ONE})
    other = Guest({4: OTHER, 2 * CHUNK_PAGES: OTHER})
    for guest in (one, other, one):
        installed.enter(guest)
        assert hardware.entries == guest.entries
        assert hardware.flushed


def test_only_chunks_that_either_world_touched_are_written(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.enter(Guest({0: ONE, 5 * CHUNK_PAGES: ONE}))
    assert hardware.take_writes() == [0, 5]
    installed.enter(Guest({CHUNK_PAGES: OTHER, 5 * CHUNK_PAGES: OTHER}))
    assert hardware.take_writes() == [0, 1, 5]
    installed.enter(Guest({}))
    assert hardware.take_writes() == [1, 5]


def test_an_entry_written_meanwhile_is_taken_away_too(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.enter(Guest({}))
    installed.write(2 * CHUNK_PAGES - 1, struct.pack("<2Q", ONE, ONE))  # in two chunks
    assert hardware.entries == {2 * CHUNK_PAGES - 1: ONE, 2 * CHUNK_PAGES: ONE}
    installed.enter(Guest({0: OTHER}))
    assert hardware.entries == {0: OTHER}


def test_nothing_stays_of_one_that_goes(installed: InstalledGgtt, hardware: Hardware) -> None:
    guest = Guest({3: ONE, CHUNK_PAGES: ONE})
    installed.enter(guest)
    installed.write(9 * CHUNK_PAGES, struct.pack("<Q", ONE))
    installed.forget(guest)
    assert hardware.entries == {}
    assert hardware.flushed
    hardware.take_writes()
    installed.forget(guest)
    assert hardware.take_writes() == []


def test_one_that_goes_takes_nothing_of_the_others(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    gone, owner = Guest({3: ONE}), Guest({3: OTHER})
    installed.enter(gone)
    installed.enter(owner)
    installed.forget(gone)
    assert hardware.entries == owner.entries


def test_after_a_reset_of_the_gpu_only_the_next_world_is_written(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.enter(Guest({3: ONE, CHUNK_PAGES: ONE}))
    hardware.entries.clear()
    hardware.take_writes()
    installed.lost()
    installed.enter(Guest({2 * CHUNK_PAGES: OTHER}))
    assert hardware.take_writes() == [2]


# -- entries of ballooned vGPUs, which stay --------------------------------------------------------


def test_resident_entries_are_there_in_every_ballooned_world(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.write_resident(2 * CHUNK_PAGES - 1, struct.pack("<2Q", ONE, ONE))  # in two chunks
    installed.write_resident(4, struct.pack("<Q", OTHER))
    expected = {2 * CHUNK_PAGES - 1: ONE, 2 * CHUNK_PAGES: ONE, 4: OTHER}
    assert hardware.entries == expected
    hardware.take_writes()
    installed.enter(None)
    installed.enter(None)
    assert hardware.take_writes() == []
    assert hardware.entries == expected


def test_a_private_world_has_no_resident_entry(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.write_resident(3, struct.pack("<Q", ONE))
    installed.write_resident(6 * CHUNK_PAGES, struct.pack("<Q", ONE))
    guest = Guest({3: OTHER, CHUNK_PAGES: OTHER})
    installed.enter(guest)
    assert hardware.entries == guest.entries
    installed.enter(None)
    assert hardware.entries == {3: ONE, 6 * CHUNK_PAGES: ONE}
    assert hardware.flushed


def test_a_resident_entry_written_meanwhile_waits_until_the_private_world_is_left(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    """Its own was overwritten, another is new, a third goes."""
    installed.write_resident(3, struct.pack("<3Q", ONE, ONE, ONE))
    guest = Guest({3: OTHER})
    installed.enter(guest)
    hardware.take_writes()
    installed.write_resident(3, struct.pack("<2Q", 0, ONE + 0x1000))
    installed.write_resident(9 * CHUNK_PAGES, struct.pack("<Q", ONE))
    assert hardware.take_writes() == []
    assert hardware.entries == guest.entries
    installed.enter(None)
    assert hardware.entries == {4: ONE + 0x1000, 5: ONE, 9 * CHUNK_PAGES: ONE}


def test_resident_entries_come_back_when_a_private_guest_goes(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.write_resident(3, struct.pack("<Q", ONE))
    guest = Guest({3: OTHER, 8 * CHUNK_PAGES: OTHER})
    installed.enter(guest)
    installed.forget(guest)
    assert hardware.entries == {3: ONE}
    assert hardware.flushed


def test_resident_entries_that_go_take_no_more_time(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.write_resident(3, struct.pack("<2Q", ONE, ONE))
    installed.write_resident(3, struct.pack("<Q", 0))
    assert hardware.entries == {4: ONE}
    installed.write_resident(4, struct.pack("<Q", 0))
    assert hardware.entries == {}
    installed.enter(Guest({CHUNK_PAGES: OTHER}))
    hardware.take_writes()
    installed.enter(None)
    assert hardware.take_writes() == [1]


def test_after_a_reset_of_the_gpu_resident_entries_are_written_anew(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    installed.write_resident(3, struct.pack("<Q", ONE))
    guest = Guest({3: OTHER, 8 * CHUNK_PAGES: OTHER})
    installed.enter(guest)
    hardware.entries.clear()
    installed.lost()
    assert hardware.entries == {3: ONE}
    assert hardware.flushed
    installed.enter(guest)
    assert hardware.entries == guest.entries


def test_resident_entries_over_many_chunks_keep_their_places(
    installed: InstalledGgtt, hardware: Hardware
) -> None:
    first, count = CHUNK_PAGES - 300, 2 * CHUNK_PAGES + 7
    entries = {first + n: ONE + n * 0x1000 for n in range(count)}
    installed.write_resident(first, struct.pack(f"<{count}Q", *entries.values()))
    installed.enter(Guest({3: OTHER}))
    installed.enter(None)
    assert hardware.entries == entries
