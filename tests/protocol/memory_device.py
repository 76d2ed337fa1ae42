"""A PCI function that is nothing but memory, for tests of what carries accesses to a function."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmio_trap.config_space import ConfigSpace
from mmio_trap.device import MmapArea, Region, RegionIndex
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts

BAR0_SIZE = 0x10000
BAR2_SIZE = 0x8000
ROM_SIZE = 0x1000
AREAS = (MmapArea(0x1000, 0x2000), MmapArea(0x4000, 0x1000))


class MemoryDevice:
    """BAR 0 is plain memory, BAR 2 mappable in two areas with ``mappable``, the ROM read-only."""

    def __init__(self, *, mappable: bool = False) -> None:
        self.config = ConfigSpace(0x1234, 0x5678, class_code=0x030000, interrupt_pin=1)
        self.config.add_bar(0, BAR0_SIZE)
        self.config.add_msi()
        self.bars: dict[int, bytearray] = {
            RegionIndex.BAR0: bytearray(BAR0_SIZE),
            RegionIndex.BAR2: bytearray(BAR2_SIZE),
            RegionIndex.ROM: bytearray(b"\x55\xaa" + bytes(ROM_SIZE - 2)),
        }
        self.fd: int | None = None
        areas: tuple[MmapArea, ...] = ()
        if mappable:
            self.fd = os.memfd_create("bar2", os.MFD_CLOEXEC)
            os.ftruncate(self.fd, BAR2_SIZE)
            areas = AREAS
        self._regions = [Region() for _ in range(9)]
        self._regions[RegionIndex.BAR0] = Region(BAR0_SIZE)
        self._regions[RegionIndex.BAR2] = Region(BAR2_SIZE, fd=self.fd, areas=areas)
        self._regions[RegionIndex.ROM] = Region(ROM_SIZE, writable=False)
        self._regions[RegionIndex.CONFIG] = Region(self.config.size)
        self._regions[RegionIndex.VGA] = Region(16, readable=False)
        self.memory: GuestMemory | None = None
        self.interrupts: Interrupts | None = None
        self.resets = 0
        self.attached = 0
        self.detached = 0
        self.writes: list[tuple[int, int, bytes]] = []
        self.broken = False
        """Raise from the next accesses, as a bug would."""

    @property
    def regions(self) -> Sequence[Region]:
        return self._regions

    @property
    def irq_counts(self) -> Sequence[int]:
        return (1, 4, 0, 1, 0)

    def attach(self, memory: GuestMemory, interrupts: Interrupts) -> None:
        self.memory = memory
        self.interrupts = interrupts
        self.attached += 1

    def detach(self) -> None:
        self.memory = None
        self.interrupts = None
        self.detached += 1

    def region_read(self, index: int, offset: int, count: int) -> bytes:
        if self.broken:
            raise ZeroDivisionError("a bug in the device")
        if index == RegionIndex.CONFIG:
            return self.config.read(offset, count)
        return bytes(self.bars[index][offset : offset + count])

    def region_write(self, index: int, offset: int, data: bytes) -> None:
        self.writes.append((index, offset, data))
        if index == RegionIndex.CONFIG:
            self.config.write(offset, data)
        elif index in self.bars:
            self.bars[index][offset : offset + len(data)] = data

    def reset(self) -> None:
        self.resets += 1
        self.config.reset()

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
