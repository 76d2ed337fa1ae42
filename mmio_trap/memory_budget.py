"""How much of what all clients of a process share one client's memory may take."""

from __future__ import annotations

from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

_ADDRESS_SPACE = 96 << 40
"""Bytes of a process's 47 bits of addresses that clients may have."""
_OWN_MAPPINGS = 8192
"""Mappings that the process itself may need."""
_MAX_MAP_COUNT = Path("/proc/sys/vm/max_map_count")
_USUAL_MAPPINGS = 65530


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """The most that one client may have at a time."""

    ranges: int = 65535
    """The default of vfio-user's ``max_dma_maps``."""
    mappings: int = 1024
    """Parts of files that are mapped: see `mmio_trap.mapped_file`."""
    address_space: int = 1 << 40
    """Bytes that these take of the process's addresses."""

    def check_ranges(self, ranges: int) -> None:
        """Raises OSError ENOSPC when so many are too many."""
        if ranges > self.ranges:
            raise OSError(ENOSPC, f"more than {self.ranges} ranges, this client's budget")

    def check_mappings(self, mappings: int, address_space: int) -> None:
        """Raises OSError ENOSPC, which names what is too much."""
        if mappings > self.mappings:
            raise OSError(
                ENOSPC, f"more than {self.mappings} mapped parts of files, this client's budget"
            )
        if address_space > self.address_space:
            raise OSError(
                ENOSPC,
                f"{address_space >> 20} MiB of address space, "
                f"{self.address_space >> 20} MiB are this client's budget",
            )


UNLIMITED = MemoryBudget(1 << 62, 1 << 62, 1 << 62)
"""For memory whose ranges others answer for."""


def fair_budget(clients: int) -> MemoryBudget:
    """A budget of which a process can grant ``clients`` at a time, whatever they do."""
    usual = MemoryBudget()
    try:
        mappings = int(_MAX_MAP_COUNT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        mappings = _USUAL_MAPPINGS
    return MemoryBudget(
        usual.ranges,
        min(usual.mappings, max(mappings - _OWN_MAPPINGS, _OWN_MAPPINGS) // clients),
        min(usual.address_space, _ADDRESS_SPACE // clients),
    )
