"""`vgpud serve` as a process of its own: its sockets, its log, its summaries, what it holds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.hostile_guest.process_figures import ProcessFigures, process_figures

_START_S = 60.0
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
_KEPT = 300
_BLAME = re.compile(r"(?P<vgpu>vgpu\d+): (\w+ hangs|refused|\w+ did not give way)")
_BLAMES_KEPT = 10
_FAULT = re.compile(r"level=(error|critical)\b|\bFatal Python error\b|\[(error|critical) *\]")


@dataclass
class Daemon:
    """Started by `Daemon.start`; what it says is taken in by threads."""

    process: subprocess.Popen[str]
    paths: list[str]
    served: list[dict[str, Any]] = field(default_factory=list)
    """Its lines ``served``, in order."""
    complaints: list[str] = field(default_factory=list)
    """Log lines that it must not write: errors, tracebacks and what follows them."""
    blame: dict[str, list[str]] = field(default_factory=dict)
    """Warnings and refusals by the vGPU that they are about."""
    kinds: Counter[str] = field(default_factory=Counter)
    """All other log lines without their numbers: how often each."""
    _threads: list[threading.Thread] = field(default_factory=list)
    _after_error: int = 0

    @classmethod
    def start(cls, directory: Path, count: int, options: list[str], fault: str = "") -> Daemon:
        """A daemon that is ready, with ``count`` vGPUs behind sockets in ``directory``.

        ``fault``: one of `faulty_daemon`.
        """
        program = [str(Path(sys.executable).with_name("vgpud"))]
        if fault:
            program = [sys.executable, "-m", "tests.fuzz.hostile_guest.faulty_daemon", fault]
        arguments = ["serve", "--vgpus", str(count), "--socket-dir", str(directory), *options]
        process = subprocess.Popen(
            [*program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What the attacker's programs are compiled to is of no use to anybody else.
            env={**os.environ, "XDG_CACHE_HOME": str(directory / "cache")},
        )
        paths = [str(directory / f"vgpu{index}") for index in range(count)]
        made = cls(process, paths)
        made._threads = [
            threading.Thread(target=made._read_output),
            threading.Thread(target=made._read_log),
        ]
        assert process.stdout is not None
        ready = [process.stdout.readline() for _ in paths]
        for thread in made._threads:
            thread.start()
        if ready != [f"ready {path}\n" for path in paths]:
            made.kill()
            raise RuntimeError(f"vgpud did not start: {ready} {made.complaints} {made.kinds}")
        return made

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def figures(self) -> ProcessFigures:
        """What it holds now. Raises OSError when it is gone."""
        return process_figures(self.process.pid)

    def stop(self, patience: float) -> int | None:
        """SIGTERM; its exit status, or None when it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status: int | None = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self._join()
        return status

    def kill(self) -> None:
        """End it at once; no effect when it has ended."""
        if self.running:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("served "):
                self.served.append(json.loads(line.removeprefix("served ")))

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if is_complaint(line):
                self._after_error = 60
            self._note_blame(line)
            if self._after_error and len(self.complaints) < _KEPT:
                self.complaints.append(line.rstrip())
            else:
                self.kinds[_NUMBER.sub("#", line.strip())[:160]] += 1
            self._after_error = max(0, self._after_error - 1)

    def _note_blame(self, line: str) -> None:
        found = _BLAME.search(line)
        if found is not None:
            told = self.blame.setdefault(found["vgpu"], [])
            if len(told) < _BLAMES_KEPT:
                told.append(line.rstrip())


def is_complaint(line: str) -> bool:
    """A line that tells of a fault of the daemon's own."""
    return "Traceback" in line or bool(_FAULT.search(line))
