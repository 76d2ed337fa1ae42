"""Base address registers: what kind a BAR is, and which of its bits a guest can write.

PCI Local Bus Specification 3.0, section 6.2.5.1. The writable bits are the whole of BAR sizing:
software writes all ones and reads back the address mask with the type bits below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BarKind(Enum):
    """The type bits of a BAR, prefetchable bit apart."""

    MEMORY32 = 0x0
    MEMORY64 = 0x4
    IO = 0x1


@dataclass(frozen=True, slots=True)
class Bar:
    """BAR ``index`` (0 to 5) of ``size`` bytes, a power of two of at least 16 (I/O: 4)."""

    index: int
    size: int
    kind: BarKind = BarKind.MEMORY32
    prefetchable: bool = False

    def __post_init__(self) -> None:
        slots = 2 if self.kind is BarKind.MEMORY64 else 1
        if self.index < 0 or self.index + slots > 6:
            raise ValueError(f"BAR {self.index} of kind {self.kind.name} does not exist")
        smallest = 4 if self.kind is BarKind.IO else 16
        if self.size < smallest or self.size & (self.size - 1):
            raise ValueError(f"BAR {self.index}: {self.size} bytes is no power of two it can have")
        if self.size > 1 << (32 * slots - 1):
            raise ValueError(f"BAR {self.index}: {self.size} bytes is too much for its kind")

    @property
    def width(self) -> int:
        """Bytes it takes in configuration space: 8 for a 64-bit BAR, else 4."""
        return 8 if self.kind is BarKind.MEMORY64 else 4

    @property
    def type_bits(self) -> int:
        """The read-only low bits."""
        return self.kind.value | (0x8 if self.prefetchable else 0)

    @property
    def address_mask(self) -> int:
        """The bits that hold an address: those software can write."""
        return ((1 << 8 * self.width) - 1) & ~(self.size - 1)
