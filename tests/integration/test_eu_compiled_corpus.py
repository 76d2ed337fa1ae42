"""Kernels of Intel's compiler, translated and compiled, give the right answers."""

from __future__ import annotations

import pytest

from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.translator import kernel, pairs
from tests.eu_corpus import corpus
from tests.eu_corpus.cases import CASES

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from tests.property import compiled_world  # after what it needs

pytestmark = pytest.mark.modes


BUDGETS = pytest.mark.parametrize("budget", [compiled_world.PLENTY, 1])
"""With a budget of one every loop is left and entered again on each round."""


@BUDGETS
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_kernel_of_the_corpus_gives_its_answers(name: str, budget: int) -> None:
    found = corpus.kernel(name)
    linked = compiled_world.link(kernel.translate(Program.of(found.isa), found.simd))
    assert compiled_world.run_launch(found.launch(), linked, budget=budget) == []


@BUDGETS
@pytest.mark.parametrize("name", sorted(CASES))
def test_two_threads_at_a_time_give_the_answers(name: str, budget: int) -> None:
    found = corpus.kernel(name)
    program = Program.of(found.isa)
    if pairs.misfit(program, found.simd) is not None:
        pytest.skip("threads that fill the vector units by themselves")
    linked = compiled_world.link(kernel.translate(program, found.simd))
    pair = compiled_world.link(pairs.translate_pair(program, found.simd), pair=True)
    assert compiled_world.run_launch(found.launch(), linked, budget=budget, pair=pair) == []
