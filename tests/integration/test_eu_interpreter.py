"""The interpreter runs what Intel's compiler makes: every kernel of the corpus, answers judged."""

from __future__ import annotations

import pytest

from tests.eu_corpus import corpus
from tests.eu_corpus.case import Size
from tests.eu_corpus.cases import CASES
from tests.eu_corpus.launch import FlatMemory
from tests.unit.mediator.eu_corpus_run import interpret

pytestmark = pytest.mark.modes


@pytest.mark.parametrize(
    "name", [name for name in CASES if "images" not in CASES[name](Size.SMALL).needs]
)
def test_a_kernel_gives_its_answer(name: str) -> None:
    launch = corpus.kernel(name).launch()
    assert interpret(launch) > 0
    assert launch.check(FlatMemory(launch.segments).read) == []
