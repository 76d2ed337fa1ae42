"""Lanes that go different ways do each what they would do alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.interpreter import Interpreter, Kernel, State
from mediator.softgpu.eu.interpreter.threads import Threads
from mediator.softgpu.eu.message_port import Call, MessageFault
from tests.property.eu_flow import (
    LIMIT,
    STATE,
    Assembler,
    Change,
    If,
    Lane,
    Leave,
    Statement,
    statements,
)
from tests.property.eu_flow import (
    Call as Subroutine,
)
from tests.property.eu_flow import (
    Test as Bits,
)

_THREADS = 3
_MOST = 1_000_000
"""Instructions of all threads: more than any of the programs executes."""


class _Nobody:
    def send(self, call: Call) -> MessageFault | None:
        """Only ends of threads come here."""
        assert call.sfid == 7
        return None


def _agree(program: tuple[Statement, ...], width: int, seed: int, budget: int) -> None:
    code = Assembler(width).assemble(program)
    random = np.random.default_rng(seed)
    states = random.integers(0, 1 << 32, (_THREADS, width), np.uint32)
    limits = random.integers(0, 4, (_THREADS, width), np.uint32)
    masks = random.integers(0, 1 << 32, _THREADS).astype(np.uint32) & np.uint32((1 << width) - 1)
    masks[0] = (1 << width) - 1
    threads = Threads(_THREADS)
    threads.blocks["dispatch_mask"] = masks
    words = threads.grf[Type.UD]
    words[:, 8 * STATE : 8 * STATE + width] = states
    words[:, 8 * LIMIT : 8 * LIMIT + width] = limits
    interpreter = Interpreter(Kernel(code.__getitem__), threads, _Nobody())
    while interpreter.run(budget) is State.SPENT:
        assert interpreter.executed < _MOST, "an endless program"
    assert interpreter.fault is None
    assert threads.ended.all()
    found = words[:, 8 * STATE : 8 * STATE + width]
    for thread in range(_THREADS):
        for lane in range(width):
            start = int(states[thread, lane])
            if masks[thread] >> lane & 1:
                start = Lane(start, int(limits[thread, lane])).run(program)
            assert int(found[thread, lane]) == start, (thread, lane)


_EARLY: tuple[Statement, ...] = (
    Subroutine((If(Bits(0, 0), (Leave("ret", Bits(0, 0)),), (Change(5),), False), Change(7))),
    Change(9),
)
"""Some lanes leave a subroutine, while nobody else is active in it and others wait."""


@settings(deadline=None, max_examples=40)
@example(_EARLY, 16, 1, _MOST)
@given(statements(2), st.sampled_from([8, 16, 32]), st.integers(0, 1 << 30), st.just(_MOST))
def test_lanes_go_their_own_ways(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget)


@pytest.mark.modes
@settings(deadline=None, max_examples=60)
@given(statements(3), st.sampled_from([8, 16, 32]), st.integers(0, 1 << 30), st.integers(20, 2000))
def test_deep_programs_in_small_portions(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget)
