"""Versions, argument lists, and the choice of QEMU and accelerator."""

import json
from pathlib import Path

import pytest

from tests.guests.boot import Machine, command_line, device_argument
from tests.guests.images import Images
from tests.guests.kernels import Kernel
from tests.guests.private_program import private_command
from tests.guests.qemu import Qemu, accelerator, parse_version
from tests.guests.setup_error import SetupError

QEMU = Qemu(("qemu",), (("QEMU_MODULE_DIR", "/modules"),), "11.1.3", private=True)
KERNEL = Kernel(Path("/k/vmlinuz"), Path("/k/initramfs"), "6.12")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)", (11, 1, 3)),
        ("QEMU emulator version 10.1", (10, 1, 0)),
        ("", None),
    ],
)
def test_the_version_is_read(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("chosen", ["kvm", "tcg"])
def test_the_argument_list(chosen: str) -> None:
    images = Images(QEMU, KERNEL, Path("/r/root.ext4"), chosen)
    machine = Machine(memory=512, cpus=1, kernel_arguments="i915.modeset=0")
    gpus = [Path("/s/a"), Path("/s/b")]
    arguments = command_line(images, machine, gpus, Path("/s/console"), 7)
    joined = " ".join(arguments)
    assert f"-accel {chosen}" in joined
    assert "memory-backend-memfd,id=ram,size=512M,share=on" in joined
    assert "socket,id=agent,fd=7" in joined
    assert joined.count("vfio-user-pci") == 2
    assert "i915.modeset=0" in joined


def test_gpus_sit_in_slots_of_their_own() -> None:
    first, second = (json.loads(device_argument(Path("/s"), n)) for n in (0, 1))
    assert (first["addr"], second["addr"]) == ("02.0", "03.0")
    assert first["socket"] == {"type": "unix", "path": "/s"}
    assert first["x-msg-timeout"] >= 30_000


def test_a_wrong_accelerator_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGPUD_ACCEL", "xen")
    with pytest.raises(SetupError, match="allowed are kvm and tcg"):
        accelerator(QEMU, KERNEL, tmp_path)
    monkeypatch.setenv("VGPUD_ACCEL", "tcg")
    assert accelerator(QEMU, KERNEL, tmp_path) == "tcg"


def test_a_private_program_runs_through_its_own_loader(tmp_path: Path) -> None:
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    (libraries / "pulse").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("ld-linux-x86-64.so.2", "libc.so.6", "pulse/libpulse.so"):
        (libraries / name).write_text("")
    (tmp_path / "usr/bin/tool").write_text("")
    command = private_command(tmp_path, "usr/bin/tool")
    assert command[0] == str(libraries / "ld-linux-x86-64.so.2")
    assert command[2] == f"{libraries}:{libraries / 'pulse'}"
    assert command[3].endswith("usr/bin/tool")
    with pytest.raises(SetupError, match="is missing"):
        private_command(tmp_path, "usr/bin/absent")
