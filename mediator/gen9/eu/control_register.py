"""cr0.0: how an execution unit's thread computes with floats.

Source: PRM SKL vol 7 "Control Register".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mediator.gen9.eu.types import Type
from mediator.gen9.field import Field

ALTERNATE: Final = Field(0, 0)
"""Not IEEE 754: no infinities and NaNs come out of F arithmetic."""
ROUNDING: Final = Field(5, 4)
KEEP_DF: Final = Field(6, 6)
"""Denormals of DF are kept. Else they count and come out as zeros of their sign."""
KEEP_F: Final = Field(7, 7)
KEEP_HF: Final = Field(10, 10)


class Rounding(IntEnum):
    """To the nearest (even of two), up, down, to zero."""

    EVEN = 0
    UP = 1
    DOWN = 2
    ZERO = 3


@dataclass(frozen=True, slots=True)
class FloatMode:
    """What cr0.0 says of floats."""

    rounding: Rounding = Rounding.EVEN
    keep_df: bool = True
    keep_f: bool = True
    keep_hf: bool = True
    alternate: bool = False

    @classmethod
    def of(cls, cr0: int) -> FloatMode:
        """The mode that a value of cr0.0 asks for."""
        return cls(
            Rounding(ROUNDING.get(cr0)),
            bool(KEEP_DF.get(cr0)),
            bool(KEEP_F.get(cr0)),
            bool(KEEP_HF.get(cr0)),
            bool(ALTERNATE.get(cr0)),
        )

    def keeps(self, kind: Type) -> bool:
        """Whether denormals of a float type are kept."""
        return {Type.DF: self.keep_df, Type.F: self.keep_f}.get(kind, self.keep_hf)


IEEE: Final = FloatMode()
"""To the nearest, all denormals kept."""
