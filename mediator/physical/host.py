"""The mediator's driver of the physical GPU: brings it up, takes its interrupts, writes its GGTT.

The way: `HostGpu.initialise` maps the mediator's own slab, resets the GPU, holds it awake, starts
every engine (`host_engine.py`), records the golden contexts and opens the interrupts; from then on
the dispatcher waits on ``gpu.interrupt_fd`` and calls `take_interrupts`. Only what `PhysicalGpu`
offers is used. Source: Linux i915 intel_uncore.c, gt/intel_gt_irq.c, gt/intel_ggtt.c for Gen9.
"""

from __future__ import annotations

import os
from contextlib import suppress

from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES
from mediator.gen9.identity import FREQUENCY_UNIT_MHZ, RATIOS_PER_UNIT
from mediator.gen9.interrupts import (
    BANKS,
    MASTER_ENABLE,
    MASTER_IRQ,
    Bank,
    EngineInterrupt,
)
from mediator.physical.gpu import DmaSpace, PhysicalGpu
from mediator.physical.host_engine import (
    ANSWER_TIMEOUT_S,
    IDLE_CONTEXT_ID,
    EnginePages,
    HardwareError,
    HostEngine,
    masked,
    wait_for,
)
from mediator.physical.memory import Slab
from mediator.physical.partition import EMPTY_TABLES, MIB, PAGE, slab_ggtt

__all__ = ["IDLE_CONTEXT_ID", "HardwareError", "HostEngine", "HostGpu"]

_ALL = 0xFFFF_FFFF
_ENGINE_BITS = 0xFFFF
_EVENTS = sum(
    1 << event
    for event in (
        EngineInterrupt.USER,
        EngineInterrupt.MASTER_ERROR,
        EngineInterrupt.PIPE_CONTROL_NOTIFY,
        EngineInterrupt.CONTEXT_SWITCH,
        EngineInterrupt.WAIT_SEMAPHORE,
    )
)
"""Events of an engine that a bank lets through; RING_IMR then chooses among them."""

_FORCEWAKE = (
    ("render", reg.FORCEWAKE_RENDER, reg.FORCEWAKE_ACK_RENDER),
    ("GT", reg.FORCEWAKE_GT, reg.FORCEWAKE_ACK_GT),
    ("media", reg.FORCEWAKE_MEDIA, reg.FORCEWAKE_ACK_MEDIA),
)

_BANK_ENGINES: dict[Bank, tuple[tuple[str, int], ...]] = {
    bank: tuple((e.name, e.interrupt_shift) for e in ENGINES if e.interrupt_bank == bank)
    for bank in BANKS
    if any(e.interrupt_bank == bank for e in ENGINES)
}
_SERVED = tuple(
    (sum({master for _, master in bank.sources}), bank.iir, engines)
    for bank, engines in _BANK_ENGINES.items()
)
"""(master status bits, offset of IIR, engines with their shifts) of each bank with engines."""


def _layout() -> tuple[dict[str, EnginePages], int]:
    """Pages of every engine in the slab, and its size."""
    at = 0
    pages = {}
    for facts in ENGINES:
        pages[facts.name] = EnginePages(at, at + PAGE, at + 2 * PAGE)
        at += (2 + facts.context_pages) * PAGE
    return pages, at


class HostGpu:
    """The physical GPU under the mediator. One thread at a time calls it."""

    def __init__(self, gpu: PhysicalGpu, slab_iova: int = MIB) -> None:
        """``slab_iova``: where the mediator's slab stands in every I/O address space.

        A multiple of 4096; the slab is smaller than 1 MiB.
        """
        self.gpu = gpu
        pages, size = _layout()
        self.slab = Slab(size, slab_iova, slab_ggtt(0), size)
        """Slab 0: status page, ring and idle context of every engine."""
        self._empty = Slab(PAGE, EMPTY_TABLES, 0, 0)
        self.engines = {
            facts.name: HostEngine(gpu, facts, self.slab, pages[facts.name]) for facts in ENGINES
        }
        self._read32 = gpu.read32
        self._write32 = gpu.write32

    def initialise(self, space: DmaSpace) -> None:
        """Put the GPU into ``space`` and bring it up from cold.

        Raises HardwareError when it does not answer, OSError when the slab cannot be mapped.
        """
        self.map_slab(space)
        self.gpu.attach_space(space)
        self.restart()

    def restart(self) -> None:
        """Bring the GPU up from a function-level reset, in the space it is in.

        Every GGTT entry but slab 0's is absent then. Raises HardwareError.
        """
        self.gpu.reset()
        self.slab.scrub()
        self.write_ggtt(self.slab.ggtt // PAGE, self.slab.entries())
        self.flush_ggtt()
        self._stay_awake()
        self._request_frequency()
        self._close_interrupts()
        for engine in self.engines.values():
            engine.require_reset()
            engine.record_golden()
        self._open_interrupts()

    def map_slab(self, space: DmaSpace) -> None:
        """Map slab 0 into another space, at the I/O virtual address it has in all of them.

        And a page of zeros for contexts without page tables.
        """
        empty = self._empty
        space.map(empty.iova, empty.size, empty.fd, 0, readable=True, writable=False)
        space.map(self.slab.iova, self.slab.size, self.slab.fd, 0, readable=True, writable=True)

    def close(self) -> None:
        """Give the slab back. The GPU, which stays the caller's, reaches it no longer."""
        self.slab.close()
        self._empty.close()

    def take_interrupts(self) -> dict[str, int]:
        """Event bits (16 bits of `EngineInterrupt`) latched since the last call, by engine name.

        They are acknowledged, ``gpu.interrupt_fd`` is emptied, and what comes from now on makes
        it readable again. Engines without events are left out.
        """
        with suppress(BlockingIOError):
            os.eventfd_read(self.gpu.interrupt_fd)
        read, write = self._read32, self._write32
        events = {}
        write(MASTER_IRQ, 0)
        status = read(MASTER_IRQ)
        for sources, iir, engines in _SERVED:
            if status & sources:
                latched = read(iir)
                write(iir, latched)
                for name, shift in engines:
                    bits = latched >> shift & _ENGINE_BITS
                    if bits:
                        events[name] = bits
        write(MASTER_IRQ, MASTER_ENABLE)
        return events

    def write_ggtt(self, page: int, entries: bytes | bytearray | memoryview) -> None:
        """Write hardware GGTT entries (8 bytes each) from that of page number ``page`` on."""
        self.gpu.write_ggtt(page, entries)

    def flush_ggtt(self) -> None:
        """GGTT entries written before this are in force after it."""
        self._write32(reg.GFX_FLSH_CNTL, 1)

    def _stay_awake(self) -> None:
        """Hold every forcewake domain for good."""
        bit = reg.FORCEWAKE_KERNEL
        for domain, request, answer in _FORCEWAKE:
            self._write32(request, masked(bit, bit))
            if not wait_for(lambda at=answer: bool(self._read32(at) & bit), ANSWER_TIMEOUT_S):  # type: ignore[misc]
                value = self._read32(answer)
                raise HardwareError(f"forcewake of the {domain} domain: ack is {value:#x}")

    @property
    def requested_mhz(self) -> float:
        """The frequency that engines work at, as far as the mediator decides: the highest."""
        return float(self.gpu.identity.maximum_mhz)

    @property
    def frequency_mhz(self) -> float:
        """What the GPU says of its frequency now; 0 while it sleeps."""
        ratio = reg.RPSTAT1_RATIO.get(self._read32(reg.GEN6_RPSTAT1))
        return ratio * FREQUENCY_UNIT_MHZ / RATIOS_PER_UNIT

    def _request_frequency(self) -> None:
        """Ask for one frequency for good: guests' requests stay in their registers."""
        ratio = int(self.requested_mhz) // FREQUENCY_UNIT_MHZ * RATIOS_PER_UNIT
        self._write32(reg.GEN6_RPNSWREQ, reg.RPNSWREQ_RATIO.put(ratio))

    def _close_interrupts(self) -> None:
        """Nothing enabled, nothing latched: IIR keeps a second event behind the first."""
        self._write32(MASTER_IRQ, 0)
        for bank in BANKS:
            self._write32(bank.imr, _ALL)
            self._write32(bank.ier, 0)
            self._write32(bank.iir, _ALL)
            self._write32(bank.iir, _ALL)

    def _open_interrupts(self) -> None:
        for bank, engines in _BANK_ENGINES.items():
            events = sum(_EVENTS << shift for _, shift in engines)
            self._write32(bank.ier, events)
            self._write32(bank.imr, _ALL & ~events)
        self._write32(MASTER_IRQ, MASTER_ENABLE)
        self._read32(MASTER_IRQ)
