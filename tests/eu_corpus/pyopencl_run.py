"""Run pyopencl's own tests: `python3 -m tests.eu_corpus.pyopencl_run --tests DIRECTORY`.

For guests and private user spaces: it needs pyopencl and pytest alone. One JSON object a line goes
to standard output for each test. The tests run in a process of their own; when it dies, or says
nothing for too long, the test that it was at is lost and the rest goes on in a new one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.eu_corpus.patience import LineReader

_DEVICE = re.compile(r"<context factory for .*>>|ctx_factory\d*")
_TOLD = os.dup(1)
"""Standard output, which pytest turns elsewhere while a test runs."""


def short_name(node: str) -> str:
    """A test's name without the directory and the device that pyopencl puts into it."""
    module, _, test = node.partition("::")
    name, bracket, parameters = test.partition("[")
    kept = _DEVICE.sub("", parameters.removesuffix("]")).strip("-")
    return f"{module.rpartition('/')[2]}::{name}" + (f"[{kept}]" if bracket and kept else "")


class Reporter:
    """A plug-in of pytest: tells what begins and ends, and leaves out what ``done`` names."""

    def __init__(self, done: frozenset[str], wanted: tuple[str, ...], platform: str) -> None:
        self._done = done
        self._platform = platform
        self._wanted = wanted
        self._result = "pass"
        self._detail = ""
        self._seconds = 0.0

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep what is wanted and not done."""
        items[:] = [
            item
            for item in items
            if short_name(item.nodeid) not in self._done
            and (not self._wanted or any(word in item.nodeid for word in self._wanted))
        ]
        if not self._done:
            _say(device_of(self._platform))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._result, self._detail, self._seconds = "pass", "", 0.0
        _say({"start": short_name(nodeid)})

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A part of a test (set-up, call, end) is over."""
        self._seconds += report.duration
        if report.failed and self._result != "fail":
            self._result, self._detail = "fail", _reason(report)
        elif report.skipped and self._result == "pass":
            self._result, self._detail = "skip", _reason(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over."""
        _say(
            {
                "name": short_name(nodeid),
                "result": self._result,
                "detail": self._detail,
                "first_seconds": round(self._seconds, 3),
            }
        )


def _reason(report: Any) -> str:
    """Why a test failed or was skipped: pytest's lines of errors, or its reason."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    text = str(report.longrepr)
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return " | ".join(lines)[-1500:] or text[-1500:]


def _say(message: dict[str, Any]) -> None:
    # Pytest's dots have no end of line.
    os.write(_TOLD, b"\n" + json.dumps(message).encode() + b"\n")


def run_here(tests: Path, reporter: Reporter) -> int:
    """Run the tests in this process."""
    words = ["-qq", "-p", "no:cacheprovider", "-o", "addopts=", "--rootdir", str(tests), str(tests)]
    return int(pytest.main(words, plugins=[reporter]))


def device_of(platform: str) -> dict[str, str]:
    """What the device calls itself; the tests' own choice is the first device."""
    from tests.eu_corpus.opencl_run import find_device

    device = find_device(platform)
    return {"device": device.name, "driver": device.driver_version, "version": device.version}


def known_results(file: Path) -> set[str]:
    """The names of the tests that an earlier run printed a result of."""
    lines = [line for line in file.read_text().splitlines() if line.startswith('{"name"')]
    return {json.loads(line)["name"] for line in lines}


def supervise(options: argparse.Namespace) -> int:
    """Run the tests in processes until each has a result; the number of those that failed."""
    done = known_results(options.known) if options.known else set()
    bad = 0
    while True:
        words = [sys.executable, "-W", "ignore", "-m", "tests.eu_corpus.pyopencl_run", "--here"]
        words += ["--tests", str(options.tests), "--platform", options.platform, *options.wanted]
        current = None
        reader = LineReader(words, json.dumps(sorted(done)))
        for line in reader.lines(options.patience):
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if "start" in told:
                current = told["start"]
                continue
            if "name" in told:
                done.add(told["name"])
                current = None
                bad += told["result"] == "fail"
            print(json.dumps(told), flush=True)
        if current is None:
            if reader.failed:
                print(reader.ending(), file=sys.stderr)
            return bad + reader.failed
        done.add(current)
        bad += 1
        lost = {"name": current, "result": "lost", "detail": reader.ending()}
        print(json.dumps(lost), flush=True)


def main(arguments: list[str]) -> int:
    """Run the tests whose names contain one of the words, all by default; 0 if none failed."""
    parser = argparse.ArgumentParser(prog="pyopencl_run", description=__doc__)
    parser.add_argument("--tests", type=Path, required=True, help="pyopencl's directory test")
    parser.add_argument("--platform", default="", help="part of the platform's name")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds for one test")
    parser.add_argument("--known", type=Path, help="what an earlier run printed; not run again")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("wanted", nargs="*", metavar="WORD", help="parts of tests' names")
    options = parser.parse_args(arguments)
    if options.here:
        done = frozenset(json.loads(sys.stdin.read()))
        return run_here(options.tests, Reporter(done, tuple(options.wanted), options.platform))
    return 1 if supervise(options) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
