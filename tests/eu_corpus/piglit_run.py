"""Run piglit's OpenCL tests: `python3 -m tests.eu_corpus.piglit_run --piglit DIRECTORY`.

For guests and private user spaces: it needs Python and an OpenCL loader alone. What there is to run
is said by piglit's own list of OpenCL tests, `tests/cl.xml.gz`; each test is a process. One JSON
object a line goes to standard output for each test.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

_REPORT = re.compile(r"^PIGLIT: (\{.*\})$", re.M)
_RESULTS = {"pass": "pass", "warn": "pass", "skip": "skip", "fail": "fail"}


@dataclass(frozen=True, slots=True)
class Test:
    """A test of piglit: its name and its command, the program first."""

    name: str
    command: tuple[str, ...]


def read_list(content: bytes, place: Path) -> Iterator[Test]:
    """The tests that a list of piglit names; paths are made whole from piglit's ``place``."""
    for element in ElementTree.fromstring(content):
        options = {option.get("name"): option.get("value", "") for option in element}
        name = element.get("name", "").replace("@", "/")
        if "filename" in options:
            program = place / "bin" / "cl-program-tester"
            file = place / options["filename"].strip("'\"")
            yield Test(name, (str(program), str(file)))
        else:
            program, *words = ast.literal_eval(options["command"])
            yield Test(name, (str(place / "bin" / program), *words))


def verdict(status: int | None, output: str) -> tuple[str, str]:
    """The result of a test and why, from how it ended (None: its time was over) and what it said.

    The last report without subtests decides; a test without one, or one that died, has failed.
    """
    reports = [json.loads(match[1]) for match in _REPORT.finditer(output)]
    whole = [report["result"] for report in reports if "result" in report]
    parts: dict[str, str] = {}
    for report in reports:
        parts.update(report.get("subtest", {}))
    counts = Counter(parts.values())
    detail = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    wrong = [name for name, result in parts.items() if result not in ("pass", "skip")]
    if wrong:
        detail += f" ({'; '.join(wrong)})"
    if status is None:
        return "lost", f"its time was over; {detail}"
    if status < 0:
        return "lost", f"signal {-status}; {detail}"
    if not whole:
        return "fail", f"status {status} and no result: {' '.join(output.split())[-300:]}"
    result = _RESULTS.get(whole[-1], "fail")
    if result != "pass":
        said = [line for line in output.splitlines() if line and "PIGLIT:" not in line]
        detail = f"{detail}: {' | '.join(said)[-900:]}"
    return result, detail


def run_test(test: Test, seconds: float) -> dict[str, Any]:
    """Run a test."""
    started = time.monotonic()
    place = Path(test.command[0]).parents[1]
    status: int | None = None
    try:
        done = subprocess.run(
            test.command,
            cwd=place,  # some files name others from here
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            env={**os.environ, "LD_LIBRARY_PATH": str(place / "lib")},
        )
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    result, detail = verdict(status, output.decode(errors="replace"))
    elapsed = round(time.monotonic() - started, 3)
    return {"name": test.name, "result": result, "detail": detail, "first_seconds": elapsed}


def chosen(tests: Sequence[Test], words: Sequence[str]) -> list[Test]:
    """The tests whose names contain one of the words; all without words."""
    return [test for test in tests if not words or any(word in test.name for word in words)]


def main(arguments: list[str]) -> int:
    """Run the tests whose names contain one of the words, all by default; 0 if none failed."""
    parser = argparse.ArgumentParser(prog="piglit_run", description=__doc__)
    parser.add_argument("--piglit", type=Path, required=True, help="piglit's directory")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for one test")
    parser.add_argument("wanted", nargs="*", metavar="WORD", help="parts of tests' names")
    options = parser.parse_args(arguments)
    content = gzip.decompress((options.piglit / "tests" / "cl.xml.gz").read_bytes())
    bad = 0
    for test in chosen(list(read_list(content, options.piglit)), options.wanted):
        report = run_test(test, options.patience)
        bad += report["result"] in ("fail", "lost")
        print(json.dumps(report), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
