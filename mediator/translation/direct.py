"""Direct addressing: a DMA space of the vGPU's own, where the guest's tables are used as they are.

Guest physical address g stands at g. The mediator's slab stands in the same space, at an address
the guest does not know. One vGPU at a time has the whole GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from errno import ENOSPC

from mediator.errors import GuestError, Reason
from mediator.gen9.pte import ADDRESS, ADDRESS_BEYOND, PAGE_SIZE
from mediator.physical.gpu import DmaSpace
from mediator.physical.memory import Slab
from mediator.physical.partition import DMA_SIZE
from mediator.translation.guest_ranges import GuestRanges
from mmio_trap.guest_memory import GuestAddressError, GuestMemory


class DirectAddressing:
    """`Addressing` of one vGPU with a space of its own.

    ``slab`` is mapped in ``space`` already; ``attach`` puts the GPU into the space.
    """

    def __init__(
        self, space: DmaSpace, slab: Slab, memory: GuestMemory, attach: Callable[[], None]
    ) -> None:
        self.slab = slab
        self._space = space
        self._memory = memory
        self._attach = attach
        self._ranges = GuestRanges()

    def mapped(
        self, address: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        """Let the GPU reach guest memory; see `MemoryWatcher`.

        Raises OSError: ENOSPC past the GPU's 39 bits or where the slab stands.
        """
        if self.iova(address, size) is None:
            raise OSError(
                ENOSPC,
                f"guest memory {address:#x}+{size:#x} has no place among the GPU's {DMA_SIZE:#x} "
                f"bytes of DMA space, some of which the mediator needs",
            )
        self._space.map(address, size, fd, fd_offset, readable, writable)
        self._ranges.add(address, size)

    def unmapped(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Take guest memory back from the GPU, all at once; see `MemoryWatcher`."""
        self._space.unmap_each(ranges)
        self._ranges.remove(ranges)

    @property
    def table_pages(self) -> int:
        """Nothing is shadowed here."""
        return 0

    def iova(self, address: int, length: int = PAGE_SIZE) -> int | None:
        """``address`` itself; None beyond 39 bits or where the slab stands."""
        if address < 0 or address + length > DMA_SIZE:
            return None
        if address < self.slab.iova + self.slab.size and self.slab.iova < address + length:
            return None
        return address

    def prepare(self, pml4s: Iterable[int]) -> None:
        """There is nothing that takes time."""

    def root(self, pml4: int) -> int:
        """``pml4`` (bits 11:0 ignored) if a page of guest memory is there.

        Raises GuestError: PAGE_TABLE. Tables below it that are not the guest's fault in use.
        """
        address = pml4 & ADDRESS.mask
        try:
            if pml4 & ADDRESS_BEYOND.mask:
                raise GuestAddressError(pml4, PAGE_SIZE, write=False)
            self._memory.page_u32(address)
        except GuestAddressError:
            text = f"page directory pointer {pml4:#x}: not in guest memory"
            raise GuestError(Reason.PAGE_TABLE, text) from None
        return address

    def ask_in_use(self, in_use: Callable[[], Collection[int]]) -> None:
        """Nothing is kept of page tables here."""

    def activate(self) -> None:
        """World switch: this vGPU gets the GPU, whose engines are idle."""
        self._attach()

    def start_recording(self) -> None:
        """Begin to record the guest pages that the GPU writes."""
        self._ranges.mark()
        self._space.start_recording()

    def take_dirty(self) -> list[int]:
        """Guest pages (address >> 12, ascending) that the GPU wrote since the last call."""
        return self._ranges.since_mark(self._space.take_dirty())

    def stop_recording(self) -> None:
        """Record no longer."""
        self._space.stop_recording()
        self._ranges.forget_mark()

    def forget(self) -> None:
        """The guest is gone or reset: scrub what the mediator made of its memory."""
        self.slab.scrub()

    def close(self) -> None:
        """Take all guest memory out of DMA space and forget it.

        Slab and space stay: they are whose who made them. The watcher is told no more.
        """
        if ranges := self._ranges.all():
            self.unmapped(ranges)
        self.stop_recording()
        self._space.trim()
        self.forget()
