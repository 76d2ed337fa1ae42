"""Commands parsed per second by the command streamer, against the least any parser must do.

Each mix fills a batch of 64 pages in a PPGTT and is run to its end, its effects (stores, register
writes, post-sync writes) included. The baseline walks the same dwords in plain Python: read a
header, work out the length, go on. Rounds of both sides alternate and the best of each counts.

Run ``python -m tests.bench.command_rate``; aim: 300,000 simple commands a second.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Sequence

from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    BATCH_END,
    DATA,
    NOOP,
    USER_BATCH,
    USER_BATCH_START,
    CommandBench,
    make_bench,
)

_BATCH_DWORDS = 64 * 1024
_ROUNDS = 5
_GPR0 = 0x2600

MIXES: dict[str, list[int]] = {
    "noop runs": [NOOP] * 512,
    "arbitration checks": [0x05 << 23],
    "store data": [0x20 << 23 | 2, DATA, 0, 1],
    "load register": [0x22 << 23 | 1, _GPR0, 1],
    "pipe control": [0x7A00_0004, 1 << 20 | 1 << 12, 0, 0, 0, 0],
    "pipe control write": [0x7A00_0004, 1 << 20 | 1 << 14, DATA, 0, 1, 0],
    "3D state": [0x7810_0007, *[0] * 8, 0x781F_0004, *[0] * 5, 0x7B00_0005, *[0] * 6],
}
"""One period of each mix."""


def _walk(dwords: Sequence[int]) -> int:
    """The baseline: commands in ``dwords``, by their lengths."""
    index = commands = 0
    end = len(dwords)
    while index < end:
        header = dwords[index]
        commands += 1
        if header >> 29 == 0 and header >> 23 < 0x10:
            index += 1
        else:
            index += (header & 0xFF) + 2
    return commands


def _prepare(period: Sequence[int]) -> tuple[CommandBench, list[int]]:
    bench = make_bench()
    dwords = list(period) * (_BATCH_DWORDS // len(period))
    bench.memory.write(USER_BATCH, struct.pack(f"<{len(dwords) + 1}I", *dwords, BATCH_END))
    return bench, dwords


def _run(bench: CommandBench) -> float:
    bench.ring([USER_BATCH_START, USER_BATCH, 0, NOOP])
    began = time.perf_counter()
    stop = bench.again(quantum=1 << 30)
    took = time.perf_counter() - began
    assert stop is Stop.RING_EMPTY, bench.host.hangs
    return took


def measure() -> dict[str, dict[str, float]]:
    """For each mix: commands a second of the streamer and the baseline, and their ratio."""
    results = {}
    for name, period in MIXES.items():
        bench, dwords = _prepare(period)
        commands = _walk(dwords)
        streamer, baseline = [], []
        for _ in range(_ROUNDS):
            streamer.append(_run(bench))
            began = time.perf_counter()
            _walk(dwords)
            baseline.append(time.perf_counter() - began)
        results[name] = {
            "commands_per_second": round(commands / min(streamer)),
            "baseline_per_second": round(commands / min(baseline)),
            "ratio": round(min(baseline) / min(streamer), 3),
        }
    return results


def main() -> None:
    """Print the table, then the same as JSON."""
    results = measure()
    out = sys.stdout.write
    out(f"{'mix':22}{'commands/s':>14}{'plain loop/s':>14}{'ratio':>8}\n")
    for name, row in results.items():
        rate, plain = row["commands_per_second"], row["baseline_per_second"]
        out(f"{name:22}{rate:>14,.0f}{plain:>14,.0f}{row['ratio']:>8.3f}\n")
    out(json.dumps({"command_rate": results}) + "\n")


if __name__ == "__main__":
    main()
