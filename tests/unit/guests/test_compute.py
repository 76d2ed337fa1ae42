"""What the compute suite makes of a guest's output."""

import json
from collections.abc import Sequence

from tests.guests.compute import CaseResult, Run, parse_reports, run_command, summary, table
from tests.guests.compute_programs import parse_answer
from tests.guests.compute_suites import DRIVERS, SUITES, Suite


def test_reports_are_the_json_lines_of_cases_that_came_to_an_end() -> None:
    output = 'WARNING: incomplete\n{"device": "GPU", "driver": "1"}\n{"name": "vadd"}\n{"name": "sa'
    assert parse_reports(output) == [{"device": "GPU", "driver": "1"}, {"name": "vadd"}]


def test_the_command_says_driver_size_and_cases() -> None:
    kernels = SUITES["kernels"]
    command = run_command(DRIVERS["neo"], kernels, "large", ["vadd", "fft"])
    assert "--platform 'Intel(R) OpenCL HD Graphics' --size large vadd fft" in command
    assert "INTEL_DEBUG" not in command
    assert "RUSTICL_ENABLE=iris" in run_command(DRIVERS["rusticl"], kernels, "small", [])


def test_the_command_says_where_a_suites_files_are() -> None:
    command = run_command(DRIVERS["rusticl"], SUITES["pyopencl"], "small", ["copy"], "/place")
    assert command.startswith("cd /place; env PYTHONPATH=/place ")
    assert command.endswith("pyopencl_run --platform rusticl --tests /place/kit copy")


def test_each_driver_runs_suites_that_there_are() -> None:
    assert {suite for driver in DRIVERS.values() for suite in driver.suites} == SUITES.keys()


class Told(Run):
    """A run whose guests say what a test gives them."""

    def say(self, *outputs: tuple[str, bool]) -> None:
        """One for each guest."""
        self.outputs = list(outputs)
        self.asked: list[list[str]] = []

    def _in_guest(self, name: str, suite: Suite, cases: Sequence[str]) -> tuple[str, bool]:
        self.asked.append(list(cases))
        return self.outputs.pop(0)


def _line(name: str) -> str:
    return json.dumps({"name": name, "result": "pass", "detail": ""}) + "\n"


def test_what_follows_a_lost_case_runs_in_another_guest() -> None:
    run = Told("6.12")
    run.say((_line("vadd"), False), (_line("fft"), True))
    results = list(run.driver("neo", "kernels", ["vadd", "saxpy", "fft"]))
    assert [(each.name, each.result) for each in results] == [
        ("vadd", "pass"),
        ("saxpy", "lost"),
        ("fft", "pass"),
    ]
    assert run.asked == [["vadd", "saxpy", "fft"], ["fft"]]


def test_where_nobody_knows_the_cases_a_lost_guest_ends_the_run() -> None:
    run = Told("6.12")
    run.say((_line("program/execute/sizeof") + "QEMU ended", False))
    results = list(run.driver("neo", "piglit", ["sizeof", "calls"]))
    assert [(each.name, each.result) for each in results] == [
        ("program/execute/sizeof", "pass"),
        ("piglit", "lost"),
    ]


def test_a_suite_that_says_nothing_is_lost() -> None:
    run = Told("6.12")
    run.say(("no such platform", True))
    assert [each.result for each in run.driver("neo", "clpeak", [])] == ["lost"]


def test_the_table_has_a_line_for_each_result() -> None:
    results = [
        CaseResult("neo", "vadd", "pass", accuracy="equal", build_seconds=1.5, seconds=0.25),
        CaseResult("neo", "fft", "lost", "QEMU ended"),
    ]
    lines = table(results).splitlines()
    assert len(lines) == 2
    assert "equal" in lines[0]
    assert lines[1].endswith("QEMU ended")
    assert summary(results) == "1 pass, 0 fail, 0 skip, 1 lost"


def test_an_answer_is_what_passed_and_what_did_not() -> None:
    answer = parse_answer("noise\ndevice HD 630\npass xorshift\nfail product: 3 of 9 wrong\n")
    assert answer.device == "HD 630"
    assert answer.passed == ("xorshift",)
    assert answer.failures == ("product: 3 of 9 wrong",)


def test_a_program_that_says_nothing_has_failed() -> None:
    assert parse_answer("Segmentation fault\n").failures
    assert parse_answer("device HD 630\n").failures
