"""`apply`, `assert` and `export`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from tests.unit.vgpu_ctl.cli.test_vgpuctl import PROGRAM
from vgpu_ctl.api.messages import ApiError, ErrorCode
from vgpu_ctl.api.objects import VgpuState

TEXT = """
version: v1
vgpus:
  - {name: web, type: V9_4, weight: 9}
  - {name: db, type: V9_4, active: false}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file with two vGPUs."""
    path = tmp_path / "host.yaml"
    path.write_text(TEXT)
    return str(path)


def test_apply_assert_and_export(vgpud: FakeVgpud, vgpuctl: Vgpuctl, file: str) -> None:
    assert vgpuctl("assert", file) == (1, "web: not there\ndb: not there\n", "")
    assert vgpuctl("apply", file) == (
        0,
        "define db: type V9_4\ncreate web: type V9_4, weight 9\n",
        "",
    )
    assert vgpuctl("assert", file) == (0, "", "")
    assert vgpuctl("apply", file) == (0, "", "nothing to do\n")
    Path(file).write_text(vgpuctl("export").out)
    assert vgpuctl("apply", file).err == "nothing to do\n"
    Path(file).write_text(vgpuctl("export", "-o", "json").out)
    assert vgpuctl("assert", file).status == 0


def test_dry_run(vgpud: FakeVgpud, vgpuctl: Vgpuctl, file: str) -> None:
    vgpud.add(samples.vgpu("old"))
    assert vgpuctl("apply", "--dry-run", file).out == (
        "would destroy old: it is not in the file\n"
        "would define db: type V9_4\n"
        "would create web: type V9_4, weight 9\n"
    )
    assert vgpud.calls == []


def test_keep(vgpud: FakeVgpud, vgpuctl: Vgpuctl, file: str) -> None:
    vgpud.add(samples.vgpu("old"))
    assert vgpuctl("apply", file, "--keep").status == 0
    assert vgpuctl("assert", file, "--keep").status == 0
    assert vgpuctl("assert", file) == (1, "old: not in the file\n", "")
    found = json.loads(vgpuctl("assert", file, "-o", "json").out)
    assert found == [{"vgpu": "old", "field": "", "now": "V9_4", "wanted": None}]


def test_nobody_loses_its_gpu_without_force(vgpud: FakeVgpud, vgpuctl: Vgpuctl, file: str) -> None:
    vgpud.add(samples.vgpu("old", active=True))
    vgpud.client("old")
    status, out, err = vgpuctl("apply", file)
    assert status == 4
    assert out.splitlines() == ["define db: type V9_4", "create web: type V9_4, weight 9"]
    assert err == (
        "error: destroy old: qemu-system-x86 (4711) is attached and would lose its GPU\n"
        "hint: stop the machine first, or say --force\n"
    )
    assert vgpuctl("apply", "--dry-run", file).status == 4
    assert vgpuctl("apply", "--force", file).status == 0
    assert sorted(vgpu.name for vgpu in vgpud.vgpus.values()) == ["db", "web"]


def test_the_others_are_seen_to_after_a_failure(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, file: str
) -> None:
    """What fails is reported, and no further step of it is tried but to start it again."""
    vgpud.add(samples.vgpu("web", 1, active=True))
    vgpud.add(samples.vgpu("db", 2, active=True))
    vgpud.add(samples.vgpu("spare", 3))
    vgpud.refusals["modify"] = ApiError(ErrorCode.FAILED, "the disk is full")
    Path(file).write_text(
        "{version: v1, vgpus: [{name: web, type: V9_1}, {name: spare, type: V9_1},"
        " {name: db, type: V9_4, active: false}]}"
    )
    status, out, err = vgpuctl("apply", file)
    assert status == 1
    assert "error: modify web: the disk is full\nerror: modify spare: the disk is full\n" in err
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "stop web",
        "stop db",
        "modify web",
        "modify spare",
        "start web",
    ]
    assert vgpud.find("web").state is VgpuState.ACTIVE


@pytest.mark.parametrize("arguments", [("apply",), ("apply", "--dry-run"), ("assert",)])
def test_nothing_is_done_for_a_file_that_cannot_be(
    arguments: tuple[str, ...], vgpud: FakeVgpud, vgpuctl: Vgpuctl, file: str
) -> None:
    vgpud.add(samples.vgpu("web", 1, active=True))
    vgpud.add(samples.vgpu("spare", 2))
    Path(file).write_text(
        "{version: v1, vgpus: [{name: web, type: V9_44}, {name: sp are, type: V9_4, weight: 5000}]}"
    )
    status, out, err = vgpuctl(*arguments, file)
    assert (status, out) == (2, "")
    assert [line.partition(f"{file}: ")[2].partition(":")[0] for line in err.splitlines()] == [
        "vgpus[0].type",
        "vgpus[1].name",
        "vgpus[1].weight",
    ]
    assert vgpud.calls == []


def test_a_transient_one_is_not_lost_to_a_gpu_that_is_not_there(
    vgpud: FakeVgpud, vgpuctl: Vgpuctl, file: str
) -> None:
    vgpud.add(samples.vgpu("tr", active=True, persistent=False))
    Path(file).write_text("{version: v1, vgpus: [{name: tr, type: V9_4, gpu: gpu7}]}")
    assert vgpuctl("apply", file).status == 2
    assert vgpud.find("tr").state is VgpuState.ACTIVE


def test_standard_input(vgpud: FakeVgpud) -> None:
    done = subprocess.run(
        [*PROGRAM, "--socket", str(vgpud.path), "apply", "-"],
        input=TEXT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("define db")


@pytest.mark.parametrize("verb", ["apply", "assert"])
def test_files_that_say_nothing(
    verb: str, vgpud: FakeVgpud, vgpuctl: Vgpuctl, tmp_path: Path
) -> None:
    path = tmp_path / "host.yaml"
    status, _, err = vgpuctl(verb, str(path))
    assert (status, err) == (2, f"error: cannot read {path}: No such file or directory\n")
    path.write_text("version: v1\nvgpus: [{name: a, type: b, weight: x}]")
    assert vgpuctl(verb, str(path)).err == (
        f"error: {path}: vgpus[0].weight: Expected `int | null`, got `str`\n"
    )
    path.write_bytes(b"version: \xff")
    assert vgpuctl(verb, str(path)).err == f"error: {path}: byte 9: not UTF-8\n"
    path.write_bytes(b"#" * (5 << 20))
    assert "more than" in vgpuctl(verb, str(path)).err
    assert vgpuctl(verb, str(tmp_path)).status == 2
    assert vgpud.calls == []
