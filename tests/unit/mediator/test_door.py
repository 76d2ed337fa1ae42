"""The lock of a vGPU: who waits is next, whatever its holder does."""

from __future__ import annotations

import threading
from contextlib import suppress

from mediator.vgpu.door import Door

PATIENCE_S = 30.0


def ask(door: Door, inside: list[str], name: str) -> threading.Thread:
    """A thread that goes in once, and is waiting by now."""

    def go_in() -> None:
        with door:
            inside.append(name)

    thread = threading.Thread(target=go_in)
    thread.start()
    while not door.wanted:
        assert thread.is_alive()
    return thread


def test_who_waits_comes_before_who_was_inside() -> None:
    """A plain lock that is taken again at once is had by the same thread nearly always."""
    door, inside = Door(), list[str]()
    for _ in range(200):
        with door:
            thread = ask(door, inside, "waiter")
        with door:
            inside.append("holder")
        thread.join(PATIENCE_S)
    assert inside == ["waiter", "holder"] * 200


def test_it_can_be_entered_again_while_somebody_waits() -> None:
    door, inside = Door(), list[str]()
    with door:
        with door:
            thread = ask(door, inside, "waiter")
            with door:
                inside.append("deep")
            inside.append("less deep")
        inside.append("outermost")
    thread.join(PATIENCE_S)
    assert inside == ["deep", "less deep", "outermost", "waiter"]
    assert not door.wanted


def test_an_error_inside_lets_go_of_it() -> None:
    door, inside, threads = Door(), list[str](), list[threading.Thread]()
    with suppress(ValueError), door:
        threads.append(ask(door, inside, "waiter"))
        with suppress(KeyError), door:
            raise KeyError
        assert not inside
        raise ValueError
    (thread,) = threads
    thread.join(PATIENCE_S)
    assert inside == ["waiter"]


def test_nobody_is_inside_with_another() -> None:
    door, threads = Door(), []
    inside = 0
    most = 0

    def come_and_go() -> None:
        nonlocal inside, most
        for _ in range(2000):
            with door, door:
                inside += 1
                most = max(most, inside)
                inside -= 1

    for _ in range(4):
        threads.append(threading.Thread(target=come_and_go))
        threads[-1].start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert (inside, most) == (0, 1)
