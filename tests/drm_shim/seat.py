"""Where a driver sits: at a software GPU of its own in this process, or at one behind a socket."""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Callable
from typing import Protocol

from mediator.gen9.identity import IDENTITIES
from mediator.softgpu.eu.dispatch.units import ExecutionUnits
from mediator.softgpu.gpu import SoftGpu
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from tests.drm_shim.service import FILE_BYTES
from tests.gpu_driver import GpuDriver, Ram
from tests.integration.vgpu_rig import Guest

RAM_BYTES = 512 << 20
FILE_AT = 1 << 32
"""Where a process's memory file begins in the GPU's physical address space."""
_MSI = 1


class Seat(Protocol):
    """A driver that is ready, and its GPU's memory."""

    driver: GpuDriver

    def attach(self, file: int) -> None:
        """Let the GPU see the file at `FILE_AT`."""

    def detach(self) -> None:
        """Take it away again."""

    def close(self) -> None:
        """End what was begun here."""


class NativeSeat:
    """A software GPU in this process, without a socket or a mediator."""

    def __init__(
        self,
        device_id: int = 0x1912,
        units: ExecutionUnits | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        file = os.memfd_create("gpu-driver")
        os.ftruncate(file, RAM_BYTES)
        self._memory = GuestMemory()
        self._memory.map(0, RAM_BYTES, file, 0, readable=True, writable=True)
        ram = Ram(memoryview(mmap.mmap(file, RAM_BYTES)))
        os.close(file)
        self._event = os.eventfd(0, os.EFD_NONBLOCK)
        interrupts = Interrupts((1, 1, 0, 0, 0))
        interrupts.set_triggers(_MSI, 0, [os.dup(self._event)])
        self.gpu = SoftGpu(self._memory, interrupts, IDENTITIES[device_id], clock, units=units)
        self.driver = GpuDriver(self.gpu.write, self.gpu.read, ram, self._event)
        self.driver.initialise()
        self.gpu.start()

    def attach(self, file: int) -> None:
        """See `Seat`."""
        self._memory.map(FILE_AT, FILE_BYTES, file, 0, readable=True, writable=True)

    def detach(self) -> None:
        """See `Seat`."""
        self._memory.unmap(FILE_AT, FILE_BYTES)

    def close(self) -> None:
        """End the GPU's threads."""
        self.gpu.stop()
        os.close(self._event)


class GuestSeat:
    """A GPU or vGPU that is served. The guest is whoever's who connected it."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.driver = guest.driver

    def attach(self, file: int) -> None:
        """See `Seat`."""
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._guest.client.dma_map(FILE_AT, FILE_BYTES, file)

    def detach(self) -> None:
        """See `Seat`."""
        self._guest.client.dma_unmap(FILE_AT, FILE_BYTES)

    def close(self) -> None:
        """Nothing was begun."""
