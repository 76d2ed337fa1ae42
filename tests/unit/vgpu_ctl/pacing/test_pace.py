"""A pace: never more than its share and its burst, whatever the work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgpu_ctl.pacing.pace import Pace

SHARE, BURST = 0.05, 0.2
WORK = st.tuples(st.floats(0, 0.1), st.floats(0, 3.0))
"""Processor time of a piece, and how long nothing is asked for after it."""


def test_a_burst_is_free_and_then_there_is_rest() -> None:
    pace = Pace(SHARE, BURST)
    assert pace.rest(100.0) == 0
    pace.charge(BURST, 100.0)
    assert pace.rest(100.0) == 0
    pace.charge(0.01, 100.0)
    assert pace.rest(100.0) == pytest.approx(0.01 / SHARE)
    assert pace.rest(100.1) == pytest.approx(0.1)
    assert pace.rest(100.2) == pytest.approx(0.0)


def test_savings_end_with_the_burst() -> None:
    pace = Pace(SHARE, BURST)
    pace.charge(BURST, 0.0)
    pace.charge(BURST, 1e6)
    pace.charge(0.001, 1e6)
    assert pace.rest(1e6) == pytest.approx(0.001 / SHARE)


@given(st.lists(WORK, max_size=40))
def test_no_span_has_more_than_share_and_burst(pieces: list[tuple[float, float]]) -> None:
    """But for the rest of the piece that had begun."""
    pace, now, done = Pace(SHARE, BURST), 0.0, []
    for cost, idle in pieces:
        now += pace.rest(now)
        done.append((now, cost))
        now += cost  # of one processor that does nothing else
        pace.charge(cost, now)
        now += idle
    for first in range(len(done)):
        for last in range(first, len(done)):
            span = done[last][0] - done[first][0]
            taken = sum(cost for _, cost in done[first:last])
            assert taken <= SHARE * span + BURST + 1e-6


@given(st.lists(st.floats(1e-5, 0.1), min_size=1, max_size=40))
def test_all_of_the_share_is_given(costs: list[float]) -> None:
    pace, now = Pace(SHARE, BURST), 0.0
    for cost in costs:
        now += pace.rest(now)
        pace.charge(cost, now)
    assert now <= sum(costs) / SHARE
