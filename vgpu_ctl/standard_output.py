"""Standard output of a process that cannot be written any more."""

from __future__ import annotations

import os
import sys


def give_up() -> None:
    """Write what comes nowhere: else the interpreter tries once more at its end, and complains."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
