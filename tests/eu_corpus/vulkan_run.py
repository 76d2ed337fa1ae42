"""Run Vulkan jobs and judge their answers: `python3 -m tests.eu_corpus.vulkan_run --programs DIR`.

For guests and private user spaces: it needs NumPy, and `vulkan_run` with the shaders, which the
host has built. One JSON object a line goes to standard output for each case.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.eu_corpus.vulkan_cases import VULKAN_CASES

_SECONDS = 300.0


def run_program(programs: Path, word: str, place: Path) -> str:
    """What the program said."""
    try:
        done = subprocess.run(
            [str(programs / "vulkan_run"), word],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "fail program: its time was over"
    if done.returncode < 0:
        return f"fail program: signal {-done.returncode}"
    return done.stdout


def run_case(name: str, programs: Path, features: set[str]) -> dict[str, Any]:
    """Run and judge a case."""
    case = VULKAN_CASES[name]()
    lack = sorted(case.needs - features)
    if lack:
        return {"name": name, "result": "skip", "detail": f"no {', '.join(lack)}"}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for file, content in case.files().items():
            (place / file).write_bytes(content)
        for shader in {step.shader for step in case.steps}:
            (place / f"{shader}.spv").symlink_to(programs / f"{shader}.spv")
        (place / "job").write_text("\n".join(case.lines()) + "\n")
        started = time.perf_counter()
        said = run_program(programs, "job", place)
        elapsed = time.perf_counter() - started
        if not said.rstrip().endswith("done"):
            return {"name": name, "result": "fail", "detail": said[-1000:]}
        complaints = case.judge(case.memory(lambda file: (place / file).read_bytes()))
    return {
        "name": name,
        "result": "fail" if complaints else "pass",
        "detail": "; ".join(complaints),
        "accuracy": case.accuracy,
        "first_seconds": round(elapsed, 4),
    }


def main(arguments: list[str]) -> int:
    """Run the cases named, all by default; 0 if none failed."""
    parser = argparse.ArgumentParser(prog="vulkan_run", description=__doc__)
    parser.add_argument("--programs", type=Path, required=True, help="where vulkan_run is")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all by default")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.cases) - VULKAN_CASES.keys())
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(VULKAN_CASES)}")
    said = run_program(options.programs, "features", Path.cwd())
    found = re.search(r"^features ?(.*)$", said, re.M)
    device = re.search(r"^device (.*)$", said, re.M)
    if found is None or device is None:
        print(said, file=sys.stderr)
        return 1
    about = {"device": device[1], "driver": os.environ.get("VK_DRIVER_FILES", "anv")}
    print(json.dumps(about), flush=True)
    failed = 0
    for name in options.cases or list(VULKAN_CASES):
        report = run_case(name, options.programs, set(found[1].split()))
        failed += report["result"] == "fail"
        print(json.dumps(report), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
