"""The software GPU as a `PhysicalGpu`: the embedded backend, which needs no hardware.

Its DMA spaces are `GuestMemory` objects, so bounds, permissions and the record of written pages
are the same as for a GPU that one client owns.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from errno import ENOENT
from typing import TYPE_CHECKING

from mediator.gen9.pte import ENTRY_SIZE
from mediator.physical.compute_work import ComputeWork
from mediator.softgpu.gpu import SoftGpu
from mediator.softgpu.strictness import KIND, Strictness
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import MSI, Interrupts

if TYPE_CHECKING:
    from mediator.gen9.identity import Identity
    from mediator.physical.gpu import DmaSpace

_IRQ_COUNTS = (0, 1, 0, 0, 0)
"""One MSI vector and nothing else."""


class SoftDmaSpace:
    """An I/O address space of a software GPU. Implements `DmaSpace`."""

    def __init__(self) -> None:
        self.memory = GuestMemory()

    def map(
        self, iova: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        """Make ``size`` bytes of ``fd`` reachable at ``iova``; raises as `GuestMemory.map`."""
        self.memory.map(iova, size, fd, fd_offset, readable, writable)

    def unmap(self, iova: int, size: int) -> None:
        """Take back every mapping within.

        Raises OSError EINVAL when one lies across an end; to find none is no error.
        """
        try:
            self.memory.unmap(iova, size)
        except OSError as error:
            if error.errno != ENOENT:
                raise

    def unmap_each(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Take back these mappings. Raises OSError ENOENT when one is not there like that."""
        self.memory.unmap_each(ranges)

    def trim(self) -> None:
        """Let go of files without a mapping."""
        self.memory.trim()

    def start_recording(self) -> None:
        """Begin to record the pages that the GPU writes, with an empty record."""
        self.memory.start_recording()

    def take_dirty(self) -> list[int]:
        """Pages (iova >> 12, ascending) written since the last call; empty when not recording."""
        return self.memory.take_dirty()

    def stop_recording(self) -> None:
        """Record no longer."""
        self.memory.stop_recording()

    def close(self) -> None:
        """Let go of everything."""
        self.memory.close()


class SoftPhysicalGpu:
    """A software GPU with its engines running. Implements `PhysicalGpu`.

    Until a space is attached it reaches no memory at all.
    """

    def __init__(self, identity: Identity, strictness: Strictness = KIND) -> None:
        self.identity = identity
        self._strictness = strictness
        self._interrupt_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._interrupts = Interrupts(_IRQ_COUNTS)
        self._interrupts.set_triggers(MSI, 0, [self._interrupt_fd])
        self._space = SoftDmaSpace()
        self._work_before = ComputeWork()
        self._gpu = self._power_on()

    @property
    def interrupt_fd(self) -> int:
        """A non-blocking eventfd: readable after the message-signalled interrupt has fired."""
        return self._interrupt_fd

    def read32(self, offset: int) -> int:
        """The register at BAR0 ``offset``, a multiple of 4 below 2 MiB."""
        return self._gpu.read32(offset)

    def write32(self, offset: int, value: int) -> None:
        """Write the register at BAR0 ``offset``, a multiple of 4 below 2 MiB."""
        self._gpu.write32(offset, value)

    def write_ggtt(self, page: int, entries: bytes | bytearray | memoryview) -> None:
        """Write consecutive GGTT entries (8 bytes each) from that of page number ``page`` on."""
        gpu = self._gpu
        gpu.counters.ggtt_writes += 1
        gpu.ggtt.write_entry(page * ENTRY_SIZE, memoryview(entries).cast("B"))

    def create_space(self) -> SoftDmaSpace:
        """A new, empty I/O address space."""
        return SoftDmaSpace()

    def attach_space(self, space: DmaSpace) -> None:
        """Put the GPU into ``space``, one of its own.

        Raises TypeError for another GPU's kind of space and RuntimeError while an engine is busy.
        """
        if not isinstance(space, SoftDmaSpace):
            raise TypeError(f"{space!r} is not an address space of a software GPU")
        self._gpu.attach_memory(space.memory)
        self._space = space

    @property
    def compute_work(self) -> ComputeWork:
        """What its execution units have done, those of GPUs before resets too."""
        return self._work_before + work_of(self._gpu)

    def reset(self) -> None:
        """Function-level reset: a cold GPU takes the old one's place, in the same space."""
        self._power_off()
        self._work_before += work_of(self._gpu)
        self._gpu = self._power_on()

    def close(self) -> None:
        """Stop it and let go of it."""
        self._power_off()
        self._interrupts.close()
        os.close(self._interrupt_fd)

    def _power_on(self) -> SoftGpu:
        gpu = SoftGpu(
            self._space.memory, self._interrupts, self.identity, strictness=self._strictness
        )
        gpu.start()
        return gpu

    def _power_off(self) -> None:
        self._gpu.stop()
        self._interrupts.set_level(False)
        with suppress(BlockingIOError):
            os.eventfd_read(self._interrupt_fd)


def work_of(gpu: SoftGpu) -> ComputeWork:
    """What the execution units of ``gpu`` have done since it was powered on."""
    units, programs = gpu.units.counters, gpu.units.programs
    return ComputeWork(
        kernels=units.kernels,
        threads=units.threads,
        groups=units.groups,
        interpreted_groups=units.interpreted_groups,
        busy_ns=units.busy_ns,
        programs=programs.decoded,
        program_hits=programs.hits,
        compiled=programs.compiled,
        from_disk=programs.from_disk,
        uncompiled=programs.uncompiled,
        suspended=units.suspended,
        lost=units.lost,
        faults=units.faults,
        refused=units.refused,
    )
