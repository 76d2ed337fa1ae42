"""What a shell offers after TAB."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from tests.unit.vgpu_ctl.cli.test_vgpuctl import PROGRAM


def offered(line: str, socket: Path) -> list[str]:
    """What bash would offer at the end of a line."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_VGPUCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "VGPUD_SOCKET": str(socket),
    }
    done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.splitlines() if item]


@pytest.fixture
def two(vgpud: FakeVgpud) -> FakeVgpud:
    """`web` and `db`."""
    vgpud.add(samples.vgpu("web", 1, active=True))
    vgpud.add(samples.vgpu("db", 2))
    return vgpud


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("vgpuctl st", ["start", "stop", "stats"]),
        ("vgpuctl --so", ["--socket"]),
        ("vgpuctl stop --f", ["--force"]),
        ("vgpuctl show ", ["db", "web"]),
        ("vgpuctl show w", ["web"]),
        ("vgpuctl show 00000000-0000-4000-8000-000000000002", [samples.uuid(2)]),
        ("vgpuctl start web ", ["db"]),
        ("vgpuctl create x --type ", ["V9_4", "V9_1"]),
        ("vgpuctl create x --gpu g", ["gpu0"]),
        ("vgpuctl stop --wait ", ["db", "web"]),
        ("vgpuctl stop db --wait w", ["web"]),
        ("vgpuctl destroy web --wait ", ["db"]),
        ("vgpuctl wait web --for a", ["active", "attached"]),
        ("vgpuctl completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_offers(line: str, found: list[str], two: FakeVgpud) -> None:
    """It waits half a second for vgpud: on a busy machine, one of several times."""
    for _ in range(5):
        offers = sorted(offered(line, two.path))
        if offers == sorted(found):
            break
    assert offers == sorted(found)


def test_nothing_without_vgpud(tmp_path: Path) -> None:
    assert offered("vgpuctl show ", tmp_path / "s") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str, vgpuctl: Vgpuctl) -> None:
    status, out, err = vgpuctl("completion", shell)
    assert (status, err) == (0, "")
    assert f"_VGPUCTL_COMPLETE={shell}_complete" in out


def test_bash_takes_the_script(vgpuctl: Vgpuctl) -> None:
    script = vgpuctl("completion", "bash").out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_other_shells(vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("completion", "tcsh").status == 2
