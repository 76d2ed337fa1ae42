"""A context's own address space, as its guest's page tables have it: for reading batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmio_trap.guest_memory import GuestMemory


@dataclass(frozen=True, slots=True)
class UserSpace:
    """Implements `hotpath.interface.Mapping`."""

    memory: GuestMemory
    root: int
    """Guest physical address of the PML4."""
    mask: int = (1 << 48) - 1
    entries: memoryview | None = None
