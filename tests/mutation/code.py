"""What is put to the test, and the files of the project that a copy of it needs."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

from tests.mutation.c_faults import c_faults
from tests.mutation.fault import Fault
from tests.mutation.python_faults import python_faults

ROOT = Path(__file__).resolve().parents[2]
PYTHON_ROOMS = ("mediator", "mmio_trap", "scheduler")
"""Where guests are kept apart. `vgpu_ctl` and `qemu_hooks` are the operators' side."""
C_ROOMS = ("mediator/hotpath", "mediator/softgpu/eu/native")
TEST_ROOMS = (
    *("tests/unit/mediator/", "tests/unit/mmio_trap/", "tests/unit/scheduler/"),
    *("tests/property/", "tests/protocol/", "tests/fuzz/", "tests/integration/", "tests/style/"),
)
OPERATORS_TESTS = "tests/integration/test_control_"
"""Of vgpud as a process: what they run, coverage does not see."""
QUICK = "not modes and not system"


def faults_of(language: str) -> list[Fault]:
    """All faults that can be put into the code of ``language``, "python" or "c"."""
    found: list[Fault] = []
    if language == "c":
        for room in C_ROOMS:
            for path in sorted((ROOT / room).glob("*.[ch]")):
                if not path.name.startswith("_"):
                    found += c_faults(path.relative_to(ROOT).as_posix(), path.read_bytes())
        return found
    for room in PYTHON_ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if path.name != "build.py":
                name = path.relative_to(ROOT).as_posix()
                found += python_faults(name, path.read_text(encoding="utf-8"))
    return found


@cache
def project_files() -> tuple[str, ...]:
    """Every file that git knows or would take, as paths in the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted({name for name in listed.stdout.decode().split("\0") if name})
    return tuple(name for name in names if (ROOT / name).is_file())


@cache
def test_files() -> tuple[str, ...]:
    """The files of quick tests that run code of `PYTHON_ROOMS` or `C_ROOMS`."""
    return tuple(
        name
        for name in project_files()
        if name.startswith(TEST_ROOMS)
        and not name.startswith(OPERATORS_TESTS)
        and Path(name).name.startswith("test_")
        and name.endswith(".py")
    )


def digest(*names: str) -> str:
    """A digest of the files' contents."""
    summed = hashlib.sha256()
    for name in names:
        summed.update(name.encode() + b"\0" + (ROOT / name).read_bytes() + b"\0")
    return summed.hexdigest()[:20]


def code_digest() -> str:
    """A digest of the code, tests left out."""
    return digest(
        *(
            name
            for name in project_files()
            if name.endswith((".py", ".c", ".h")) and "tests/" not in name
        )
    )


def all_digest() -> str:
    """A digest of code and tests."""
    return digest(*(name for name in project_files() if name.endswith((".py", ".c", ".h"))))
