"""The line of progress."""

from __future__ import annotations

import io

from vgpu_ctl.cli.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_a_bar_that_is_wiped() -> None:
    terminal = Terminal()
    with Progress("tracing web", 4.0, terminal) as progress:
        progress.show(2.0)
        progress.show(9.0)
    _, first, half, full, rest = terminal.getvalue().split("\r\x1b[K")
    assert first == f"tracing web {'╌' * 24} 0 s of 4 s"
    assert half == f"tracing web {'━' * 12}{'╌' * 12} 2 s of 4 s"
    assert "━" * 24 in full
    assert rest == ""


def test_without_an_end_the_time_alone() -> None:
    terminal = Terminal()
    with Progress("waiting", None, terminal) as progress:
        progress.show(65)
    assert "waiting 1 min" in terminal.getvalue()


def test_nothing_in_a_pipe() -> None:
    pipe = io.StringIO()
    with Progress("waiting", 1.0, pipe) as progress:
        progress.show(0.5)
    assert pipe.getvalue() == ""
