"""Run `vgpud serve` beside guests: start it, wait until it is ready, read its counters, stop."""

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
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guests.lifetime import die_with_parent
from tests.guests.setup_error import SetupError

REPOSITORY = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
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


@dataclass(frozen=True, slots=True)
class VgpuSummary:
    """What a vGPU did for one client, as vgpud tells it; times in seconds and milliseconds."""

    name: str
    weight: int
    share: float
    requests: int
    gpu_seconds: float
    wait_p50_ms: float
    wait_p99_ms: float
    reads: int
    writes: int
    hangs: int
    world_switches: int
    rejections: dict[str, int]

    @property
    def traps(self) -> int:
        """Accesses that reached vgpud."""
        return self.reads + self.writes


def parse_name(line: str) -> str | None:
    """The name of the vGPU in a line `served {...}`; None if there is none."""
    with contextlib.suppress(ValueError):
        decoded = json.loads(line.removeprefix("served "))
        if isinstance(decoded, dict):
            return decoded.get("name")
    return None


def parse_summary(line: str) -> VgpuSummary:
    """The summary in a line `served {...}` of a vGPU. Raises ValueError for anything else."""
    decoded = json.loads(line.removeprefix("served "))
    wanted = [entry.name for entry in fields(VgpuSummary)]
    missing = [name for name in wanted if name not in decoded]
    if missing:
        raise ValueError(f"vgpud's summary lacks {', '.join(missing)}: {line}")
    return VgpuSummary(**{name: decoded[name] for name in wanted})


def vgpud_program() -> Path:
    """The installed vgpud: the one of the project's environment."""
    for place in (REPOSITORY / ".venv" / "bin", Path(sys.executable).parent):
        if (place / "vgpud").is_file():
            return place / "vgpud"
    raise SetupError("vgpud is not installed: run `make venv` first")


@dataclass
class Served(ABC):
    """A running `vgpud serve` with `options`; a context manager. What it serves: see below."""

    options: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    program: Path | None = None
    """Another vgpud than the one installed here."""

    @abstractmethod
    def sockets_in(self, directory: Path) -> tuple[list[str], list[Path]]:
        """The options that make it listen in `directory`, and the sockets it will have."""

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="vgpud-served-")
        directory = Path(self._scratch.name)
        self._errors = directory / "errors"
        options, self.sockets = self.sockets_in(directory)
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(self.program or vgpud_program()), "serve", *options, *self.options],
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
        for _ in self.sockets:
            with selectors.DefaultSelector() as selector:
                selector.register(self._process.stdout, selectors.EVENT_READ)
                # After the first the others follow at once, maybe into the stream's buffer.
                ready = bool(self.lines) or bool(selector.select(_READY_SECONDS))
            line = self._process.stdout.readline() if ready else ""
            if not line.startswith("ready"):
                raise SetupError(f"vgpud serve did not get ready: {line}{self.log()[-2000:]}")
            self.lines.append(line.rstrip("\n"))

    def _served(self, wanted: Callable[[str], bool], seconds: float) -> str | None:
        """The last line `served ...` that is wanted; waits at most `seconds` for one."""
        deadline = time.monotonic() + seconds
        while True:
            lines = [line for line in self.lines if line.startswith("served") and wanted(line)]
            if lines or time.monotonic() >= deadline:
                return lines[-1] if lines else None
            time.sleep(0.05)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))


@dataclass
class ServedGpu(Served):
    """A software GPU served to one guest, without mediation."""

    def sockets_in(self, directory: Path) -> tuple[list[str], list[Path]]:
        """See `Served.sockets_in`."""
        return ["--socket", str(directory / "gpu")], [directory / "gpu"]

    @property
    def socket(self) -> Path:
        """Where it is served."""
        return self.sockets[0]

    def counters(self, seconds: float = 30.0) -> dict[str, int]:
        """The counters printed when the last client left; waits at most `seconds` for the line."""
        line = self._served(lambda _: True, seconds)
        return {} if line is None else parse_counters(line)


@dataclass
class ServedVgpus(Served):
    """A software GPU shared among `count` vGPUs."""

    count: int = 2

    def sockets_in(self, directory: Path) -> tuple[list[str], list[Path]]:
        """See `Served.sockets_in`."""
        options = ["--vgpus", str(self.count), "--socket-dir", str(directory)]
        return options, [directory / f"vgpu{number}" for number in range(self.count)]

    def summary(self, number: int, seconds: float = 30.0) -> VgpuSummary | None:
        """What vGPU `number` did for its last client; waits at most `seconds` for it to leave."""
        name = f"vgpu{number}"
        line = self._served(lambda line: parse_name(line) == name, seconds)
        return None if line is None else parse_summary(line)
