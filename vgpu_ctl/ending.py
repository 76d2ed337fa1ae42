"""That vgpud ends once it has been told to, whatever a thread of it may wait for."""

from __future__ import annotations

import faulthandler
import sys

ENDING_S = 30.0
"""Seconds for letting go of clients and GPUs; it takes one or two, with many guests more."""


def must_end() -> None:
    """The process is gone within `ENDING_S` unless `has_ended` is called before.

    A thread that needs nothing of the interpreter sees to it. It says on standard error where each
    thread stands, and the exit status is 1.
    """
    faulthandler.dump_traceback_later(ENDING_S, exit=True, file=sys.__stderr__ or sys.stderr)


def has_ended() -> None:
    """Everything has come to its end."""
    faulthandler.cancel_dump_traceback_later()
