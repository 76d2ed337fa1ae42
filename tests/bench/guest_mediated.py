"""A real guest with a vGPU against the same guest with the GPU natively.

Boot, i915's probe, and IGT's own benchmarks: `gem_exec_nop` (empty batches, queued or each waited
for), `gem_blt` (batches of one and of sixteen copies of 1 MiB) and `gem_wsim` (workloads of several
engines). Every ratio is mediated / native in terms of throughput: above 1 the vGPU is faster.
Guests come one after another, each side in turn: two at once would take each other's processors.
It takes minutes, so `make bench` leaves it out:

    make bench GUEST=1
    python -m tests.bench guest_mediated

Debian ships `gem_wsim` without the workload files of its sources: the workloads here are our own.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from tests.guests.boot import Guest, GuestFailure, Machine
from tests.guests.images import Images, images
from tests.guests.kernel_log import complaints
from tests.guests.served import Served, ServedGpu, ServedVgpus

ROUNDS = 2
"""Boots of each side."""
_PROGRAMS = "/usr/libexec/igt-gpu-tools/benchmarks"
_MEMORY_MIB = 2048
_SECONDS = 240.0
_REPEATS = 3
"""Figures of gem_exec_nop and gem_blt in each boot."""
_BLIT_MS = 500
_WARM_UP = 20
_CYCLES = 200
"""Times that gem_wsim runs a workload."""

WORKLOADS = {
    "media": "1.VCS.3000.0.0,1.RCS.1000.-1.0,1.VCS.2000.-1.1",
    "render_and_copy": "1.RCS.4000.0.0,1.BCS.1000.-1.0,2.RCS.2000.0.1",
    "short_requests": "1.RCS.500.0.0,1.BCS.250.-1.0,1.VECS.250.-1.1",
}
"""Descriptors of gem_wsim: context.engine.microseconds.dependency.wait. The first two have requests
of 1 ms and longer."""

NATIVE = "native"
SIDES: dict[str, Callable[[], Served]] = {
    NATIVE: ServedGpu,
    "ballooned": lambda: ServedVgpus(("--ggtt", "ballooned"), count=1),
    "private": lambda: ServedVgpus(("--ggtt", "private"), count=1),
}


_NUMBER = re.compile(r"^\s*([0-9]+\.[0-9]+)\s*$", re.M)
_PER_SECOND = re.compile(r"\(([0-9.]+) workloads/s\)\s*$", re.M)


@dataclass(frozen=True, slots=True)
class _Program:
    """A benchmark in the guest, and what it prints."""

    command: str
    unit: str
    pattern: re.Pattern[str] = _NUMBER

    @property
    def times(self) -> bool:
        """It prints times: less is better."""
        return self.unit == "us"

    def measured(self, output: str) -> float:
        """The figure in ``output``. Raises GuestFailure where there is none."""
        found = [float(number) for number in self.pattern.findall(output)]
        if not found or min(found) <= 0:
            raise GuestFailure(f"{self.command} measured nothing:\n{output[-2000:]}")
        return median(found)


PROGRAMS = {
    "gem_exec_nop": _Program(f"gem_exec_nop -e rcs -r {_REPEATS}", "us"),
    "gem_exec_nop, synchronous": _Program(f"gem_exec_nop -e rcs -s -r {_REPEATS}", "us"),
    "gem_blt": _Program(f"gem_blt -t {_BLIT_MS} -r {_REPEATS}", "mib_per_s"),
    "gem_blt, 16 copies": _Program(f"gem_blt -b 16 -t {_BLIT_MS} -r {_REPEATS}", "mib_per_s"),
    **{
        f"gem_wsim, {name}": _Program(
            f"gem_wsim -q -r {_WARM_UP} -w {descriptor} && "
            f"{_PROGRAMS}/gem_wsim -r {_CYCLES} -w {descriptor}",
            "per_s",
            _PER_SECOND,
        )
        for name, descriptor in WORKLOADS.items()
    },
}


def _one_boot(ready: Images, side: str) -> dict[str, float]:
    """Everything on one side: seconds of boot and probe, what each benchmark measured."""
    with (
        SIDES[side]() as served,
        Guest(ready, served.sockets, Machine(memory=_MEMORY_MIB)) as guest,
    ):
        boot = guest.boot_seconds
        probe = guest.load_i915()
        figures = {"boot": boot, "probe": probe, "boot_and_probe": boot + probe}
        for name, program in PROGRAMS.items():
            output = guest.check(f"cd /tmp; {_PROGRAMS}/{program.command}", _SECONDS)
            figures[name] = program.measured(output)
        said = complaints(guest.dmesg())
        if said:
            raise GuestFailure(f"the guest's kernel complained ({side}): {said[0]}")
        guest.power_off()
    return figures


def _row(name: str, rounds: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    program = PROGRAMS.get(name)
    figures = {side: median(boot[name] for boot in boots) for side, boots in rounds.items()}
    row = {
        f"{side}_{program.unit if program else 's'}": round(figure, 2)
        for side, figure in figures.items()
    }
    for side, figure in figures.items():
        if side != NATIVE:
            ratio = figure / figures[NATIVE]
            row[f"ratio_{side}"] = round(
                1 / ratio if program is None or program.times else ratio, 3
            )
    return row


def measure() -> dict[str, dict[str, float]]:
    """For boot, probe and each benchmark: what each side took, and mediated / native."""
    ready = images()
    rounds: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side, boots in rounds.items():
            boots.append(_one_boot(ready, side))
    names = ["boot", "probe", "boot_and_probe", *PROGRAMS]
    return {name: _row(name, rounds) for name in names}


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
