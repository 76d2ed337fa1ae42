"""Random programs, compiled and interpreted: a few of each kind (`eu_translator` for more)."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from tests.fuzz import eu_translator  # after what it needs

SEED = 1130


def test_programs_leave_the_same_or_are_refused() -> None:
    found = eu_translator.fuzz(SEED, programs=8)
    assert found.total() == 8
    assert {"the same, as a pair the same", "no program"} <= found.keys()


@pytest.mark.modes
def test_more_programs() -> None:
    found = eu_translator.fuzz(SEED + 1000, programs=50)
    same = sum(count for became, count in found.items() if became.startswith("the same"))
    assert same > found.total() / 4
    assert found["died"] <= 1


def test_a_case_hangs_on_its_seed_alone() -> None:
    assert eu_translator.case(5) == eu_translator.case(5)
    assert len({eu_translator.case(seed).code for seed in range(8)}) == 8
