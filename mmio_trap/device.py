"""The interface between a transport (vfio-user) and a PCI function.

Defined here, by the room that calls it: the server knows a device by this protocol only.
Region and IRQ indexes are VFIO's (linux/vfio.h, VFIO_PCI_*_INDEX).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts


class RegionIndex(IntEnum):
    """VFIO region indexes of a PCI device."""

    BAR0 = 0
    BAR1 = 1
    BAR2 = 2
    BAR3 = 3
    BAR4 = 4
    BAR5 = 5
    ROM = 6
    CONFIG = 7
    VGA = 8


class IrqIndex(IntEnum):
    """VFIO interrupt indexes of a PCI device."""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERR = 3
    REQ = 4


@dataclass(frozen=True)
class MmapArea:
    """A page-aligned part of a region that the client may map: bytes within the region."""

    offset: int
    size: int


@dataclass(frozen=True)
class Region:
    """One device region. ``size`` in bytes, 0 = absent; ``fd`` backs ``areas`` when mappable."""

    size: int = 0
    readable: bool = True
    writable: bool = True
    fd: int | None = None
    areas: tuple[MmapArea, ...] = ()


class PciDevice(Protocol):
    """A PCI function as a transport sees it.

    One client at a time: ``attach`` before its first access, ``detach`` after its last.
    Offsets and counts are checked against ``regions`` by the caller. ``region_*`` and ``reset``
    answer within milliseconds and never raise for anything a guest does.
    """

    @property
    def regions(self) -> Sequence[Region]:
        """Nine regions by :class:`RegionIndex`."""

    @property
    def irq_counts(self) -> Sequence[int]:
        """Vectors for each :class:`IrqIndex`; 0 = absent."""

    def attach(self, memory: GuestMemory, interrupts: Interrupts) -> None:
        """A client has connected; its RAM appears in ``memory``, its eventfds in ``interrupts``."""

    def detach(self) -> None:
        """The client has gone: stop using its memory and interrupts, return to cold state."""

    def region_read(self, index: int, offset: int, count: int) -> bytes:
        """``count`` bytes of region ``index`` at ``offset``."""

    def region_write(self, index: int, offset: int, data: bytes) -> None:
        """Write ``data`` into region ``index`` at ``offset``."""

    def reset(self) -> None:
        """Function-level reset: everything returns to power-on values but attach state."""
