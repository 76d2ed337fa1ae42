"""Find a QEMU that has `vfio-user-pci`, and whether KVM can boot a guest kernel on this machine."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.guests import packages, store
from tests.guests.debian import PrivateApt
from tests.guests.kernels import Kernel
from tests.guests.private_program import private_command
from tests.guests.setup_error import SetupError

_VERSION = re.compile(r"version (\d+)\.(\d+)(?:\.(\d+))?")
_PROBE_SECONDS = 12.0
_PROGRAM = "qemu-system-x86_64"


@dataclass(frozen=True, slots=True)
class Qemu:
    """How to start QEMU: the head of its argument list, environment additions, version."""

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    version: str
    private: bool

    def variables(self) -> dict[str, str]:
        """The environment to start it with."""
        return {**os.environ, **dict(self.environment)}


def parse_version(output: str) -> tuple[int, int, int] | None:
    """The version in what `qemu --version` prints."""
    match = _VERSION.search(output)
    if match is None:
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0)


def find_qemu(root: Path) -> Qemu:
    """The system's QEMU if it is new enough and has the device, else the private copy."""
    system = shutil.which(_PROGRAM)
    if system is not None:
        found = _examine((system,), (), private=False)
        if found is not None:
            return found

    def build(target: Path) -> None:
        store.say("QEMU with vfio-user-pci is not on this machine, private copy (once):")
        PrivateApt(packages.QEMU.world, root).unpack(packages.QEMU, target)
        for name in ("doc", "man", "locale", "lintian"):
            shutil.rmtree(target / "usr" / "share" / name, ignore_errors=True)

    tree = store.artefact(root, "qemu", store.digest(packages.QEMU), build)
    share = tree / "usr" / "share"
    firmware = [option for name in ("seabios", "qemu") for option in ("-L", str(share / name))]
    command = (*private_command(tree, f"usr/bin/{_PROGRAM}"), *firmware)
    modules = (("QEMU_MODULE_DIR", str(tree / "usr/lib/x86_64-linux-gnu/qemu")),)
    stamp = tree / "version"
    if stamp.is_file():
        return Qemu(command, modules, stamp.read_text(), private=True)
    found = _examine(command, modules, private=True)
    if found is None:
        raise SetupError(
            f"the private QEMU under {tree} does not run or lacks vfio-user-pci: remove that "
            "directory and run the command again"
        )
    store.write_atomically(stamp, found.version)
    return found


def _examine(
    command: tuple[str, ...], environment: tuple[tuple[str, str], ...], *, private: bool
) -> Qemu | None:
    def ask(*arguments: str) -> str:
        try:
            done = subprocess.run(
                [*command, *arguments],
                env={**os.environ, **dict(environment)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout

    version = parse_version(ask("--version"))
    if version is None or version[:2] < packages.QEMU_MINIMUM:
        return None
    if '"vfio-user-pci"' not in ask("-device", "help"):
        return None
    return Qemu(command, environment, ".".join(str(part) for part in version), private)


def accelerator(qemu: Qemu, kernel: Kernel, root: Path) -> str:
    """`kvm` where it boots the guest kernel, else `tcg`; the verdict is kept.

    /dev/kvm may exist and still not run a stock kernel (nested or paravirtual hosts): it is tried.
    `VGPUD_ACCEL` (kvm or tcg) overrides the test.
    """
    wanted = os.environ.get("VGPUD_ACCEL", "")
    if wanted in ("kvm", "tcg"):
        return wanted
    if wanted:
        raise SetupError(f"VGPUD_ACCEL={wanted!r}: allowed are kvm and tcg")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    key = store.digest(
        _PROBE_SECONDS, qemu.command, qemu.version, str(kernel.image), os.uname(), os.geteuid()
    )
    verdict = root / "accelerator.json"
    try:
        known = dict(json.loads(verdict.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    if known.get(key) in ("kvm", "tcg"):
        return str(known[key])
    store.say("testing whether KVM boots the guest kernel (once):")
    seconds = _kvm_boots(qemu, kernel)
    chosen = "tcg" if seconds is None else "kvm"
    store.say(f"  {'it does not' if seconds is None else f'it does, in {seconds:.1f} s'}: {chosen}")
    store.write_atomically(verdict, json.dumps({**known, key: chosen}))
    return chosen


def _kvm_boots(qemu: Qemu, kernel: Kernel) -> float | None:
    """Seconds that KVM takes from start to power-off in the initramfs, or None if it does not."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        console = Path(scratch, "console")
        arguments = [
            *qemu.command,
            *("-accel", "kvm", "-machine", "q35", "-cpu", "host", "-m", "512", "-smp", "2"),
            *("-nodefaults", "-no-reboot", "-display", "none"),
            *("-serial", f"file:{console}", "-kernel", str(kernel.image)),
            *("-initrd", str(kernel.initramfs)),
            *("-append", "console=ttyS0 quiet panic=-1 vgpud.probe"),
        ]
        try:
            subprocess.run(
                arguments,
                env=qemu.variables(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PROBE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        if not console.is_file() or b"vgpud-guest: initramfs" not in console.read_bytes():
            return None
    return time.monotonic() - started
