"""Faults in C are left to the tests: the extensions of a copy do not become stale by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediator.native_sources import EXECUTION_UNITS, HOTPATH, MARK, is_fresh, version
from tests.mutation.fault import Fault
from tests.mutation.project_copy import ProjectCopy
from tests.mutation.stamps import stamp, unstamped
from tests.mutation.trial import Trial, TrialBench

WALK = "mediator/hotpath/walk.c"
FORMATS = "mediator/gen9/eu/formats.py"
OTHER = MARK + 64 * "a"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of little, with extensions of other sources."""
    for name in (WALK, FORMATS, "scratch/nothing"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    for name in ("hotpath/_hotpath.abi3.so", "softgpu/eu/_native.abi3.so"):
        (tmp_path / "mediator" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mediator" / name).write_bytes(b"\x7fELF " + OTHER.encode() + b"\0code")
    return tmp_path


@pytest.mark.parametrize("file", [WALK, FORMATS])
def test_a_stamp_follows_the_sources(root: Path, file: str) -> None:
    package = root / "mediator"
    for text in ("1", "2", "1"):
        (root / file).write_text(text)
        stamp(root)
        assert is_fresh(HOTPATH, package)
        assert is_fresh(EXECUTION_UNITS, package)
    built = (package / "hotpath" / "_hotpath.abi3.so").read_bytes()
    assert built == b"\x7fELF " + (version(HOTPATH, package) or "").encode() + b"\0code"


def test_a_trial_runs_with_what_fits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = ProjectCopy(root)
    monkeypatch.setattr(copy.__class__, "restore", lambda _, name: copy.put(name, b"1"))
    fresh: list[bool] = []
    monkeypatch.setattr(
        TrialBench, "run", lambda *_: fresh.append(is_fresh(EXECUTION_UNITS, root / "mediator"))
    )
    fault = Fault(FORMATS, 1, 0, 1, "1", "2", "f")
    TrialBench(copy, 1).judge(Trial(fault, {"tests/test_it.py": 1.0}))
    assert fresh == [True]
    assert is_fresh(EXECUTION_UNITS, root / "mediator")


def test_the_version_makes_no_difference_to_a_wrapper() -> None:
    first, second = (f'const char a[] = "{MARK}{64 * digit}";' for digit in "ab")
    assert unstamped(first) == unstamped(second) != first
