"""A libvirt domain that a vGPU is kept for. Who makes and ends it is in `claims.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LAPSE_S = 120.0
"""From the claim to the connection of its QEMU: what a busy host may take to start one."""
ABANDON_S = 600.0
"""And what one may take that allocates all memory of a large guest first."""


@dataclass
class Claim:
    """The claim of one domain."""

    domain: str
    uuid: str
    since: float
    """By its clock."""
    clock: Callable[[], float]
    started: bool
    """The claim has started the vGPU, and its end stops it."""
    used: bool = False
    """A client was there for it, and has left."""

    @property
    def overdue(self) -> bool:
        """A QEMU that has not come by now has to take what others have left."""
        return self.clock() - self.since > LAPSE_S

    @property
    def abandoned(self) -> bool:
        """A QEMU that has not come by now does not come."""
        return self.clock() - self.since > ABANDON_S
