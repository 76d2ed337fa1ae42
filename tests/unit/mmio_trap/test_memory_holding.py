"""What one memory has of mapped files: which stretch serves a range, and what is let go of when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from errno import ENOSPC
from typing import Any

import pytest

from mmio_trap.mapped_file import UNIT, MemoryFile
from mmio_trap.memory_budget import MemoryBudget
from mmio_trap.memory_holding import MemoryHolding

FILES = [MemoryFile(-1, (1, inode), 4 * UNIT) for inode in range(3)]
FILE = FILES[0]
PAGE = 4096


@dataclass(eq=False)
class Part:
    """In a stretch's place; nothing is mapped."""

    key: tuple[int, int]
    start: int
    end: int
    writable: bool
    users: int = 1

    @property
    def size(self) -> int:
        return self.end - self.start

    def holds(self, start: int, end: int, *, writable: bool) -> bool:
        return self.start <= start and end <= self.end and writable <= self.writable


@dataclass
class Parts:
    """In the place of a process's stretches."""

    known: list[Part] = field(default_factory=list)
    added: list[tuple[int, int]] = field(default_factory=list)

    def find(self, file: MemoryFile, start: int, end: int, *, writable: bool) -> Part | None:
        for part in self.known:
            if part.key == file.key and part.holds(start, end, writable=writable):
                part.users += 1
                return part
        return None

    def add(self, file: MemoryFile, start: int, end: int, *, writable: bool) -> Part:
        self.added.append((start, end))
        self.known.append(Part(file.key, start, end, writable))
        return self.known[-1]


def holding(parts: Parts, **budget: int) -> Any:
    shared: Any = parts
    return MemoryHolding(MemoryBudget(**budget), shared)


def check(held: Any, expected: int) -> None:
    """It has so many stretches, and their bytes."""
    assert held.mappings == expected
    assert held.address_space == sum(each.size for each in held._ranges)
    assert sorted(map(id, held._ranges)) == sorted(
        id(each) for known in held._by_file.values() for each in known
    )


def test_a_range_in_a_stretch_that_is_held_takes_nothing() -> None:
    parts = Parts()
    held = holding(parts)
    first = held.take(FILE, 0, PAGE, writable=True)
    assert held.take(FILE, UNIT - PAGE, UNIT, writable=False) is first
    other = held.take(FILE, UNIT - PAGE, UNIT + PAGE, writable=False)
    assert parts.added == [(0, UNIT), (0, 2 * UNIT)]
    assert held.take(FILES[1], 0, PAGE, writable=True) not in (first, other)
    check(held, 3)
    assert first.users == other.users == 1
    assert held.take_left() == []


def test_one_for_reading_does_not_serve_for_writing() -> None:
    parts = Parts()
    held = holding(parts)
    reads = held.take(FILE, 0, PAGE, writable=False)
    writes = held.take(FILE, 0, PAGE, writable=True)
    assert writes is not reads
    assert held.take(FILE, 0, PAGE, writable=True) is writes
    check(held, 2)


def test_the_last_two_without_a_range_are_kept() -> None:
    """The oldest goes first; one that has a range again is none of them."""
    parts = Parts()
    held = holding(parts)
    one, two, three = (held.take(file, 0, PAGE, writable=True) for file in FILES)
    assert held.take(FILE, 0, PAGE, writable=True) is one
    held.release([one])
    check(held, 3)
    held.release([one, two])
    check(held, 3)
    assert held.take(FILE, 0, PAGE, writable=True) is one
    held.release([three])
    check(held, 3)
    assert held.take_left() == []
    held.release([one])
    check(held, 2)
    assert held.take_left() == [two]
    assert held.take_left() == []
    assert parts.added == [(0, UNIT)] * 3
    held.trim()
    check(held, 0)
    assert set(held.take_left()) == {one, three}
    assert held.address_space == 0


def test_one_that_another_memory_has_is_shared() -> None:
    parts = Parts()
    one, other = holding(parts), holding(parts)
    first = one.take(FILE, 0, PAGE, writable=True)
    assert other.take(FILE, PAGE, 2 * PAGE, writable=True) is first
    assert (first.users, len(parts.added)) == (2, 1)
    check(other, 1)


def test_another_memorys_that_is_too_large_is_left() -> None:
    parts = Parts()
    large = holding(parts).take(FILE, 0, UNIT + PAGE, writable=True)
    held = holding(parts, address_space=UNIT)
    found = held.take(FILE, 0, PAGE, writable=True)
    assert found is not large
    assert (found.start, found.end) == (0, UNIT)
    assert held.take_left() == [large]
    check(held, 1)


@pytest.mark.parametrize("room", [-1, 0, 1])
def test_as_much_as_the_budget_has(room: int) -> None:
    """A unit, to the byte; else what is asked for, once nothing is kept for later."""
    parts = Parts()
    place = 3 * UNIT, 3 * UNIT + PAGE
    held = holding(parts, address_space=2 * UNIT + room)
    first = held.take(FILE, 0, PAGE, writable=True)
    idle = held.take(FILES[1], 0, PAGE, writable=True) if room >= 0 else None
    if idle is not None:
        held.release([idle])
        third = held.take(FILES[2], *place, writable=True)
        assert third.size == UNIT
        assert held.take_left() == [idle]
    else:
        second = held.take(FILES[1], *place, writable=True)
        assert second.size == PAGE
        assert held.take_left() == []
    assert first in held._ranges
    check(held, 2)


@pytest.mark.parametrize("what", ["address_space", "mappings"])
def test_beyond_the_budget_nothing_has_changed(what: str) -> None:
    parts = Parts()
    held = holding(parts, **({"mappings": 2} if what == "mappings" else {what: UNIT + PAGE}))
    held.take(FILE, 0, PAGE, writable=True)
    held.take(FILES[1], 0, PAGE, writable=True)
    for _ in range(2):
        with pytest.raises(OSError, match="budget") as raised:
            held.take(FILES[2], 0, PAGE, writable=True)
        assert raised.value.errno == ENOSPC
    check(held, 2)
    assert len(parts.added) == 2
    assert FILES[2].key not in held._by_file
    assert held.take_left() == []


@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_ranges(seed: int) -> None:
    """No more is held than has a range, but for two; what is left is what is not held."""
    chance = random.Random(seed)
    parts = Parts()
    held = holding(parts, address_space=5 * UNIT, mappings=6)
    taken: list[Any] = []
    left: list[Any] = []
    for _ in range(200):
        if chance.random() < 0.55:
            start = chance.randrange(4 * UNIT // PAGE - 8) * PAGE
            end = start + chance.randint(1, 8) * PAGE
            try:
                part = held.take(chance.choice(FILES), start, end, writable=True)
            except OSError:
                continue
            assert part.holds(start, end, writable=True)
            taken.append(part)
        elif taken:
            held.release([taken.pop(chance.randrange(len(taken)))])
        left += held.take_left()
        assert set(map(id, taken)) <= set(map(id, held._ranges))
        assert len(held._ranges) <= len(set(map(id, taken))) + 2
        assert held.address_space <= 5 * UNIT
        check(held, len(held._ranges))
        for part in parts.known:
            part_left = sum(each is part for each in left)
            assert part.users - part_left == (part in held._ranges)
