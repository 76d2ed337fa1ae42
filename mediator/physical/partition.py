"""Who owns which part of the GGTT and of the GPU's DMA space. Facts and small sums.

GGTT (4 GiB): guests see and own only the lower 2 GiB, in ballooned slices or each the whole of
it; the upper 2 GiB are the mediator's, so that no guest's entry and no address in a guest's
command is ever the mediator's. DMA space (39 bits) in `shadow` mode: it begins with the mediator's
slabs, and each vGPU has a window, where guest physical address g stands at base + g. Which slices
and which window a vGPU has, `mediator/capacity.py` decides.
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE = 4096
MIB = 1 << 20
GIB = 1 << 30

DMA_SIZE = 1 << 39
GUEST_GGTT_SIZE = 2 * GIB
"""GGTT that a guest can see (GGMS says so): address 0 up to this."""
APERTURE_SIZE = 256 * MIB
MEDIATOR_GGTT = 2 * GIB
"""From here on the GGTT is the mediator's: one slab for the GPU, one for each vGPU."""
SLAB_GGTT = 64 * MIB
"""GGTT of one slab: shadow contexts, rings and batches of one vGPU."""
TABLES_SIZE = 128 * MIB
"""Shadow page tables of one vGPU, after the slab's GGTT part; the GGTT does not reach them."""
SLAB_SIZE = SLAB_GGTT + TABLES_SIZE
EMPTY_TABLES = DMA_SIZE - PAGE
"""A page of zeros in every space, read-only: page tables of a context that has none. It is for all
to know, since commands can read page directory registers; no slab must stand there."""
MAX_VGPUS = 31
"""Slabs in the mediator's GGTT, less the one of the GPU itself."""


@dataclass(frozen=True, slots=True)
class Window:
    """``size`` bytes of DMA space from ``base`` on, both powers of two that divide."""

    base: int
    size: int

    def iova(self, address: int, length: int = PAGE) -> int | None:
        """Where guest physical ``address`` stands; None when it reaches past the window."""
        if address < 0 or address + length > self.size:
            return None
        return self.base + address


def slab_ggtt(slab: int) -> int:
    """GGTT address of slab ``slab``: 0 is the GPU's own, n + 1 that of vGPU n."""
    return MEDIATOR_GGTT + slab * SLAB_GGTT
