"""Logical ring contexts and requests. The image is laid out as i915 lays it out (intel_lrc.c)."""

from __future__ import annotations

from dataclasses import dataclass

from mediator.gen9.context_image import BATCH_BUFFER_END, LAYOUTS, ImageIndex
from mediator.gen9.engines import ENGINES
from mediator.gen9.execlist import Descriptor
from tests.gpu_driver.memory import PAGE, PageTables, Ram

RING_PAGES = 4
_FACTS = {facts.name: facts for facts in ENGINES}
_VALID_LEGACY_64B = 1 | 3 << 3 | 1 << 8
_INHIBIT_SYNC_SWITCH_AND_RESTORE = 0x0009_0009
_DRIVERS_END = 0xAA
"""Dword after which the hardware alone describes the image."""


@dataclass
class Context:
    """A logical ring context with its ring, page tables and timeline."""

    engine: str
    identity: int
    lrca: int
    """GGTT address of the image."""
    image: int
    """Guest address of the register state page."""
    ring: int
    """Guest address of the ring."""
    ring_ggtt: int
    tables: PageTables
    timeline: int = 0
    """Guest address of the dword that holds the last finished request's number."""
    timeline_ggtt: int = 0
    tail: int = 0
    requests: int = 0
    priority: int = 0
    """What has more preempts what has less."""
    forced: bool = False
    """Its restore is forced: no lite restore."""

    @property
    def descriptor(self) -> int:
        forced = Descriptor.FORCE_RESTORE if self.forced else 0
        return self.identity << 37 | self.lrca | _VALID_LEGACY_64B | forced

    @property
    def reported(self) -> int:
        """The id in status buffer entries."""
        return self.descriptor >> 32

    @property
    def status_page(self) -> int:
        """Guest address of the per-process status page."""
        return self.image - PAGE

    def value(self, index: int) -> int:
        """Guest address of dword ``index`` of the register state page."""
        return self.image + 4 * index


@dataclass(frozen=True)
class Request:
    """Work in a context's ring, done when the context's timeline has reached ``number``."""

    context: Context
    number: int


def context_pages(engine: str) -> int:
    return 22 if engine == "rcs0" else 2


def write_image(ram: Ram, context: Context) -> None:
    """A register state page whose first run inhibits the restore of engine state.

    Also for a context that was guilty of a hang: what its ring holds is passed over.
    """
    facts = _FACTS[context.engine]
    page = [0] * (PAGE // 4)
    blocks = LAYOUTS[facts.engine_class].blocks
    for block in (block for block in blocks if block.index < _DRIVERS_END):
        page[block.index] = block.header
        for register in block.registers:
            page[register.index - 1] = register.address(facts.mmio_base)
    page[_DRIVERS_END] = BATCH_BUFFER_END
    page[ImageIndex.CONTEXT_CONTROL] = _INHIBIT_SYNC_SWITCH_AND_RESTORE
    page[ImageIndex.RING_HEAD] = context.tail
    page[ImageIndex.RING_TAIL] = context.tail
    page[ImageIndex.RING_START] = context.ring_ggtt
    page[ImageIndex.RING_CTL] = (RING_PAGES - 1) << 12 | 1
    page[ImageIndex.PDP0_UDW] = context.tables.root >> 32
    page[ImageIndex.PDP0_LDW] = context.tables.root & 0xFFFF_FFFF
    ram.write_u32(context.image, *page)
