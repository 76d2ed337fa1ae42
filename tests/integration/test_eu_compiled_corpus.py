"""Kernels of Intel's compiler, translated and compiled, give the right answers."""

from __future__ import annotations

import pytest

from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.translator import kernel
from tests.eu_corpus import corpus
from tests.eu_corpus.cases import CASES

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from tests.property import compiled_world  # after what it needs

pytestmark = pytest.mark.modes


@pytest.mark.parametrize("budget", [compiled_world.PLENTY, 1])
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_kernel_of_the_corpus_gives_its_answers(name: str, budget: int) -> None:
    """With a budget of one every loop is left and entered again on each round."""
    found = corpus.kernel(name)
    linked = compiled_world.link(kernel.translate(Program.of(found.isa), found.simd))
    assert compiled_world.run_launch(found.launch(), linked, budget=budget) == []
