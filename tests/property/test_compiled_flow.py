"""Lanes of compiled programs that go different ways do each what they would do alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.translator import kernel, pairs
from tests.property.eu_flow import LIMIT, STATE, Assembler, Lane, Statement, statements

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from tests.property import compiled_world  # after what it needs

_GRF_WORDS = 8
_BUDGETS = st.sampled_from([1, 3, compiled_world.PLENTY])


def _agree(
    program: tuple[Statement, ...], width: int, seed: int, budget: int, threads: int = 1
) -> None:
    listing = Assembler(width).assemble(program)
    code = b"".join(encode(each).to_bytes(16, "little") for each in listing.values())
    found = Program.of(code)
    assume(not found.dynamic)  # calls
    registers = (1 << width // _GRF_WORDS) - 1
    options = kernel.Options(kept=registers << STATE)
    linked, pair = compiled_world.link(kernel.translate(found, width, options)), None
    if threads > 1:
        pair = compiled_world.link(pairs.translate_pair(found, width, options), pair=True)
    random = np.random.default_rng(seed)
    states = random.integers(0, 1 << 32, (threads, width), np.uint32)
    limits = random.integers(0, 4, (threads, width), np.uint32)
    every = (1 << width) - 1
    masks = [int(random.integers(0, 1 << 32)) & every if seed & 1 else every] * threads
    if seed & 2:  # all lanes of a thread alike: then threads go different ways
        limits[:] = limits[:, :1]
        masks[-1] &= int(random.integers(0, 1 << 32))
    space = compiled_world.PagedMemory([])
    world = compiled_world.CompiledWorld(space, Bases(), threads, 0)
    with world.attached():
        for number, mask in enumerate(masks):
            content = np.zeros(1024, np.uint32)
            content[_GRF_WORDS * STATE : _GRF_WORDS * STATE + width] = states[number]
            content[_GRF_WORDS * LIMIT : _GRF_WORDS * LIMIT + width] = limits[number]
            world.begin(number, content.tobytes(), mask)
        assert world.run(linked, budget, pair=pair) == compiled_world.ENDED
    space.close()
    assert threads == 1 or world.pairs
    for number, mask in enumerate(masks):
        after = np.frombuffer(bytes(world.threads[number].grf), np.uint32)
        for lane in range(width):
            expected = int(states[number, lane])
            if mask >> lane & 1:
                expected = Lane(expected, int(limits[number, lane])).run(program)
            assert int(after[_GRF_WORDS * STATE + lane]) == expected, (number, lane)


@settings(deadline=None, max_examples=8, derandomize=True)
@given(statements(2), st.sampled_from([8, 16]), st.integers(0, 1 << 30), _BUDGETS)
def test_lanes_go_their_own_ways(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget)


@settings(deadline=None, max_examples=8, derandomize=True)
@given(statements(2), st.sampled_from([8, 16]), st.integers(0, 1 << 30), _BUDGETS)
def test_lanes_of_two_threads_go_their_own_ways(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget, 2)


@pytest.mark.modes
@settings(deadline=None, max_examples=60, derandomize=True)
@given(statements(3), st.sampled_from([8, 16]), st.integers(0, 1 << 30), _BUDGETS)
def test_deep_programs_of_three_threads(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget, 3)


@pytest.mark.modes
@settings(deadline=None, max_examples=100, derandomize=True)
@given(statements(3), st.sampled_from([8, 16]), st.integers(0, 1 << 30), _BUDGETS)
def test_deep_programs_in_small_portions(
    program: tuple[Statement, ...], width: int, seed: int, budget: int
) -> None:
    _agree(program, width, seed, budget)
