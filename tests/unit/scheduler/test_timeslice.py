"""Weighted time slices: shares, debt, idleness."""

from __future__ import annotations

import pytest

from scheduler.policies.timeslice import SLICE_NS, Timeslice
from scheduler.policy import Slice
from scheduler.simulator import Client, Request, simulate

MS = 1_000_000
SECOND = 1_000 * MS
BUSY = (Request(5 * MS),)


def policy(*weights: int) -> Timeslice:
    """A policy with vGPUs 0, 1, ... of these weights."""
    made = Timeslice()
    for vgpu, weight in enumerate(weights):
        made.add(vgpu, weight, 0)
    return made


def picked(made: Timeslice, *ready: int) -> int:
    """Who is next."""
    choice = made.pick(ready, 0)
    assert choice is not None
    return choice.vgpu


def test_a_slice_is_one_frame() -> None:
    assert policy(1).pick([0], 0) == Slice(0, 16 * MS)


def test_nobody_is_picked_without_work() -> None:
    assert policy(1, 1).pick([], 0) is None


def test_equal_weights_take_turns() -> None:
    made = policy(1, 1, 1)
    order = []
    for _ in range(6):
        vgpu = picked(made, 0, 1, 2)
        made.charge(vgpu, SLICE_NS, 0)
        order.append(vgpu)
    assert order == [0, 1, 2, 0, 1, 2]


def test_who_overran_waits_until_the_others_have_caught_up() -> None:
    made = policy(1, 1)
    assert picked(made, 0, 1) == 0
    made.charge(0, 10 * SLICE_NS, 0)
    for _ in range(10):
        assert picked(made, 0, 1) == 1
        made.charge(1, SLICE_NS, 0)
    assert picked(made, 0, 1) == 0


def test_debt_outlives_a_pause() -> None:
    made = policy(1, 1)
    assert picked(made, 0, 1) == 0
    made.charge(0, 10 * SLICE_NS, 0)
    assert picked(made, 1) == 1
    made.charge(1, SLICE_NS, 0)
    for _ in range(9):
        assert picked(made, 0, 1) == 1
        made.charge(1, SLICE_NS, 0)
    assert picked(made, 0, 1) == 0


def test_idleness_earns_no_credit() -> None:
    made = policy(1, 1)
    for _ in range(100):
        assert picked(made, 1) == 1
        made.charge(1, SLICE_NS, 0)
    assert picked(made, 0, 1) == 0
    made.charge(0, SLICE_NS, 0)
    order = []
    for _ in range(4):
        order.append(picked(made, 0, 1))
        made.charge(order[-1], SLICE_NS, 0)
    assert sorted(order) == [0, 0, 1, 1]


@pytest.mark.parametrize("still_busy", [True, False])
def test_time_that_nobody_else_wanted_is_no_debt(still_busy: bool) -> None:
    """Alone, a vGPU may have a turn of any length; nobody may claim as much afterwards."""
    made = policy(1, 1)
    assert picked(made, 0) == 0
    made.charge(0, 1_000 * SLICE_NS, 0)
    assert picked(made, 1, *([0] if still_busy else [])) == 1
    made.charge(1, SLICE_NS, 0)
    order = []
    for _ in range(4):
        order.append(picked(made, 0, 1))
        made.charge(order[-1], SLICE_NS, 0)
    assert order == [0, 1, 0, 1]


def test_a_new_vgpu_starts_with_the_others() -> None:
    made = policy(1)
    for _ in range(100):
        assert picked(made, 0) == 0
        made.charge(0, SLICE_NS, 0)
    made.add(1, 1, 0)
    order = []
    for _ in range(6):
        order.append(picked(made, 0, 1))
        made.charge(order[-1], SLICE_NS, 0)
    assert order.count(1) == 3


def test_weights_count_from_when_they_are_set() -> None:
    made = policy(1, 1)
    made.set_weight(1, 3)
    order = []
    for _ in range(40):
        order.append(picked(made, 0, 1))
        made.charge(order[-1], SLICE_NS, 0)
    assert order.count(1) == 30


def test_a_removed_vgpu_is_forgotten() -> None:
    made = policy(1, 1)
    assert picked(made, 0, 1) == 0
    made.charge(0, 100 * SLICE_NS, 0)
    made.remove(0)
    made.add(0, 1, 0)
    assert picked(made, 1, 0) == 1
    made.charge(1, SLICE_NS, 0)
    assert picked(made, 1, 0) == 0


def test_short_against_long_requests_that_cannot_be_stopped() -> None:
    """FairGV's measure: the least weighted share is 0.97 of the greatest or more."""
    clients = {
        0: Client(1, (Request(MS, preemptible=False),)),
        1: Client(1, (Request(97 * MS, preemptible=False),)),
        2: Client(4, (Request(7 * MS, preemptible=False), Request(MS // 10, preemptible=False))),
        3: Client(2, (Request(40 * MS),)),
    }
    trace = simulate(Timeslice(), clients, 60 * SECOND)
    shares = [trace.used(vgpu) / client.weight for vgpu, client in clients.items()]
    assert min(shares) / max(shares) >= 0.97


def test_an_occasional_request_beside_a_busy_guest_waits_a_slice_at_most() -> None:
    clients = {0: Client(1, BUSY), 1: Client(1, (Request(MS, pause_ns=33 * MS),))}
    trace = simulate(Timeslice(), clients, 10 * SECOND)
    assert max(trace.waits[1]) <= SLICE_NS


def test_an_idle_second_guest_costs_the_first_nothing() -> None:
    """GVT-g lost four fifths of a guest's frames beside an idle one (gvt-linux issue 187)."""
    clients = {0: Client(1, BUSY), 1: Client(15, (Request(1, pause_ns=SECOND),))}
    trace = simulate(Timeslice(), clients, 10 * SECOND)
    assert trace.used(0) >= 10 * SECOND - 100


def test_what_it_refuses() -> None:
    made = policy(1)
    with pytest.raises(ValueError, match="weight 0: 1 is the least"):
        made.add(1, 0, 0)
    with pytest.raises(ValueError, match="weight -1"):
        made.set_weight(0, -1)
    with pytest.raises(ValueError, match="vGPU 0 is there already"):
        made.add(0, 1, 0)
    with pytest.raises(ValueError, match="slice of 0 ns"):
        Timeslice(0)
    for call in (made.remove, lambda vgpu: made.arrive(vgpu, 0), lambda v: made.charge(v, 1, 0)):
        with pytest.raises(KeyError):
            call(7)
