"""Parse what an IGT program prints, and lay results out as a table; pure."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class Outcome(Enum):
    """What became of a subtest.

    DEFECT: it fails on any machine for a known fault of IGT itself (`igt_plan.DEFECTS`);
    INCOMPLETE: the guest itself was lost.
    """

    PASS = "pass"
    SKIP = "skip"
    FAIL = "fail"
    TIMEOUT = "timeout"
    CRASH = "crash"
    DEFECT = "defect"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class SubtestResult:
    """One subtest: outcome, seconds, why it skipped or failed, what the kernel complained of.

    `output` is what the program printed, kept where it neither passed nor skipped.
    """

    program: str
    subtest: str
    outcome: Outcome
    seconds: float
    reason: str = ""
    complaints: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()
    output: str = ""


GOOD = frozenset({Outcome.PASS, Outcome.SKIP, Outcome.DEFECT})
_KEPT_OUTPUT = 20_000
_EXIT_PASS, _EXIT_SKIP, _EXIT_TIMEOUT, _EXIT_KILLED = 0, 77, 124, 137
_ENDED = re.compile(r"^Subtest (?P<name>[\w+.-]+): (?P<word>[A-Z]+)(?: \((?P<seconds>[0-9.]+)s\))?")
_DYNAMIC = re.compile(r"^Dynamic subtest (?P<name>[\w+.-]+): (?P<word>[A-Z]+)")
_REQUIREMENT = re.compile(r"^Test requirement: (?P<text>.*)")
_FAILED = re.compile(r"(?:Failed assertion|Test assertion failure|CRITICAL): ?(?P<text>.*)")
_NOISE = re.compile(
    r"^(IGT-Version|Using IGT_SRANDOM|Opened device|Test requirement not met|Stack)"
)


def parse_subtest(program: str, subtest: str, status: int, output: str) -> SubtestResult:
    """The result of one run of `program --run-subtest subtest` from its exit status and output."""
    lines = output.splitlines()
    word, seconds = "", 0.0
    dynamic = []
    for line in lines:
        ended = _ENDED.match(line)
        if ended is not None and ended["name"] == subtest:
            word, seconds = ended["word"], float(ended["seconds"] or 0)
        part = _DYNAMIC.match(line)
        if part is not None:
            dynamic.append(f"{part['name']}: {part['word'].lower()}")
    outcome = _outcome(status, word)
    reason = ""
    if outcome is Outcome.SKIP:
        reason = _skip_reason(lines)
    elif outcome is not Outcome.PASS:
        reason = _failure_reason(lines, status)
    kept = "" if outcome in GOOD else output[-_KEPT_OUTPUT:]
    return SubtestResult(program, subtest, outcome, seconds, reason, (), tuple(dynamic), kept)


def _outcome(status: int, word: str) -> Outcome:
    # A subtest whose child was killed fails with the child's signal in its exit status.
    if word == "FAIL":
        return Outcome.FAIL
    if status in (_EXIT_TIMEOUT, _EXIT_KILLED):
        return Outcome.TIMEOUT
    if status > 128 or word == "CRASH":
        return Outcome.CRASH
    if status == _EXIT_SKIP or word == "SKIP":
        return Outcome.SKIP
    if status == _EXIT_PASS:
        return Outcome.PASS
    return Outcome.FAIL


def _skip_reason(lines: Sequence[str]) -> str:
    for index, line in enumerate(lines):
        match = _REQUIREMENT.match(line)
        if match is None:
            continue
        following = lines[index + 1].strip() if index + 1 < len(lines) else ""
        told = "" if following.startswith(("Last errno", "Subtest", "Dynamic")) else following
        return f"{match['text']}; {told}" if told and not _NOISE.match(told) else match["text"]
    return "no reason given"


def _failure_reason(lines: Sequence[str], status: int) -> str:
    for line in lines:
        match = _FAILED.search(line)
        if match is not None and match["text"].strip():
            return match["text"].strip()
    said = [line.strip() for line in lines if line.strip() and not _NOISE.match(line)]
    return f"exit status {status}; last line: {said[-1] if said else 'none'}"


def table(results: Sequence[SubtestResult]) -> str:
    """A text table: one line a subtest, reasons below, totals last."""
    width = max((len(f"{r.program}@{r.subtest}") for r in results), default=0)
    lines = []
    for result in results:
        name = f"{result.program}@{result.subtest}".ljust(width)
        lines.append(
            f"{name}  {result.outcome.value:<10} {result.seconds:7.2f} s  {result.reason}".rstrip()
        )
        lines.extend(f"{'':4}kernel: {complaint}" for complaint in result.complaints)
    return "\n".join([*lines, summary(results)]) + "\n"


def summary(results: Sequence[SubtestResult]) -> str:
    """The totals by outcome, and how many subtests the kernel complained in."""
    counts = Counter(result.outcome for result in results)
    told = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    noisy = sum(1 for result in results if result.complaints)
    return f"{len(results)} subtests: {told or 'none'}; kernel complaints in {noisy}"


def to_json(results: Sequence[SubtestResult], about: dict[str, str]) -> str:
    """The results as JSON, with `about` (kernel, QEMU, date ...) beside them."""
    rows = [{**asdict(result), "outcome": result.outcome.value} for result in results]
    return json.dumps({"about": about, "results": rows}, indent=1) + "\n"
