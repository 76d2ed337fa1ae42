"""Weighted time slices to the nanosecond: what is charged, who is waited for, what is remembered.

Virtual time is told in ns divided by weight.
"""

from __future__ import annotations

import pytest

from scheduler.policies.timeslice import Account, Timeslice
from scheduler.policy import Idle, Slice

SLICE = 16_000_000
LONGEST_PAUSE = 50_000_000
TOLERATED = SLICE // 8


def policy(*weights: int) -> Timeslice:
    made = Timeslice()
    for vgpu, weight in enumerate(weights):
        made.add(vgpu, weight, 0)
    return made


def virtual(made: Timeslice, vgpu: int) -> float:
    return made.accounts[vgpu].virtual / (1 << 20)


@pytest.mark.parametrize(
    ("left", "now", "before", "after"),
    [
        (None, 500, 1000, 1000),
        (100, 500, 1000, 850),
        (100, 500, 0, 100),
        (100, 100, 1000, 750),
        (500, 100, 1000, 750),
        (0, 4 * LONGEST_PAUSE, 0, LONGEST_PAUSE),
        (0, 40 * LONGEST_PAUSE, 0, LONGEST_PAUSE),
    ],
)
def test_a_pause_is_a_quarter_of_the_mean(
    left: int | None, now: int, before: int, after: int
) -> None:
    account = Account(1, 0, left_ns=left, pause_ns=before)
    account.note_return(now)
    assert (account.pause_ns, account.left_ns) == (after, None)


def test_time_is_divided_by_the_weight() -> None:
    account = Account(3, 5)
    account.spend(7)
    assert account.virtual == 5 + (7 << 20) // 3


@pytest.mark.parametrize(
    ("charges", "came", "charged", "floor"),
    [
        ([5], 0, 5, 0),  # another waits from the beginning
        ([8], 0, 8, 0),
        ([10], 0, 11, 0),  # two slices too many, charged half as much again
        ([6, 6], 0, 14, 0),
        ([2, 2, 2, 2, 2], 0, 11, 0),
        ([20], 0, 26, 0),
        ([10], 9, 10.5, 9),  # nine of them nobody wanted
        ([10], 10, 10, 10),
        ([10], None, 10, 10),
        ([12], 3, 14, 3),
        ([20], 12, 24, 12),
    ],
)
@pytest.mark.parametrize("weight", [1, 4])
def test_what_a_turn_costs(
    charges: list[int], came: int | None, charged: float, floor: int, weight: int
) -> None:
    """In slices: ``came`` is when another had work, ``floor`` where who comes from idle begins."""
    made = policy(weight, 1)
    assert made.pick([0], 0) == Slice(0, SLICE)
    now = 0
    if came is not None:
        made.arrive(1, came * SLICE)
    for used in charges:
        now += used * SLICE
        made.charge(0, used * SLICE, now)
    assert virtual(made, 0) == charged * SLICE / weight
    assert made.virtual / (1 << 20) == floor * SLICE / weight


def test_the_first_who_comes_ends_what_is_free() -> None:
    made = policy(1, 1, 1)
    made.pick([0], 0)
    made.arrive(0, 1 * SLICE)
    made.arrive(1, 2 * SLICE)
    made.arrive(2, 3 * SLICE)
    made.charge(0, 5 * SLICE, 5 * SLICE)
    assert made.virtual / (1 << 20) == 2 * SLICE
    made.pick([0], 5 * SLICE)
    made.charge(0, SLICE, 6 * SLICE)
    assert made.virtual / (1 << 20) == 6 * SLICE, "they have left: all of it is free again"


def test_time_before_the_charge_is_the_most_that_is_free() -> None:
    """A clock that says that work came later than now."""
    made = policy(1, 1)
    made.pick([0], 0)
    made.arrive(1, 9 * SLICE)
    made.charge(0, SLICE, 2 * SLICE)
    assert made.virtual / (1 << 20) == SLICE


def waiting(used: int, weight: int = 1, pause: int = 0) -> tuple[Timeslice, int]:
    """vGPU 0 had a turn of ``used`` while 1 waited, which then had one ns and left; the time."""
    made = policy(1, weight)
    made.pick([0, 1], 0)
    made.charge(0, used, used)
    made.pick([0, 1], used)
    made.charge(1, 1, used + 1)
    made.accounts[1].pause_ns = pause
    return made, used + 1


@pytest.mark.parametrize(
    ("used", "patience"),
    [
        (2 * TOLERATED, TOLERATED - 1),  # half of what it is behind
        (2 * TOLERATED + 10, TOLERATED),
        (SLICE + TOLERATED, TOLERATED),
        (SLICE + TOLERATED + 1, SLICE + TOLERATED),  # it overran: all that it is behind
        (LONGEST_PAUSE, LONGEST_PAUSE - 1),
        (LONGEST_PAUSE + 9, LONGEST_PAUSE),
    ],
)
def test_how_long_somebody_is_waited_for(used: int, patience: int) -> None:
    made, now = waiting(used)
    assert made.pick([0], now) == Idle(now + patience, 1)
    assert made.kept == (1, now)
    assert made.pick([0], now + patience - 1) == Idle(now + patience, 1)
    assert made.kept == (1, now), "since the first look"
    assert made.pick([0], now + patience) == Slice(0, SLICE)
    assert made.kept is None


@pytest.mark.parametrize(("pause", "waits"), [(LONGEST_PAUSE, True), (LONGEST_PAUSE + 1, False)])
def test_who_is_known_to_stay_away_longer_is_not_waited_for(pause: int, waits: bool) -> None:
    made, now = waiting(4 * LONGEST_PAUSE, pause=pause)
    assert (made.pick([0], now) == Slice(0, SLICE)) is not waits


def test_what_it_is_behind_counts_by_its_weight() -> None:
    made, now = waiting(SLICE + TOLERATED + 1, weight=2)
    assert made.pick([0], now) == Idle(now + 2 * (SLICE + TOLERATED + 1) - 1, 1)


def test_who_is_as_far_is_not_waited_for() -> None:
    made = policy(1, 1)
    for _ in range(2):
        choice = made.pick([0, 1], 0)
        assert isinstance(choice, Slice)
        made.charge(choice.vgpu, 2 * SLICE, 0)
    assert made.pick([0], 0) == Slice(0, SLICE)


def test_of_several_who_left_the_one_furthest_behind_is_waited_for() -> None:
    made = policy(1, 1, 1)
    made.pick([0, 1, 2], 0)
    made.charge(0, 3 * SLICE, 0)
    for vgpu, used in ((1, 2 * TOLERATED), (2, TOLERATED)):
        assert made.pick([0, 1, 2], 0) == Slice(vgpu, SLICE)
        made.charge(vgpu, used, 0)
    choice = made.pick([0], 0)
    assert isinstance(choice, Idle)
    assert choice.kept_for == 2
    made.arrive(2, 7)
    assert made.kept is None
    assert virtual(made, 2) == TOLERATED + 7, "the time for which the GPU was kept is its own"
    made.arrive(1, 9)
    assert virtual(made, 1) == 2 * TOLERATED


def test_the_one_who_is_kept_for_changes() -> None:
    """2 left first and is furthest behind; when it has not come, 1, which left later, is next."""
    made = policy(1, 1, 1)
    made.pick([0, 1, 2], 0)
    made.charge(0, 3 * SLICE, 0)
    made.pick([0, 1, 2], 0)
    made.charge(1, SLICE, 0)
    assert made.pick([0, 1], 5) == Idle(5 + TOLERATED, 2)
    assert made.pick([0, 1], 2 * SLICE) == Slice(1, SLICE)
    later = 5 * SLICE // 2
    assert made.pick([0], later) == Idle(5 + 3 * SLICE, 2)
    assert made.kept == (2, later)
    assert made.pick([0], 5 + 3 * SLICE) == Idle(later + 2 * SLICE, 1)
    assert made.kept == (1, 5 + 3 * SLICE)
    made.remove(2)
    assert made.kept == (1, 5 + 3 * SLICE)
    made.remove(1)
    assert made.kept is None


def test_who_is_removed_is_forgotten_but_for_its_debt() -> None:
    made = policy(1, 1, 1)
    made.pick([0, 1], 0)
    made.charge(0, SLICE, 0)
    made.arrive(2, 0)
    made.remove(2)
    made.remove(0)
    assert made.pick([1], 0) == Slice(1, SLICE)
    assert made.pick([], 3) is None
    assert made.accounts[1].left_ns == 3
    made.remove(1)
    for vgpu in (0, 1, 2):
        made.add(vgpu, 2, 0)
        account = made.accounts[vgpu]
        assert (account.weight, account.left_ns, account.turn) == (2, None, made.turns)
    assert [virtual(made, vgpu) for vgpu in (0, 1, 2)] == [SLICE, 0, 0]
    assert made.departed == {}


def test_of_two_that_are_as_far_the_one_that_waited_longer_goes_first() -> None:
    made = policy(1, 1, 1)
    assert made.pick([1], 0) == Slice(1, SLICE)
    assert made.pick([0, 1, 2], 0) == Slice(0, SLICE)
    assert made.pick([0, 1, 2], 0) == Slice(2, SLICE)
    assert made.pick([0, 1, 2], 0) == Slice(1, SLICE)
    assert [made.accounts[vgpu].turn for vgpu in (0, 1, 2)] == [2, 4, 3]
    made.accounts[1].used_ns = 5
    made.pick([1], 0)
    assert made.accounts[1].used_ns == 0
