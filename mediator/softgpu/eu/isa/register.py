"""Operands as one writes them: registers by number and type, and numbers.

`grf(2, Type.F)` is r2; `[3]` its fourth element; `-`, `~` and `abs` modify it; `by` gives it a
region, `every` a destination stride. Each gives a new one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

from mediator.gen9.eu import registers
from mediator.gen9.eu.types import Kind, Packed, Type
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Region,
    Source,
)

_FLOATS: Final = {Type.HF: "<e", Type.F: "<f", Type.DF: "<d"}
_SCALAR: Final = Region(0, 1, 0)
_ROWS: Final = Region(4, 4, 1)


@dataclass(frozen=True, slots=True)
class Register:
    """A register as source or destination; ``address`` is there for an indirect one, whose
    ``byte`` is the offset.
    """

    file: File
    byte: int
    type: Type
    region: Region | None = None
    stride: int = 1
    negate: bool = False
    absolute: bool = False
    address: int | None = None
    mme: int | None = None
    swizzle: tuple[int, int, int, int] | None = None
    write_mask: int | None = None

    def __getitem__(self, element: int) -> Register:
        return replace(self, byte=self.byte + element * self.type.size)

    def __neg__(self) -> Register:
        return replace(self, negate=not self.negate)

    def __invert__(self) -> Register:
        return -self

    def __abs__(self) -> Register:
        return replace(self, absolute=True)

    def of(self, kind: Type) -> Register:
        """The same bytes as another type."""
        return replace(self, type=kind)

    def by(self, vertical: int | None, width: int, horizontal: int) -> Register:
        """With the source region <vertical; width, horizontal>."""
        return replace(self, region=Region(vertical, width, horizontal))

    def every(self, stride: int) -> Register:
        """With the destination stride ``stride``."""
        return replace(self, stride=stride)

    @property
    def scalar(self) -> Register:
        """One element for all channels."""
        return replace(self, region=_SCALAR)

    def macro(self, mme: int) -> Register:
        """With a macro accumulator; 8: none."""
        return replace(self, mme=mme)

    def swizzled(self, x: int, y: int, z: int, w: int) -> Register:
        """With an align16 swizzle, in elements."""
        return replace(self, swizzle=(x, y, z, w))

    def masked(self, mask: int) -> Register:
        """With an align16 write mask, in elements."""
        return replace(self, write_mask=mask)

    def destination(self) -> Destination | IndirectDestination:
        """As a destination."""
        if self.address is not None:
            return IndirectDestination(
                self.address, self.byte, self.type, self.stride, self.write_mask
            )
        return Destination(self.file, self.byte, self.type, self.stride, self.write_mask, self.mme)

    def source(self, width: int, *, align16: bool) -> Source | IndirectSource:
        """As a source of ``width`` channels; without a region elements follow each other."""
        region = self.region or (_ROWS if align16 else _packed(width, self.type))
        if self.address is not None:
            return IndirectSource(
                self.address,
                self.byte,
                self.type,
                region,
                self.negate,
                self.absolute,
                self.swizzle,
            )
        return Source(
            self.file,
            self.byte,
            self.type,
            region,
            self.negate,
            self.absolute,
            self.swizzle,
            self.mme,
        )


def grf(number: int, kind: Type, element: int = 0) -> Register:
    """General register ``number``, from ``element`` on."""
    return Register(File.GRF, number * GRF_BYTES, kind)[element]


def arf(number: int, kind: Type, element: int = 0) -> Register:
    """An architecture register of `registers`."""
    return Register(File.ARF, number * GRF_BYTES, kind)[element]


def null(kind: Type = Type.UD) -> Register:
    """The null register."""
    return arf(registers.NULL, kind)


def acc(number: int, kind: Type) -> Register:
    """An accumulator."""
    return arf(registers.ACCUMULATOR + number, kind)


def address(word: int, kind: Type = Type.UW) -> Register:
    """a0 from ``word`` on."""
    return replace(arf(registers.ADDRESS, kind), byte=registers.ADDRESS * GRF_BYTES + 2 * word)


def flag(number: int, kind: Type = Type.UD, element: int = 0) -> Register:
    """Flag register 0 or 1 as a value."""
    return arf(registers.FLAG + number, kind, element)


def indirect(word: int, offset: int, kind: Type) -> Register:
    """The register file at byte a0.word + offset."""
    return Register(File.GRF, offset, kind, address=word)


def immediate(value: float, kind: Type | Packed) -> Immediate:
    """A number as an operand of type ``kind``; of a packed type its 32 bits."""
    if isinstance(kind, Packed):
        return Immediate(kind, int(value))
    if kind.kind is Kind.FLOAT:
        return Immediate(kind, int.from_bytes(struct.pack(_FLOATS[kind], value), "little"))
    return Immediate(kind, int(value) & ((1 << (8 * kind.size)) - 1))


def _packed(width: int, kind: Type) -> Region:
    row = min(width, 8, GRF_BYTES // kind.size)
    return _SCALAR if width == 1 else Region(row, row, 1)
