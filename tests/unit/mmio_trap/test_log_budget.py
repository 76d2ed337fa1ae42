"""How many lines a log has room for."""

from __future__ import annotations

from mmio_trap.log_budget import LogBudget

SECOND = 1_000_000_000


def test_a_burst_and_then_so_many_a_second() -> None:
    now = [5 * SECOND]
    budget = LogBudget(lambda: now[0], burst=10, per_second=4)
    assert [budget.take() for _ in range(12)] == [True] * 10 + [False] * 2
    assert budget.take_left_out() == 2
    assert budget.take_left_out() == 0
    taken = 0
    for _ in range(100):
        now[0] += SECOND // 10
        taken += budget.take()
    assert taken in (39, 40, 41)


def test_what_was_saved_is_a_burst_and_no_more() -> None:
    now = [0]
    budget = LogBudget(lambda: now[0], burst=3, per_second=1)
    now[0] = 1000 * SECOND
    assert [budget.take() for _ in range(5)] == [True] * 3 + [False] * 2
