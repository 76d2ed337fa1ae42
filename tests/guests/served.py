"""Run `vgpud serve` beside a guest: start it, wait until it is ready, read its counters, stop."""

import contextlib
import json
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guests.lifetime import die_with_parent
from tests.guests.setup_error import SetupError

REPOSITORY = Path(__file__).resolve().parents[2]
_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0
_COUNTER = re.compile(r"\b([a-z_]+)=([0-9]+)\b")


def parse_counters(line: str) -> dict[str, int]:
    """The counters in a line `served ...`: `name=N` words or a JSON object with whole numbers."""
    found = {name: int(value) for name, value in _COUNTER.findall(line)}
    start = line.find("{")
    if start >= 0:
        with contextlib.suppress(ValueError):
            decoded = json.loads(line[start:])
            found.update({k: v for k, v in decoded.items() if isinstance(v, int)})
    return found


def vgpud_program() -> Path:
    """The installed vgpud: the one of the project's environment."""
    for place in (REPOSITORY / ".venv" / "bin", Path(sys.executable).parent):
        if (place / "vgpud").is_file():
            return place / "vgpud"
    raise SetupError("vgpud is not installed: run `make venv` first")


@dataclass
class ServedGpu:
    """A software GPU served on a socket, with `options` of `vgpud serve`; a context manager."""

    options: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="vgpud-served-")
        self.socket = Path(self._scratch.name, "gpu")
        self._errors = Path(self._scratch.name, "errors")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(vgpud_program()), "serve", "--socket", str(self.socket), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=die_with_parent,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def running(self) -> bool:
        """Whether the server still runs."""
        return self._process.poll() is None

    def log(self) -> str:
        """What the server wrote to its standard error so far."""
        return self._errors.read_text(errors="replace")

    def counters(self, seconds: float = 5.0) -> dict[str, int]:
        """The counters printed when the last client left; waits at most `seconds` for the line."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            served = [line for line in self.lines if line.startswith("served")]
            if served:
                return parse_counters(served[-1])
            time.sleep(0.05)
        return {}

    def stop(self) -> int:
        """Ask the server to end, kill it if it does not; returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def _wait_ready(self) -> None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(_READY_SECONDS) else ""
        if not line.startswith("ready"):
            raise SetupError(f"vgpud serve did not get ready: {line}{self.log()[-2000:]}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
