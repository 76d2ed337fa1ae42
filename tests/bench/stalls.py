"""A neighbour's rounds beside each attack that could hold it up, against its rounds alone.

A `vgpud serve --vgpus 2`, a neighbour in this process that verifies every result, and the attacker
in a third, nice. For each attack: rounds a second, their ratio to those alone and to half of them,
which is the neighbour's entitlement, and the longest round.

    python -m tests.bench.stalls [NAME ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.stall_attacks import ATTACKS, RECONNECTING
from tests.integration.vgpu_rig import connect
from tests.integration.vgpu_worker import Worker

ALONE_S = 2.0
BESIDE_S = 4.0
NAMES = [*ATTACKS, RECONNECTING]


@contextmanager
def attacking(path: str, name: str) -> Iterator[None]:
    """The attack goes on meanwhile."""
    command = [sys.executable, "-m", "tests.bench.stall_attacks", path, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None, "the attack ended by itself"
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def rounds(worker: Worker, seconds: float) -> list[float]:
    """How long each round took, in seconds, for so long."""
    begin = last = time.monotonic()
    found = []
    while last - begin < seconds:
        worker.round()
        now = time.monotonic()
        found.append(now - last)
        last = now
    return found


def beside(name: str) -> dict[str, float]:
    """A neighbour's rounds alone, then beside the attack ``name``."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [str(Path(directory) / f"vgpu{n}") for n in range(2)]
        options = ["--vgpus", "2", "--socket-dir", directory]
        with shared(options, paths):
            guest = connect(paths[0])
            worker = Worker(guest, 1)
            worker.round()
            alone = rounds(worker, ALONE_S)
            with attacking(paths[1], name):
                rounds(worker, 0.3)
                found = rounds(worker, BESIDE_S)
            guest.close()
    rate, rate_alone = len(found) / sum(found), len(alone) / sum(alone)
    return {
        "alone_per_s": round(rate_alone, 1),
        "beside_per_s": round(rate, 1),
        "ratio": round(rate / rate_alone, 2),
        "of_entitlement": round(2 * rate / rate_alone, 2),
        "worst_alone_ms": round(1e3 * max(alone), 1),
        "worst_beside_ms": round(1e3 * max(found), 1),
    }


@contextmanager
def shared(options: Sequence[str], paths: Sequence[str]) -> Iterator[None]:
    """A daemon with two vGPUs; killed at the end."""
    program = Path(sys.executable).with_name("vgpud")
    with subprocess.Popen(
        [program, "serve", *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for path in paths:
                assert process.stdout.readline() == f"ready {path}\n"
            yield
        finally:
            process.kill()


def measure(names: Sequence[str] = NAMES) -> dict[str, dict[str, float]]:
    """For each attack what `beside` gives."""
    return {name: beside(name) for name in names}


if __name__ == "__main__":
    for attack in sys.argv[1:] or NAMES:
        print(f"{attack:16}", json.dumps(beside(attack)), flush=True)
