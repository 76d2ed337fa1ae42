"""What a walker of 64 groups costs beside its threads: state, program look-up, dispatch.

Both sides run the same compiled program, which ends at once: one by a GPGPU_WALKER in a batch, the
other has its groups run by the native pool alone. Rounds alternate and the best of each counts.

Run ``python -m tests.bench.walker_overhead``; aim: 100 us more by the walker.
"""

from __future__ import annotations

import json
import sys
import time

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.dispatch.host_units import make_units
from mediator.softgpu.eu.dispatch.native_pool import NativePool
from mediator.softgpu.eu.dispatch.program_cache import ProgramKernel
from mediator.softgpu.eu.dispatch.walker import walker_job
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.register import grf
from mediator.softgpu.outcome import Stop
from tests.unit.mediator.command_bench import CommandBench, make_bench
from tests.unit.mediator.eu import media_commands as mc

GROUPS, THREADS = 64, 4
_DYNAMIC, _CODE = 0x50000, 0x70000
_ROUNDS = 2000
_LOOPS = 3
"""So that it is worth compiling."""


def _program() -> bytes:
    asm = Assembler()
    asm.mov(grf(10, Type.UD).scalar, _LOOPS, width=1, no_mask=True)
    asm.mov(grf(127, Type.UD), grf(0, Type.UD), no_mask=True)
    asm.end()
    return asm.code()


def _run(bench: CommandBench, words: list[int]) -> None:
    stop = bench.batch(words)
    while stop is Stop.QUANTUM:
        stop = bench.again()
    assert stop is Stop.RING_EMPTY, bench.host.hangs


def measure() -> dict[str, dict[str, float]]:
    """Microseconds of a walker, of its groups alone, and what it costs more."""
    bench, walk = make_bench(), mc.walker((GROUPS, 1, 1), width=THREADS)
    units = bench.host.units = make_units()
    bench.memory.write(_CODE, _program())
    bench.memory.write(_DYNAMIC, mc.descriptor(threads=THREADS, own=1))
    _run(
        bench,
        [
            *mc.base_address(dynamic=_DYNAMIC, instruction=_CODE),
            *mc.front_end(),
            *mc.curbe_load(0x400, 32 * THREADS),
            *mc.descriptor_load(0),
            *walk,
        ],
    )
    space = bench.host.ppgtt
    job = walker_job(bench.host.pipeline, space, walk, (GROUPS, 1, 1))
    kernel = units.program(job, space)
    assert isinstance(kernel, ProgramKernel)
    assert kernel.wait(60.0, None), "nothing is compiled on this host"
    compiled = kernel.compiled(None)
    assert compiled is not None
    pool = NativePool()
    walker, alone = [], []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        _run(bench, walk)
        walker.append(time.perf_counter() - began)
        run = pool.start(job, compiled, (0, 0, 0))
        began = time.perf_counter()
        with bench.memory.using():
            run.advance(space, time.monotonic_ns() + 10**9, begin=True)
        alone.append(time.perf_counter() - began)
    units.close()
    pool.close()
    best, least = min(walker) * 1e6, min(alone) * 1e6
    return {
        f"{GROUPS} groups of {THREADS} threads": {
            "walker_us": round(best, 1),
            "groups_alone_us": round(least, 1),
            "more_us": round(best - least, 1),
        }
    }


def main() -> None:
    """Print the table, then the same as JSON."""
    results = measure()
    for name, row in results.items():
        sys.stdout.write(f"{name}: {row}\n")
    sys.stdout.write(json.dumps({"walker_overhead": results}) + "\n")


if __name__ == "__main__":
    main()
