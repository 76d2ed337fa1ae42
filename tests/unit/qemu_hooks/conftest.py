"""A vgpud that answers, found by its variable, with two vGPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.qemu_hooks.samples import DB, WEB
from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud

__all__ = ["vgpuctl"]


@pytest.fixture
def vgpud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVgpud]:
    """`web` and `db` are defined, and served where the samples say once they are started."""
    monkeypatch.setenv("VGPUD_SOCKET", str(tmp_path / "s"))
    with FakeVgpud(tmp_path / "s") as running:
        running.directory = str(Path(WEB.socket).parent)
        for number, vgpu in enumerate((WEB, DB)):
            running.add(samples.vgpu(vgpu.name, number + 1, uuid=vgpu.uuid))
        yield running
