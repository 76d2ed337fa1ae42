"""What the hot path is asked and answers: plain values, shared by the C routines and their twin."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from mmio_trap.guest_memory import GuestMemory


class FaultKind(IntEnum):
    """Why an access to GPU memory fails; the numbers are those of ``enum hp_fault_kind``."""

    NOT_PRESENT = 1
    BEYOND_39_BITS = 2
    TABLE_NOT_IN_MEMORY = 3
    PAGE_NOT_IN_MEMORY = 4


TABLES_FULL = -6
"""What the C routine answers for `TablesFull`."""

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


class Mapping(Protocol):
    """A GPU address space as far as a walk of its tables needs it."""

    @property
    def memory(self) -> GuestMemory:
        """Where the pages are, and the tables of a PPGTT."""

    @property
    def mask(self) -> int:
        """Bits of an address that count."""

    @property
    def entries(self) -> memoryview | None:
        """The GGTT's entries as qwords; None for a PPGTT."""

    @property
    def root(self) -> int:
        """Guest physical address of the PML4; 0 for the GGTT."""


class Space(Mapping, Protocol):
    """One that is used, and may remember walks; `AddressSpace` is one."""

    @property
    def stale(self) -> bool:
        """Its tables are to be read by `translate` alone, which keeps old translations."""

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


HEADERS = 1 << 16
"""Entries for `skip_commands`: one for each value of a header's bits 31:16."""
_MASK_BITS, _BIAS_BITS, _LENGTH_BITS = 16, 8, 20


def pack_entry(mask: int, bias: int, fewest: int, most: int) -> int:
    """An entry for `skip_commands`: commands of (header & mask) + bias dwords, within limits.

    0 is no entry. Raises OverflowError where a part does not fit.
    """
    packed = shift = 0
    for value, bits in ((mask, _MASK_BITS), (bias, _BIAS_BITS), (fewest, _LENGTH_BITS)):
        if value >> bits:
            raise OverflowError(f"{value:#x} in {bits} bits")
        packed |= value << shift
        shift += bits
    if most >> _LENGTH_BITS:
        raise OverflowError(f"{most:#x} in {_LENGTH_BITS} bits")
    return packed | most << shift


def unpack_entry(entry: int) -> tuple[int, int, int, int]:
    """Mask, bias, fewest and most dwords of what `pack_entry` made."""
    parts = []
    for bits in (_MASK_BITS, _BIAS_BITS, _LENGTH_BITS, _LENGTH_BITS):
        parts.append(entry & (1 << bits) - 1)
        entry >>= bits
    return parts[0], parts[1], parts[2], parts[3]


class ShadowLevel(IntEnum):
    """What a shadow table stands for. A page of the guest may be used at several levels at once."""

    PML4 = 0
    PDP = 1
    PD = 2
    PT = 3
    PT_64K = 4


class ShadowNode(IntEnum):
    """Columns of `ShadowTables.nodes`."""

    KEY = 0
    """In use: guest physical address | level << 1 | 1. Free: (next free slot + 1) << 1."""
    EPOCH = 1
    """The last pass that came by."""
    WORDS = 2


class ShadowCount(IntEnum):
    """Rows of `ShadowTables.counts`; EPOCH, REFUSED, TRANSLATED and VISITED only grow."""

    EPOCH = 0
    """Passes made."""
    USED = 1
    """Slots ever taken; those from here on are zero."""
    REFUSED = 2
    """Entries for a page past the window or beyond 39 bits."""
    TRANSLATED = 3
    """Entries translated."""
    VISITED = 4
    """Tables compared."""
    FREE = 5
    """First of the free slots + 1, 0 for none; one row for each level from PML4 to PT."""
    WORDS = 9


class TablesFull(Exception):
    """No slot is left for another shadow table. What is in the tables stays valid."""


@dataclass(slots=True)
class ShadowTables:
    """The shadow page tables of one vGPU, each a page of 512 entries, and what is known of them.

    A slot is the shadow of one guest page used at one level. Entry i of its table is always the
    translation of entry i of its copy: a page of the guest moves to ``window_base`` + address,
    a table becomes the slot of its own shadow (``iova`` + 4096 * slot), bits 11:0 stay as they
    are; what is absent, refused or a table outside guest memory becomes 0. Nobody but the mediator
    writes any of this.
    """

    tables: memoryview
    """Qwords; the GPU walks them while they change."""
    copies: memoryview
    """Qwords: the guest's tables as last seen. Of a 64K page table only every 16th entry."""
    nodes: memoryview
    """Qwords: a `ShadowNode` row for each slot."""
    index: memoryview
    """Dwords: hash table of (slot + 1) by key, open addressing; a power of two, twice the slots."""
    counts: array[int]
    """Qwords, `ShadowCount`."""
    iova: int
    window_base: int
    window_size: int
    multiplier: int
    """Of the hash: odd, 64 bits, not to be known by the guest."""
    rescan: bool = False
    """Translate every entry on every pass rather than those that changed: to measure against."""
    limit: int = 0
    """Slots that may be in use, if that is fewer than there are; 0: all."""
    packed: Any = None
    """The same for C, made by `native.py` at its first call."""

    @property
    def slots(self) -> int:
        """Shadow tables that may be in use."""
        room = len(self.tables) // 512
        return min(room, self.limit) if self.limit else room
