"""Register types of the execution units: size, kind, and their codes in instruction words.

Source: PRM SKL vol 2d "EU Data Types", vol 7 "Execution Data Type".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class Kind(Enum):
    """How the bits of an element are to be understood."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    FLOAT = "float"


class Type(Enum):
    """A type of a register operand: (mnemonic, bytes of an element, kind)."""

    UB = ("ub", 1, Kind.UNSIGNED)
    B = ("b", 1, Kind.SIGNED)
    UW = ("uw", 2, Kind.UNSIGNED)
    W = ("w", 2, Kind.SIGNED)
    UD = ("ud", 4, Kind.UNSIGNED)
    D = ("d", 4, Kind.SIGNED)
    UQ = ("uq", 8, Kind.UNSIGNED)
    Q = ("q", 8, Kind.SIGNED)
    HF = ("hf", 2, Kind.FLOAT)
    F = ("f", 4, Kind.FLOAT)
    DF = ("df", 8, Kind.FLOAT)

    def __init__(self, mnemonic: str, size: int, kind: Kind) -> None:
        self.mnemonic = mnemonic
        self.size = size
        self.kind = kind


class Packed(Enum):
    """A type of an immediate that holds eight or four small elements: (mnemonic, elements, type).

    V: eight signed nibbles, UV: eight unsigned nibbles (elements of type W, UW); VF: four 8-bit
    restricted floats (elements of type F).
    """

    V = ("v", 8, Type.W)
    UV = ("uv", 8, Type.UW)
    VF = ("vf", 4, Type.F)

    def __init__(self, mnemonic: str, elements: int, element: Type) -> None:
        self.mnemonic = mnemonic
        self.elements = elements
        self.element = element


REGISTER_TYPES: Final = MappingProxyType(
    {
        0: Type.UD,
        1: Type.D,
        2: Type.UW,
        3: Type.W,
        4: Type.UB,
        5: Type.B,
        6: Type.DF,
        7: Type.F,
        8: Type.UQ,
        9: Type.Q,
        10: Type.HF,
    }
)
"""By the code in a one- or two-source instruction, for registers."""

IMMEDIATE_TYPES: Final[Mapping[int, Type | Packed]] = MappingProxyType(
    {
        0: Type.UD,
        1: Type.D,
        2: Type.UW,
        3: Type.W,
        4: Packed.UV,
        5: Packed.VF,
        6: Packed.V,
        7: Type.F,
        8: Type.UQ,
        9: Type.Q,
        10: Type.DF,
        11: Type.HF,
    }
)
"""The same for immediates."""

THREE_SOURCE_TYPES: Final = MappingProxyType(
    {0: Type.F, 1: Type.D, 2: Type.UD, 3: Type.DF, 4: Type.HF}
)
"""By the code in a three-source instruction."""
