"""The attacker's randomness: a generator for each step, and values that lie at edges."""

from __future__ import annotations

import random
import struct

from tests.fuzz.hostile_guest.secret import unreserved, unreserved_word

_EDGES_32 = (
    *(0, 1, 2, 3, 4, 0xFF, 0xFFF, 0x1000, 0xFFFF, 0x1_0000, 1 << 31, (1 << 32) - 1),
    *(0x7FFF_FFFF, 0xFFFF_0000, 0xFFFF_F000, 0xAAAA_AAAA, 0x5555_5555, 0x0001_0001),
)


class Chance(random.Random):
    """Random values of which none is taken for the neighbour's secret or the attacker's mark."""

    def word(self) -> int:
        """Any 32 bits."""
        return unreserved_word(self.getrandbits(32))

    def edge(self) -> int:
        """32 bits as registers have trouble with: ends of ranges, single bits, masks, noise."""
        match self.randrange(5):
            case 0:
                return self.choice(_EDGES_32)
            case 1:
                return 1 << self.randrange(32)
            case 2:  # a MASKED register's halves
                return unreserved_word(self.getrandbits(16) << 16 | self.getrandbits(16))
            case 3:
                return ~(1 << self.randrange(32)) & 0xFFFF_FFFF
        return self.word()

    def edge_64(self) -> int:
        """64 bits, as `edge`."""
        match self.randrange(4):
            case 0:
                return self.edge()
            case 1:
                return 1 << self.randrange(64)
            case 2:
                return ((1 << 64) - 1) << self.randrange(64) & (1 << 64) - 1
        return self.edge() << 32 | self.edge()

    def garbage(self, count: int) -> bytes:
        """Any ``count`` bytes."""
        return unreserved(self.randbytes(count))

    def words(self, count: int) -> list[int]:
        """``count`` edges."""
        return [self.edge() for _ in range(count)]

    def once_in(self, times: int) -> bool:
        """True once in so many times."""
        return self.randrange(times) == 0

    def near(self, address: int) -> int:
        """``address``, or some bytes beside it."""
        return max(0, address + self.choice((0, 0, 0, 4, -4, 8, -8, 0x1000, -0x1000, 0xFFC, 1)))


def chance_of(*parts: object) -> Chance:
    """The generator of one step: the same for the same ``parts``, whatever came before."""
    return Chance(" ".join(str(part) for part in parts))


def packed(words: list[int]) -> bytes:
    """Dwords as they stand in memory."""
    return struct.pack(f"<{len(words)}I", *words)
