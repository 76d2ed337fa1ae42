"""First come, first served, with a limit."""

from __future__ import annotations

import pytest

from scheduler.policies.fifo import LIMIT_NS, Fifo
from scheduler.policy import Slice
from scheduler.simulator import Client, Request, simulate

MS = 1_000_000


def policy(count: int) -> Fifo:
    """A policy with vGPUs 0 to ``count`` - 1."""
    made = Fifo()
    for vgpu in range(count):
        made.add(vgpu, 1, 0)
    return made


def test_arrival_order() -> None:
    made = policy(3)
    for vgpu in (2, 0, 1):
        made.arrive(vgpu, 0)
    order = []
    ready = {0, 1, 2}
    while ready:
        choice = made.pick(ready, 0)
        assert choice is not None
        order.append(choice.vgpu)
        made.charge(choice.vgpu, MS, 0)
        ready.remove(choice.vgpu)
    assert order == [2, 0, 1]
    assert made.pick(ready, 0) is None


def test_the_head_runs_on_until_the_limit_and_goes_to_the_tail() -> None:
    made = policy(2)
    made.arrive(1, 0)
    made.arrive(0, 0)
    assert made.pick([0, 1], 0) == Slice(1, LIMIT_NS)
    made.charge(1, 30 * MS, 0)
    made.arrive(1, 0)
    assert made.pick([0, 1], 0) == Slice(1, LIMIT_NS - 30 * MS)
    made.charge(1, LIMIT_NS, 0)
    assert made.pick([0, 1], 0) == Slice(0, LIMIT_NS)


def test_only_the_head_has_a_go_that_ends() -> None:
    """What is charged to others, as for a long audit, moves nobody; the head's last ns does."""
    made = policy(3)
    made.charge(0, LIMIT_NS, 0)
    assert made.pick([], 0) is None
    made.arrive(0, 0)
    made.arrive(1, 0)
    for other in (1, 2):
        made.charge(other, 2 * LIMIT_NS, 0)
    assert made.pick([0, 1], 0) == Slice(0, LIMIT_NS)
    made.charge(0, LIMIT_NS - 1, 0)
    assert made.pick([0, 1], 0) == Slice(0, 1)
    made.charge(0, 1, 0)
    assert made.pick([0, 1], 0) == Slice(1, LIMIT_NS)


def test_who_was_idle_queues_anew() -> None:
    made = policy(2)
    made.arrive(0, 0)
    made.arrive(1, 0)
    assert made.pick([0, 1], 0) == Slice(0, LIMIT_NS)
    made.charge(0, MS, 0)
    assert made.pick([1], 0) == Slice(1, LIMIT_NS)
    made.arrive(0, 0)
    made.charge(1, MS, 0)
    assert made.pick([0, 1], 0) == Slice(1, LIMIT_NS - MS)


def test_work_that_was_not_announced_is_served_too() -> None:
    assert policy(1).pick([0], 0) == Slice(0, LIMIT_NS)


def test_a_vgpu_removed_in_its_turn() -> None:
    made = policy(2)
    made.arrive(0, 0)
    assert made.pick([0, 1], 0) == Slice(0, LIMIT_NS)
    made.remove(0)
    assert made.pick([1], 0) == Slice(1, LIMIT_NS)
    made.charge(1, MS, 0)


def test_one_guest_does_not_keep_the_others_out() -> None:
    clients = {0: Client(1, (Request(5 * MS),)), 1: Client(1, (Request(MS, pause_ns=MS),))}
    trace = simulate(Fifo(), clients, 2_000 * MS)
    assert max(trace.waits[1]) <= LIMIT_NS


def test_what_it_refuses() -> None:
    made = policy(1)
    with pytest.raises(ValueError, match="weight 0"):
        made.add(1, 0, 0)
    with pytest.raises(ValueError, match="weight 0"):
        made.set_weight(0, 0)
    with pytest.raises(ValueError, match="vGPU 0 is there already"):
        made.add(0, 1, 0)
    with pytest.raises(ValueError, match="limit of 0 ns"):
        Fifo(0)
    for call in (
        made.remove,
        lambda vgpu: made.arrive(vgpu, 0),
        lambda vgpu: made.set_weight(vgpu, 1),
        lambda vgpu: made.charge(vgpu, 1, 0),
    ):
        with pytest.raises(KeyError):
            call(7)
