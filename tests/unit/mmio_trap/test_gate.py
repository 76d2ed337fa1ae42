"""Many users or one change, never both."""

from __future__ import annotations

import threading

from mmio_trap.gate import Gate

PATIENCE_S = 30.0


def test_users_share_it() -> None:
    gate = Gate()
    with gate, gate:
        assert gate.enter()
        gate.__exit__()
        assert not gate.changing


def test_nobody_enters_during_a_change() -> None:
    gate = Gate()
    with gate.change():
        assert gate.changing
        assert not gate.enter(0.001)
    assert not gate.changing
    assert gate.enter(0)
    gate.__exit__()
    with gate.change():
        assert gate.changing, "who was turned away is no user"


def test_a_change_that_fails_is_over() -> None:
    gate = Gate()
    try:
        with gate.change():
            raise ValueError
    except ValueError:
        assert not gate.changing
    assert gate.enter(0)


def test_a_change_waits_for_every_user_and_lets_no_new_one_in() -> None:
    gate = Gate()
    done: list[str] = []

    def change() -> None:
        with gate.change():
            done.append("changed")

    gate.enter()
    gate.enter()
    changer = threading.Thread(target=change, daemon=True)
    changer.start()
    while not gate.changing:
        pass
    assert not gate.enter(0.001)
    gate.__exit__()
    changer.join(0.01)
    assert done == []
    gate.__exit__()
    changer.join(PATIENCE_S)
    assert done == ["changed"]


def test_changes_come_one_after_the_other() -> None:
    gate = Gate()
    inside: list[int] = []
    most: list[int] = []

    def change() -> None:
        for _ in range(50):
            with gate.change():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    changers = [threading.Thread(target=change, daemon=True) for _ in range(3)]
    with gate:
        for each in changers:
            each.start()
    for each in changers:
        each.join(PATIENCE_S)
    assert most == [1] * 150
