"""A `vgpud run` as a process, with directories and a configuration of its own, and its client."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - `socket` is the rig's
from types import MappingProxyType
from typing import IO, TypeVar

from tests.readiness import readable
from vgpu_ctl.api.objects import VgpuStats
from vgpu_ctl.client import Client

T = TypeVar("T")
PATIENCE_S = 60.0
VGPUD = Path(sys.executable).with_name("vgpud")
NO_METRICS = "[metrics]\nlisten = []\n"
METRICS = '[metrics]\nlisten = ["127.0.0.1:0"]\n'
PATIENT_GPU = "[[gpu]]\nwatchdog_ms = 10000\n"
"""A GPU on which a machine that stands still for a second hangs nobody."""


@dataclass
class ControlRig:
    """Where one vgpud is, and while it runs its process."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    prefix: tuple[str, ...] = ()
    """Words before the command, such as `setpriv` and its options."""

    @property
    def config(self) -> Path:
        return self.root / "vgpud.toml"

    @property
    def runtime(self) -> Path:
        return self.root / "run"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def socket(self) -> Path:
        return self.runtime / "control.sock"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def pid(self) -> int:
        assert self.process is not None, "start it first"
        return self.process.pid

    def command(self) -> list[str]:
        places = (("config", self.config), ("runtime-dir", self.runtime), ("state-dir", self.state))
        options = [word for name, path in places for word in (f"--{name}", str(path))]
        return [*self.prefix, str(VGPUD), "run", *options]

    def start(self, *, wait: bool = True, pass_fds: tuple[int, ...] = ()) -> None:
        """Start it; with ``wait`` it is ready on return."""
        with self.log.open("a") as log:
            self.process = self._popen(log, pass_fds)
        if wait:
            self.wait_ready()

    def _popen(self, log: IO[str], pass_fds: tuple[int, ...]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **self.environment},
            pass_fds=pass_fds,
        )

    def wait_ready(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        ready = readable(self.process.stdout, PATIENCE_S)
        line = self.process.stdout.readline() if ready else "nothing"
        assert line.startswith("ready "), f"{line!r}: {self.said()}"

    def run_to_end(self) -> tuple[int, str]:
        """One that is expected to end by itself: its exit code and what it said."""
        done = subprocess.run(
            self.command(),
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stderr

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; negative when the signal killed it."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        assert self.process is not None
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def client(self) -> Client:
        return self.client_at(self.socket)

    @staticmethod
    def client_at(path: Path) -> Client:
        return Client.connect(path, PATIENCE_S)

    def raw(self) -> Socket:
        """A connection without a client library, for what is no request."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.connect(str(self.socket))
        made.settimeout(PATIENCE_S)
        return made

    def said(self) -> str:
        """All of its log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_said(self, text: str) -> None:
        wait_until(lambda: text in self.said(), f"{text!r} in the log")

    def files(self) -> set[str]:
        """All paths in its runtime and state directories, without those that always are there."""
        found = {
            str(path.relative_to(self.root))
            for directory in (self.runtime, self.state)
            for path in directory.rglob("*")
            if not path.is_dir()
        }
        always = {"run/lock", "state/lock", "run/control.sock", "run/vgpus/no-migration.vhd"}
        return found - always

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def resident(self) -> int:
        """Bytes of memory that it has: private and shared."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def prepared(root: Path, config: str = NO_METRICS) -> Iterator[ControlRig]:
    """A vgpud that is not started yet, and is killed in the end."""
    made = ControlRig(root)
    made.config.write_text(config)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def running(
    root: Path, config: str = NO_METRICS, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[ControlRig]:
    """A vgpud that is ready. What it says of a bug of its own fails the test."""
    with prepared(root, config) as made:
        made.environment.update(environment)
        made.start()
        yield made
        assert "Traceback" not in made.said(), made.said()


def wait_until(
    condition: Callable[[], object], what: str, patience: float = PATIENCE_S, step: float = 0.01
) -> None:
    """Until ``condition`` holds; ``what`` it is, for the failure."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(step)


def settled(look: Callable[[], T], seconds: float = 1.0) -> T:
    """What is seen when it is the same for ``seconds``: a thread that has ended is gone by then."""
    ends = time.monotonic() + PATIENCE_S
    found, since = look(), time.monotonic()
    while (now := time.monotonic()) - since < seconds:
        assert now < ends, f"it changes all the time: {found}"
        time.sleep(0.01)
        if (seen := look()) != found:
            found, since = seen, time.monotonic()
    return found


def stats_of(client: Client, name: str) -> VgpuStats:
    (found,) = client.stats(name).vgpus
    return found


def unlinked(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
