"""Shadow addressing: a window of one DMA space, and shadow page tables that lead into it.

Guest physical address g stands at window.base + g. The GPU walks the mediator's tables only, whose
entries stay inside the window; so several vGPUs can use the GPU's engines at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from errno import ENOSPC

from mediator.gen9.pte import PAGE_SHIFT, PAGE_SIZE
from mediator.physical.gpu import DmaSpace
from mediator.physical.memory import Slab
from mediator.physical.partition import Window
from mediator.translation.guest_ranges import GuestRanges
from mediator.translation.page_table_shadow import PageTableShadow
from mmio_trap.guest_memory import GuestMemory


class ShadowAddressing:
    """`Addressing` of one vGPU whose tables are shadowed.

    ``space`` is shared by all vGPUs: where more than one records what the GPU writes, each gets
    its own view (`shared_space.SharedSpace`). ``slab`` is mapped there already; ``attach`` puts the
    GPU into the space.
    """

    def __init__(
        self,
        space: DmaSpace,
        window: Window,
        slab: Slab,
        memory: GuestMemory,
        attach: Callable[[], None],
    ) -> None:
        self.slab = slab
        self.tables = PageTableShadow(slab, window, memory)
        self._space = space
        self._window = window
        self._attach = attach
        self._ranges = GuestRanges()

    def mapped(
        self, address: int, size: int, fd: int, fd_offset: int, readable: bool, writable: bool
    ) -> None:
        """Let the GPU reach guest memory; see `MemoryWatcher`. ENOSPC past the window."""
        iova = self._window.iova(address, size)
        if iova is None:
            raise OSError(
                ENOSPC,
                f"guest memory {address:#x}+{size:#x} reaches past {self._window.size:#x}, "
                f"all that one of the GPU's vGPUs can use in shadow mode",
            )
        self._space.map(iova, size, fd, fd_offset, readable, writable)
        self._ranges.add(address, size)

    def unmapped(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Take guest memory back from the GPU, all at once; see `MemoryWatcher`."""
        base = self._window.base
        self._space.unmap_each([(base + address, size) for address, size in ranges])
        self._ranges.remove(ranges)

    @property
    def table_pages(self) -> int:
        """Pages that shadow page tables take now."""
        return self.tables.pages

    def iova(self, address: int, length: int = PAGE_SIZE) -> int | None:
        """Where the GPU finds guest physical ``address``; None past the window."""
        return self._window.iova(address, length)

    def prepare(self, pml4s: Iterable[int]) -> None:
        """See `Addressing.prepare`."""
        self.tables.prepare(pml4s)

    def root(self, pml4: int) -> int:
        """I/O virtual address of the shadow of the tables at ``pml4``, as they are now.

        Raises GuestError: PAGE_TABLE, TOO_LARGE.
        """
        return self.tables.sync(pml4)

    def ask_in_use(self, in_use: Callable[[], Collection[int]]) -> None:
        """See `Addressing.ask_in_use`."""
        self.tables.in_use = in_use

    def activate(self) -> None:
        """World switch: this vGPU gets the GPU, whose engines are idle."""
        self._attach()

    def start_recording(self) -> None:
        """Begin to record the guest pages that the GPU writes."""
        self._ranges.mark()
        self._space.start_recording()

    def take_dirty(self) -> list[int]:
        """Guest pages (address >> 12, ascending) that the GPU wrote since the last call."""
        first = self._window.base >> PAGE_SHIFT
        end = first + (self._window.size >> PAGE_SHIFT)
        written = [page - first for page in self._space.take_dirty() if first <= page < end]
        return self._ranges.since_mark(written)

    def stop_recording(self) -> None:
        """Record no longer."""
        self._space.stop_recording()
        self._ranges.forget_mark()

    def forget(self) -> None:
        """The guest is gone or reset: drop and scrub every copy of its memory."""
        self.tables.forget()
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
