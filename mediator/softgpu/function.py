"""The software GPU as a whole PCI function: configuration space and BARs, no mediation.

This is the native side of every comparison: one client owns the GPU. A client that leaves takes
the GPU's state with it; the next one finds a cold function.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

from mediator.gen9.identity import Identity
from mediator.gen9.pci import BAR0_SIZE, BAR4_SIZE, CONFIG_SIZE, build_config_space
from mediator.softgpu.gpu import APERTURE_SIZE, SoftGpu, Summary
from mmio_trap.device import Region, RegionIndex
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts

_REGIONS = (
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
_IRQ_COUNTS = (1, 1, 0, 1, 1)


class SoftGpuFunction:
    """Implements `mmio_trap.device.PciDevice` for one software GPU."""

    def __init__(
        self, identity: Identity, on_detach: Callable[[Summary], None] | None = None
    ) -> None:
        """``on_detach`` is told what the GPU did for a client that has left."""
        self.identity = identity
        self._on_detach = on_detach
        self.config = build_config_space(identity)
        self.gpu: SoftGpu | None = None
        """Present while a client is attached."""

    @property
    def regions(self) -> Sequence[Region]:
        """Nine regions: BAR0, BAR2, BAR4 and configuration space are present."""
        return _REGIONS

    @property
    def irq_counts(self) -> Sequence[int]:
        """INTx and one MSI vector."""
        return _IRQ_COUNTS

    def attach(self, memory: GuestMemory, interrupts: Interrupts) -> None:
        """Power the GPU on for a client."""
        self.config.reset()
        self.gpu = SoftGpu(memory, interrupts, self.identity)
        self.gpu.start()

    def detach(self) -> None:
        """Power the GPU off."""
        gpu, self.gpu = self.gpu, None
        if gpu is None:
            return
        gpu.stop()
        summary = gpu.summary()
        del gpu
        gc.collect()  # a GPU and its engines know each other, and it is several MiB
        if self._on_detach is not None:
            self._on_detach(summary)

    def region_read(self, index: int, offset: int, count: int) -> bytes:
        """Read a region; regions without behaviour read 0."""
        gpu = self.gpu
        if index == RegionIndex.CONFIG:
            return self.config.read(offset, count)
        if gpu is not None and index == RegionIndex.BAR0:
            return gpu.read(offset, count)
        if gpu is not None and index == RegionIndex.BAR2:
            return gpu.read_aperture(offset, count)
        return bytes(count)

    def region_write(self, index: int, offset: int, data: bytes) -> None:
        """Write a region; regions without behaviour ignore it."""
        gpu = self.gpu
        if index == RegionIndex.CONFIG:
            self.config.write(offset, data)
        elif gpu is not None and index == RegionIndex.BAR0:
            gpu.write(offset, data)
        elif gpu is not None and index == RegionIndex.BAR2:
            gpu.write_aperture(offset, data)

    def reset(self) -> None:
        """Function-level reset: a new GPU takes the old one's place."""
        self.config.reset()
        if self.gpu is None:
            return
        old = self.gpu
        old.stop()
        old.interrupts.set_level(False)
        self.gpu = SoftGpu(old.memory, old.interrupts, self.identity)
        self.gpu.start()
