"""The physical GPU at the level of a PCI function: registers, GGTT entries, DMA, an interrupt.

The mediator drives every GPU through this interface and would not know hardware from software
(`soft.py` is the software GPU behind it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mediator.gen9.identity import Identity
from mediator.physical.compute_work import ComputeWork


class DmaSpace(Protocol):
    """An I/O address space: what the GPU can reach of the world's memory (an IOMMU domain).

    Addresses are I/O virtual addresses of 39 bits, in bytes.
    """

    def map(
        self, iova: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        """Make ``size`` bytes of ``fd`` reachable at ``iova``. Multiples of 4096; fd stays yours.

        Returns when it is in force. Raises OSError as `GuestMemory.map` does.
        """

    def unmap(self, iova: int, size: int) -> None:
        """Take back every mapping within; returns when the GPU cannot reach it any more."""

    def unmap_each(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Take back these mappings, (iova, size) as they were made, ascending; as `unmap`.

        Many at once cost the GPU one stand-still. What lies between them stays.
        """

    def trim(self) -> None:
        """Who was mapped here has gone: keep nothing for mappings that might come back."""

    def start_recording(self) -> None:
        """Begin to record the pages that the GPU writes."""

    def take_dirty(self) -> list[int]:
        """Pages (iova >> 12, ascending) written since the last call; empty when not recording."""

    def stop_recording(self) -> None:
        """Record no longer."""

    def close(self) -> None:
        """Let go of everything; the space is not attached any more."""


class PhysicalGpu(Protocol):
    """A Gen9 GPU. Any thread may call, one at a time for each engine's registers."""

    identity: Identity

    @property
    def interrupt_fd(self) -> int:
        """An eventfd: readable after the GPU's message-signalled interrupt has fired."""

    def read32(self, offset: int) -> int:
        """The register at BAR0 ``offset``."""

    def write32(self, offset: int, value: int) -> None:
        """Write the register at BAR0 ``offset``."""

    def write_ggtt(self, page: int, entries: bytes | bytearray | memoryview) -> None:
        """Write consecutive GGTT entries (8 bytes each) from that of page number ``page`` on."""

    def create_space(self) -> DmaSpace:
        """A new, empty I/O address space."""

    def attach_space(self, space: DmaSpace) -> None:
        """Put the GPU into ``space``. Its engines must be idle."""

    @property
    def compute_work(self) -> ComputeWork:
        """What its execution units have done, resets notwithstanding; 0 where nobody counts it."""

    def reset(self) -> None:
        """Function-level reset: everything cold. GGTT entries are gone."""

    def close(self) -> None:
        """Stop it and let go of it."""
