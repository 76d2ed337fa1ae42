"""One IGT subtest in a guest: which there are, run one, judge its result."""

import fnmatch
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.guests import igt_plan
from tests.guests.boot import Guest
from tests.guests.igt_plan import Program
from tests.guests.igt_results import GOOD, Outcome, SubtestResult, parse_subtest
from tests.guests.kernel_log import complaints
from tests.guests.setup_error import SetupError

_STATUS, _LOG = "@@vgpud-status", "@@vgpud-log"
# IGT ends in order when asked to; after this many seconds more it is killed.
_GRACE_SECONDS = 10


def selection(test: str) -> Program:
    """What `program` or `program@pattern` asks for."""
    name, _, pattern = test.partition("@")
    planned = igt_plan.BY_NAME.get(name, Program(name))
    return replace(planned, sample=(pattern,)) if pattern else planned


def chosen(program: Program, subtests: Sequence[str]) -> list[str]:
    """The subtests of a program that its sample asks for, in the program's order."""
    return [
        subtest
        for subtest in subtests
        if any(fnmatch.fnmatchcase(subtest, pattern) for pattern in program.sample)
    ]


def list_subtests(guest: Guest, program: str) -> list[str]:
    """The subtests that a program has; raises SetupError if there is no such program."""
    result = guest.run(f"{program} --list-subtests", 60)
    if result.status == 127:
        raise SetupError(f"IGT has no program {program!r}")
    return result.output.split() if result.status == 0 else []


def run_subtest(guest: Guest, program: str, subtest: str, seconds: float) -> SubtestResult:
    """Run one subtest; raises GuestFailure when the guest is lost."""
    mark = f"vgpud-mark-{time.monotonic_ns()}"
    command = (
        f"cd /tmp; echo {mark} >/dev/kmsg\n"
        f"timeout -s TERM -k {_GRACE_SECONDS} {seconds:.0f} {program} --run-subtest {subtest}\n"
        f"status=$?; echo; echo {_STATUS} $status; echo {_LOG}\n"
        f"dmesg -x | sed -n '/{mark}/,$p'\n"
    )
    result = guest.run(command, seconds + 2 * _GRACE_SECONDS + 30)
    output, _, rest = result.output.partition(f"\n{_STATUS} ")
    status, _, log = rest.partition(f"\n{_LOG}\n")
    parsed = parse_subtest(program, subtest, int(status) if status.isdigit() else 137, output)
    return replace(
        parsed,
        seconds=parsed.seconds or round(result.seconds, 2),
        complaints=tuple(complaints(log)),
    )


def excused(result: SubtestResult) -> SubtestResult:
    """The result, or DEFECT where the subtest is known to fail on any machine."""
    if result.outcome in GOOD:
        return result
    test = f"{result.program}@{result.subtest}"
    for pattern, reason in igt_plan.DEFECTS.items():
        if fnmatch.fnmatchcase(test, pattern):
            return replace(result, outcome=Outcome.DEFECT, reason=f"{reason} ({result.reason})")
    return result


def planned_subtests(guest: Guest, tests: Sequence[str]) -> list[tuple[Program, str]]:
    """The subtests that `tests` (`program` or `program@pattern`) stand for."""
    programs = [selection(test) for test in tests]
    return [
        (program, subtest)
        for program in programs
        for subtest in chosen(program, list_subtests(guest, program.name))
    ]
