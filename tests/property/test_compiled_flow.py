"""Lanes of compiled programs that go different ways do each what they would do alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.translator import kernel
from tests.property.eu_flow import LIMIT, STATE, Assembler, Lane, Statement, statements

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.native.worker import ffi  # after what it needs
from tests.property import compiled_world

_GRF_WORDS = 8
_BUDGETS = st.sampled_from([1, 3, compiled_world.PLENTY])


def _agree(program: tuple[Statement, ...], width: int, seed: int, budget: int) -> None:
    listing = Assembler(width).assemble(program)
    code = b"".join(encode(each).to_bytes(16, "little") for each in listing.values())
    found = Program.of(code)
    assume(not found.dynamic)  # calls
    registers = (1 << width // _GRF_WORDS) - 1
    text = kernel.translate(found, width, kernel.Options(kept=registers << STATE))
    linked = compiled_world.link(text)
    random = np.random.default_rng(seed)
    states = random.integers(0, 1 << 32, width, np.uint32)
    limits = random.integers(0, 4, width, np.uint32)
    mask = int(random.integers(0, 1 << 32)) & (1 << width) - 1 if seed & 1 else (1 << width) - 1
    content = np.zeros(1024, np.uint32)
    content[_GRF_WORDS * STATE : _GRF_WORDS * STATE + width] = states
    content[_GRF_WORDS * LIMIT : _GRF_WORDS * LIMIT + width] = limits
    space = compiled_world.PagedMemory([])
    world = compiled_world.CompiledWorld(space, Bases(), 1, 0)
    with world.attached():
        world.begin(0, content.tobytes(), mask)
        assert world.run(linked, budget) == compiled_world.ENDED
    space.close()
    after = np.frombuffer(bytes(ffi.buffer(world.threads)), np.uint32)
    for lane in range(width):
        expected = int(states[lane])
        if mask >> lane & 1:
            expected = Lane(expected, int(limits[lane])).run(program)
        assert int(after[_GRF_WORDS * STATE + lane]) == expected, lane


@settings(deadline=None, max_examples=8, derandomize=True)
@given(statements(2), st.sampled_from([8, 16]), st.integers(0, 1 << 30), _BUDGETS)
def test_lanes_go_their_own_ways(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget)


@pytest.mark.modes
@settings(deadline=None, max_examples=100, derandomize=True)
@given(statements(3), st.sampled_from([8, 16]), st.integers(0, 1 << 30), _BUDGETS)
def test_deep_programs_in_small_portions(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget)
