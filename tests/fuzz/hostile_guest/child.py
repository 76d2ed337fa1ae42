"""A child process that tells what it does, a JSON line each, and its parent's view of it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_KEPT_LINES = 400


def tell(**what: Any) -> None:
    """To the parent, at once: also what a process that is killed next has said arrives."""
    data = (json.dumps(what) + "\n").encode()
    while data:
        data = data[os.write(1, data) :]


@dataclass
class Child:
    """``python -m MODULE ARGUMENTS``; ``on_line`` gets, on a thread, each thing that it tells."""

    module: str
    arguments: list[str]
    on_line: Callable[[dict[str, Any]], None]
    errors: list[str] = field(default_factory=list)
    """The last lines of its standard error."""

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._readers = [
            threading.Thread(target=self._read_lines),
            threading.Thread(target=self._read_errors),
        ]
        for reader in self._readers:
            reader.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # one that was killed in the middle of a line said nothing
                self.on_line(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors = [*self.errors[-_KEPT_LINES:], line]

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self, patience: float) -> int:
        """Ask it to end, by the end of its standard input; killed when it does not. Its status."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.ended(patience)
        except subprocess.TimeoutExpired:
            self.errors.append(f"did not end in {patience} s\n")
            return self.kill()

    def ended(self, patience: float) -> int:
        """Its exit status, once it has ended by itself. Raises TimeoutExpired."""
        status = self.process.wait(patience)
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        return status

    def kill(self) -> int:
        """End it as the kernel ends a process that is out of memory."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        return self.ended(30.0)


def told_to_stop(wait: float = 0.0) -> bool:
    """In the child: has the parent closed our standard input, or gone?"""
    return bool(select.select([0], [], [], wait)[0])
