"""Run clpeak, a phase at a time: `python3 -m tests.eu_corpus.clpeak_run`.

For guests and private user spaces: it needs clpeak alone. One JSON object a line goes to standard
output for each phase, with the figures that clpeak gives; they are of the host's processor.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from typing import Any

_PHASE = re.compile(r"^ +--((?:global|compute|transfer|kernel)-[a-z]+) ", re.M)
_FIGURE = re.compile(r"^ +(\S[^:\n]*?) *: ([0-9.]+(?: us)?)$", re.M)
_NO_SUPPORT = re.compile(r"^ +(No .*)$", re.M)


def verdict(status: int | None, output: str) -> tuple[str, str]:
    """The result of a phase and its figures (or why there are none); None: its time was over."""
    found = _FIGURE.findall(output)
    figures = [f"{name} {value}" for name, value in found if name != "Compute units"]
    told = ", ".join(figures)
    if status is None:
        return "lost", f"its time was over; {told}"
    if status < 0:
        return "lost", f"signal {-status}; {told}"
    lack = _NO_SUPPORT.search(output)
    if not figures and lack is not None:
        return "skip", lack[1].strip()
    if status != 0 or not figures:
        return "fail", f"status {status}: {' '.join(output.split())[-600:]}"
    return "pass", told


def run_phase(phase: str, seconds: float) -> dict[str, Any]:
    """Run a phase."""
    started = time.monotonic()
    status: int | None = None
    try:
        done = subprocess.run(
            ["clpeak", f"--{phase}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    result, detail = verdict(status, output.decode(errors="replace"))
    elapsed = round(time.monotonic() - started, 3)
    return {"name": phase, "result": result, "detail": detail, "first_seconds": elapsed}


def phases() -> list[str]:
    """The phases that this version of clpeak has."""
    done = subprocess.run(["clpeak", "--help"], capture_output=True, text=True, check=False)
    return _PHASE.findall(done.stdout + done.stderr)


def main(arguments: list[str]) -> int:
    """Run the phases whose names contain one of the words, all by default; 0 if none failed."""
    parser = argparse.ArgumentParser(prog="clpeak_run", description=__doc__)
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds for a phase")
    parser.add_argument("wanted", nargs="*", metavar="WORD", help="parts of phases' names")
    options = parser.parse_args(arguments)
    bad = 0
    for phase in phases():
        if options.wanted and not any(word in phase for word in options.wanted):
            continue
        report = run_phase(phase, options.patience)
        bad += report["result"] in ("fail", "lost")
        print(json.dumps(report), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
