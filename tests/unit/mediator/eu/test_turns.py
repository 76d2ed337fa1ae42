"""Whose turn it is: who has used least, and who comes back begins where the others are."""

from __future__ import annotations

from mediator.softgpu.eu.translator.turns import Turns


def test_who_has_used_the_same_takes_turns() -> None:
    turns: Turns[int] = Turns()
    for number in range(3):
        turns.add("a", number)
    turns.add("b", 9)
    assert turns.waiting("a") == 3
    assert [turns.take() for _ in range(4)] == [("a", 0), ("b", 9), ("a", 1), ("a", 2)]
    assert not turns
    assert (turns.waiting("a"), turns.waiting("c")) == (0, 0)


def test_who_has_used_less_is_next() -> None:
    turns: Turns[int] = Turns()
    for number in range(4):
        turns.add("long", number)
        turns.add("short", number)
    found = []
    while turns:
        owner, _ = turns.take()
        found.append(owner)
        turns.charge(owner, 5 if owner == "long" else 2)
    assert found == ["long", "short", "short", "short", "long", "short", "long", "long"]


def test_who_was_away_has_saved_nothing_up() -> None:
    turns: Turns[int] = Turns()
    turns.add("away", 0)
    turns.take()
    for _ in range(100):
        turns.add("busy", 0)
        turns.take()
        turns.charge("busy", 1)
    for _ in range(3):
        turns.add("away", 1)
        turns.add("busy", 1)
    found = []
    while turns:
        owner, _ = turns.take()
        found.append(owner)
        turns.charge(owner, 1)
    assert found == ["away", "busy"] * 3


def test_owners_who_are_gone_are_forgotten() -> None:
    turns: Turns[int] = Turns()
    for number in range(5000):
        turns.add(number, 0)
        turns.take()
        turns.charge(number, 1)
    turns.add("here", 0)
    for number in range(5000):
        turns.charge(number, 1)
    assert len(turns._used) < 2000
    assert turns.take() == ("here", 0)
