"""Benchmarks, each with both of its sides in this run: a table, then JSON.

python -m tests.bench [NAME ...]
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench import (
    address_spaces,
    bcs_batches,
    blit_bandwidth,
    busy_traps,
    command_rate,
    compute,
    control_flood,
    control_plane,
    event_signal,
    guest_mediated,
    guest_probe,
    hang_neighbour,
    mediated_requests,
    scrape,
    stalls,
    submission_latency,
    trap_latency,
    walker_overhead,
    world_switch,
)

Figures = Mapping[str, Mapping[str, float]]

BENCHMARKS: dict[str, Callable[[], Figures]] = {
    "trap_latency": trap_latency.measure,
    "submission_latency": submission_latency.measure,
    "busy_traps": busy_traps.measure,
    "command_rate": command_rate.measure,
    "blit_bandwidth": blit_bandwidth.measure,
    "address_spaces": address_spaces.measure,
    "control_plane": control_plane.measure,
    "event_signal": event_signal.measure,
    "control_flood": control_flood.measure,
    "scrape": scrape.measure,
    "guest_probe": guest_probe.measure,
    "hang_neighbour": hang_neighbour.measure,
    "stalls": stalls.measure,
    "mediated_requests": mediated_requests.measure,
    "bcs_batches": bcs_batches.measure,
    "world_switch": world_switch.measure,
    "guest_mediated": guest_mediated.measure,
    "walker_overhead": walker_overhead.measure,
    "compute": compute.measure,
}
SLOW = {"compute", "control_flood", "guest_mediated", "stalls"}
"""Those that take minutes: run when they are named."""
RESULTS = Path("results/bench.json")


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def main(names: list[str]) -> int:
    """Run the benchmarks named, by default all that are not slow."""
    unknown = sorted(set(names) - BENCHMARKS.keys())
    if unknown:
        print(
            f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}",
            file=sys.stderr,
        )
        return 2
    host = machine()
    print(f"{host['cpu']}, Linux {host['kernel']}, Python {host['python']}")
    report: dict[str, object] = {"machine": host}
    for name in names or [name for name in BENCHMARKS if name not in SLOW]:
        print(f"\n{name}", flush=True)
        figures = BENCHMARKS[name]()
        report[name] = figures
        for row, values in figures.items():
            cells = "  ".join(
                f"{key} {value:,.4g}" if abs(value) < 1000 else f"{key} {value:,.0f}"
                for key, value in values.items()
            )
            print(f"  {row:24} {cells}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print()
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
