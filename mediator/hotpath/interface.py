"""What the hot path is asked and answers: plain values, shared by the C routines and their twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from mmio_trap.guest_memory import GuestMemory


class FaultKind(IntEnum):
    """Why an access to GPU memory fails; the numbers are those of ``enum hp_fault_kind``."""

    NOT_PRESENT = 1
    BEYOND_39_BITS = 2
    TABLE_NOT_IN_MEMORY = 3
    PAGE_NOT_IN_MEMORY = 4


FAULT_REASONS = {
    FaultKind.NOT_PRESENT: "page not present",
    FaultKind.BEYOND_39_BITS: "physical address above 39 bits",
    FaultKind.TABLE_NOT_IN_MEMORY: "page table outside guest memory",
    FaultKind.PAGE_NOT_IN_MEMORY: "page outside guest memory",
}


class PageFault(Exception):
    """A GPU access that the page tables or the guest's memory do not allow.

    ``address`` is the GPU virtual address, ``write`` the direction, ``reason`` a short text.
    """

    def __init__(self, address: int, write: bool, reason: str) -> None:
        super().__init__(f"{'write' if write else 'read'} at {address:#x}: {reason}")
        self.address = address
        self.write = write
        self.reason = reason


BAND_BYTES = 1 << 20
BAND_ROWS = 1024
"""What a blit writes at most between two questions whether to stop."""


def never() -> bool:
    """Do not stop."""
    return False


Abort = Callable[[], bool]
"""Asked from time to time; True stops the work there."""


class Space(Protocol):
    """A GPU address space as the hot path needs it; `AddressSpace` is one."""

    memory: GuestMemory
    mask: int

    @property
    def entries(self) -> memoryview | None:
        """The GGTT's entries as qwords; None for a PPGTT."""

    @property
    def root(self) -> int:
        """Guest physical address of the PML4; 0 for the GGTT."""

    def translate(self, address: int, *, write: bool) -> tuple[int, bool]:
        """(guest physical address, writable) of a GPU address. Raises PageFault."""


class Tiling(IntEnum):
    """How a surface's bytes lie in memory (PRM SKL vol 5, "Tiling"); no bit-6 swizzle."""

    LINEAR = 0
    X = 1
    Y = 2


@dataclass(slots=True)
class Surface:
    """``base``: GPU address; ``pitch``: signed bytes from one row to the next."""

    base: int
    pitch: int
    tiling: Tiling = Tiling.LINEAR


@dataclass(slots=True)
class Blit:
    """One rectangle to combine into ``destination``: columns and widths in bytes, rows in lines.

    ``pattern`` and ``write_mask`` are dwords that repeat from the left edge; a clear mask bit
    keeps the destination's bit. ``source`` is None when ``rop`` does not name it. ``upwards``
    takes the last row first; ``staged`` reads each source row whole before it writes (overlap).
    """

    destination: Surface
    x: int
    y: int
    width: int
    height: int
    rop: int
    pattern: int = 0
    write_mask: int = 0xFFFF_FFFF
    source: Surface | None = None
    source_x: int = 0
    source_y: int = 0
    upwards: bool = False
    staged: bool = False

    @property
    def band_rows(self) -> int:
        """Rows of a piece between two questions whether to stop."""
        return max(1, min(BAND_ROWS, BAND_BYTES // max(1, self.width)))
