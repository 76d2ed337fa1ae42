"""Turns between engines' threads."""

from __future__ import annotations

import threading
import time

from mediator.softgpu.turn import Turn


def wait_for(turn: Turn, waiting: int) -> None:
    deadline = time.monotonic() + 10
    while len(turn.waiting) < waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(turn.waiting) == waiting


def test_turns_are_given_in_the_order_of_asking() -> None:
    turn = Turn()
    taken: list[int] = []

    def work(number: int) -> None:
        for _ in range(2):
            with turn:
                wait_for(turn, min(3, 7 - len(taken)))
                taken.append(number)

    with turn:
        threads = []
        for number in range(3):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            wait_for(turn, number + 1)
        again = threading.Thread(target=work, args=(3,))
        again.start()
        wait_for(turn, 4)
    for thread in [*threads, again]:
        thread.join(10)
    assert taken == [0, 1, 2, 3, 0, 1, 2, 3]


def test_aside_lets_others_in_and_comes_back() -> None:
    turn = Turn()
    seen: list[str] = []

    def other() -> None:
        with turn:
            seen.append("other")

    with turn:
        thread = threading.Thread(target=other)
        thread.start()
        with turn.aside():
            thread.join(10)
        seen.append("mine")
    assert seen == ["other", "mine"]
    with turn:
        pass
