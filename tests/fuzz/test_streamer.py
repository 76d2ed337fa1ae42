"""Fuzz target over the command streamer.

Invariant: any bytes in ring, batches and page tables, on any engine, end every run in a `Stop`,
never in an exception, within a bounded number of runs; a hang is told to the host exactly once.
"""

from __future__ import annotations

import random

import pytest

from mediator.gen9.commands import decode
from mediator.softgpu.streamer import Stop
from tests.unit.mediator.command_bench import (
    DATA,
    PML4,
    RING,
    RING_SIZE,
    SECURE_BATCH,
    USER_BATCH,
    CommandBench,
    make_bench,
)

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
ENGINES = ("RCS", "BCS", "VCS", "VECS")
PLACES = (RING, SECURE_BATCH, USER_BATCH, DATA, PML4)
ROUNDS = 150
"""Each takes about a millisecond; the target runs for longer when this is raised."""
RUNS = 40


def headers(engine: str, rng: random.Random) -> int:
    """Mostly headers that decode, so that handlers are reached."""
    while True:
        kind = rng.choice((0, 0, 0, 2, 3))
        if kind == 0:
            dw0 = rng.randrange(0x40) << 23 | rng.choice((0, 1 << 22, 1 << 21, 1 << 8, 1 << 15))
            dw0 |= rng.choice((0, 1, 2, 3, 4, 9, rng.randrange(256))) | rng.randrange(1 << 23)
        else:
            dw0 = kind << 29 | rng.randrange(1 << 29)
            if rng.random() < 0.3:
                dw0 = 0x7A00_0004
        if decode(dw0, engine) is not None or rng.random() < 0.02:
            return dw0


def operand(rng: random.Random) -> int:
    """An address that exists, a register, a small number or noise."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(PLACES) + 4 * rng.randrange(1024)
    if kind < 0.7:
        return 0x2600 + 4 * rng.randrange(32)
    if kind < 0.97:
        return rng.randrange(8)
    return rng.randrange(1 << 32)


def commands(engine: str, rng: random.Random, dwords: int) -> list[int]:
    """About ``dwords`` dwords of plausible commands."""
    result: list[int] = []
    while len(result) < dwords:
        dw0 = headers(engine, rng)
        found = decode(dw0, engine)
        length = min(found[1] if found else 1, 12)
        if rng.random() < 0.3:
            length = rng.randrange(1, 12)
        operands = [operand(rng) for _ in range(length - 1)]
        if rng.random() < 0.8:
            operands[1:4:2] = [0] * len(operands[1:4:2])
        result += [dw0, *operands]
        if rng.random() < 0.2:
            result += [0x31 << 23 | rng.choice((1, 1 << 8 | 1, 1 << 22 | 1 << 8 | 1)), 0, 0]
            result[-2] = rng.choice((SECURE_BATCH, USER_BATCH)) + 4 * rng.randrange(64)
    return result[:dwords]


def drive(bench: CommandBench, rng: random.Random) -> None:
    """Run until nothing changes any more, with attention and abandon coming and going."""
    for _ in range(RUNS):
        bench.host.attention = rng.random() < 0.3
        bench.host.abandon = rng.random() < 0.05
        stop = bench.again(quantum=rng.choice((1, 7, 200)))
        assert isinstance(stop, Stop)
        if stop is Stop.HUNG:
            assert len(bench.host.hangs) == 1
            assert bench.host.hangs[0].reason
            return
        assert not bench.host.hangs
        if stop is Stop.RING_EMPTY:
            return


@pytest.mark.parametrize("engine", ENGINES)
def test_plausible_commands(engine: str) -> None:
    for seed in range(ROUNDS):
        rng = random.Random(f"{engine} {seed}")
        bench = make_bench(engine)
        for place in (SECURE_BATCH, USER_BATCH):
            bench.put(place, commands(engine, rng, 300))
        bench.put(RING, commands(engine, rng, 300))
        bench.context.ring.tail = 4 * 300 & ~7
        drive(bench, rng)


@pytest.mark.parametrize("engine", ENGINES)
def test_noise(engine: str) -> None:
    for seed in range(ROUNDS // 3):
        rng = random.Random(f"noise {engine} {seed}")
        bench = make_bench(engine)
        for place in (RING, SECURE_BATCH, USER_BATCH, PML4 + rng.choice((0, 0x1000, 0x3000))):
            bench.memory.write(place, rng.randbytes(4096))
        ring, batch = bench.context.ring, bench.context.batch
        ring.head, ring.tail = rng.randrange(1 << 32), rng.randrange(RING_SIZE)
        if rng.random() < 0.5:
            ring.head %= RING_SIZE
        if rng.random() < 0.3:
            ring.start = rng.randrange(1 << 32) & ~0xFFF
            ring.control = rng.randrange(1 << 32)
        if rng.random() < 0.5:
            batch.active, batch.ppgtt = True, rng.random() < 0.5
            batch.address = rng.choice((USER_BATCH, rng.randrange(1 << 64)))
        drive(bench, rng)
