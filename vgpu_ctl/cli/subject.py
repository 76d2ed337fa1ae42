"""What `doctor` looks at: this machine, or in a test something that stands for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shutil import which

from vgpu_ctl.api.objects import DaemonInfo, GpuInfo
from vgpu_ctl.client import ApiError, Client, DaemonUnreachable
from vgpu_ctl.paths import found_socket

_PROGRAM_TIMEOUT_S = 20.0
_DAEMON_TIMEOUT_S = 5.0


@dataclass
class Subject:
    """One machine. What takes time is looked at once."""

    socket: Path = field(default_factory=found_socket)
    named: bool = True
    """Somebody named the socket, and trusts whoever serves it."""
    qemu: str = "qemu-system-x86_64"
    """Name on the search path, or a path."""
    search_path: str = field(default_factory=lambda: os.environ.get("PATH", os.defpath))
    kvm: Path = Path("/dev/kvm")

    def program(self, name: str) -> str | None:
        """Where a program is; None: nowhere."""
        return which(name, path=self.search_path)

    @cached_property
    def qemu_program(self) -> str | None:
        """QEMU, where it is."""
        return self.program(self.qemu)

    @cached_property
    def daemon(self) -> DaemonInfo | DaemonUnreachable | ApiError:
        """The vgpud that answers, or why none does."""
        try:
            with self.connect() as vgpud:
                return vgpud.version()
        except (ApiError, DaemonUnreachable) as error:
            return error

    def gpus(self) -> list[GpuInfo]:
        """Its GPUs. Raises ApiError and DaemonUnreachable."""
        with self.connect() as vgpud:
            return vgpud.gpus()

    def connect(self) -> Client:
        """A connection to its vgpud. Raises DaemonUnreachable."""
        return Client.connect(self.socket if self.named else None, _DAEMON_TIMEOUT_S)


def output_of(program: str, arguments: Sequence[str]) -> str:
    """What a program prints on both of its outputs; empty where it cannot be run or hangs."""
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROGRAM_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout + done.stderr).decode(errors="replace")
