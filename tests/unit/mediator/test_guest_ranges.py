"""Ranges of guest memory, against a set of pages."""

from __future__ import annotations

import random

import pytest

from mediator.translation.guest_ranges import GuestRanges

PAGE = 4096


@pytest.mark.parametrize(
    "ranges",
    [
        [(4, 2), (6, 2)],
        [(6, 2), (4, 2)],
        [(4, 2), (7, 2)],
        [(4, 1), (5, 1), (6, 1)],
        [(0, 1), (2, 1), (4, 1)],
        [],
    ],
    ids=["touch", "touch, other way round", "a page between", "three", "apart", "none"],
)
def test_what_has_been_there_since_the_mark(ranges: list[tuple[int, int]]) -> None:
    there = GuestRanges()
    for first, count in ranges:
        there.add(first * PAGE, count * PAGE)
    there.mark()
    pages = {page for first, count in ranges for page in range(first, first + count)}
    assert there.since_mark(list(range(12))) == sorted(pages)


def test_a_range_in_a_larger_one_does_not_shorten_it() -> None:
    """The large one goes, and small ones come in its place."""
    there = GuestRanges()
    there.add(2 * PAGE, 6 * PAGE)
    there.mark()
    there.remove([(2 * PAGE, 6 * PAGE)])
    there.add(2 * PAGE, PAGE)
    there.add(5 * PAGE, PAGE)
    assert there.since_mark(list(range(12))) == [2, 3, 4, 5, 6, 7]
    assert there.all() == [(2 * PAGE, PAGE), (5 * PAGE, PAGE)]


def test_ranges_that_come_and_go_are_a_set_of_pages() -> None:
    chance = random.Random(4)
    for _ in range(200):
        there, now, seen = GuestRanges(), dict[int, int](), set[int]()
        marked = False
        for _ in range(12):
            if now and chance.random() < 0.3:
                first = chance.choice(list(now))
                there.remove([(first * PAGE, now.pop(first) * PAGE)])
            first, count = chance.randrange(20), chance.randrange(1, 5)
            taken = {page for start, size in now.items() for page in range(start, start + size)}
            if not taken & set(range(first, first + count)):
                there.add(first * PAGE, count * PAGE)
                now[first] = count
            if not marked and chance.random() < 0.3:
                there.mark()
                marked = True
                seen = set()
            seen |= {page for start, size in now.items() for page in range(start, start + size)}
        assert there.since_mark(list(range(26))) == (sorted(seen) if marked else [])


def test_without_a_mark_nothing_is_remembered() -> None:
    there = GuestRanges()
    there.add(0, PAGE)
    assert there.since_mark([0]) == []
    there.mark()
    assert there.since_mark([0]) == [0]
    there.forget_mark()
    assert there.since_mark([0]) == []
    with pytest.raises(KeyError):
        there.remove([(PAGE, PAGE)])
