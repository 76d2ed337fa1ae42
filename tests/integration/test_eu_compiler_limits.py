"""The real compiler process beside programs made to hurt it, and when it is killed at random."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import grf
from mediator.softgpu.eu.translator.process import CompilerProcess, ProcessLimits
from mediator.softgpu.eu.translator.translations import KernelCode, Translations

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.native.worker import routine_addresses  # after what it needs
from mediator.softgpu.eu.translator.linker import Linker

pytestmark = pytest.mark.modes
PATIENCE_S = 240.0
_DATA_PORT_1 = 12
_A64_WRITE_X = 2 << 25 | 0x19 << 14 | 2 << 12 | 0xE << 8 | 0xFF
REGISTERS = range(2, 120)


def tangled(instructions: int, seed: int = 1) -> Program:
    """Everything depends on everything: all registers live to the end, in no order."""
    draw, asm = random.Random(seed), Assembler(16)
    for _ in range(instructions):
        to, *sources = (grf(draw.choice(REGISTERS) & ~1, Type.F) for _ in range(4))
        asm.mad(to, *sources)
    for register in REGISTERS[::2]:
        asm.add(grf(2, Type.F), grf(2, Type.F), grf(register, Type.F))
    asm.send(None, 4, _DATA_PORT_1, _A64_WRITE_X, more=(2, 1), width=8)
    asm.end()
    return Program.of(asm.code())


def small(number: int) -> Program:
    """Another one for each number."""
    asm = Assembler(8)
    asm.mov(grf(2, Type.D), number)
    asm.end()
    return Program.of(asm.code())


class Killed:
    """A compiler process that somebody kills at random moments while it is asked."""

    def __init__(self, seed: int) -> None:
        self.process = CompilerProcess()
        self.kills = 0
        self._draw = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._draw.choice((0.01, 0.1, 0.5, 2.0))):
            pid = self.process.pid
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def made() -> Iterator[list[Translations]]:
    """Closed at the end."""
    opened: list[Translations] = []
    yield opened
    for each in opened:
        each.close()


def translations(compiler: CompilerProcess, made: list[Translations]) -> Translations:
    made.append(Translations(compiler, Linker(routine_addresses())))
    return made[-1]


def test_a_program_that_takes_too_long_is_given_up(made: list[Translations]) -> None:
    """By its processor time; the next one, of another guest, is compiled."""
    opened = translations(CompilerProcess(ProcessLimits(seconds=1)), made)
    slow = KernelCode.of(tangled(6000), 16)
    assert opened.wait(slow, PATIENCE_S, "enemy") is None
    assert opened.reason(slow)
    assert opened.counters.deaths == 2
    assert opened.counters.failures == 1
    assert opened.wait(KernelCode.of(small(1), 8), PATIENCE_S, "other") is not None


def test_a_program_that_is_too_large_is_refused_at_once(made: list[Translations]) -> None:
    process = CompilerProcess()
    opened = translations(process, made)
    large = KernelCode.of(tangled(20_000), 16)
    assert opened.wait(large, PATIENCE_S, "enemy") is None
    assert (opened.counters.refusals, opened.counters.deaths) == (1, 0)
    assert opened.wait(KernelCode.of(small(1), 8), PATIENCE_S, "other") is not None
    assert process.starts == 1


def test_it_is_killed_at_random_moments(made: list[Translations]) -> None:
    """Every kernel is compiled or given up, and when the killing ends all new ones are compiled."""
    killed = Killed(seed=5)
    opened = translations(killed.process, made)
    try:
        for number in range(1000):
            if number >= 12 and opened.counters.deaths:
                break
            code = KernelCode.of(small(number), 8)
            found = opened.wait(code, PATIENCE_S)
            assert (found is None) == (opened.reason(code) is not None)
    finally:
        killed.stop()
    assert opened.counters.deaths > 0
    assert opened.pending == 0
    assert opened.wait(KernelCode.of(small(1001), 8), PATIENCE_S) is not None
