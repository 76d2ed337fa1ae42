"""A vgpud that answers, and the command line as a test calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.cli.vgpuctl import run


class Outcome(NamedTuple):
    """How the command line ended."""

    status: int
    out: str
    err: str


Vgpuctl = Callable[..., Outcome]


@pytest.fixture
def vgpud(tmp_path: Path) -> Iterator[FakeVgpud]:
    """One without vGPUs."""
    with FakeVgpud(tmp_path / "s") as running:
        yield running


@pytest.fixture
def vgpuctl(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Vgpuctl:
    """`vgpuctl --socket ... ARGUMENTS`, in this process."""

    def call(*arguments: str) -> Outcome:
        capfd.readouterr()
        status = run(["--socket", str(tmp_path / "s"), *arguments])
        return Outcome(status, *capfd.readouterr())

    return call
