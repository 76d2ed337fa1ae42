"""`qemu-args`."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest

from tests.unit.vgpu_ctl.cli import samples
from tests.unit.vgpu_ctl.cli.conftest import Vgpuctl
from tests.unit.vgpu_ctl.cli.fake_vgpud import FakeVgpud
from vgpu_ctl.api.objects import VgpuState
from vgpu_ctl.cli.qemu_command import device_arguments, memory_arguments, quoted

DEVICE = (
    '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/run/vgpud/web.sock"},'
    '"x-msg-timeout":30000}'
)
ARGUMENTS = [
    "-machine",
    "memory-backend=vgpud-ram",
    "-object",
    "memory-backend-memfd,id=vgpud-ram,size=2G,share=on",
    "-m",
    "2G",
    "-device",
    DEVICE,
]


@pytest.fixture
def web(vgpud: FakeVgpud) -> FakeVgpud:
    """`web` is active."""
    vgpud.add(samples.vgpu("web", active=True))
    return vgpud


def test_plain_words(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("qemu-args", "web") == (0, " ".join(ARGUMENTS) + "\n", "")


def test_a_shell_takes_them(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    """Both ways, by a real shell."""
    plain = vgpuctl("qemu-args", "web").out
    script = f"set -- $(cat <<'END'\n{plain}END\n); printf '%s\\n' \"$@\""
    assert _sh(script) == ARGUMENTS
    text = vgpuctl("qemu-args", "web", "--quote").out
    assert _sh(f"printf '%s\\n' {text}") == ARGUMENTS


def _sh(script: str) -> list[str]:
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_quoted(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert vgpuctl("qemu-args", "web", "--quote").out == (
        "-machine memory-backend=vgpud-ram \\\n"
        "  -object memory-backend-memfd,id=vgpud-ram,size=2G,share=on \\\n"
        "  -m 2G \\\n"
        f"  -device '{DEVICE}'\n"
    )


def test_json(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    assert json.loads(vgpuctl("qemu-args", "web", "-o", "json").out) == ARGUMENTS


def test_options(web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    out = vgpuctl(
        "qemu-args", "web", "--no-memory", "--bus", "pcie.0", "--addr", "0x5.1", "--id", "gpu"
    ).out
    assert out == (
        '-device {"driver":"vfio-user-pci","id":"gpu","bus":"pcie.0","addr":"0x5.1",'
        '"socket":{"type":"unix","path":"/run/vgpud/web.sock"},"x-msg-timeout":30000}\n'
    )
    assert "size=512M,share=on -m 512M" in vgpuctl("qemu-args", "web", "--memory", "512M").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--memory", "2048"),
        ("--memory", "2G,share=off"),
        ("--bus", "a,b"),
        ("--addr", "99.9"),
        ("--id", ""),
    ],
)
def test_nonsense(arguments: tuple[str, str], web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    status, _, err = vgpuctl("qemu-args", "web", *arguments)
    assert status == 2
    assert arguments[0] in err


def test_one_that_is_not_active(vgpud: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    vgpud.add(samples.vgpu("web"))
    vgpud.add(samples.vgpu("old", 2, state=VgpuState.ERROR, error="gpu0 is gone"))
    status, out, err = vgpuctl("qemu-args", "web")
    assert (status, out) == (4, "")
    assert err == (
        "error: web is not active and has no socket\nhint: start it: `vgpuctl start web`\n"
    )
    assert "gpu0 is gone" in vgpuctl("qemu-args", "old").err
    assert vgpuctl("qemu-args", "nobody").status == 3


@pytest.mark.parametrize("path", ["/a b/s", "/a*/s", "/a\n/s", "/[a]/s", "/a\\b/s"])
def test_a_path_that_a_shell_tears(path: str, web: FakeVgpud, vgpuctl: Vgpuctl) -> None:
    web.change("web", None, socket=path)
    status, out, err = vgpuctl("qemu-args", "web")
    assert (status, out) == (1, "")
    assert "hint: use --quote" in err
    words = shlex.split(vgpuctl("qemu-args", "web", "--quote").out.replace("\\\n", ""))
    assert json.loads(words[-1])["socket"]["path"] == path


def test_words_in_pairs() -> None:
    arguments = memory_arguments("1G") + device_arguments("/s")
    assert shlex.split(quoted(arguments).replace("\\\n", "")) == arguments
