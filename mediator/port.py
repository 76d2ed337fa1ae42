"""One engine of the hardware as the dispatcher uses it: what it was given, what it answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediator.physical.compute_work import ComputeWork


class Load(Enum):
    """What an engine of the hardware has been given."""

    NOTHING = 0
    GUEST = 1
    """A list that the guest waits to see acknowledged."""
    RESUMED = 2
    """The rest of a list that the guest has seen acknowledged."""
    IDLE = 3
    """The mediator's own idle context."""


_GUESTS = (Load.GUEST, Load.RESUMED)


@dataclass
class Port:
    """One engine of the hardware as the dispatcher uses it."""

    running: Load = Load.NOTHING
    waiting: Load = Load.NOTHING
    """Submitted, not acknowledged."""
    since_ns: int = 0
    """When a guest's context began to run on it; 0 while none does."""
    work: ComputeWork | None = None
    """What execution units had done before what runs was submitted, where it is to be traced."""
    tells_more: bool = False
    """More events came with the one that is being served."""
    used: bool = False
    """Its registers are a guest's: the idle context has not run since."""

    @property
    def free(self) -> bool:
        """Nothing runs and nothing is submitted."""
        return self.running is Load.NOTHING and self.waiting is Load.NOTHING

    @property
    def has_guest(self) -> bool:
        """A guest's context runs on it."""
        return self.running in _GUESTS

    @property
    def may_have_guest(self) -> bool:
        """A guest's context runs on it, or may have begun to: its image may be older than it is."""
        return self.has_guest or self.waiting in _GUESTS
