"""Fuzz target over the EU's messages: C routines and Python twins against each other.

Invariant: random messages over random surfaces and pages leave the same responses, fault, shared
local memory and guest memory behind, and nothing beside what the page tables give is touched.

``python -m tests.fuzz.eu_messages SECONDS [SEED]`` runs for longer. With ``--sanitize`` first, the
C code is built in a copy with the compiler's checks of addresses and undefined behaviour
(`make sanitize`): the first finding ends the run with a report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.property.message_world import both, random_pages, scene
from tests.property.page_world import Ram

MESSAGES = 48
"""Of a scene."""
_ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("mediator", "mmio_trap", "scheduler", "tests")
_BUILDS = ("mediator/hotpath/build.py", "mediator/softgpu/eu/native/build.py")
_CHECKS = "-g -fsanitize=address,undefined -fno-sanitize-recover=undefined"


class Disagreement(AssertionError):
    """C and Python left different things behind; says which, and the seed."""


def fuzz(seed: int, seconds: float = 0, scenes: int = 0) -> int:
    """Run ``scenes`` from ``seed`` on, or for ``seconds``; how many there were."""
    from mediator.softgpu.eu.native import worker as native_worker

    ram = Ram()
    done = 0
    end = time.monotonic() + seconds
    try:
        with ram.memory.using():
            while done < scenes or time.monotonic() < end:
                random = Random(seed + done)
                pages = random_pages(random)
                by_c, by_python = both(native_worker, scene(pages, random, MESSAGES), pages, ram)
                if by_c != by_python:
                    names = [
                        name for name in vars(by_c) if vars(by_c)[name] != vars(by_python)[name]
                    ]
                    raise Disagreement(f"seed {seed + done}: {', '.join(names)}")
                done += 1
    finally:
        ram.close()
    return done


def sanitized(arguments: list[str]) -> int:
    """Run this target with checked C code; its exit status."""
    with tempfile.TemporaryDirectory() as name:
        for part in _COPIED:
            shutil.copytree(
                _ROOT / part,
                Path(name) / part,
                ignore=shutil.ignore_patterns("*.so", "*.o", "__pycache__"),
            )
        environment = {**os.environ, "PYTHONPATH": name}
        for build in _BUILDS:
            checks = {"CFLAGS": _CHECKS, "LDFLAGS": _CHECKS} if "eu" in build else {}
            subprocess.run(
                [sys.executable, build],
                cwd=name,
                env={**environment, **checks},
                stdout=subprocess.DEVNULL,
                check=True,
            )
        library = subprocess.run(
            ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        checked = {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0"}
        return subprocess.run(
            [sys.executable, "-m", "tests.fuzz.eu_messages", *arguments],
            cwd=name,
            env={**environment, **checked},
            check=False,
        ).returncode


def main(arguments: list[str]) -> int:
    """The command line's part."""
    if arguments[:1] == ["--sanitize"]:
        return sanitized(arguments[1:])
    seconds = float(arguments[0]) if arguments else 60
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns()
    done = fuzz(seed, seconds)
    print(f"{done} scenes of {MESSAGES} messages from seed {seed} on: C and Python agree")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
