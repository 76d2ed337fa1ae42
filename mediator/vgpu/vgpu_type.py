"""What a vGPU of a type gets of its GPU: GGTT, fences, weight. Facts.

As GVT-g's types, named by how many of them fit on a GPU. The GGTT that guests share is 2 GiB, of
which the first 256 MiB can be mapped through the aperture ("low") and the rest cannot ("high").
What is left of a GPU says `mediator/capacity.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mediator.gen9.registers import FENCE_COUNT
from mediator.physical.partition import APERTURE_SIZE, GIB, GUEST_GGTT_SIZE, MAX_VGPUS, MIB

_LOW_MIB = APERTURE_SIZE // MIB
_HIGH_MIB = (GUEST_GGTT_SIZE - APERTURE_SIZE) // MIB
_NATIVE_HIGH_MIB = 4096 - _LOW_MIB
_WINDOWS_GIB = 256
"""DMA space that ballooned types divide, as they divide the GGTT."""
LEAST_WINDOW = 16 * GIB
HEAVIEST = 1024
"""The greatest weight: with it and the least, slices of one vGPU are 16 s apart."""


class Kind(StrEnum):
    """How a vGPU has its GPU's global GTT."""

    BALLOONED = "ballooned"
    """A part of it, which its guest is told by the PVINFO page."""
    PRIVATE = "private"
    """All of it in its turn: no static partition."""
    PASSTHROUGH = "passthrough"
    """The whole GPU belongs to one client, without mediation."""


@dataclass(frozen=True, slots=True)
class VgpuType:
    """``low`` and ``high`` in MiB of GGTT; ``weight``: its share of GPU time against others'."""

    name: str
    kind: Kind
    low: int
    high: int
    weight: int
    window: int = LEAST_WINDOW
    """Bytes of DMA space in shadow mode, a power of two: guest physical addresses end there."""
    fences: int = FENCE_COUNT
    """They are virtual, so that each vGPU may have all of Gen9's."""

    @property
    def most(self) -> int:
        """How many of them fit on a GPU when nothing else is there."""
        match self.kind:
            case Kind.PASSTHROUGH:
                return 1
            case Kind.PRIVATE:
                return MAX_VGPUS
            case Kind.BALLOONED:
                return min(_LOW_MIB // self.low, _HIGH_MIB // self.high, MAX_VGPUS)


def _ballooned(count: int) -> VgpuType:
    return VgpuType(
        f"V9_{count}",
        Kind.BALLOONED,
        _LOW_MIB // count,
        _HIGH_MIB // count,
        16 // count,
        _WINDOWS_GIB * GIB // count,
    )


PRIVATE = VgpuType("private", Kind.PRIVATE, _LOW_MIB, _HIGH_MIB, 4)
PASSTHROUGH = VgpuType("passthrough", Kind.PASSTHROUGH, _LOW_MIB, _NATIVE_HIGH_MIB, 16)
TYPES: Mapping[str, VgpuType] = {
    made.name: made for made in (*map(_ballooned, (1, 2, 4, 8, 16)), PRIVATE, PASSTHROUGH)
}
"""The types that are there without any configuration."""


def type_for(count: int) -> VgpuType:
    """The largest ballooned type of which ``count`` (1 or more) fit; the smallest if none does."""
    ballooned = [kind for kind in TYPES.values() if kind.kind is Kind.BALLOONED]
    by_size = sorted(ballooned, key=lambda kind: kind.most)
    return next((kind for kind in by_size if kind.most >= count), by_size[-1])
