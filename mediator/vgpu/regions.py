"""The regions of a virtual GPU, and what lies where in BAR0. Facts only."""

from __future__ import annotations

from mediator.gen9.pci import BAR0_SIZE, BAR4_SIZE, CONFIG_SIZE
from mediator.physical.partition import APERTURE_SIZE
from mmio_trap.device import Region, RegionIndex

REGISTERS_SIZE = 2 << 20
"""Bytes of BAR0 that are registers."""
GSM_OFFSET = 8 << 20
"""BAR0 offset of the GGTT entries."""
REGIONS = (
    Region(BAR0_SIZE),
    Region(),
    Region(APERTURE_SIZE),
    Region(),
    Region(BAR4_SIZE),
    Region(),
    Region(),
    Region(CONFIG_SIZE),
    Region(),
)
"""All nine, by index."""
IRQ_COUNTS = (1, 1, 0, 1, 1)
"""INTx, one MSI vector, and those by which a client hears of errors and is asked to go."""
TRAP_CLASS: dict[int, str] = {RegionIndex.BAR2: "aperture", RegionIndex.CONFIG: "config"}
"""By region; what is not here is BAR0's."""
