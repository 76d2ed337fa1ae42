"""Caps: allowance, debt, slices, changes while at work, and what the others notice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import pytest

from scheduler.cap import LEAST_NS, WINDOW_NS, Capped
from scheduler.policies.fifo import LIMIT_NS, Fifo
from scheduler.policies.timeslice import SLICE_NS, Timeslice
from scheduler.policy import Idle, Policy, Slice
from scheduler.simulator import Client, Request, simulate

MS = 1_000_000
SECOND = 1_000 * MS
BUSY = (Request(5 * MS),)


def policy(*caps: float, inner: Policy | None = None) -> Capped:
    """A policy with vGPUs 0, 1, ... with these caps since time 0."""
    made = Capped(inner or Timeslice())
    for vgpu, cap in enumerate(caps):
        made.add(vgpu, 1, 0)
        made.set_cap(vgpu, cap, 0)
    return made


class Limited(Capped):
    """Sets ``caps`` as vGPUs come."""

    caps: Mapping[int, float]

    def add(self, vgpu: int, weight: int, now_ns: int) -> None:
        """See `Policy.add`."""
        super().add(vgpu, weight, now_ns)
        self.set_cap(vgpu, self.caps.get(vgpu, 1), now_ns)


def limited(caps: Mapping[int, float], inner: Policy | None = None) -> Limited:
    """A policy for the simulator, whose clients come without caps."""
    made = Limited(inner or Timeslice())
    made.caps = caps
    return made


# -- allowance ------------------------------------------------------------------------------------


def test_the_first_slice_is_earned() -> None:
    made = policy(0.25)
    assert made.pick([0], 0) == Idle(16 * MS)
    assert made.pick([0], 16 * MS - 1) == Idle(16 * MS)
    assert made.pick([0], 16 * MS) == Slice(0, LEAST_NS * 4 // 3)


def test_a_slice_lasts_until_the_allowance_is_used_up() -> None:
    """What comes in during the slice is used in it, so nothing is left."""
    made = policy(0.5)
    assert made.pick([0], 12 * MS) == Slice(0, 12 * MS)
    made.charge(0, 12 * MS, 24 * MS)
    assert made.pick([0], 24 * MS) == Idle(32 * MS)


def test_a_slice_is_not_longer_than_the_inner_one() -> None:
    made = policy(0.5)
    assert made.pick([0], 50 * MS) == Slice(0, SLICE_NS)
    made = policy(0.5, inner=Timeslice(MS))
    assert made.pick([0], 50 * MS) == Slice(0, MS)


@pytest.mark.parametrize(("cap", "burst_ns"), [(0.5, 54 * MS), (0.25, 29 * MS), (0.01, 5 * MS)])
def test_the_burst(cap: float, burst_ns: int) -> None:
    """However long it was idle: 100 ms at its cap, and the least slice."""
    made = policy(cap, inner=Fifo(SECOND))
    choice = made.pick([0], 100 * SECOND)
    assert isinstance(choice, Slice)
    assert choice.length_ns == pytest.approx(burst_ns / (1 - cap), abs=2)


def test_a_turn_from_a_full_bucket_earns_too() -> None:
    made = policy(0.5)
    made.charge(0, 16 * MS, 10 * SECOND)
    assert made.buckets[0].lasts_ns(10 * SECOND) == 2 * (54 - 16 + 8) * MS


def test_an_overrun_is_paid_back() -> None:
    made = policy(0.25)
    assert made.pick([0], 16 * MS) == Slice(0, LEAST_NS * 4 // 3)
    made.charge(0, 40 * MS, 56 * MS)
    assert made.pick([0], 56 * MS) == Idle((40 + 4) * 4 * MS)
    assert made.pick([0], 176 * MS) == Slice(0, LEAST_NS * 4 // 3)


def test_time_without_a_slice_counts() -> None:
    made = policy(0.5)
    made.charge(0, 20 * MS, 30 * MS)
    assert made.pick([0], 30 * MS) == Idle(48 * MS)


def test_rounding_is_against_the_capped() -> None:
    made = policy(1 / 3)
    for _ in range(1_000):
        made.charge(0, 1, 1_000)
    assert 3_000 <= made.buckets[0].zero_ns <= 4_000


@pytest.mark.parametrize("cap", [5e-324, 1e-9, 1 - 2**-53])
def test_extreme_caps(cap: float) -> None:
    made = policy(cap)
    until_ns = made.buckets[0].enough_ns()
    assert until_ns >= LEAST_NS / Fraction(cap)
    assert made.pick([0], until_ns - 1) == Idle(until_ns)
    choice = made.pick([0], until_ns)
    assert isinstance(choice, Slice)
    assert LEAST_NS <= choice.length_ns <= SLICE_NS


# -- who is picked --------------------------------------------------------------------------------


def test_nobody_is_picked_without_work() -> None:
    assert policy(0.5).pick([], 0) is None


def test_without_caps_nothing_is_counted() -> None:
    made = policy(1, 1.0)
    assert made.buckets == {}
    assert made.pick({0, 1}, 0) == Slice(0, SLICE_NS)
    made.charge(0, 100 * SLICE_NS, 0)
    assert made.pick({0, 1}, 0) == Slice(1, SLICE_NS)


def test_the_others_go_on_while_one_is_held_back() -> None:
    made = policy(0.25, 1)
    assert made.pick([0, 1], 0) == Slice(1, SLICE_NS)
    made.charge(1, SLICE_NS, SLICE_NS)
    assert made.pick([0, 1], SLICE_NS) == Slice(0, LEAST_NS * 4 // 3)


def test_idle_until_the_first_may_run() -> None:
    made = policy(0.25, 0.5, 0.125)
    assert made.pick([0, 1, 2], 0) == Idle(8 * MS)
    assert made.pick([0, 2], 0) == Idle(16 * MS)
    assert made.pick([0, 1, 2], 8 * MS) == Slice(1, 8 * MS)


def test_caps_upon_caps() -> None:
    within = policy(0.25, 0.5)
    made = Capped(within, {0, 1})
    made.set_cap(1, 0.125, 0)
    assert made.pick([0, 1], 0) == Idle(16 * MS)
    assert made.pick([1], 0) == Idle(32 * MS)
    assert made.pick([0], 0) == Idle(16 * MS)


def test_who_was_held_back_is_as_who_was_idle() -> None:
    """It neither claims the time in which it was held back nor pays for it."""
    made = policy(0.1, 1)
    for turn in range(20):
        now = turn * SLICE_NS
        made.charge(0, 3 * MS // 2, now)  # held back throughout
        assert made.pick([0, 1], now) == Slice(1, SLICE_NS)
        made.charge(1, SLICE_NS, now + SLICE_NS)
    made.set_cap(0, 1, SECOND)
    order = []
    for _ in range(10):
        choice = made.pick([0, 1], SECOND)
        assert isinstance(choice, Slice)
        order.append(choice.vgpu)
        made.charge(choice.vgpu, SLICE_NS, SECOND)
    assert order.count(0) == 5


def test_in_a_queue_who_was_held_back_queues_anew() -> None:
    made = policy(0.5, 1, inner=Fifo())
    made.arrive(0, 0)
    made.arrive(1, 0)
    assert made.pick([0, 1], 0) == Slice(1, LIMIT_NS)
    made.charge(1, MS, 8 * MS)
    assert made.pick([0, 1], 8 * MS) == Slice(1, LIMIT_NS - MS)


# -- changes --------------------------------------------------------------------------------------


def test_the_first_cap_forgets_what_was_before() -> None:
    made = policy(1)
    made.charge(0, 500 * MS, 500 * MS)
    made.set_cap(0, 0.5, SECOND)
    assert made.pick([0], SECOND) == Idle(SECOND + 8 * MS)


@pytest.mark.parametrize("before", [1, 0.9])
def test_of_a_turn_under_way_only_the_rest_counts(before: float) -> None:
    made = policy(before)
    assert made.pick([0], 100 * MS) == Slice(0, SLICE_NS)
    made.set_cap(0, 0.01, 115 * MS)
    made.charge(0, 20 * MS, 120 * MS)
    savings_ns = 0 if before == 1 else 115 * MS
    assert made.buckets[0].enough_ns() == pytest.approx(
        115 * MS + (5 + 4) * 100 * MS - savings_ns, abs=10
    )


def test_a_debt_is_paid_back_at_the_higher_cap() -> None:
    raised = policy(0.125)
    raised.charge(0, 10 * MS, 10 * MS)
    assert raised.buckets[0].zero_ns == 80 * MS
    raised.set_cap(0, 0.5, 40 * MS)
    assert raised.pick([0], 40 * MS) == Idle(40 * MS + 10 * MS + 8 * MS)

    lowered = policy(0.5)
    lowered.charge(0, 10 * MS, 10 * MS)
    lowered.set_cap(0, 0.125, 15 * MS)
    assert lowered.pick([0], 15 * MS) == Idle(20 * MS + 32 * MS)


def test_savings_are_those_of_the_present_cap() -> None:
    made = policy(0.5)
    made.set_cap(0, 0.125, 64 * MS)
    assert made.buckets[0].lasts_ns(64 * MS) == 64 * MS // 7
    made.set_cap(0, 0.5, 64 * MS)
    assert made.buckets[0].lasts_ns(64 * MS) == 64 * MS


def test_setting_the_same_cap_changes_nothing() -> None:
    made = policy(0.5)
    made.set_cap(0, 0.5, 20 * MS)
    made.charge(0, 20 * MS, 30 * MS)
    assert made.pick([0], 30 * MS) == Idle(48 * MS)


def test_a_cap_of_one_is_none() -> None:
    made = policy(0.01)
    made.charge(0, SECOND, SECOND)
    made.set_cap(0, 1, SECOND)
    assert made.pick([0], SECOND) == Slice(0, SLICE_NS)


def test_a_removed_vgpu_is_forgotten() -> None:
    made = policy(0.01)
    made.charge(0, SECOND, SECOND)
    made.remove(0)
    with pytest.raises(KeyError):
        made.set_cap(0, 0.5, SECOND)
    made.add(0, 1, SECOND)
    assert made.pick([0], SECOND) == Slice(0, SLICE_NS)


def test_weights_and_arrivals_reach_the_inner_policy() -> None:
    inner = Timeslice()
    made = policy(1, inner=inner)
    made.set_weight(0, 5)
    assert inner.accounts[0].weight == 5
    queue = Fifo()
    made = policy(1, 1, inner=queue)
    made.arrive(1, 0)
    assert queue.queue == [1]
    assert made.policy is queue


@pytest.mark.parametrize("cap", [0, -0.5, 1.001, math.nan, math.inf])
def test_impossible_caps(cap: float) -> None:
    made = policy(0.5)
    with pytest.raises(ValueError, match=rf"cap {cap}: must be above 0 and at most 1"):
        made.set_cap(0, cap, 0)
    assert made.buckets[0].cap == 0.5


def test_what_it_refuses() -> None:
    made = policy(0.5)
    with pytest.raises(ValueError, match="vGPU 0 is there already"):
        made.add(0, 1, 0)
    with pytest.raises(ValueError, match="weight 0"):
        made.add(1, 0, 0)
    with pytest.raises(ValueError, match="weight 0"):
        made.set_weight(0, 0)
    for call in (
        made.remove,
        lambda vgpu: made.arrive(vgpu, 0),
        lambda vgpu: made.set_weight(vgpu, 1),
        lambda vgpu: made.set_cap(vgpu, 0.5, 0),
        lambda vgpu: made.charge(vgpu, 1, 0),
        lambda vgpu: made.pick([vgpu], 0),
    ):
        for vgpu in (1, 7):
            with pytest.raises(KeyError):
                call(vgpu)


# -- in the long run ------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [0.01, 0.1, 0.25, 0.5, 0.9, 0.99])
def test_alone_it_gets_its_cap_in_slices_of_some_length(cap: float) -> None:
    trace = simulate(limited({0: cap}), {0: Client(1, BUSY)}, 10 * SECOND)
    assert trace.used(0) == pytest.approx(cap * trace.end_ns, abs=LEAST_NS + 1_000)
    assert all(turn.used_ns >= LEAST_NS for turn in trace.turns[:-1])


@pytest.mark.parametrize(("inner", "share"), [(Timeslice(), 0.25), (Fifo(SLICE_NS), 0.5)])
def test_the_others_get_the_rest(inner: Policy, share: float) -> None:
    """As the inner policy shares: by weight or in turns."""
    clients = {0: Client(8, BUSY), 1: Client(1, BUSY), 2: Client(3, BUSY)}
    trace = simulate(limited({0: 0.2}, inner), clients, 10 * SECOND)
    assert trace.used(0) / trace.end_ns == pytest.approx(0.2, abs=0.01)
    assert sum(trace.used(vgpu) for vgpu in clients) == trace.end_ns
    assert trace.used(1) / (trace.used(1) + trace.used(2)) == pytest.approx(share, abs=0.01)


def test_a_cap_above_the_share_is_not_felt() -> None:
    clients = {0: Client(1, BUSY), 1: Client(3, BUSY)}
    trace = simulate(limited({0: 0.6}), clients, 10 * SECOND)
    assert trace.used(0) / trace.end_ns == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("cap", [0.02, 0.25, 0.4])
def test_beside_others_it_gets_its_cap_too(cap: float) -> None:
    """Its share is above its cap, and the others' turns are short."""
    clients = {0: Client(1, BUSY), 1: Client(1, (Request(30 * MS, preemptible=False),))}
    trace = simulate(limited({0: cap}), clients, 10 * SECOND)
    assert trace.used(0) >= cap * (trace.end_ns - WINDOW_NS) - LEAST_NS


def test_two_caps_leave_the_gpu_idle() -> None:
    clients = {0: Client(1, BUSY), 1: Client(1, BUSY)}
    trace = simulate(limited({0: 0.25, 1: 0.5}), clients, 10 * SECOND)
    assert trace.used(0) / trace.end_ns == pytest.approx(0.25, abs=0.01)
    assert trace.used(1) / trace.end_ns == pytest.approx(0.5, abs=0.01)


def test_requests_that_cannot_be_stopped_do_not_get_past_it() -> None:
    clients = {0: Client(1, (Request(90 * MS, preemptible=False),))}
    trace = simulate(limited({0: 0.1}), clients, 60 * SECOND)
    assert trace.used(0) / trace.end_ns == pytest.approx(0.1, abs=0.003)
