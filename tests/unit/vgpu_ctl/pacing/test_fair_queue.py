"""A fair queue: who has used least is next, by user and then by process."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpu_ctl.pacing.fair_queue import MOST_KNOWN, FairQueue, Party

MALLORY, OPERATOR = 1000, 1001
FEW = st.integers(0, 3)
STEPS = st.lists(st.tuples(st.sampled_from(["push", "pop"]), FEW, FEW, st.floats(0, 2)))


def serve(queue: FairQueue[int], cost: float = 1.0) -> Party:
    """Whose turn it was."""
    party, _ = queue.pop()
    queue.charge(party, cost)
    return party


def test_one_party_is_served_in_order() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(5):
        queue.push(Party(1, 1), number)
    assert [queue.pop()[1] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(IndexError):
        queue.pop()


def test_a_newcomer_is_next_however_many_wait() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(60):
        for _ in range(20):
            queue.push(Party(MALLORY, number), number)
    for _ in range(100):
        serve(queue)
    queue.push(Party(OPERATOR, 1), 0)
    assert serve(queue) == (OPERATOR, 1)
    queue.push(Party(MALLORY, 99), 0)
    served = [serve(queue) for _ in range(1 + 60)]
    assert (MALLORY, 99) in served  # among its like, whose use differs by one turn


def test_users_share_alike_however_many_processes_they_have() -> None:
    queue: FairQueue[int] = FairQueue()
    for process in range(50):
        for _ in range(100):
            queue.push(Party(MALLORY, process), 0)
    for _ in range(200):
        queue.push(Party(OPERATOR, 1), 0)
    served = Counter(serve(queue).user for _ in range(200))
    assert abs(served[MALLORY] - served[OPERATOR]) <= 1


def test_who_costs_more_has_fewer_turns() -> None:
    queue: FairQueue[int] = FairQueue()
    costs = {Party(1, 1): 3.0, Party(1, 2): 1.0}
    for party in costs:
        for _ in range(100):
            queue.push(party, 0)
    turns: Counter[Party] = Counter()
    for _ in range(80):
        party, _ = queue.pop()
        queue.charge(party, costs[party])
        turns[party] += 1
    assert turns[Party(1, 2)] / turns[Party(1, 1)] == pytest.approx(3, rel=0.1)


def test_who_was_away_has_saved_nothing_up() -> None:
    queue: FairQueue[int] = FairQueue()
    for _ in range(300):
        queue.push(Party(1, 1), 0)
    for _ in range(100):
        serve(queue)
    for _ in range(100):
        queue.push(Party(2, 2), 0)
    served = Counter(serve(queue).user for _ in range(100))
    assert abs(served[1] - served[2]) <= 1


def test_parties_that_left_are_forgotten() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.push(Party(0, 0), 0)
    for number in range(3 * MOST_KNOWN):
        for party in (Party(0, number), Party(number, 0)):
            queue.push(party, number)
            serve(queue)
    assert len(queue._users.used) <= MOST_KNOWN + 1
    assert len(queue._processes) <= MOST_KNOWN + 2
    assert all(len(level.used) <= MOST_KNOWN + 1 for level in queue._processes.values())
    assert len(queue) == 1
    queue.pop()


@given(STEPS)
def test_all_that_waits_is_served_once(steps: list[tuple[str, int, int, float]]) -> None:
    queue: FairQueue[int] = FairQueue()
    waiting: dict[int, Party] = {}
    for number, (what, user, process, cost) in enumerate(steps):
        if what == "push":
            waiting[number] = Party(user, process)
            queue.push(waiting[number], number)
        elif waiting:
            party, item = queue.pop()
            assert waiting.pop(item) == party
            queue.charge(party, cost)
        assert len(queue) == len(waiting)
    while waiting:
        party, item = queue.pop()
        assert waiting.pop(item) == party
