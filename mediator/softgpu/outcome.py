"""How a command, and a run of the command streamer, may end."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediator.softgpu.streamer import Streamer


class Stop(Enum):
    """Why `Streamer.run` returned."""

    RING_EMPTY = auto()
    """Head has reached tail."""
    ATTENTION = auto()
    """At an arbitration point with the host's attention wanted, or abandoned anywhere."""
    WAIT = auto()
    """At a wait whose condition does not hold; the next run looks again."""
    QUANTUM = auto()
    """The budget is used up, the context spins, or the host wants a pause; anywhere."""
    HUNG = auto()
    """`CommandHost.hang` was told why; nothing runs until reset."""


class Jump(Enum):
    """A command has set the place to go on from."""

    FORWARD = auto()
    BACK = auto()
    """To or before itself at the same level of batch: may be a loop."""


class IllegalCommand(Exception):
    """The command streamer cannot go on: unknown or malformed command, impossible place."""


Outcome = Stop | Jump | None
"""None: go on with the next command."""

Run = Callable[["Streamer", memoryview], int]
"""Carries out commands like the first of those given, in a row; returns how many."""

Handler = Callable[["Streamer", list[int]], Outcome]
"""Carries out one command, given with all its dwords.

Before it returns a Stop it sets `Streamer.index` to where the next run begins.
"""
