"""A bounded room for several owners: nobody pushes out who keeps less."""

from __future__ import annotations

from mediator.softgpu.eu.dispatch.fair_store import FairStore


def test_each_owner_has_its_own() -> None:
    store: FairStore[int, str] = FairStore(10, 100)
    store.put("a", 1, "of a")
    store.put("b", 1, "of b")
    assert (store.get("a", 1), store.get("b", 1), store.get("c", 1)) == ("of a", "of b", None)
    assert store.pop("a", 1) == "of a"
    assert (store.pop("a", 1), store.get("b", 1), len(store)) == (None, "of b", 1)


def test_what_was_used_longest_ago_goes_first() -> None:
    store: FairStore[int, int] = FairStore(3, 100)
    for key in range(3):
        store.put("a", key, key)
    store.get("a", 0)
    store.put("a", 3, 3)
    assert [store.get("a", key) for key in range(4)] == [0, None, 2, 3]


def test_a_value_in_place_of_another_takes_its_room() -> None:
    store: FairStore[int, int] = FairStore(2, 10)
    for value in range(5):
        store.put("a", 1, value, 6)
    store.put("a", 2, 2, 4)
    assert (store.get("a", 1), store.get("a", 2), len(store)) == (4, 2, 2)


def test_a_flood_of_small_things_pushes_out_its_own() -> None:
    store: FairStore[int, int] = FairStore(8, 1000)
    for key in range(3):
        store.put("honest", key, key)
    for key in range(100):
        store.put("enemy", key, key)
    assert [store.get("honest", key) for key in range(3)] == [0, 1, 2]
    assert len(store) == 8


def test_a_flood_of_large_things_pushes_out_its_own() -> None:
    store: FairStore[int, int] = FairStore(1000, 100)
    for key in range(3):
        store.put("honest", key, key, 10)
    for key in range(20):
        store.put("enemy", key, key, 25)
    assert [store.get("honest", key) for key in range(3)] == [0, 1, 2]
    assert [key for key in range(20) if store.get("enemy", key) is not None] == [18, 19]


def test_what_has_just_come_stays() -> None:
    """However large: others give way then, who have most first."""
    store: FairStore[int, int] = FairStore(10, 100)
    for owner, weight in (("a", 30), ("b", 40), ("c", 5)):
        store.put(owner, 0, 0, weight)
    store.put("d", 0, 0, 60)
    assert [owner for owner in "abcd" if store.get(owner, 0) is not None] == ["a", "c", "d"]
    store.put("e", 0, 0, 1000)
    assert [owner for owner in "abcde" if store.get(owner, 0) is not None] == ["e"]


def test_one_owner_has_a_limit_of_its_own() -> None:
    store: FairStore[int, int] = FairStore(1000, 100, 25)
    for key in range(10):
        store.put("a", key, key, 10)
    assert [key for key in range(10) if store.get("a", key) is not None] == [8, 9]
    store.put("b", 0, 0, 25)
    store.put("c", 0, 0, 90)
    assert (store.get("b", 0), store.get("c", 0)) == (None, 0)
    for key in range(10):
        store.put("c", key, key, 12)
    assert [key for key in range(10) if store.get("c", key) is not None] == [8, 9]
