"""A context image as what it is: a stream of commands that a restore carries out with privilege.

Hardware follows headers and register offsets as they stand in memory, through all pages of the
image: GVT-g scans the pages of its guests' contexts with its command parser for that reason
(cmd_parser.c, intel_gvt_scan_engine_context). Where the stream would end is not relied upon:
MI_BATCH_BUFFER_END in it is passed over. PRM SKL vol 7 "Logical Ring Context Format".
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import STATE_DWORDS, ImageIndex
from mediator.gen9.pte import PAGE_SIZE
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.register_image import HEAD_DWORDS

if TYPE_CHECKING:
    from mediator.softgpu.engine import Engine

_HEAD_BYTES = 4 * HEAD_DWORDS
_QUANTA = 400
"""An image that holds nothing but register loads of one register each has 7,168 commands."""
_PDPS = range(reg.RING_PDP0_LDW, reg.RING_PDP0_LDW + 32)


class ImageLoad:
    """One restore. `head` and then `rest` carry out the image at GGTT address ``address``."""

    def __init__(self, engine: Engine, descriptor: int, address: int) -> None:
        self.state = ContextState(descriptor=descriptor, workaround=True, image=True)
        """What the commands leave behind: arbitration, predication, the clip rectangle."""
        self.words = array("I", bytes(4 * STATE_DWORDS))
        """Values of ring, batches and page tables where a saved page has them.

        A register that the stream does not load keeps what it had.
        """
        self._engine = engine
        self._address = address
        self._values = values = engine.gpu.registers.values
        for offset, index in engine.register_image.ring.items():
            self.words[index] = values[offset >> 2]
        self.words[ImageIndex.CTX_TIMESTAMP] = engine.context_timestamp()

    def head(self) -> None:
        """Carry out what is restored in any case."""
        self._run(0, _HEAD_BYTES)

    def rest(self) -> None:
        """Carry out all that follows, up to the end of the last page."""
        self._run(_HEAD_BYTES, (self._engine.facts.context_pages - 1) * PAGE_SIZE)

    def write(self, offset: int, value: int) -> None:
        """A command of the stream loads a register."""
        engine = self._engine
        index = engine.register_image.ring.get(offset)
        if index is not None:
            self.words[index] = value
            if offset - engine.mmio_base not in _PDPS:
                return
        elif engine.register_image.load(offset, value, self._values):
            return
        engine.gpu.registers.write32(offset, value)

    def _run(self, first: int, end: int) -> None:
        ring = self.state.ring
        ring.start, ring.head, ring.tail = self._address, first, end
        ring.control = (end & -PAGE_SIZE) | reg.RING_CTL_VALID
        self._engine.run_detour(self.state, _QUANTA, self)
