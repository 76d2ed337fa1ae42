"""A program whose lines are awaited, each for so long and no longer."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence

_KEPT = 40


class LineReader:
    """A program with what it is told; its lines, errors among them."""

    def __init__(self, words: Sequence[str], told: str = "") -> None:
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._last: list[str] = []
        self._silent = False
        assert self._process.stdin is not None
        self._process.stdin.write(told)
        self._process.stdin.close()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def lines(self, patience: float) -> Iterator[str]:
        """The lines until the program ends; it is ended after ``patience`` seconds of silence."""
        while True:
            try:
                line = self._queue.get(timeout=patience)
            except queue.Empty:
                self._silent = True
                self._process.kill()
                self._process.wait()
                return
            if line is None:
                self._process.wait()
                return
            self._last = [*self._last, line][-_KEPT:]
            yield line

    @property
    def failed(self) -> bool:
        """Was it ended, or did it die of a signal or an error of its own (a status above 1)?"""
        return self._silent or self._process.returncode not in (0, 1)

    def ending(self) -> str:
        """How it ended, and the last that it said."""
        how = "silent for too long" if self._silent else f"status {self._process.returncode}"
        said = [line for line in self._last if line.strip(" .") and not line.startswith("{")]
        return f"{how}: {' | '.join(said)[-1000:]}"
