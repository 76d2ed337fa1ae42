"""What an engine has done: by itself, and by command name. For people; nobody acts on it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


def _counts() -> defaultdict[str, int]:
    return defaultdict(int)


@dataclass
class CommandCounters:
    """Commands of one engine since power-on. An MI_NOOP of 0 is not counted."""

    executed: defaultdict[str, int] = field(default_factory=_counts)
    """Commands carried out."""
    skipped: defaultdict[str, int] = field(default_factory=_counts)
    """Commands parsed by length whose effect this model does not have."""
    dropped: defaultdict[str, int] = field(default_factory=_counts)
    """Privileged commands, registers or GGTT accesses in a batch without privilege."""
    predicated: defaultdict[str, int] = field(default_factory=_counts)
    """Commands that MI_SET_PREDICATE turned into no-operations."""
    illegal: int = 0
    """Commands that no engine of this class has, or that are malformed."""


@dataclass
class EngineCounters:
    """What an engine has done since power-on."""

    submissions: int = 0
    """Execution lists taken from the submission port."""
    contexts_completed: int = 0
    preemptions: int = 0
    lite_restores: int = 0
    hangs: int = 0
    failures: int = 0
    """Steps that ended in an error of this program."""
    resets: int = 0
    busy_ns: int = 0
    """Time with a context loaded, in nanoseconds."""
