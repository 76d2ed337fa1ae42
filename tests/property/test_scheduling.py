"""Laws of the policies over random loads on a simulated clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cap import LEAST_NS, WINDOW_NS, Capped
from scheduler.policies import POLICIES
from scheduler.policies.fifo import LIMIT_NS, Fifo
from scheduler.policies.timeslice import LONGEST_PAUSE_NS, Timeslice
from scheduler.policy import Idle, Policy, Slice
from scheduler.simulator import Client, Request, Trace, simulate

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
MS = 1_000_000
LONGEST = 120 * MS
weights = st.integers(1, 16)
lengths = st.one_of(st.integers(MS // 4, MS), st.integers(MS, LONGEST))


def requests(pauses: st.SearchStrategy[int]) -> st.SearchStrategy[list[Request]]:
    """Between one and six requests of any kind."""
    one = st.builds(Request, lengths, pauses, st.booleans())
    return st.lists(one, min_size=1, max_size=6)


busy_clients = st.builds(Client, weights, requests(st.just(0)))
any_clients = st.builds(Client, weights, requests(st.integers(0, 100 * MS)))
busy_loads = st.lists(busy_clients, min_size=2, max_size=5)
mixed_loads = st.tuples(busy_loads, st.lists(any_clients, max_size=3))


def run(policy: Policy, clients: list[Client], until_ns: int) -> Trace:
    return simulate(policy, dict(enumerate(clients)), until_ns)


def differences(trace: Trace, clients: list[Client], one: int, other: int) -> list[Fraction]:
    """W_one/w_one - W_other/w_other after each turn, and before the first."""
    found = [Fraction(0)]
    for turn in trace.turns:
        sign = (turn.vgpu == one) - (turn.vgpu == other)
        step = Fraction(sign * turn.used_ns, clients[turn.vgpu].weight)
        found.append(found[-1] + step)
    return found


@given(mixed_loads)
def test_backlogged_vgpus_stay_within_the_bound(load: tuple[list[Client], list[Client]]) -> None:
    """|W_i/w_i - W_j/w_j| <= C_i/w_i + C_j/w_j over every interval, whoever else comes and goes."""
    busy, others = load
    clients = busy + others
    trace = run(Timeslice(), clients, 2_000 * MS)
    for one, other in combinations(range(len(busy)), 2):
        found = differences(trace, clients, one, other)
        bound = sum(Fraction(trace.longest_turn(n), clients[n].weight) for n in (one, other))
        assert max(found) - min(found) <= bound + 1


@given(mixed_loads)
def test_an_occasional_vgpu_never_gets_more_than_a_busy_one(
    load: tuple[list[Client], list[Client]],
) -> None:
    """Idleness earns nothing: over every interval it is at most the bound ahead."""
    busy, others = load
    clients = busy + others
    trace = run(Timeslice(), clients, 2_000 * MS)
    for one in range(len(busy), len(clients)):
        found = differences(trace, clients, one, 0)
        bound = sum(Fraction(trace.longest_turn(n), clients[n].weight) for n in (one, 0))
        least = found[0]
        for value in found:
            least = min(least, value)
            assert value - least <= bound + 1


@given(mixed_loads)
def test_nobody_with_work_waits_for_ever(load: tuple[list[Client], list[Client]]) -> None:
    """The wait between two turns of a busy vGPU i: the sum over others of w_j/w_i * C_i + C_j."""
    clients = load[0] + load[1]
    trace = run(Timeslice(), clients, 3_000 * MS)
    for vgpu in range(len(load[0])):
        bound = sum(
            Fraction(clients[n].weight * trace.longest_turn(vgpu), clients[vgpu].weight)
            + trace.longest_turn(n)
            for n in range(len(clients))
            if n != vgpu
        )
        free_at = 0
        for turn in trace.turns:
            if turn.vgpu == vgpu:
                assert turn.start_ns - free_at <= bound + 1
                free_at = turn.start_ns + turn.used_ns
        assert trace.end_ns - free_at <= bound + LONGEST + Timeslice().slice_ns


@given(st.lists(any_clients, min_size=1, max_size=5), st.sampled_from(sorted(POLICIES)))
def test_the_gpu_is_never_idle_while_somebody_has_work(clients: list[Client], name: str) -> None:
    """The simulator raises when a policy picks nobody; and time adds up."""
    trace = simulate(POLICIES[name](), dict(enumerate(clients)), 1_000 * MS)
    ends = [turn.start_ns + turn.used_ns for turn in trace.turns]
    assert all(turn.start_ns >= end for end, turn in zip(ends, trace.turns[1:], strict=False))
    assert all(wait >= 0 for waits in trace.waits.values() for wait in waits)


stubborn = st.builds(Request, st.integers(MS, 10 * MS), preemptible=st.just(False))
stubborn_clients = st.builds(Client, st.integers(1, 3), st.lists(stubborn, min_size=1, max_size=4))


PATIENCE = 250 * MS
"""The watchdog's, beyond a slice."""
WINDOW = 2_000 * MS
pausing = st.builds(Request, st.integers(MS // 4, 12 * MS), st.integers(MS // 10, 10 * MS))
pausing_clients = st.builds(Client, st.just(1), st.lists(pausing, min_size=1, max_size=5))
overrunning = st.builds(
    Request, st.integers(19 * MS, 16 * MS + PATIENCE), st.sampled_from([0, MS // 2]), st.just(False)
)
attackers = st.builds(Client, st.just(1), st.lists(overrunning, min_size=1, max_size=3))


def least_in_a_window(trace: Trace, vgpu: int, begin_ns: int) -> float:
    """What ``vgpu`` had at least in any window after ``begin_ns``: one begins or ends at a turn."""
    times, sums = [0], [0]
    for turn in trace.turns:
        if turn.vgpu == vgpu:
            times += [turn.start_ns, turn.start_ns + turn.used_ns]
            sums += [sums[-1], sums[-1] + turn.used_ns]
    times.append(trace.end_ns)
    sums.append(sums[-1])

    def by(at_ns: int) -> float:
        right = bisect_right(times, at_ns)
        if right == len(times):
            return sums[-1]
        left = right - 1
        part = (at_ns - times[left]) / (times[right] - times[left])
        return sums[left] + part * (sums[right] - sums[left])

    begins = {start for time in times for start in (time, time - WINDOW)}
    return min(
        by(start + WINDOW) - by(start)
        for start in begins
        if begin_ns <= start <= trace.end_ns - WINDOW
    )


class Reconnecting(Timeslice):
    """vGPU 1 is removed and added again whenever it has been charged."""

    def charge(self, vgpu: int, used_ns: int, now_ns: int) -> None:
        super().charge(vgpu, used_ns, now_ns)
        if vgpu == 1:
            self.remove(1)
            self.add(1, 1, now_ns)


@given(pausing_clients, attackers, st.sampled_from([Timeslice, Reconnecting]))
def test_overrun_is_paid_back_to_one_with_short_pauses(
    neighbour: Client, attacker: Client, policy: type[Timeslice]
) -> None:
    """0.9 of half of what it does alone in any 2 s, beside one that only 250 ms of patience stop.

    Who keeps to its slices is no case of this: one with pauses then waits a slice for each request.
    """
    trace = run(policy(), [neighbour, attacker], 5_000 * MS)
    busy = sum(one.length_ns for one in neighbour.requests)
    alone = busy / (busy + sum(one.pause_ns for one in neighbour.requests))
    assert least_in_a_window(trace, 0, 1_000 * MS) >= 0.9 * alone * WINDOW / 2


@given(st.lists(stubborn_clients, min_size=2, max_size=3))
def test_long_runs_are_fair(clients: list[Client]) -> None:
    """Short against long requests that cannot be stopped: least share >= 0.97 of the greatest."""
    slice_ns = 2 * MS
    # Long against the bound: each is due 100 of the longest turns.
    total = sum(client.weight for client in clients)
    trace = run(Timeslice(slice_ns), clients, 100 * (10 * MS + slice_ns) * total)
    shares = [trace.used(vgpu) / client.weight for vgpu, client in enumerate(clients)]
    assert min(shares) / max(shares) >= 0.97


@given(st.lists(any_clients, min_size=2, max_size=5))
def test_first_come_first_served_has_a_bound(clients: list[Client]) -> None:
    """A request waits for one limit and one request of each vGPU at most, its own included."""
    trace = run(Fifo(), clients, 2_000 * MS)
    for waits in trace.waits.values():
        assert max(waits, default=0) <= (LIMIT_NS + LONGEST) * len(clients)


@dataclass
class Checked(Timeslice):
    """Checks what the proof of the bounds rests on."""

    kept_ns: int = 0
    """How long the GPU was kept free in all."""
    asked_ns: int | None = None
    """When that was last said."""

    def pick(
        self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
    ) -> Slice | Idle | None:
        before = self.virtual
        if self.asked_ns is not None:
            self.kept_ns += now_ns - self.asked_ns
        choice = super().pick(ready, now_ns, barred)
        self.asked_ns = now_ns if isinstance(choice, Idle) else None
        assert not isinstance(choice, Idle) or choice.until_ns <= now_ns + LONGEST_PAUSE_NS
        assert self.virtual >= before
        assert all(self.accounts[vgpu].virtual >= self.virtual for vgpu in ready)
        return choice

    def kept_until(self, now_ns: int) -> int:
        """How long the GPU was kept free up to ``now_ns``, in ns; it may be kept still."""
        return self.kept_ns + (0 if self.asked_ns is None else now_ns - self.asked_ns)


@given(mixed_loads)
def test_virtual_time_does_not_go_back(load: tuple[list[Client], list[Client]]) -> None:
    run(Checked(), load[0] + load[1], 1_000 * MS)


@pytest.mark.parametrize("weight", [1, 3, 16])
def test_small_charges_add_up(weight: int) -> None:
    policy = Timeslice()
    policy.add(0, weight, 0)
    for _ in range(1_000):
        policy.charge(0, 1, 0)
    assert policy.accounts[0].virtual >> 20 == pytest.approx(1_000 / weight, abs=1)


# -- caps -----------------------------------------------------------------------------------------

SWITCH_NS = MS
names = st.sampled_from(sorted(POLICIES))
caps = st.one_of(st.floats(0.001, 1), st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9, 1.0]))


@dataclass
class Limited(Capped):
    """Sets the caps of ``plan``, in order of time, each when it is time and no turn under way."""

    plan: list[tuple[int, Mapping[int, float]]] = field(default_factory=list)
    changed_ns: int = 0
    """When the last change was."""

    def pick(
        self, ready: Collection[int], now_ns: int, barred: Collection[int] = ()
    ) -> Slice | Idle | None:
        """See `Policy.pick`."""
        while self.plan and self.plan[0][0] <= now_ns:
            for vgpu, cap in self.plan.pop(0)[1].items():
                self.set_cap(vgpu, cap, now_ns)
            self.changed_ns = now_ns
        choice = super().pick(ready, now_ns, barred)
        if isinstance(choice, Idle) and self.plan:
            return Idle(min(choice.until_ns, self.plan[0][0]))
        return choice


def longest_overrun(client: Client) -> int:
    """What a turn may last after its slice: less than one request that cannot be stopped."""
    return max((one.length_ns for one in client.requests if not one.preemptible), default=0)


def excesses(trace: Trace, vgpu: int, cap: Fraction, start_ns: int = 0) -> list[Fraction]:
    """Use of ``vgpu`` less its cap's part of time, where it turns: at the ends of its turns."""
    used, found = 0, [-cap * start_ns]
    for turn in trace.turns:
        if turn.vgpu == vgpu and turn.start_ns >= start_ns:
            found.append(used - cap * turn.start_ns)
            used += turn.used_ns
            found.append(used - cap * (turn.start_ns + turn.used_ns))
    found.append(used - cap * trace.end_ns)
    return found


def greatest_rise(values: list[Fraction]) -> Fraction:
    """The most that a value is above an earlier one."""
    least, rise = values[0], Fraction(0)
    for value in values:
        least = min(least, value)
        rise = max(rise, value - least)
    return rise


def burst(cap: Fraction) -> Fraction:
    """What a bucket holds, and a nanosecond for the rounding."""
    return cap * WINDOW_NS + LEAST_NS + 1


def arrears(trace: Trace, client: Client) -> int:
    """What a lone vGPU may lack, and a nanosecond for the rounding at each turn and at the end."""
    return LEAST_NS + longest_overrun(client) + len(trace.turns) + 1


@given(
    st.lists(st.tuples(any_clients, caps), min_size=1, max_size=4),
    names,
    st.sampled_from([0, SWITCH_NS]),
)
def test_no_interval_has_more_than_the_cap(
    load: list[tuple[Client, float]], name: str, switch_ns: int
) -> None:
    """At most c * T + c * 100 ms + 4 ms + O in every interval of T, whoever else is there."""
    clients = dict(enumerate(client for client, _ in load))
    plan = {vgpu: cap for vgpu, (_, cap) in enumerate(load)}
    trace = simulate(Limited(POLICIES[name](), plan=[(0, plan)]), clients, 1_000 * MS, switch_ns)
    for vgpu, client in clients.items():
        cap = Fraction(plan[vgpu])
        rise = greatest_rise(excesses(trace, vgpu, cap))
        assert rise <= burst(cap) + longest_overrun(client)


@given(busy_clients, caps, names)
def test_alone_a_vgpu_gets_its_cap(client: Client, limit: float, name: str) -> None:
    """At least c * T - 4 ms - O in every interval, and no wait beyond (4 ms + O) / c."""
    cap = Fraction(limit)
    trace = simulate(Limited(POLICIES[name](), plan=[(0, {0: limit})]), {0: client}, 2_000 * MS)
    lag = arrears(trace, client)
    assert greatest_rise([-value for value in excesses(trace, 0, cap)]) <= lag
    ends = [0] + [turn.start_ns + turn.used_ns for turn in trace.turns]
    for turn, end_ns in zip(trace.turns, ends, strict=False):
        assert turn.start_ns - end_ns <= lag / cap


@given(busy_clients, caps, caps, st.integers(0, 1_000 * MS), names)
def test_a_change_takes_effect_at_once(
    client: Client, before: float, after: float, change_ns: int, name: str
) -> None:
    """Both bounds hold from the change on as if the cap had been so from the beginning."""
    policy = Limited(POLICIES[name](), plan=[(0, {0: before}), (change_ns, {0: after})])
    trace = simulate(policy, {0: client}, 2_000 * MS)
    cap = Fraction(after)
    found = excesses(trace, 0, cap, policy.changed_ns)
    assert greatest_rise(found) <= burst(cap) + longest_overrun(client)
    assert greatest_rise([-value for value in found]) <= arrears(trace, client)


@given(busy_loads, st.lists(st.tuples(any_clients, caps), min_size=1, max_size=3))
def test_caps_leave_the_rest_to_the_others_by_weight(
    busy: list[Client], limited: list[tuple[Client, float]]
) -> None:
    """No time is lost but what is kept, and those without a cap stay within their bound."""
    clients = busy + [client for client, _ in limited]
    plan = {len(busy) + number: cap for number, (_, cap) in enumerate(limited)}
    policy = Checked()
    trace = run(Limited(policy, plan=[(0, plan)]), clients, 2_000 * MS)
    assert (
        sum(turn.used_ns for turn in trace.turns) + policy.kept_until(trace.end_ns) == trace.end_ns
    )
    for one, other in combinations(range(len(busy)), 2):
        found = differences(trace, clients, one, other)
        bound = sum(Fraction(trace.longest_turn(n), clients[n].weight) for n in (one, other))
        assert max(found) - min(found) <= bound + 1


@given(busy_clients, st.lists(st.tuples(any_clients, caps), min_size=1, max_size=3))
def test_who_was_held_back_never_gets_more_than_a_busy_one(
    busy: Client, limited: list[tuple[Client, float]]
) -> None:
    """Being held back earns nothing, as idleness."""
    clients = [busy] + [client for client, _ in limited]
    plan = {number: cap for number, (_, cap) in enumerate(limited, 1)}
    trace = run(Limited(Checked(), plan=[(0, plan)]), clients, 2_000 * MS)
    for one in plan:
        found = differences(trace, clients, one, 0)
        bound = sum(Fraction(trace.longest_turn(n), clients[n].weight) for n in (one, 0))
        assert greatest_rise(found) <= bound + 1


@given(st.lists(any_clients, min_size=1, max_size=5), names, st.booleans())
def test_without_caps_the_choices_are_the_inner_policys(
    clients: list[Client], name: str, lifted: bool
) -> None:
    """Turn by turn, also with caps of 1: all laws above hold."""
    make: Callable[[], Policy] = POLICIES[name]
    policy = Limited(make(), plan=[(0, dict.fromkeys(range(len(clients)), 1.0))] if lifted else [])
    assert run(policy, clients, 1_000 * MS) == run(make(), clients, 1_000 * MS)
