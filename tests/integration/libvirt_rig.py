"""A vgpud and a libvirtd beside each other, the hook installed, and vgpuctl for both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guests.images import Images
from tests.guests.libvirt_copy import find_libvirt
from tests.guests.libvirtd import Libvirtd, can_run
from tests.guests.store import cache_root
from tests.integration.control_rig import NO_METRICS, PATIENT_GPU, ControlRig, running

_SECONDS = 120.0


@dataclass
class LibvirtRig:
    """Both, running."""

    vgpud: ControlRig
    libvirtd: Libvirtd
    images: Images

    def vgpuctl(self, *arguments: str, uri: str = "") -> subprocess.CompletedProcess[str]:
        """`vgpuctl ARGUMENTS` as a program."""
        return subprocess.run(
            [Path(sys.executable).with_name("vgpuctl"), *arguments],
            env={
                **os.environ,
                "VGPUD_SOCKET": str(self.vgpud.socket),
                "LIBVIRT_DEFAULT_URI": uri or self.libvirtd.uri,
            },
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        """Both its outputs; it must succeed."""
        done = self.vgpuctl(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def domain_of(self, vgpu: str) -> str:
        """The domain that has it, as vgpud knows."""
        with self.vgpud.client() as client:
            return client.show(vgpu).domain


@contextmanager
def libvirt_rig(images: Images) -> Iterator[LibvirtRig]:
    """Skips with the reason where no libvirtd can run; in CI that is a failure."""
    reason = can_run()
    if reason and os.environ.get("CI"):
        pytest.fail(f"no libvirtd can run here: {reason}")
    if reason:
        pytest.skip(f"no libvirtd can run here: {reason}")
    root = Path(tempfile.mkdtemp(prefix="vgpud-lv-"))  # short: sockets are in it
    try:
        for name in ("v", "l"):
            (root / name).mkdir()
        libvirtd = Libvirtd(find_libvirt(cache_root()), images.qemu, root / "l")
        with running(root / "v", NO_METRICS + PATIENT_GPU) as vgpud:
            rig = LibvirtRig(vgpud, libvirtd, images)
            rig.must("install-hooks", "--yes", "--directory", str(libvirtd.etc / "hooks"))
            with libvirtd:
                yield rig
    finally:
        shutil.rmtree(root, ignore_errors=True)
