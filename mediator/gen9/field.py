"""Bit fields: the one place where values are masked and shifted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """Bits ``hi`` down to ``lo`` (both included) of a register, command dword or instruction."""

    hi: int
    lo: int

    @property
    def mask(self) -> int:
        """The field's bits in place."""
        return (1 << (self.hi + 1)) - (1 << self.lo)

    @property
    def limit(self) -> int:
        """The largest value the field holds."""
        return self.mask >> self.lo

    def get(self, value: int) -> int:
        """The field's value within ``value``."""
        return (value & self.mask) >> self.lo

    def signed(self, value: int) -> int:
        """The field's value within ``value`` as two's complement."""
        found = self.get(value)
        sign = (self.limit >> 1) + 1
        return (found ^ sign) - sign

    def put(self, field: int, value: int = 0) -> int:
        """``value`` with the field replaced by ``field``. Raises ValueError when it is too wide."""
        if not 0 <= field <= self.limit:
            raise ValueError(f"{field:#x} does not fit bits {self.hi}:{self.lo}")
        return (value & ~self.mask) | (field << self.lo)
