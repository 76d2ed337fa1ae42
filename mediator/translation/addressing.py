"""The interface of the two ways in which a vGPU uses the GPU's DMA space.

`shadow.py`: every vGPU has a window of one I/O address space, and its page tables are shadowed.
`direct.py`: every vGPU has an I/O address space of its own, and its page tables are used as they
are; one vGPU at a time has the whole GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from mediator.physical.memory import Slab
from mmio_trap.guest_memory import MemoryWatcher


class Addressing(MemoryWatcher, Protocol):
    """One vGPU's way into DMA space. As a MemoryWatcher it follows the guest's memory map."""

    slab: Slab
    """The mediator's memory for this vGPU, reachable by the GPU in this space."""

    @property
    def table_pages(self) -> int:
        """Pages that shadow page tables take now; 0 where there are none."""

    def iova(self, address: int, length: int = 4096) -> int | None:
        """Where the GPU finds guest physical ``address``; None when it can never be there."""

    def prepare(self, pml4s: Iterable[int]) -> None:
        """Do what `root` of these does, which then takes little time.

        Raises Unfinished where that is more than should be done at once: it is to be called again.
        """

    def root(self, pml4: int) -> int:
        """I/O virtual address of page tables that say now what the guest's at ``pml4`` say.

        For a submission: what the guest changes later shows after the next call. Raises GuestError.
        The caller is inside ``memory.using()`` or is the thread that changes the memory map.
        """

    def ask_in_use(self, in_use: Callable[[], Collection[int]]) -> None:
        """When room is short, ``in_use`` says which PML4s the GPU uses: these are kept."""

    def activate(self) -> None:
        """World switch: this vGPU gets the GPU, whose engines are idle."""

    def start_recording(self) -> None:
        """Begin to record the guest pages that the GPU writes."""

    def take_dirty(self) -> list[int]:
        """Guest pages (address >> 12, ascending) that the GPU wrote since the last call."""

    def stop_recording(self) -> None:
        """Record no longer."""

    def forget(self) -> None:
        """The guest is gone or reset: drop and scrub every copy of its memory."""

    def close(self) -> None:
        """Leave DMA space for good."""
