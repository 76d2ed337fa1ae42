"""The software GPU: its registers, its GGTT and its four engines, as one PCI function's inside.

`SoftGpu` is built cold: power-on state is what the constructor makes, and a function-level reset
is a new `SoftGpu`. Every access takes `lock` at the door (`read`, `write`); engines take it for
the moments in which they touch shared state. Lock order: `memory.using()`, then `lock`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.gen9.identity import KABY_LAKE_GT2, Identity
from mediator.softgpu import fences, power
from mediator.softgpu.address_space import Ggtt, PageFault
from mediator.softgpu.answers import Answers
from mediator.softgpu.engine import Engine
from mediator.softgpu.engine_registers import engine_rows
from mediator.softgpu.eu.dispatch.host_units import make_units
from mediator.softgpu.fences import Fence
from mediator.softgpu.mmio_table import build_map
from mediator.softgpu.power import PowerState
from mediator.softgpu.strictness import KIND, Strictness
from mediator.softgpu.turn import Turn
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.register_map import RegisterFile

if TYPE_CHECKING:
    from mediator.softgpu.eu.dispatch.units import ExecutionUnits

REGISTERS_SIZE = 2 << 20
"""Bytes of BAR0 that are registers."""
GSM_OFFSET = 8 << 20
"""BAR0 offset of the GGTT entries."""
GGTT_SIZE = 4 << 30
APERTURE_SIZE = 256 << 20
TIMESTAMP_MASK = (1 << 36) - 1

_NS_PER_12_TICKS = 1000

Summary = dict[str, float]

_ENGINE_ROWS = {facts.name: engine_rows(facts) for facts in ENGINES}
_REGISTER_MAP = build_map([row for rows in _ENGINE_ROWS.values() for row in rows])


@dataclass
class GpuCounters:
    """What the GPU as a whole has done."""

    interrupts: int = 0
    """Events latched in an interrupt bank."""
    ggtt_writes: int = 0
    """Writes to the GGTT entries."""
    aperture_accesses: int = 0


class SoftGpu:
    """A Gen9 GT2 GPU at register level."""

    engine_rows = _ENGINE_ROWS

    def __init__(
        self,
        memory: GuestMemory,
        interrupts: Interrupts,
        identity: Identity = KABY_LAKE_GT2,
        clock: Callable[[], int] = time.monotonic_ns,
        strictness: Strictness = KIND,
        units: ExecutionUnits | None = None,
    ) -> None:
        self.memory = memory
        self.interrupts = interrupts
        self.identity = identity
        self.clock = clock
        self.strictness = strictness
        self.lock = threading.RLock()
        self.turn = Turn()
        self.counters = GpuCounters()
        self.units = units or make_units()
        self._born_ns = clock()
        self.queued_events: dict[int, int] = {}
        """By offset of IIR: events that came once more before they were cleared."""
        self.fences: dict[int, Fence] = {}
        """By number; those that are on."""
        self.answers = Answers(strictness.answer_looks)
        self._sleeps = strictness.needs_forcewake
        self.power = PowerState(sampled_at_ns=self._born_ns)
        self.ggtt = Ggtt(memory, GGTT_SIZE, stale=strictness.stale_translations)
        self.registers: RegisterFile[SoftGpu] = RegisterFile(_REGISTER_MAP, self, "softgpu")
        self.engines = {facts.name: Engine(self, facts) for facts in ENGINES}

    def start(self) -> None:
        """Let the engines run, each on its own thread."""
        try:
            for engine in self.engines.values():
                engine.start()
        except RuntimeError:  # no more threads
            self.stop()
            raise

    def stop(self) -> None:
        """End the engines' threads and let go of the guest's memory."""
        for engine in self.engines.values():
            engine.abandon = True  # all at once: each may take a moment
        for engine in self.engines.values():
            engine.stop()
        self.units.close()
        self.flush_translations()

    def attach_memory(self, memory: GuestMemory) -> None:
        """Let the GGTT and the engines reach ``memory`` in place of what they reached so far.

        Raises RuntimeError, with nothing changed, while an engine has a context or waits for one.
        """
        engines = self.engines.values()
        with self.lock:
            for engine in engines:
                engine.wait_until_stopped()
            busy = [engine.name for engine in engines if engine.executing or not engine.idle]
            if busy:
                raise RuntimeError(f"memory cannot be switched under {', '.join(busy)}: busy")
            self.memory = memory
            self.ggtt.attach(memory)
            for engine in engines:
                engine.ppgtt.attach(memory)

    def read32(self, offset: int) -> int:
        """The register at BAR0 ``offset``, a multiple of 4, as the processor reads it."""
        with self.lock:
            if self._sleeps and not power.reaches(self, offset, write=False):
                return 0
            return self.registers.read32(offset)

    def write32(self, offset: int, value: int) -> None:
        """Write the register at BAR0 ``offset``, a multiple of 4, as the processor does."""
        with self.lock:
            if not self._sleeps or power.reaches(self, offset, write=True):
                self.registers.write32(offset, value)

    def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes of BAR0 at ``offset``."""
        if offset + count <= REGISTERS_SIZE:
            with self.lock:
                if self._sleeps and not power.reaches(self, offset, write=False):
                    return bytes(count)
                return self.registers.read(offset, count)
        if offset >= GSM_OFFSET:
            return self.ggtt.read_entry(offset - GSM_OFFSET, count)
        return bytes(count)

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data`` into BAR0 at ``offset``."""
        if offset + len(data) <= REGISTERS_SIZE:
            with self.lock:
                if not self._sleeps or power.reaches(self, offset, write=True):
                    self.registers.write(offset, data)
        elif offset >= GSM_OFFSET:
            self.counters.ggtt_writes += 1
            self.ggtt.write_entry(offset - GSM_OFFSET, data)

    def read_aperture(self, offset: int, count: int) -> bytes:
        """``count`` bytes of GGTT space through BAR2; all ones where nothing is mapped."""
        self.counters.aperture_accesses += 1
        try:
            if not self.fences:
                return self.ggtt.read(offset, count)
            return b"".join(self.ggtt.read(*run) for run in fences.runs(self, offset, count))
        except PageFault:
            return b"\xff" * count

    def write_aperture(self, offset: int, data: bytes) -> None:
        """Write ``data`` into GGTT space through BAR2; dropped where nothing is mapped."""
        self.counters.aperture_accesses += 1
        at = 0
        try:
            for address, length in fences.runs(self, offset, len(data)):
                self.ggtt.write(address, data[at : at + length])
                at += length
        except PageFault:
            return

    def publish_entries(self) -> None:
        """GGTT entries that were written are in force; every cached translation is dropped."""
        self.ggtt.publish()
        self.flush_translations()

    def flush_translations(self) -> None:
        """Drop every cached translation."""
        self.ggtt.flush()
        for engine in self.engines.values():
            engine.ppgtt.flush()

    def ticks(self, nanoseconds: int) -> int:
        """Nanoseconds in ticks of the 12 MHz command streamer clock."""
        return nanoseconds * 12 // _NS_PER_12_TICKS

    def timestamp(self) -> int:
        """The free-running 36-bit timestamp, in ticks of 83.333 ns."""
        return self.ticks(self.clock()) & TIMESTAMP_MASK

    def record_fault(self, facts: EngineFacts, fault: PageFault) -> None:
        """Latch a page fault in the fault registers, the first one only. Caller holds the lock."""
        values = self.registers.values
        if values[reg.GEN8_RING_FAULT_REG >> 2] & reg.RING_FAULT_VALID:
            return
        page = fault.address >> 12
        values[reg.GEN8_FAULT_TLB_DATA0 >> 2] = page & 0xFFFF_FFFF
        values[reg.GEN8_FAULT_TLB_DATA1 >> 2] = page >> 32 & 0xF
        values[reg.GEN8_RING_FAULT_REG >> 2] = (
            reg.RING_FAULT_ENGINE.put(facts.fault_id) | reg.RING_FAULT_VALID
        )

    def summary(self) -> Summary:
        """What the GPU has done since power-on, in numbers that a person or a program may read."""
        engines = self.engines.values()
        return {
            "seconds": round((self.clock() - self._born_ns) / 1e9, 3),
            "reads": self.registers.reads,
            "writes": self.registers.writes,
            "unknown_registers": len(
                self.registers.unknown_reads.keys() | self.registers.unknown_writes.keys()
            ),
            "ggtt_writes": self.counters.ggtt_writes,
            "aperture_accesses": self.counters.aperture_accesses,
            "interrupts": self.counters.interrupts,
            "submissions": sum(e.totals.submissions for e in engines),
            "contexts_completed": sum(e.totals.contexts_completed for e in engines),
            "preemptions": sum(e.totals.preemptions for e in engines),
            "hangs": sum(e.totals.hangs for e in engines),
            "failures": sum(e.totals.failures for e in engines),
            "resets": sum(e.totals.resets for e in engines),
        }

    @property
    def idle(self) -> bool:
        """No engine runs or waits."""
        return all(engine.idle for engine in self.engines.values())
