"""Run a policy on a simulated clock: what each vGPU gets, and how long its requests wait.

The GPU is one that serves one vGPU at a time and can stop some requests in the middle
(preemptible) and others only at their end, as the engines of a real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduler.policy import Idle, Policy


@dataclass(frozen=True, slots=True)
class Request:
    """``length_ns`` of GPU time, at least 1; comes ``pause_ns`` after the one before is done."""

    length_ns: int
    pause_ns: int = 0
    preemptible: bool = True


@dataclass(frozen=True, slots=True)
class Client:
    """A vGPU with a weight whose ``requests`` come one after the other, over and over."""

    weight: int
    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class Turn:
    """``vgpu`` had the GPU for ``used_ns`` from ``start_ns`` on."""

    vgpu: int
    start_ns: int
    used_ns: int


@dataclass
class Trace:
    """What happened."""

    turns: list[Turn] = field(default_factory=list)
    waits: dict[int, list[int]] = field(default_factory=dict)
    """By vGPU: ns from the arrival of each request to its start."""
    end_ns: int = 0

    def used(self, vgpu: int, start_ns: int = 0, end_ns: int | None = None) -> int:
        """GPU time in ns of the turns of ``vgpu`` that began in [start, end)."""
        end = self.end_ns if end_ns is None else end_ns
        return sum(
            turn.used_ns
            for turn in self.turns
            if turn.vgpu == vgpu and start_ns <= turn.start_ns < end
        )

    def longest_turn(self, vgpu: int) -> int:
        """The longest turn of ``vgpu`` in ns, 0 without any."""
        return max((turn.used_ns for turn in self.turns if turn.vgpu == vgpu), default=0)


class _Queue:
    """The request at the head of one client, and the ones that will follow."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._number = -1
        self.ready = False
        """The policy knows of the request."""
        self.next(0)

    def next(self, now_ns: int) -> None:
        """The present request is done."""
        requests = self._client.requests
        self._number = (self._number + 1) % len(requests)
        self.request = requests[self._number]
        self.arrival_ns = now_ns + self.request.pause_ns
        self.left_ns = self.request.length_ns
        self.started = False


class _Simulation:
    def __init__(self, policy: Policy, clients: Mapping[int, Client]) -> None:
        self.policy = policy
        self.queues = {vgpu: _Queue(client) for vgpu, client in clients.items()}
        self.trace = Trace(waits={vgpu: [] for vgpu in clients})
        for vgpu, client in clients.items():
            policy.add(vgpu, client.weight, 0)

    def announce(self, now_ns: int) -> None:
        """Tell the policy what has arrived by now, in order."""
        arrived = [
            (queue.arrival_ns, vgpu)
            for vgpu, queue in self.queues.items()
            if not queue.ready and queue.arrival_ns <= now_ns
        ]
        for arrival_ns, vgpu in sorted(arrived):
            self.queues[vgpu].ready = True
            self.policy.arrive(vgpu, arrival_ns)

    def arrivals(self) -> list[int]:
        """When work comes to those that have none, in ns."""
        return [queue.arrival_ns for queue in self.queues.values() if not queue.ready]

    def turn(self, vgpu: int, start_ns: int, length_ns: int) -> int:
        """Run ``vgpu`` until its slice is over or its work done; the time used."""
        queue = self.queues[vgpu]
        used = 0
        while queue.ready and used < length_ns:
            if not queue.started:
                queue.started = True
                self.trace.waits[vgpu].append(start_ns + used - queue.arrival_ns)
            left = queue.left_ns
            part = min(left, length_ns - used) if queue.request.preemptible else left
            queue.left_ns -= part
            used += part
            if queue.left_ns == 0:
                queue.next(start_ns + used)
                queue.ready = False
                self.announce(start_ns + used)
        self.announce(start_ns + used)
        return used


def simulate(
    policy: Policy, clients: Mapping[int, Client], until_ns: int, switch_ns: int = 0
) -> Trace:
    """Serve ``clients`` for ``until_ns``, the last turn to its end.

    ``switch_ns`` passes whenever the GPU goes to another vGPU, and is charged to nobody. Raises
    ValueError when the policy leaves the GPU idle although there is work, and says not until when.
    """
    simulation = _Simulation(policy, clients)
    now = 0
    present: int | None = None
    while now < until_ns:
        simulation.announce(now)
        ready = [vgpu for vgpu, queue in simulation.queues.items() if queue.ready]
        choice = policy.pick(ready, now)
        if choice is None:
            if ready:
                raise ValueError(f"nobody was picked of {ready} at {now} ns")
            now = min(simulation.arrivals())
            continue
        if isinstance(choice, Idle):
            if choice.until_ns <= now:
                raise ValueError(f"idle until {choice.until_ns} ns at {now} ns")
            now = min([choice.until_ns, *simulation.arrivals()])
            continue
        if choice.vgpu != present:
            now += switch_ns
            present = choice.vgpu
        used = simulation.turn(choice.vgpu, now, choice.length_ns)
        simulation.trace.turns.append(Turn(choice.vgpu, now, used))
        now += used
        policy.charge(choice.vgpu, used, now)
    simulation.trace.end_ns = now
    return simulation.trace
