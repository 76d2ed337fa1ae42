"""Compacted instructions: the fields of a 64-bit word and the tables that they index.

A table's entry holds bits of the native word that stand apart there: `Piece` says where.
Source: PRM SKL vol 7 "EU Compact Instruction Format", "Compact Instruction Tables".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediator.gen9.field import Field

# A one- or two-source word.
CONTROL_INDEX: Final = Field(12, 8)
DATATYPE_INDEX: Final = Field(17, 13)
SUBREGISTER_INDEX: Final = Field(22, 18)
SOURCE0_INDEX: Final = Field(34, 30)
SOURCE1_INDEX: Final = Field(39, 35)
IMMEDIATE_SIGN: Final = Field(39, 39)

# A three-source word.
THREE_SOURCE_CONTROL_INDEX: Final = Field(9, 8)
THREE_SOURCE_SOURCE_INDEX: Final = Field(11, 10)

COPIED: Final = (
    (Field(6, 0), Field(6, 0)),
    (Field(7, 7), Field(30, 30)),
    (Field(23, 23), Field(28, 28)),
    (Field(27, 24), Field(27, 24)),
    (Field(47, 40), Field(60, 53)),
    (Field(55, 48), Field(76, 69)),
)
"""One- or two-source words: where a field stands in the compacted and in the native word."""

SOURCE1_REGISTER: Final = (Field(63, 56), Field(108, 101))
IMMEDIATE: Final = ((Field(63, 56), Field(103, 96)), (Field(39, 35), Field(108, 104)))
"""With an immediate operand; its bits 31:13 repeat bit 12."""

THREE_SOURCE_COPIED: Final = (
    (Field(6, 0), Field(6, 0)),
    (Field(18, 12), Field(62, 56)),
    (Field(28, 28), Field(64, 64)),
    (Field(30, 30), Field(30, 30)),
    (Field(31, 31), Field(31, 31)),
    (Field(32, 32), Field(85, 85)),
    (Field(33, 33), Field(106, 106)),
    (Field(36, 34), Field(75, 73)),
    (Field(39, 37), Field(96, 94)),
    (Field(42, 40), Field(117, 115)),
    (Field(49, 43), Field(82, 76)),
    (Field(56, 50), Field(103, 97)),
    (Field(63, 57), Field(124, 118)),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of compaction: native fields, from the highest bits of an entry to the lowest."""

    pieces: tuple[Field, ...]
    entries: tuple[int, ...]

    def native(self, entry: int) -> int:
        """The entry's bits where they belong in a native word."""
        word = 0
        for piece in reversed(self.pieces):
            word |= (entry & piece.limit) << piece.lo
            entry >>= piece.hi - piece.lo + 1
        return word

    @property
    def mask(self) -> int:
        """All bits of a native word that the table gives."""
        return sum(piece.mask for piece in self.pieces)


# fmt: off
CONTROL: Final = Table(
    (Field(33, 31), Field(23, 12), Field(10, 9), Field(34, 34), Field(8, 8)),
    (
        0x00002, 0x04000, 0x04001, 0x04002, 0x04003, 0x04004, 0x04005, 0x04007,
        0x04008, 0x04009, 0x0400d, 0x06000, 0x06001, 0x06002, 0x06003, 0x06004,
        0x06005, 0x06007, 0x06009, 0x0600d, 0x06010, 0x06100, 0x08000, 0x08002,
        0x08004, 0x08100, 0x16000, 0x16010, 0x18000, 0x18100, 0x28000, 0x28100,
    ),
)
DATATYPE: Final = Table(
    (Field(63, 61), Field(94, 89), Field(46, 35)),
    (
        0x040001, 0x040040, 0x040041, 0x0400c1, 0x04015d, 0x0405dd, 0x040741, 0x040745,
        0x04075d, 0x041041, 0x043040, 0x043041, 0x045145, 0x047144, 0x047145, 0x05c75d,
        0x05d71d, 0x05d75c, 0x05d75d, 0x05f75c, 0x00040c, 0x04005d, 0x040145, 0x041040,
        0x045144, 0x047104, 0x049209, 0x05775d, 0x05f75d, 0x04f34c, 0x049248, 0x04b248,
    ),
)
SUBREGISTER: Final = Table(
    (Field(100, 96), Field(68, 64), Field(52, 48)),
    (
        0x0000, 0x0001, 0x0008, 0x000f, 0x0010, 0x0080, 0x0100, 0x0180,
        0x0200, 0x0210, 0x0280, 0x1000, 0x1001, 0x1081, 0x1082, 0x1083,
        0x1084, 0x1087, 0x1088, 0x108e, 0x108f, 0x1180, 0x11e8, 0x2000,
        0x2180, 0x3000, 0x3c87, 0x4000, 0x5000, 0x6000, 0x7000, 0x701c,
    ),
)
_SOURCE_ENTRIES: Final = (
    0x000, 0x002, 0x010, 0x012, 0x018, 0x020, 0x028, 0x048,
    0x050, 0x070, 0x078, 0x300, 0x302, 0x308, 0x310, 0x312,
    0x320, 0x328, 0x338, 0x340, 0x342, 0x348, 0x350, 0x360,
    0x368, 0x370, 0x371, 0x378, 0x468, 0x469, 0x46a, 0x588,
)
# fmt: on
SOURCE0: Final = Table((Field(88, 77),), _SOURCE_ENTRIES)
SOURCE1: Final = Table((Field(120, 109),), _SOURCE_ENTRIES)

THREE_SOURCE_CONTROL: Final = Table(
    (Field(36, 35), Field(34, 32), Field(28, 8)),
    (0x0806001, 0x0006001, 0x0008001, 0x0008021),
)
THREE_SOURCE_SOURCE: Final = Table(
    (
        Field(126, 125),
        Field(105, 104),
        Field(84, 84),
        Field(83, 83),
        Field(114, 107),
        Field(93, 86),
        Field(72, 65),
        Field(55, 37),
    ),
    (0x7272720F000, 0x7272720F002, 0x7272720F008, 0x7272720F020),
)
