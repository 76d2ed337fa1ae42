"""Who makes room: nobody can take all places."""

from __future__ import annotations

from dataclasses import dataclass

from vgpu_ctl.pacing.fair_queue import Party
from vgpu_ctl.pacing.places import FEW, IDLE_S, who_makes_room

NOW = 100.0
MALLORY, OTHER = 1000, 1001


@dataclass(eq=False)
class Tenant:
    """Who has a place."""

    party: Party
    idle_since: float = NOW
    at_work: bool = False
    is_busy: bool = True


def taken(*counts: tuple[int, int, int]) -> list[Tenant]:
    """So many places each: user, process, count."""
    return [Tenant(Party(u, p)) for u, p, count in counts for _ in range(count)]


def leaver(places: list[Tenant], party: Party) -> Tenant | None:
    found = who_makes_room(places, party, NOW)
    return found and found[0]


def test_the_longest_idle_goes_first() -> None:
    places = taken((0, 1, 3))
    for place, since in zip(places, (NOW - IDLE_S - 1, NOW - IDLE_S - 2, NOW - 1), strict=True):
        place.is_busy, place.idle_since = False, since
    assert leaver(places, Party(0, 1)) is places[1]


def test_a_user_with_few_gets_the_place_of_one_with_many() -> None:
    places = taken((MALLORY, 1, 60), (OTHER, 2, FEW))
    found = who_makes_room(places, Party(OTHER, 3), NOW)
    assert found is not None
    assert found[0].party.user == MALLORY
    assert found[1] == "user 1000 has 60 of 64 places"


def test_a_user_with_many_gets_no_more() -> None:
    places = taken((MALLORY, 1, 32), (OTHER, 2, 32))
    assert leaver(places, Party(MALLORY, 1)) is None
    found = leaver(places, Party(MALLORY, 3))  # another process of this user gets one of its own
    assert found is not None
    assert found.party == (MALLORY, 1)


def test_a_process_of_the_same_user_gets_the_place_of_one_with_many() -> None:
    places = taken((0, 1, 60), (0, 2, 4))
    found = who_makes_room(places, Party(0, 3), NOW)
    assert found is not None
    assert (found[0].party, found[1]) == (Party(0, 1), "process 1 has 60 of 64 places")


def test_those_with_few_are_left_alone() -> None:
    places = taken(*((user, user, FEW) for user in range(1000, 1016)))
    assert leaver(places, Party(2000, 1)) is None
    assert leaver(taken(*((0, pid, FEW) for pid in range(16))), Party(0, 99)) is None


def test_root_is_let_in_beside_any_number_of_users() -> None:
    places = taken(*((user, user, 1) for user in range(1000, 1064)))
    assert leaver(places, Party(0, 1)) is not None
    assert leaver([*places[FEW:], *taken((0, 1, FEW))], Party(0, 1)) is None


def test_nobody_is_ended_in_the_middle_of_a_change() -> None:
    places = taken((MALLORY, 1, 8))
    for place in places[:-1]:
        place.at_work = True
    assert leaver(places, Party(OTHER, 2)) is places[-1]
    places[-1].at_work = True
    assert leaver(places, Party(OTHER, 2)) is None
