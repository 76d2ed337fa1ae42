"""Weighted time slices: shares, debt, idleness."""

from __future__ import annotations

import pytest

from scheduler.policies.timeslice import LONGEST_PAUSE_NS, SLICE_NS, Timeslice
from scheduler.policy import Idle, Slice
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
    assert isinstance(choice, Slice)
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
    made.charge(0, 8 * SLICE_NS, 0)
    for _ in range(8):
        assert picked(made, 0, 1) == 1
        made.charge(1, SLICE_NS, 0)
    assert picked(made, 0, 1) == 0


def test_debt_outlives_a_pause() -> None:
    made = policy(1, 1)
    assert picked(made, 0, 1) == 0
    made.charge(0, 8 * SLICE_NS, 0)
    assert picked(made, 1) == 1
    made.charge(1, SLICE_NS, 0)
    for _ in range(7):
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


def test_a_removed_vgpu_takes_its_debt_along_and_nothing_else() -> None:
    """Who leaves and comes back as a new client has had what it has had."""
    made = policy(1, 1)
    assert picked(made, 0, 1) == 0
    made.charge(0, 8 * SLICE_NS, 0)
    made.remove(0)
    assert picked(made, 1) == 1
    made.charge(1, SLICE_NS, 0)
    made.add(0, 1, 0)
    for _ in range(7):
        assert picked(made, 0, 1) == 1
        made.charge(1, SLICE_NS, 0)
    assert picked(made, 1, 0) == 0
    made.remove(1)
    made.charge(0, 100 * SLICE_NS, 0)
    made.add(1, 1, 0)
    order = []
    for _ in range(4):
        order.append(picked(made, 0, 1))
        made.charge(order[-1], SLICE_NS, 0)
    assert sorted(order) == [0, 0, 1, 1], "no credit for the time that it was away"


def test_a_very_long_turn_costs_half_as_much_again() -> None:
    made = policy(1, 1)
    assert picked(made, 0, 1) == 0
    for _ in range(3):
        made.charge(0, 4 * SLICE_NS, 0)
    for _ in range(14):
        assert picked(made, 0, 1) == 1
        made.charge(1, SLICE_NS, 0)
    assert picked(made, 0, 1) == 0


def test_time_in_which_somebody_came_is_a_debt() -> None:
    """A turn that went on and on is free until another has work, and no longer."""
    made = policy(1, 1)
    assert picked(made, 0) == 0
    made.arrive(1, 96 * SLICE_NS)
    made.charge(0, 100 * SLICE_NS, 100 * SLICE_NS)
    for _ in range(6):
        assert picked(made, 0, 1) == 1
        made.charge(1, SLICE_NS, 0)
    assert picked(made, 0, 1) == 0


def overrun(made: Timeslice, used_ns: int) -> int:
    """vGPU 0 has a turn of ``used_ns``, for which 1 waits, which then has one ms; the time."""
    assert made.pick([0, 1], 0) == Slice(0, SLICE_NS)
    made.charge(0, used_ns, used_ns)
    assert made.pick([0, 1], used_ns) == Slice(1, SLICE_NS)
    now = used_ns + MS
    made.charge(1, MS, now)
    return now


def test_who_overran_does_not_get_the_instant_for_which_another_is_idle() -> None:
    made = policy(1, 1)
    now = overrun(made, 266 * MS)
    assert made.pick([0], now) == Idle(now + LONGEST_PAUSE_NS, 1)
    made.arrive(1, now + MS)
    assert made.pick([0, 1], now + MS) == Slice(1, SLICE_NS)


def test_a_request_between_two_looks_is_a_return() -> None:
    """It came, ran in the world that was kept, and ended before anybody was chosen again."""
    made = policy(1, 1)
    now = overrun(made, 266 * MS)
    for _ in range(10):
        assert made.pick([0], now) == Idle(now + LONGEST_PAUSE_NS, 1)
        made.arrive(1, now + MS)
        made.charge(1, 2 * MS, now + 3 * MS)
        now += 3 * MS


def test_who_does_not_come_back_loses_its_place() -> None:
    made = policy(1, 1)
    now = overrun(made, 266 * MS)
    until = now + LONGEST_PAUSE_NS
    assert made.pick([0], now) == Idle(until, 1)
    assert made.pick([0], until) == Slice(0, SLICE_NS)
    made.arrive(1, until + MS)
    made.charge(0, SLICE_NS, until + SLICE_NS)
    assert made.pick([0, 1], until + SLICE_NS) == Slice(1, SLICE_NS)
    made.charge(1, 2 * SLICE_NS, until + 3 * SLICE_NS)
    assert made.pick([0, 1], until + 3 * SLICE_NS) == Slice(0, SLICE_NS)


def test_time_for_which_the_gpu_was_kept_is_charged() -> None:
    """Nobody holds others up by pauses: it is its own time."""
    made = policy(1, 1)
    now = overrun(made, 128 * MS)
    waited = 0
    for _ in range(100):
        if made.pick([0], now) == Slice(0, SLICE_NS):
            break
        now += 4 * MS
        waited += 4 * MS
        made.arrive(1, now)
        if made.pick([0, 1], now) != Slice(1, SLICE_NS):
            break
        made.charge(1, 1000, now)
    assert 120 * MS <= waited <= 128 * MS


@pytest.mark.parametrize(("used", "kept"), [(5, 2), (15, 2), (18, 2), (19, 18)])
def test_a_turn_within_its_slice_is_answered_by_a_short_wait(used: int, kept: int) -> None:
    """Among those who keep to their slices little time is lost: an eighth of one at most."""
    made = policy(1, 1)
    now = overrun(made, used * MS)
    assert made.pick([0], now) == Idle(now + kept * MS, 1)


def test_the_gpu_is_not_kept_for_who_comes_back_late() -> None:
    """Whose pauses are longer than it is worth is waited for once or twice, until that is known."""
    clients = {0: Client(1, BUSY), 1: Client(1, (Request(MS, pause_ns=10 * MS),))}
    trace = simulate(Timeslice(), clients, 10 * SECOND)
    lost = trace.end_ns - sum(turn.used_ns for turn in trace.turns)
    assert 0 < lost <= 6 * MS


def test_the_gpu_is_not_kept_for_who_is_held_back_by_a_limit() -> None:
    made = policy(1, 1)
    now = overrun(made, 266 * MS)
    assert made.pick([0], now, barred=[1]) == Slice(0, SLICE_NS)


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


def test_time_after_the_gpu_was_kept_is_nobodys() -> None:
    """It is charged for what it was kept, if it comes meanwhile; later it has nothing to pay."""
    made = policy(1, 1)
    now = overrun(made, 266 * MS)
    until = now + LONGEST_PAUSE_NS
    assert made.pick([0], now) == Idle(until, 1)
    assert made.kept == (1, now)
    assert made.pick([0], until) == Slice(0, SLICE_NS)
    assert made.kept is None
    virtual = made.accounts[1].virtual
    made.arrive(1, until + 500 * MS)
    assert made.accounts[1].virtual == virtual
