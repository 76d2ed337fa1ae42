"""Memory-mapped registers: one table of rows, checked and frozen, and the values behind it.

A row says everything about a register: name, offset, access kind, reset value, handlers. Accesses
of any size and alignment are split and widened, so that a handler only sees a whole dword.
An offset without a row reads 0 and ignores writes; it is counted, and logged once, unless there are
very many.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

D = TypeVar("D")

_LOG = logging.getLogger(__name__)
_DWORD = 0xFFFFFFFF
MOST_UNKNOWN = 1024
"""Offsets without a row that are counted and logged, of reads and of writes: a guest that looks at
all of them takes no more memory and time than that."""


class Access(Enum):
    """What a write does to the stored value, and what a read returns."""

    RO = "read only"
    """Writes are ignored."""
    RW = "read and write"
    WO = "write only"
    """Reads return 0; nothing is stored, the handler gets the value written."""
    W1C = "write 1 to clear"
    """A 1 written clears its bit; the handler gets what remains."""
    MASKED = "masked"
    """Bits 31:16 enable the write of bits 15:0 one by one; the low 16 bits are stored."""


# Enum members by plain names: the trap route compares them on every access.
_RO, _RW, _WO, _W1C, _MASKED = Access


@dataclass(frozen=True, slots=True)
class Register(Generic[D]):
    """One 32-bit register of a device of type ``D``: a row of the table.

    ``offset`` is in bytes, a multiple of 4. ``read`` gives the value a read returns; ``write``
    runs after the new value was stored by the rules of ``access``. ``source`` names the document.
    """

    name: str
    offset: int
    access: Access
    reset: int = 0
    read: Callable[[D, Register[D]], int] | None = None
    write: Callable[[D, Register[D], int], None] | None = None
    source: str = ""


def register_array(
    name: str, offset: int, count: int, stride: int = 4, **row: Any
) -> list[Register[Any]]:
    """``count`` rows NAME[0], NAME[1]... ``stride`` bytes apart; ``row`` as for Register."""
    return [Register(f"{name}[{i}]", offset + i * stride, **row) for i in range(count)]


class RegisterMap(Generic[D]):
    """The rows of a register block of ``size`` bytes, checked once and never changed.

    Raises ValueError naming the row: unaligned or outside the block, two rows at one offset or of
    one name, reset value out of range, handler not callable.
    """

    def __init__(self, rows: Iterable[Register[D]], size: int) -> None:
        if size <= 0 or size % 4:
            raise ValueError(f"a register block of {size} bytes is not a whole number of dwords")
        self.size = size
        self.by_offset: dict[int, Register[D]] = {}
        names: set[str] = set()
        for row in rows:
            where = f"register {row.name} at {row.offset:#x}"
            if row.offset % 4 or not 0 <= row.offset < size:
                raise ValueError(f"{where}: not aligned, or outside {size:#x} bytes")
            if row.offset in self.by_offset:
                raise ValueError(f"{where}: {self.by_offset[row.offset].name} is already there")
            if row.name in names:
                raise ValueError(f"{where}: another register has this name")
            if not 0 <= row.reset <= _DWORD:
                raise ValueError(f"{where}: reset value {row.reset:#x} is not 32 bits")
            if row.access is Access.MASKED and row.reset > 0xFFFF:
                raise ValueError(f"{where}: reset value {row.reset:#x} is not 16 bits (masked)")
            for handler in (row.read, row.write):
                if handler is not None and not callable(handler):
                    raise ValueError(f"{where}: handler {handler!r} is not callable")
            self.by_offset[row.offset] = row
            names.add(row.name)

    def name(self, offset: int) -> str:
        """The name of the register that holds byte ``offset``, or its number in hex."""
        row = self.by_offset.get(offset & ~3)
        return row.name if row is not None else f"{offset:#x}"


class RegisterFile(Generic[D]):
    """The values of one device's registers. Offsets are bytes within the block.

    Not locked: the caller keeps threads apart.
    """

    def __init__(self, register_map: RegisterMap[D], owner: D, name: str = "") -> None:
        """``name``: whose registers they are, for the log."""
        self.map = register_map
        self._name = name
        self._rows = register_map.by_offset
        self._owner = owner
        self._cold = array("I", bytes(register_map.size))
        for offset, row in self._rows.items():
            self._cold[offset >> 2] = row.reset
        self.values = array("I", self._cold)
        """The stored dwords, by ``offset >> 2``."""
        self.reads = 0
        """Dword reads taken."""
        self.writes = 0
        """Dword writes taken."""
        self.unknown_reads: dict[int, int] = {}
        """Reads of offsets without a row, by offset: the first `MOST_UNKNOWN` of them."""
        self.unknown_writes: dict[int, int] = {}
        """Writes of offsets without a row, likewise."""

    def reset(self, rows: Iterable[Register[D]] | None = None) -> None:
        """Return ``rows`` (all, without) to their reset values; runs no handler."""
        if rows is None:
            self.values[:] = self._cold
            return
        for row in rows:
            self.values[row.offset >> 2] = row.reset

    def read32(self, offset: int) -> int:
        """The dword at ``offset``, a multiple of 4."""
        self.reads += 1
        row = self._rows.get(offset)
        if row is None:
            self._count_unknown(self.unknown_reads, "read", offset)
            return 0
        if row.read is not None:
            return row.read(self._owner, row)
        if row.access is _WO:
            return 0
        return self.values[offset >> 2]

    def write32(self, offset: int, value: int) -> None:
        """Write the dword ``value`` at ``offset``, a multiple of 4."""
        self.writes += 1
        row = self._rows.get(offset)
        if row is None:
            self._count_unknown(self.unknown_writes, "write", offset)
            return
        access = row.access
        if access is _RW:
            self.values[offset >> 2] = value
        elif access is _MASKED:
            enabled = value >> 16
            old = self.values[offset >> 2]
            value = (old & ~enabled & 0xFFFF) | (value & enabled)
            self.values[offset >> 2] = value
        elif access is _W1C:
            value = self.values[offset >> 2] & ~value
            self.values[offset >> 2] = value
        elif access is _RO:
            return
        if row.write is not None:
            row.write(self._owner, row, value)

    def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes at ``offset``, both arbitrary; each dword touched is read once."""
        if count == 4 and not offset & 3:
            return self.read32(offset).to_bytes(4, "little")
        first = offset & ~3
        dwords = [self.read32(at).to_bytes(4, "little") for at in range(first, offset + count, 4)]
        return b"".join(dwords)[offset - first : offset - first + count]

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data`` at ``offset``, both arbitrary; each dword touched is written once.

        Bytes of a dword that ``data`` does not cover keep their value where a value is stored (RW)
        and are 0 in what is written elsewhere: they clear nothing and enable nothing.
        """
        count = len(data)
        if count == 4 and not offset & 3:
            self.write32(offset, int.from_bytes(data, "little"))
            return
        end = offset + count
        for at in range(offset & ~3, end, 4):
            low, high = max(at, offset), min(at + 4, end)
            shift = 8 * (low - at)
            value = int.from_bytes(data[low - offset : high - offset], "little") << shift
            row = self._rows.get(at)
            if high - low < 4 and row is not None and row.access is _RW:
                covered = ((1 << 8 * (high - low)) - 1) << shift
                value |= self.values[at >> 2] & ~covered
            self.write32(at, value)

    def _count_unknown(self, counter: dict[int, int], verb: str, offset: int) -> None:
        seen = counter.get(offset, 0)
        if not seen and len(counter) >= MOST_UNKNOWN:
            return
        counter[offset] = seen + 1
        if not seen:
            extra = {"vgpu": self._name, "register": f"{offset:#x}"}
            _LOG.info("%s: %s of unknown register %#x", self._name, verb, offset, extra=extra)
