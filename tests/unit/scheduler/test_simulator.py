"""The simulator keeps time as its docstrings say."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from scheduler.cap import Capped
from scheduler.policies import POLICIES
from scheduler.policies.fifo import Fifo
from scheduler.policy import Idle, Policy, Slice
from scheduler.simulator import Client, Request, Turn, simulate


def test_requests_are_cut_only_where_they_may_be() -> None:
    soft = simulate(Fifo(10), {0: Client(1, (Request(25),))}, 30)
    assert soft.turns == [Turn(0, 0, 10), Turn(0, 10, 10), Turn(0, 20, 10)]
    assert soft.waits == {0: [0, 0]}
    hard = simulate(Fifo(10), {0: Client(1, (Request(25, preemptible=False),))}, 30)
    assert hard.turns == [Turn(0, 0, 25), Turn(0, 25, 25)]
    assert (hard.used(0), hard.used(0, 25), hard.longest_turn(0), hard.end_ns) == (50, 25, 25, 50)


def test_waits_and_switches() -> None:
    clients = {0: Client(1, (Request(8),)), 1: Client(1, (Request(2, pause_ns=3),))}
    trace = simulate(Fifo(10), clients, 20, switch_ns=1)
    assert trace.turns == [Turn(0, 1, 10), Turn(1, 12, 2), Turn(0, 15, 10)]
    assert trace.waits[1] == [9]


def test_requests_come_one_after_the_other_and_over_and_over() -> None:
    requests = (Request(2), Request(3, pause_ns=5), Request(30, preemptible=False))
    trace = simulate(Fifo(10), {0: Client(1, requests)}, 50)
    assert trace.turns == [Turn(0, 0, 2), Turn(0, 7, 33), Turn(0, 40, 2), Turn(0, 47, 33)]
    assert trace.waits == {0: [0] * 6}


def test_an_idle_gpu_waits_for_work() -> None:
    trace = simulate(Fifo(), {0: Client(1, (Request(2, pause_ns=5),))}, 20)
    assert [turn.start_ns for turn in trace.turns] == [5, 12, 19]


def test_a_policy_that_idles_is_found_out() -> None:
    class Lazy(Fifo):
        def pick(
            self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
        ) -> Slice | None:
            return None

    with pytest.raises(ValueError, match=r"nobody was picked of \[0\] at 0 ns"):
        simulate(Lazy(), {0: Client(1, (Request(1),))}, 5)


class Resting(Capped):
    """Lets nobody run in the first 8 ns, and in the first 4 says that it will by then."""

    def pick(
        self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
    ) -> Slice | Idle | None:
        """See `Policy.pick`."""
        choice = super().pick(ready, now_ns, barred)
        if choice is None or now_ns >= 8:
            return choice
        return Idle(4 if now_ns < 4 else 8)


def test_the_gpu_is_idle_as_long_as_the_policy_says() -> None:
    trace = simulate(Resting(Fifo(4)), {0: Client(1, (Request(2),))}, 12)
    assert trace.turns == [Turn(0, 8, 4)]
    assert trace.waits[0][0] == 8


def test_work_that_comes_ends_the_idleness() -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []

    class Watched(Resting):
        def pick(
            self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
        ) -> Slice | Idle | None:
            seen.append((now_ns, tuple(ready)))
            return super().pick(ready, now_ns, barred)

    clients = {0: Client(1, (Request(20),)), 1: Client(1, (Request(1, pause_ns=6),))}
    simulate(Watched(Fifo(20)), clients, 10)
    assert seen == [(0, (0,)), (4, (0,)), (6, (0, 1)), (8, (0, 1))]


def test_an_end_of_idleness_that_is_not_later_is_found_out() -> None:
    class Stuck(Capped):
        def pick(
            self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
        ) -> Slice | Idle | None:
            return Idle(now_ns)

    with pytest.raises(ValueError, match="idle until 0 ns at 0 ns"):
        simulate(Stuck(Fifo()), {0: Client(1, (Request(1),))}, 5)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_serves(name: str) -> None:
    made: Policy = POLICIES[name]()
    trace = simulate(made, {n: Client(1, (Request(1_000_000),)) for n in range(3)}, 10**9)
    assert all(trace.used(vgpu) for vgpu in range(3))


def test_who_comes_during_a_turn_is_told_of_before_the_turn_is_charged() -> None:
    said: list[tuple[str, int, int]] = []

    class Noted(Fifo):
        def arrive(self, vgpu: int, now_ns: int) -> None:
            if vgpu not in self.queue:
                said.append(("arrive", vgpu, now_ns))
            super().arrive(vgpu, now_ns)

        def charge(self, vgpu: int, used_ns: int, now_ns: int) -> None:
            said.append(("charge", vgpu, now_ns))
            super().charge(vgpu, used_ns, now_ns)

    clients = {
        0: Client(1, (Request(10, pause_ns=1),)),
        1: Client(1, (Request(1, pause_ns=7),)),
        2: Client(1, (Request(1, pause_ns=4),)),
    }
    simulate(Noted(100), clients, 5)
    assert said[:4] == [("arrive", 0, 1), ("arrive", 2, 4), ("arrive", 1, 7), ("charge", 0, 11)]


def test_what_a_trace_is_asked() -> None:
    trace = simulate(Fifo(10), {0: Client(1, (Request(25),))}, 30)
    assert [trace.used(0, 0, end) for end in (0, 1, 10, 11, 20, 21)] == [0, 10, 10, 20, 20, 30]
    assert [trace.used(0, start) for start in (0, 1, 10, 20, 21)] == [30, 20, 20, 10, 0]
    assert (trace.used(1), trace.longest_turn(0), trace.longest_turn(1)) == (0, 10, 0)
