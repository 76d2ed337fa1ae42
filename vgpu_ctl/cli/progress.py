"""A line on a terminal's standard error that says how far something is; nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self, TextIO

from vgpu_ctl.cli.units import age

_WIDTH = 24
_CLEAR = "\r\x1b[K"


class Progress:
    """A bar, or the time alone where no end is known. A context manager that wipes the line."""

    def __init__(
        self, text: str, total_s: float | None = None, stream: TextIO | None = None
    ) -> None:
        self._text = text
        self._total_s = total_s
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()

    def __enter__(self) -> Self:
        self.show(0.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write(_CLEAR)

    def show(self, elapsed_s: float) -> None:
        """Draw it as it is ``elapsed_s`` after the beginning."""
        if self._total_s:
            part = min(elapsed_s / self._total_s, 1.0)
            whole = round(part * _WIDTH)
            bar = "━" * whole + "╌" * (_WIDTH - whole)
            self._write(f"{_CLEAR}{self._text} {bar} {age(elapsed_s)} of {age(self._total_s)}")
        else:
            self._write(f"{_CLEAR}{self._text} {age(elapsed_s)}")

    def _write(self, text: str) -> None:
        if self._shown:
            self._stream.write(text)
            self._stream.flush()
