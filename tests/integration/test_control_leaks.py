"""vGPUs and clients come and go a thousand times, and weights change under load: nothing is lost.

`Footprint` is all that a vgpud could leak, and must be the same in the end. Memory is looked at
ten times. The allocator takes a step of megabytes now and then, and a leak grows every time: the
middle one of the ten differences counts. It has one arena: with one for each thread, memory goes up
and down by megabytes with which thread came first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from tests.bench.busy_driver import Busy
from tests.integration.control_rig import (
    NO_METRICS,
    PATIENT_GPU,
    ControlRig,
    running,
    settled,
    stats_of,
    wait_until,
)
from tests.integration.vgpu_rig import connect
from vgpu_ctl.api.objects import VgpuStats
from vgpu_ctl.client import Client

MOST_A_CYCLE = 2048
"""Bytes that count as a leak."""
WARM = 152
"""Cycles at most; whole rounds of the types, since a GPU keeps its mediation when a ballooned vGPU
leaves it and gives it up for a passthrough one.
"""
FEW = 100
"""Cycles with which the allocator's steps hide a leak."""
NOISE = 24 << 20
"""Bytes of all steps together."""
CALLS = 2000
"""Of the busy drivers in one request: it takes longer than a slice."""
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
TYPES = ("V9_16", "V9_4", "private", "passthrough")
TWO_GPUS = (
    f'{NO_METRICS}[[gpu]]\nname = "left"\n[[gpu]]\nname = "right"\naddress_space = "direct"\n'
)


@dataclass(frozen=True)
class Footprint:
    """What a vgpud has."""

    descriptors: int
    threads: int
    mappings: int
    files: frozenset[str]
    left: tuple[tuple[str, str, int], ...]
    """Of each resource of each GPU."""

    @classmethod
    def of(cls, rig: ControlRig, client: Client) -> Footprint:
        pools = [
            (gpu.name, pool.name, pool.left) for gpu in client.gpus() for pool in gpu.resources
        ]
        return cls(
            rig.descriptors(),
            rig.threads(),
            slab_mappings(rig.pid),
            frozenset(rig.files()),
            tuple(pools),
        )


def slab_mappings(pid: int) -> int:
    """Mappings of files: memory of guests and of vGPUs."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return sum("memfd:" in line for line in lines)


def check_flat(rig: ControlRig, client: Client, cycle: Callable[[int], None], cycles: int) -> None:
    """Nothing is left of ``cycles`` calls of ``cycle``, after some to warm up.

    Memory grows by some 2 KiB a client for the first 140 and no more after.
    """
    warm = max(min(cycles, WARM), len(TYPES) * 2)
    assert (cycles - warm) % len(TYPES) == 0
    for number in range(warm):
        cycle(number)
    before, memory = settled(lambda: Footprint.of(rig, client)), [rig.resident()]
    for number in range(cycles):
        cycle(number)
        if (number + 1) * 10 // cycles > number * 10 // cycles:
            memory.append(rig.resident())
    after = settled(lambda: Footprint.of(rig, client))
    assert after == before
    grown = median(later - earlier for earlier, later in pairwise(memory))
    print(f"{cycles} cycles: {[size >> 10 for size in memory]} KiB; {before.descriptors} fds")
    assert grown * 10 <= MOST_A_CYCLE * cycles or cycles < FEW
    assert memory[-1] - memory[0] < NOISE


def live_and_die(client: Client, number: int) -> None:
    """One vGPU from its definition to its end."""
    name = f"v{number % 7}"
    client.create(name=name, type=TYPES[number % len(TYPES)])
    client.stop(name)
    client.start(name)
    client.stop(name)
    client.destroy(name)


def attach_and_leave(client: Client, path: str) -> None:
    """One guest that works."""
    guest = connect(path)
    guest.driver.wait(guest.driver.run(guest.driver.create_context("rcs0")))
    guest.close()
    wait_until(lambda: client.show("a").client is None, "it has left", step=0.002)


@pytest.mark.parametrize(
    "cycles",
    [
        16,
        pytest.param(1000, marks=[pytest.mark.modes, pytest.mark.timeout(900)]),
    ],
)
def test_vgpus_come_and_go(tmp_path: Path, cycles: int) -> None:
    with running(tmp_path, TWO_GPUS, ONE_ARENA) as rig, rig.client() as client:
        check_flat(rig, client, lambda number: live_and_die(client, number), cycles)


@pytest.mark.parametrize(
    ("cycles", "address_space"),
    [
        (8, "shadow"),
        pytest.param(200, "shadow", marks=[pytest.mark.modes, pytest.mark.timeout(600)]),
        pytest.param(200, "direct", marks=[pytest.mark.modes, pytest.mark.timeout(600)]),
    ],
)
def test_clients_come_and_go(tmp_path: Path, cycles: int, address_space: str) -> None:
    config = f'{NO_METRICS}[[gpu]]\naddress_space = "{address_space}"\n'
    with running(tmp_path, config, ONE_ARENA) as rig, rig.client() as client:
        made = client.create(name="a", type="V9_4")
        check_flat(rig, client, lambda _: attach_and_leave(client, made.socket), cycles)
        assert stats_of(client, "a").attaches >= cycles


@pytest.mark.modes
def test_a_weight_changes_under_load(tmp_path: Path) -> None:
    """From 1:1 to 3:1 within two seconds, as the API tells it; and no request is lost.

    Two seconds in which the machine stands still for one are no measure: once more.
    """
    with running(tmp_path, NO_METRICS + PATIENT_GPU) as rig, rig.client() as client:
        paths = [client.create(name=name, type="V9_4", weight=4).socket for name in "ab"]
        with Busy(paths[0], "rcs0", CALLS) as a, Busy(paths[1], "rcs0", CALLS) as b:
            assert any(changes_at_once(client, a, b) for _ in range(5))
            for name in "ab":
                check_complete(stats_of(client, name))


def changes_at_once(client: Client, *busy: Busy) -> bool:
    """Whether the shares are as the weights, before and after these change."""
    client.modify("a", weight=4)
    for each in busy:
        each.start(9)
    time.sleep(1)
    before = share_of_a(client, 2)
    client.modify("a", weight=12)
    after = share_of_a(client, 2)
    for each in busy:
        each.result()
    return 0.4 < before < 0.6 and 0.67 < after < 0.83


def share_of_a(client: Client, seconds: float) -> float:
    """Of the time that both had in the next ``seconds``."""
    before = [stats_of(client, name).gpu_seconds for name in "ab"]
    time.sleep(seconds)
    a, b = (
        stats_of(client, name).gpu_seconds - old for name, old in zip("ab", before, strict=True)
    )
    return a / max(a + b, 1e-9)


def check_complete(stats: VgpuStats) -> None:
    """Every request that was given is done or in hand; none has failed."""
    for engine in stats.engines.values():
        in_hand = engine.queue_depth + engine.in_flight
        assert engine.submitted == engine.completed + engine.preempted + in_hand
        assert engine.failed == {}
    assert stats.engines["rcs0"].completed > 10
    assert stats.rejections == {}
    assert stats.hangs == 0
