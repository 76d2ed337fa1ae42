"""Requests of a mediated GPU against those of a native one, by length of the request.

One guest has the GPU natively, or as its only vGPU in each address space and GGTT mode; each side
is a `vgpud serve` of its own, and they take turns. Lengths are calibrated natively. ``serial``: a
request is given when the one before is done; ``queued``: the next is always in the ports, as i915
has it. A ratio is mediated throughput over native throughput, the median of the rounds.

The rows ``traps`` count what one request of 1 ms costs in accesses that trap, by kind, at a vGPU
that nobody else uses.

    python -m tests.bench.mediated_requests
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

from tests.bench.busy_driver import ENGINES, Load, calibrate
from tests.gpu_driver import ENGINE_BASES, GSM, GpuDriver
from tests.gpu_driver.driver import BANKS, ELSP, MASTER, write_port
from tests.guests.served import Served, ServedGpu, ServedVgpus
from tests.integration.vgpu_rig import ALL, MEDIATED, NATIVE, SHADOW, Mode, connect, rig

LENGTHS_US = (0, 100, 1000, 4000, 16000)
AIMED_US = 1000
"""From this length on the ratio should be at least 0.95."""
ROUNDS = 3
SECONDS = 0.08
"""Of one side in one round."""
TRAPS_SECONDS = 0.5
WAYS: dict[str, Callable[[Load, float], float]] = {"serial": Load.serial, "queued": Load.queued}

Side = TypeVar("Side")
"""What names one of the sides that are compared."""

_KINDS = {
    **{base + ELSP: "elsp_writes" for base in ENGINE_BASES.values()},
    MASTER: "master_interrupt",
    **{bank + offset: "interrupt_bank" for bank in BANKS for offset in (0, 4, 8, 12)},
}


@dataclass(frozen=True, slots=True)
class Requests(Generic[Side]):
    """Requests of one length given in one way: the rates of all sides, round by round."""

    name: str
    gpu_us: float
    rounds: list[dict[Side, float]]

    def ratio(self, side: Side, reference: Side) -> float:
        """Median of a side's rate over that of another in the same round."""
        return median(rates[side] / rates[reference] for rates in self.rounds)


def served(mode: Mode, program: Path | None = None) -> Served:
    """What serves the GPU in ``mode``, to one guest."""
    if mode.address_space is None or mode.ggtt is None:
        return ServedGpu(program=program)
    options = ("--address-space", mode.address_space, "--ggtt", mode.ggtt)
    return ServedVgpus(options, count=1, program=program)


def guests(stack: ExitStack, sides: Mapping[Side, Served]) -> dict[Side, GpuDriver]:
    """A driver on each side, until the stack is closed."""
    drivers = {}
    for side, server in sides.items():
        guest = connect(str(stack.enter_context(server).sockets[0]))
        stack.callback(guest.close)
        drivers[side] = guest.driver
    return drivers


def throughput(
    drivers: Mapping[Side, GpuDriver], calibrated: Side, engine: str, rounds: int = ROUNDS
) -> Iterator[Requests[Side]]:
    """Of all lengths and ways, sides in turns; lengths by the time that one side takes."""
    call_s = calibrate(drivers[calibrated], engine)
    for length in LENGTHS_US:
        calls = max(1, round(length * 1e-6 / call_s)) if length else 0
        loads = {side: Load(driver, engine, calls) for side, driver in drivers.items()}
        for way, run in WAYS.items():
            for load in loads.values():  # shadows and tables are made
                run(load, 0)
            yield Requests(
                f"{engine} {length} us {way}",
                calls * call_s * 1e6,
                [{side: run(load, SECONDS) for side, load in loads.items()} for _ in range(rounds)],
            )


def _row(requests: Requests[Mode]) -> dict[str, float]:
    native_us = 1e6 / median(rates[NATIVE] for rates in requests.rounds)
    return {
        "gpu_us": round(requests.gpu_us, 1),
        "native_us": round(native_us, 1),
        **{str(mode): round(requests.ratio(mode, NATIVE), 3) for mode in MEDIATED},
    }


def _kind(offset: int, access: str) -> str:
    if offset >= GSM:
        return f"ggtt_{access}"
    kind = _KINDS.get(offset, f"register_{offset:x}")
    return kind if kind.endswith("writes") else f"{kind}_{access}"


def _traps(way: str) -> dict[str, float]:
    """Traps of one request, by kind."""
    with (
        tempfile.TemporaryDirectory() as directory,
        rig(Path(directory), SHADOW) as made,
        made.guest() as guest,
    ):
        driver, counters = guest.driver, made.vgpu(0).counters
        calls = round(AIMED_US * 1e-6 / calibrate(driver, "rcs0"))
        load = Load(driver, "rcs0", calls)
        WAYS[way](load, 0)
        driver.read32(MASTER)  # what was posted has been served
        before = counters.traps_read + counters.traps_write, counters.requests, driver.interrupts
        by_kind = Counter[str]()
        read, write = driver.read, driver.write

        def counted_read(offset: int, count: int) -> bytes:
            by_kind[_kind(offset, "reads")] += 1
            return read(offset, count)

        def counted_write(offset: int, data: bytes) -> None:
            by_kind[_kind(offset, "writes")] += 1
            write(offset, data)

        driver.read, driver.write = counted_read, counted_write
        for ports in driver.ports.values():
            ports.write = partial(write_port, counted_write)
        requests = sum(context.requests for context in load.contexts)
        WAYS[way](load, TRAPS_SECONDS)
        requests = sum(context.requests for context in load.contexts) - requests
        driver.read32(MASTER)
        traps = counters.traps_read + counters.traps_write - before[0]
        assert traps == by_kind.total(), "the vGPU counts other traps than its driver"
        return {
            "total": round(traps / requests, 2),
            **{kind: round(count / requests, 2) for kind, count in sorted(by_kind.items())},
            "interrupts": round((driver.interrupts - before[2]) / requests, 2),
            "contexts_submitted": round((counters.requests - before[1]) / requests, 2),
        }


def measure() -> dict[str, dict[str, float]]:
    """For each engine, length and way: native time of a request, and the ratio of each mode.

    Then the traps of one request by kind.
    """
    rows: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        drivers = guests(stack, {mode: served(mode) for mode in ALL})
        for engine in ENGINES:
            for requests in throughput(drivers, NATIVE, engine):
                rows[requests.name] = _row(requests)
    for way in WAYS:
        rows[f"traps {way}"] = _traps(way)
    return rows


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
