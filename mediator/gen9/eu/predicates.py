"""Names of predicate controls and conditional modifiers, by their codes.

Source: PRM SKL vol 2d "PredCtrl", "CondModifier".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

ALIGN1_PREDICATES: Final = MappingProxyType(
    {
        1: "",
        2: "anyv",
        3: "allv",
        4: "any2h",
        5: "all2h",
        6: "any4h",
        7: "all4h",
        8: "any8h",
        9: "all8h",
        10: "any16h",
        11: "all16h",
        12: "any32h",
        13: "all32h",
    }
)
"""Code 0 means no predicate; others are reserved."""

ALIGN16_PREDICATES: Final = MappingProxyType(
    {1: "", 2: "x", 3: "y", 4: "z", 5: "w", 6: "any4h", 7: "all4h"}
)

CONDITIONS: Final = MappingProxyType(
    {0: "", 1: "eq", 2: "ne", 3: "gt", 4: "ge", 5: "lt", 6: "le", 8: "ov", 9: "un"}
)
"""Others are reserved."""
