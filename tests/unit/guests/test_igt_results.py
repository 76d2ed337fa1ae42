"""What IGT prints, as results."""

import json

import pytest

from tests.guests.igt_results import Outcome, SubtestResult, parse_subtest, summary, table, to_json

HEAD = "IGT-Version: 2.5-NO-GIT (x86_64)\nUsing IGT_SRANDOM=1 for randomisation\n"
PASSED = (
    HEAD + "Opened device: /dev/dri/card0\nStarting subtest: basic\n"
    "Starting dynamic subtest: rcs0\nDynamic subtest rcs0: SUCCESS (0.010s)\n"
    "Dynamic subtest bcs0: SUCCESS (0.002s)\nSubtest basic: SUCCESS (0.250s)\n"
)
SKIPPED = (
    HEAD + "Test requirement not met in function drm_open_driver, file ../lib/drmtest.c:790:\n"
    "Test requirement: !(fd<0)\nNo known gpu found for chipset flags 0x1 (intel)\n"
    "Last errno: 2, No such file or directory\nSubtest basic: SKIP (0.000s)\n"
)
FAILED = (
    HEAD + "Starting subtest: dword\n(gem_exec_store:10) CRITICAL: Test assertion failure function "
    "store, file x.c:9:\n(gem_exec_store:10) CRITICAL: Failed assertion: value == 1\n"
    "Subtest dword failed.\n**** DEBUG ****\nSubtest dword: FAIL (1.500s)\n"
)


def test_a_pass_has_its_seconds_and_dynamic_subtests() -> None:
    result = parse_subtest("gem_exec_basic", "basic", 0, PASSED)
    assert result.outcome is Outcome.PASS
    assert result.seconds == pytest.approx(0.25)
    assert result.dynamic == ("rcs0: success", "bcs0: success")


def test_a_skip_has_its_reason() -> None:
    result = parse_subtest("gem_exec_basic", "basic", 77, SKIPPED)
    assert result.outcome is Outcome.SKIP
    assert result.reason == "!(fd<0); No known gpu found for chipset flags 0x1 (intel)"


def test_a_requirement_alone_is_the_reason() -> None:
    text = HEAD + "Test requirement: has_bsd2(fd)\nSubtest a: SKIP (0.000s)\n"
    assert parse_subtest("p", "a", 77, text).reason == "has_bsd2(fd)"


def test_a_failure_names_the_assertion() -> None:
    result = parse_subtest("gem_exec_store", "dword", 98, FAILED)
    assert result.outcome is Outcome.FAIL
    assert "store" in result.reason
    assert result.output == FAILED


def test_a_killed_child_is_a_failure_not_a_timeout() -> None:
    assert parse_subtest("p", "dword", 137, FAILED).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, Outcome.PASS),
        (77, Outcome.SKIP),
        (79, Outcome.FAIL),
        (98, Outcome.FAIL),
        (124, Outcome.TIMEOUT),
        (137, Outcome.TIMEOUT),
        (139, Outcome.CRASH),
    ],
)
def test_the_exit_status_decides(status: int, outcome: Outcome) -> None:
    assert parse_subtest("p", "a", status, HEAD).outcome is outcome


def test_the_table_has_reasons_complaints_and_totals() -> None:
    results = [
        SubtestResult("p", "a", Outcome.PASS, 1.0),
        SubtestResult("p", "long-name", Outcome.SKIP, 0.0, "why", ("[drm] *ERROR* x",)),
    ]
    text = table(results)
    assert "p@a          pass" in text
    assert "why" in text
    assert "    kernel: [drm] *ERROR* x" in text
    assert summary(results) in text
    assert summary(results) == "2 subtests: 1 pass, 1 skip; kernel complaints in 1"


def test_json_keeps_everything() -> None:
    text = to_json([SubtestResult("p", "a", Outcome.FAIL, 1.0, "why")], {"kernel": "6.12"})
    decoded = json.loads(text)
    assert decoded["about"] == {"kernel": "6.12"}
    assert decoded["results"][0]["outcome"] == "fail"
    assert decoded["results"][0]["reason"] == "why"
