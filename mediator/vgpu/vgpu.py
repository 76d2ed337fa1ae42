"""One virtual GPU as a PCI function: the control block, its lock and its life.

A guest's access comes in by `region_read` and `region_write`, finds its register's row in
`mmio_table.py`, and a submission goes on to `engine.py`. The lock is taken here, at the door, and
by the dispatcher for what comes back; never inside a handler.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.errors import Reason, Unfinished
from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES
from mediator.gen9.identity import Identity
from mediator.gen9.pci import GGMS_4MB, build_config_space
from mediator.physical.partition import PAGE
from mediator.vgpu import aperture
from mediator.vgpu.door import Door
from mediator.vgpu.engine import VirtualEngine
from mediator.vgpu.fences import Fence
from mediator.vgpu.ggtt import VirtualGgtt
from mediator.vgpu.interrupt import update_line
from mediator.vgpu.metrics import Failure, VgpuCounters
from mediator.vgpu.mmio_table import REGISTER_MAP, register_name
from mediator.vgpu.observer import Unobserved, VgpuObserver
from mediator.vgpu.pieces import PAUSE_S, pieces
from mediator.vgpu.regions import GSM_OFFSET, IRQ_COUNTS, REGIONS, REGISTERS_SIZE, TRAP_CLASS
from mediator.vgpu.rest import Rest
from mediator.vgpu.saving import check_fits, state_of, take_over
from mediator.vgpu.state import decode, encode
from mediator.vgpu.trace import INSTANT, Trace
from mediator.vgpu.vgpu_type import VgpuType
from mediator.workload.saved_images import SavedImages
from mmio_trap.device import Region, RegionIndex
from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.log_budget import LogBudget
from mmio_trap.register_map import RegisterFile

if TYPE_CHECKING:
    from mediator.dispatcher import Dispatcher
    from mediator.physical.memory import Slab
    from mediator.translation.addressing import Addressing

_LOG = logging.getLogger(__name__)

_FAULT_REGISTERS = (
    reg.GEN8_FAULT_TLB_DATA0,
    reg.GEN8_FAULT_TLB_DATA1,
    reg.GEN8_RING_FAULT_REG,
)


@dataclass(frozen=True)
class VgpuPlan:
    """What is decided about a vGPU before any client comes."""

    index: int
    type: VgpuType
    identity: Identity
    part: tuple[range, ...]
    """GGTT addresses that are its own; the low slice comes first."""
    private_ggtt: bool
    weight: int
    name: str
    """What logs and sockets call it."""


class Vgpu:
    """Implements `mmio_trap.device.PciDevice` for one virtual GPU."""

    def __init__(
        self,
        plan: VgpuPlan,
        dispatcher: Dispatcher,
        slab: Slab,
        addressing: Callable[[GuestMemory], Addressing],
        observer: VgpuObserver | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``addressing`` makes the way into DMA space for a client's memory; it has ``slab``."""
        self.plan = plan
        self.index = plan.index
        self.name = plan.name
        self.identity = plan.identity
        self.type = plan.type
        self.private_ggtt = plan.private_ggtt
        self.weight = plan.weight
        self.cap = 1.0
        """The most it may have of the GPU's time; see `Dispatcher.set_share`."""
        self.dispatcher = dispatcher
        self.slab = slab
        self.clock = clock
        self.lock = Door()
        self.counters = VgpuCounters()
        """Since it was made, or loaded: clients come and go."""
        self._refusals_logged = LogBudget(clock)
        self.observer: VgpuObserver = observer or Unobserved()
        self.trace: Trace | None = None
        """Where somebody wants to see what happens."""
        self.config = build_config_space(plan.identity, ggms=GGMS_4MB)
        self.rest = Rest()
        """What it waits for after it kept the processor from others."""
        self.parked = False
        """It gets no turn on the hardware."""
        self._closed = False
        self._make_addressing = addressing
        self.attached = False
        """A client is there."""
        self._build(GuestMemory(), Interrupts(IRQ_COUNTS))

    def _build(self, memory: GuestMemory, interrupts: Interrupts) -> None:
        """Everything that belongs to one client, cold."""
        self.memory = memory
        self.interrupts = interrupts
        self.addressing = self._make_addressing(memory)
        self.addressing.ask_in_use(self.roots)
        self.saved_images = {facts.name: SavedImages() for facts in ENGINES}
        """By engine: what contexts in its guest's memory may hold. They outlive resets."""
        self._cold()

    def _cold(self) -> None:
        self.registers: RegisterFile[Vgpu] = RegisterFile(REGISTER_MAP, self, self.name)
        self.fences: dict[int, Fence] = {}
        """By number; those that are on."""
        self.second_events: dict[int, int] = {}
        """By offset of IIR: events that came once more before they were cleared."""
        self.line_held = False
        """The interrupt line stays as it is for the moment."""
        self.ggtt = VirtualGgtt(
            self.plan.part, self.memory, self.addressing.iova, self._install, self.reject
        )
        self.engines = {facts.name: VirtualEngine(self, facts) for facts in ENGINES}

    # -- PciDevice -----------------------------------------------------------------------------

    @property
    def regions(self) -> Sequence[Region]:
        """Nine regions: BAR0, BAR2, BAR4 and configuration space are present."""
        return REGIONS

    @property
    def irq_counts(self) -> Sequence[int]:
        """INTx and one MSI vector."""
        return IRQ_COUNTS

    def attach(self, memory: GuestMemory, interrupts: Interrupts) -> None:
        """A client has come: power on."""
        with self.lock:
            self.config.reset()
            self._build(memory, interrupts)
            memory.set_watcher(self.addressing)
            self.attached = True
            self.counters.attaches += 1
        self.dispatcher.add(self)
        with self.lock:
            self.observer.attached(self)

    def detach(self) -> None:
        """The client has gone: power off. Nothing of its memory stays anywhere."""
        with self.lock:
            if not self.attached:
                return
            self.attached = False
            self.dispatcher.remove(self)
            self._drop_work(Failure.CLIENT_GONE)
            self._scrub()
            self._count_interrupts()
            self.observer.detached(self)
        self.memory.unmap_all()  # while the watcher can take it out of DMA space
        self.memory.set_watcher(None)
        with self.lock:
            self.addressing.close()
            self._build(GuestMemory(), Interrupts(IRQ_COUNTS))

    def region_read(self, index: int, offset: int, count: int) -> bytes:
        """Read a region; regions without behaviour read 0.

        It takes place in pieces between which others may have the lock, as writes do.
        """
        began, end = self.clock(), offset + count
        found = bytearray()
        for at, size in pieces(offset, count):
            with self.lock:
                found += self._read(index, at, size)
                if at + size == end:
                    self._note_trap(began, index, offset, write=False)
            if at + size != end:
                time.sleep(PAUSE_S)
        return bytes(found)

    def _read(self, index: int, offset: int, count: int) -> bytes:
        if index == RegionIndex.BAR0:
            if offset + count <= REGISTERS_SIZE:
                return self.registers.read(offset, count)
            if offset >= GSM_OFFSET:
                return self.ggtt.read_entry(offset - GSM_OFFSET, count)
        elif index == RegionIndex.CONFIG:
            return self.config.read(offset, count)
        elif index == RegionIndex.BAR2:
            return aperture.read(self, offset, count)
        return bytes(count)

    def region_write(self, index: int, offset: int, data: bytes) -> None:
        """Write a region; regions without behaviour ignore it."""
        began, end = self.clock(), offset + len(data)
        for at, size in pieces(offset, len(data)):
            piece = data[at - offset : at - offset + size]
            written = False
            while not written:  # a submission for which much is to be prepared: others get the lock
                with self.lock, suppress(Unfinished):
                    self._write(index, at, piece)
                    written = True
                    if at + size == end:
                        self._note_trap(began, index, offset, write=True)
            if at + size != end:
                time.sleep(PAUSE_S)
        self.rest.take()

    def _write(self, index: int, offset: int, data: bytes) -> None:
        if index == RegionIndex.BAR0:
            if offset + len(data) <= REGISTERS_SIZE:
                self.registers.write(offset, data)
            elif offset >= GSM_OFFSET:
                self.ggtt.write_entry(offset - GSM_OFFSET, data)
        elif index == RegionIndex.CONFIG:
            self.config.write(offset, data)
        elif index == RegionIndex.BAR2:
            aperture.write(self, offset, data)

    def _note_trap(self, began: int, index: int, offset: int, *, write: bool) -> None:
        counters = self.counters
        kind = TRAP_CLASS.get(index, "register")
        if index == RegionIndex.BAR0 and offset >= GSM_OFFSET:
            kind = "gtt"
        traps = counters.traps[kind]
        if write:
            traps.writes += 1
        else:
            traps.reads += 1
        took = self.clock() - began
        counters.trap_times.record(took)
        if self.trace is not None:
            verb = "write" if write else "read"
            name = register_name(offset) if kind == "register" else kind
            self.note("traps", f"{verb} {name}", began, took, f"{offset:#x}")

    def reset(self) -> None:
        """Function-level reset."""
        with self.lock:
            if self._closed:
                return
            self.dispatcher.withdraw(self)
            self._drop_work(Failure.RESET)
            self._scrub()
            self.config.reset()
            self._cold()
            self.interrupts.set_level(False)
            self.counters.full_resets += 1
            self.observer.was_reset(self, "function")

    def lose_work(self, reason: str) -> None:
        """What it has given to its engines is lost, as after a hang: its driver recovers.

        Any thread, without locks.
        """
        memory = self.memory
        with memory.using(), self.lock:
            if memory is self.memory and self.attached:
                self.dispatcher.lose_work(self, reason)

    def close(self) -> None:
        """Let go of what takes memory. No client is there, and none will come."""
        with self.lock:
            self._closed = True
            self.ggtt.close()
            self.addressing.ask_in_use(frozenset)
            self.engines.clear()
            del self.registers  # they know it: without, its memory would wait for a collection

    def note(
        self, track: str, name: str, start_ns: int, duration_ns: int = INSTANT, detail: str = ""
    ) -> None:
        """Something that shows in a trace, if there is one. Who wants it may go at any time."""
        trace = self.trace
        if trace is not None:
            trace.add(track, name, start_ns, duration_ns, detail)

    # -- what handlers ask -----------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """There is something that the hardware could do for it."""
        if not self.parked:
            for engine in self.engines.values():
                if engine.has_work:
                    return True
        return False

    def read_hardware(self, offset: int) -> int:
        """A register that guests may read as the hardware has it."""
        return self.dispatcher.host.gpu.read32(offset)

    def note_switched(self, offset: int, value: int) -> None:
        """A switched register has a new virtual value."""
        self.dispatcher.note_switched(self, offset, value)

    def notify_clock(self) -> int:
        """Nanoseconds of a clock that only goes forward."""
        return self.clock()

    @contextmanager
    def holding_line(self) -> Iterator[None]:
        """Inside, events are latched and the line stays; the guest would only wait for the lock."""
        self.line_held = True
        try:
            yield
        finally:
            self.line_held = False
            update_line(self)

    def reject(self, reason: Reason, text: str, times: int = 1, *, engine: str = "") -> None:
        """Count something that the guest does not get, and log it if there is not too much."""
        self.counters.reject(reason, times)
        if self._refusals_logged.take():
            extra = {"vgpu": self.name, "reason": str(reason)}
            if engine:
                extra["engine"] = engine
            _LOG.info("%s: refused (%s): %s", self.name, reason, text, extra=extra)
        self.observer.refused(self, reason, text)

    def note_hang(self, engine: str, reason: str) -> None:
        """An engine stands until its guest resets it."""
        self.counters.hangs += 1
        extra = {"vgpu": self.name, "engine": engine, "reason": reason}
        _LOG.warning("%s: %s hangs: %s", self.name, engine, reason, extra=extra)
        self.observer.hung(self, engine, reason)

    @property
    def interrupts_delivered(self) -> int:
        """How often its clients were interrupted. Any thread."""
        with self.lock:
            return self.counters.interrupts + self.interrupts.delivered

    def golden(self, engine: str) -> Sequence[int]:
        """The register state page of a context that has never run."""
        return self.dispatcher.host.engines[engine].golden

    def golden_pages(self, engine: str) -> bytes:
        """The private pages behind it."""
        return self.dispatcher.host.engines[engine].golden_pages

    def roots(self) -> frozenset[int]:
        """Guest physical addresses of the page tables that the hardware may be walking."""
        return frozenset().union(*(engine.roots() for engine in self.engines.values()))

    def write_hardware_ggtt(self, page: int, entries: bytes | bytearray) -> None:
        """Write entries of the mediator's part of the GGTT."""
        with self.dispatcher.lock:  # or a restart of the GPU would come in between
            self.dispatcher.host.write_ggtt(page, entries)
            self.dispatcher.host.flush_ggtt()

    def flush_ggtt(self) -> None:
        """The guest wants its GGTT entries to be in force."""
        self.dispatcher.host.flush_ggtt()

    def take_fault(self) -> None:
        """Take over the hardware's fault registers, if it has a fault of this vGPU.

        The engine that faulted stands, on hardware too, until its guest resets it.
        """
        if self.dispatcher.current is not self:
            return
        gpu, values = self.dispatcher.host.gpu, self.registers.values
        fault = gpu.read32(reg.GEN8_RING_FAULT_REG)
        if not fault & reg.RING_FAULT_VALID:
            return
        for offset in _FAULT_REGISTERS:
            values[offset >> 2] = gpu.read32(offset)
        gpu.write32(reg.GEN8_RING_FAULT_REG, 0)
        for engine in self.engines.values():
            if engine.facts.fault_id == reg.RING_FAULT_ENGINE.get(fault):
                engine.note_fault()

    def read_fault(self, offset: int) -> int:
        """A fault register."""
        self.take_fault()
        return self.registers.values[offset >> 2]

    def reinstall(self) -> None:
        """The hardware's GGTT is empty: write what it should have of this vGPU.

        Called with the dispatcher's lock held, which comes after the vGPU's: it is not taken.
        """
        for engine in self.engines.values():
            engine.workloads.reinstall()

    # -- carrying it elsewhere -------------------------------------------------------------------

    def park(self, timeout_s: float = 2.0) -> None:
        """Take it off the hardware and keep it off. Raises TimeoutError."""
        self.parked = True
        self.dispatcher.expel(self, timeout_s)

    def unpark(self) -> None:
        """Let it have its turns again."""
        self.parked = False
        self.dispatcher.wake()

    def save(self) -> bytes:
        """Its state, while it is parked; the guest's memory, which changes here, comes after."""
        assert self.parked, "a vGPU is parked before it is saved"
        with self.memory.using(), self.lock:
            for engine in self.engines.values():
                engine.give_up_shadows()
            self._count_interrupts()
            return encode(state_of(self))

    def load(self, data: bytes) -> None:
        """Go on from a saved state; a client with the same memory map is attached.

        Raises ValueError, and changes nothing, when the state does not fit this vGPU.
        """
        state = decode(data)
        check_fits(self, state)
        with self.lock:
            self.dispatcher.withdraw(self)
            take_over(self, state)
            update_line(self)
        self.dispatcher.wake()

    def install_all(self) -> None:
        """Every GGTT entry that the guest has, to where `_install` brings them."""
        for chunk in self.ggtt.touched:
            self._install(chunk << 9, self.ggtt.hardware_chunk(chunk))

    def start_recording(self) -> None:
        """Begin to record which guest pages the mediator and the GPU write."""
        self.memory.start_recording()
        self.addressing.start_recording()

    def take_dirty(self) -> list[int]:
        """Guest pages (address >> 12, ascending) written since the last call."""
        return sorted({*self.memory.take_dirty(), *self.addressing.take_dirty()})

    def stop_recording(self) -> None:
        """Record no longer."""
        self.memory.stop_recording()
        self.addressing.stop_recording()

    # -- parts -------------------------------------------------------------------------------------

    def _install(self, page: int, entries: bytes) -> None:
        """GGTT entries of the guest, translated: to the hardware, when it is in such a world."""
        self.counters.gtt_updates += len(entries) // 8
        self.dispatcher.install(self, page, entries)

    def _count_interrupts(self) -> None:
        """Those of this client become the counters'."""
        self.counters.interrupts += self.interrupts.delivered
        self.interrupts.delivered = 0

    def _drop_work(self, why: Failure) -> None:
        for engine in self.engines.values():
            engine.drop(why)

    def _scrub(self) -> None:
        """Nothing of the guest stays in shadows or in the hardware's GGTT."""
        if not self.private_ggtt:
            for chunk in self.ggtt.touched:
                self._scrub_chunk(chunk)
        for engine in self.engines.values():
            engine.workloads.forget()
        self.ggtt.clear()
        self.addressing.forget()

    def _scrub_chunk(self, chunk: int) -> None:
        """Make the entries of a chunk that are this vGPU's absent on the hardware."""
        first = chunk << 9
        for own in self.plan.part:
            start = max(first, own.start // PAGE)
            count = min(first + 512, own.stop // PAGE) - start
            if count > 0:
                self.dispatcher.install(self, start, bytes(8 * count))
