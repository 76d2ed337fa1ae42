"""`install-hooks`, and the script that it installs, run by a real shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from qemu_hooks.hook_script import script
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    return tmp_path / "hooks"


def test_shown_installed_removed(hooks: Path, vgpuctl: Vgpuctl, tmp_path: Path) -> None:
    place = hooks / "qemu.d" / "50-vgpud"
    options = ("install-hooks", "--directory", str(hooks))
    shown = vgpuctl(*options, "--dry-run")
    assert shown.status == 0
    assert f"make {place}:" in shown.out
    assert "reconnect" in shown.out
    assert not hooks.exists()
    unasked = vgpuctl(*options)
    assert (unasked.status, unasked.err) == (
        2,
        "error: nothing was changed\nhint: say --yes to do it unasked\n",
    )
    assert not hooks.exists()
    done = vgpuctl(*options, "--yes")
    assert done.status == 0
    assert "systemctl restart libvirtd" in done.err
    assert os.access(place, os.X_OK)
    assert f"export VGPUD_SOCKET={tmp_path / 's'}" in place.read_text()
    assert "installed already" in vgpuctl(*options, "--yes").err
    place.write_text(script("/old/program"))
    assert "replace " in vgpuctl(*options, "--yes").out
    assert [each.name for each in place.parent.iterdir()] == ["50-vgpud"]
    assert vgpuctl(*options, "--remove").status == 2
    assert place.exists()
    assert vgpuctl(*options, "--remove", "--yes").err == f"removed {place}\n"
    assert not place.exists()
    assert "there is no" in vgpuctl(*options, "--remove", "--yes").err


def test_a_file_of_somebody_else(hooks: Path, vgpuctl: Vgpuctl) -> None:
    place = hooks / "qemu.d" / "50-vgpud"
    place.parent.mkdir(parents=True)
    place.write_text("#!/bin/sh\n")
    for extra in ((), ("--remove",)):
        outcome = vgpuctl("install-hooks", "--directory", str(hooks), "--yes", *extra)
        assert outcome.status == 4
        assert "is not ours" in outcome.err
    assert place.read_text() == "#!/bin/sh\n"


def test_a_place_that_cannot_be(tmp_path: Path, vgpuctl: Vgpuctl) -> None:
    (tmp_path / "file").touch()
    outcome = vgpuctl("install-hooks", "--directory", str(tmp_path / "file"), "--yes")
    assert outcome.status == 1
    assert "Not a directory" in outcome.err


@pytest.mark.parametrize(
    ("operation", "ends_with", "status"),
    [("prepare", 0, 0), ("prepare", 1, 1), ("release", 3, 3), ("reconnect", 1, 0)],
)
def test_the_script(tmp_path: Path, operation: str, ends_with: int, status: int) -> None:
    program = tmp_path / "it's a program"
    program.write_text(f'#!/bin/sh\ncat; echo "$VGPUD_SOCKET" "$@"\nexit {ends_with}\n')
    program.chmod(0o755)
    done = _run(script(str(program), "/run/a b"), operation)
    assert done.returncode == status
    assert done.stdout == f"<domain/>/run/a b guest {operation} begin -\n"


def test_the_script_without_the_program(tmp_path: Path) -> None:
    done = _run(script(str(tmp_path / "gone")), "prepare")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _run(text: str, operation: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", text, "hook", "guest", operation, "begin", "-"],
        input="<domain/>",
        capture_output=True,
        text=True,
        check=False,
    )
