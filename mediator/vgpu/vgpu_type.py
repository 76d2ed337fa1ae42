"""What a vGPU of a type gets of its GPU: GGTT, fences, weight. Facts and small sums.

As GVT-g's types, named by how many of them fit on a GPU. The GGTT that guests share is 2 GiB, of
which the first 256 MiB can be mapped through the aperture ("low") and the rest cannot ("high").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mediator.physical.partition import APERTURE_SIZE, GUEST_GGTT_SIZE, MAX_VGPUS, MIB

FENCES = 32
"""Each vGPU has all of Gen9's: they are virtual, and real for the vGPU that has the GPU."""
_LOW_MIB = APERTURE_SIZE // MIB
_HIGH_MIB = (GUEST_GGTT_SIZE - APERTURE_SIZE) // MIB


@dataclass(frozen=True, slots=True)
class VgpuType:
    """``low`` and ``high`` in MiB of GGTT; ``weight``: its share of GPU time against others'."""

    name: str
    low: int
    high: int
    weight: int
    fences: int = FENCES

    @property
    def most(self) -> int:
        """How many of them fit on a GPU when each has a part of the GGTT of its own."""
        return min(_LOW_MIB // self.low, _HIGH_MIB // self.high, MAX_VGPUS)


def _type(count: int) -> VgpuType:
    return VgpuType(f"vgpud_gen9_{count}", _LOW_MIB // count, _HIGH_MIB // count, 16 // count)


TYPES: Mapping[str, VgpuType] = {made.name: made for made in map(_type, (1, 2, 4, 8, 16))}


class ResourceError(ValueError):
    """A GPU does not have what was asked for; the text names the resource."""


def slices(kind: VgpuType, index: int) -> tuple[range, range]:
    """The low and the high part of the GGTT, as addresses, of vGPU ``index`` of one type.

    Parts of different indexes do not overlap. Raises ResourceError when there is none left.
    """
    check_count(kind, index + 1)
    low = index * kind.low * MIB
    high = APERTURE_SIZE + index * kind.high * MIB
    return range(low, low + kind.low * MIB), range(high, high + kind.high * MIB)


def check_count(kind: VgpuType, count: int, *, private: bool = False) -> None:
    """Raises ResourceError unless ``count`` vGPUs of a type can share a GPU.

    ``private``: each has the whole GGTT for itself, so that the GGTT is never short.
    """
    needs = [
        ("vGPU slots in the mediator's GGTT", "", MAX_VGPUS, 1),
        ("mappable GGTT (aperture)", " MiB", _LOW_MIB, kind.low),
        ("high GGTT", " MiB", _HIGH_MIB, kind.high),
    ]
    for resource, unit, there, each in needs[:1] if private else needs:
        if count * each > there:
            raise ResourceError(
                f"{count} vGPUs of type {kind.name} need {count * each}{unit} of {resource}, "
                f"the GPU has {there}{unit}: {there // each} fit"
            )


def type_for(count: int) -> VgpuType:
    """The largest type of which ``count`` (1 or more) fit, or the smallest where none does."""
    by_size = sorted(TYPES.values(), key=lambda kind: kind.most)
    return next((kind for kind in by_size if kind.most >= count), by_size[-1])
