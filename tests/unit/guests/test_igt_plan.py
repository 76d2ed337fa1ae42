"""What a test name selects."""

import pytest

from tests.guests.igt_plan import BY_NAME, PROGRAMS, QUICK, RULES
from tests.guests.igt_results import Outcome, SubtestResult
from tests.guests.igt_subtest import chosen, excused, selection


def test_a_program_stands_for_its_sample() -> None:
    program = selection("gem_softpin")
    assert program is BY_NAME["gem_softpin"]
    picked = chosen(program, ["softpin", "noreloc", "noreloc-S4", "evict-hang"])
    assert picked == ["softpin", "noreloc", "evict-hang"]


def test_a_pattern_replaces_the_sample() -> None:
    program = selection("gem_sync@forked-*")
    assert chosen(program, ["basic-all", "forked-all"]) == ["forked-all"]
    assert program.seconds == BY_NAME["gem_sync"].seconds


def test_a_program_outside_the_plan_runs_whole() -> None:
    assert chosen(selection("gem_other"), ["a", "b"]) == ["a", "b"]


def test_names_are_unique_and_quick_is_planned() -> None:
    assert len(BY_NAME) == len(PROGRAMS)
    assert all(test.partition("@")[0] in BY_NAME for test in (*QUICK, *RULES))


@pytest.mark.parametrize(
    ("subtest", "outcome", "expected"),
    [
        ("reset-stats-default", Outcome.FAIL, Outcome.DEFECT),
        ("close-pending-fork-default", Outcome.CRASH, Outcome.DEFECT),
        ("reset-stats-default", Outcome.PASS, Outcome.PASS),
        ("ban-default", Outcome.FAIL, Outcome.FAIL),
    ],
)
def test_only_known_defects_of_igt_are_excused(
    subtest: str, outcome: Outcome, expected: Outcome
) -> None:
    result = SubtestResult("gem_reset_stats", subtest, outcome, 1.0, reason="said so")
    found = excused(result)
    assert found.outcome is expected
    assert "said so" in found.reason
