"""One engine of the software GPU: takes contexts from its execution lists and runs them.

The way of one request: `submit` (ELSP) -> `step` promotes the list, restores the context
(`context.py`), lets the command streamer run it (`streamer.py`), and on an empty ring, an
arbitration point or a wait decides with `execlist.py` what comes next, writes the status buffer
and raises the context switch interrupt. Each engine has a thread that calls `step`; a test may
call `step` itself. Lock order: `memory.using()`, then the GPU's lock.
"""

from __future__ import annotations

import logging
import struct
import threading
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.engines import EngineFacts
from mediator.gen9.eu.walker import PREEMPTION_LEVEL, PREEMPTION_LEVELS
from mediator.gen9.execlist import HWSP_CSB_OFFSET, HWSP_CSB_WRITE_POINTER_OFFSET
from mediator.gen9.interrupts import EngineInterrupt
from mediator.softgpu import context
from mediator.softgpu.address_space import PageFault, Ppgtt
from mediator.softgpu.context_clock import ContextClock
from mediator.softgpu.context_state import ContextState
from mediator.softgpu.counters import CommandCounters, EngineCounters
from mediator.softgpu.engine_registers import note_hang, note_status_pointer
from mediator.softgpu.execlist import ContextStatus, Execlists, lrca
from mediator.softgpu.interrupt import raise_engine_event
from mediator.softgpu.lateness import Lateness
from mediator.softgpu.pipeline_state import PipelineState
from mediator.softgpu.privilege import Privilege
from mediator.softgpu.register_image import RegisterImage
from mediator.softgpu.streamer import SLICE, Stop, Streamer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mediator.softgpu.gpu import SoftGpu
    from mediator.softgpu.image_load import ImageLoad

_LOG = logging.getLogger(__name__)

QUANTUM = 512
"""Commands between two looks at the execution lists."""
_SHORTEST_PAUSE_S = 20e-6
_LONGEST_WAIT_S = 1e-3
_LONGEST_SPIN_S = 4e-3
"""Pauses double up to here; a submission ends them. A wait is looked at more often than a loop."""
_HALT_TIMEOUT_S = 0.5
"""A command stops within milliseconds of `abandon`; past this the engine is taken as lost."""
_HALT_WAITS = 10
_DETOUR_QUANTA = 4
"""A work-around batch runs with the GPU's lock held, so it must be short (i915: 40 commands)."""
_CSB_ENTRY = struct.Struct("<II")


class Engine:
    """One command streamer with its execution lists. Implements `CommandHost`."""

    def __init__(self, gpu: SoftGpu, facts: EngineFacts) -> None:
        self.gpu = gpu
        self.facts = facts
        self.name = facts.name
        self.engine_class = facts.engine_class
        self.mmio_base = facts.mmio_base
        self.ggtt, self.units = gpu.ggtt, gpu.units
        self.ppgtt = Ppgtt(gpu.memory, stale=gpu.strictness.stale_translations)
        self.pipeline = PipelineState(facts.engine_class)
        self.privilege = Privilege(facts, gpu.registers.values, gpu.strictness)
        self.counters = CommandCounters()
        self.totals = EngineCounters()
        self.lists = Execlists()
        self.context: ContextState | None = None
        self.resident: ContextState | None = None  # left last: the ring registers are still its own
        self.attention = False
        """A submission waits: the streamer returns at its next arbitration point."""
        self.abandon = False
        """Stop at the next command: the ring is stopped or about to be reset."""
        self.executing = False
        self.runner: int | None = None
        """The thread that executes commands now."""
        self.hung: str | None = None
        """Why the engine stands still until it is reset."""
        self._loading: ImageLoad | None = None
        """A context image is being carried out, which gets the register writes."""
        self._lateness = Lateness(gpu.strictness.list_delay, facts.name)
        self._may_switch = True
        self._reported = False
        self._pause_s = _SHORTEST_PAUSE_S
        self.clock = ContextClock(gpu.clock, gpu.ticks)
        self.reads_on = gpu.strictness.ring_reads_on
        self.register_image = RegisterImage(facts)
        self._streamer = Streamer(self)
        self._changed = threading.Condition(gpu.lock)
        self._kicked = False
        self._exit = False
        self._thread: threading.Thread | None = None

    # -- life cycle ------------------------------------------------------------------------

    def start(self) -> None:
        """Let a thread of its own run the engine."""
        self._exit = False
        self._thread = threading.Thread(target=self._run, name=f"engine {self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the engine's thread. The caller does not hold the GPU's lock."""
        with self.gpu.lock:
            self._exit = True
            self.abandon = True
            self.units.stop()
            self.kick()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def reset(self) -> None:
        """Engine reset: abandon what runs, return registers and lists to cold values.

        The caller holds the GPU's lock; it is released while the streamer comes to a halt.
        """
        self.halt()
        self._account()
        self.lists = Execlists()
        self.context = self.resident = None
        self.hung = None
        self.attention = False
        self.abandon = self.executing  # until it has noticed
        self._lateness.forget()
        self._may_switch = True
        self.totals.resets += 1
        self.gpu.registers.reset(self.gpu.engine_rows[self.name])
        self.reset_context_state()
        self.ppgtt.flush()

    def halt(self) -> bool:
        """Stop the streamer between two commands; True when it stands. Lock as in `reset`.

        A command of a ring waits for no engine, be it its own: the other may wait for it.
        """
        self.abandon = True
        self.units.stop()
        self.kick()
        caller = threading.get_ident()
        if any(caller == engine.runner for engine in self.gpu.engines.values()):
            return False
        return self.wait_until_stopped()

    def wait_until_stopped(self) -> bool:
        """Wait until no command executes; False when one still does after half a second.

        Lock as in `reset`. For after a reset, which leaves a command on its way to its end. A pause
        of the whole process uses up one of the waits, not all the time that the command has.
        """
        return any(
            self._changed.wait_for(lambda: not self.executing, _HALT_TIMEOUT_S / _HALT_WAITS)
            for _ in range(_HALT_WAITS)
        )

    def resume(self) -> None:
        """Let a halted engine go on."""
        self.abandon = False
        self.kick()

    def kick(self) -> None:
        """Wake the engine's thread. The caller holds the GPU's lock."""
        self._kicked = True
        self._changed.notify_all()

    # -- submission --------------------------------------------------------------------------

    def submit(self, dword: int) -> None:
        """A write to the execution list submission port. The caller holds the GPU's lock."""
        if self.lists.write_elsp(dword):
            self.totals.submissions += 1
            self._lateness.submitted(busy=self.context is not None)
            self.attention = not self._lateness.left
            self.kick()

    def step(self) -> float | None:
        """Run one quantum.

        Returns the seconds to pause before the next step: 0 to go on at once, None to wait for
        `kick`.
        """
        gpu = self.gpu
        memory = gpu.memory
        with memory.using():
            with gpu.lock:
                if gpu.memory is not memory:  # another was attached before this thread got in
                    return 0
                running = self._arbitrate()
                self._announce()
                if running is None:
                    return None
                self.executing = True
                self.runner = threading.get_ident()
                late = self._lateness.left
                quantum = self._lateness.limit(QUANTUM)
            with gpu.turn:
                stop = self._streamer.run(running, quantum)
            with gpu.lock:
                if late:
                    self._lateness.count(quantum - self._streamer.left)
                self.executing = False
                self.runner = None
                self._changed.notify_all()
                if self.context is not running:  # reset while it ran
                    self.abandon = False
                    return 0
                if self.abandon:
                    self._may_switch = False  # it may stand anywhere
                    return None
                pause = self._after(running, stop)
                self._announce()
                return pause

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing is submitted."""
        return self.context is None and not self.lists.pending

    # -- what a context restore asks --------------------------------------------------------------

    def load_page_directory(self) -> None:
        """PDP0 names the root of the context's page tables (48-bit mode)."""
        first = (self.mmio_base + reg.RING_PDP0_LDW) >> 2
        low, high = self.gpu.registers.values[first : first + 2]
        self.ppgtt.load(high << 32 | low)

    def reset_context_state(self) -> None:
        """What belongs to a context is as after a reset: nothing of another one stays."""
        self.pipeline.reset()
        values, rows = self.gpu.registers.values, self.gpu.registers.map.by_offset
        for offset in self.register_image.offsets:
            values[offset >> 2] = rows[offset].reset

    def run_detour(
        self, detour: ContextState, quanta: int = _DETOUR_QUANTA, load: ImageLoad | None = None
    ) -> None:
        """Run a work-around batch, or the image itself, to its end before the context goes on.

        ``load`` gets the register writes of an image. Raises ContextError when there is no end.
        """
        waiting, self.attention = self.attention, False
        self._loading = load
        try:
            for _ in range(quanta):
                stop = self._streamer.run(detour, SLICE)
                if stop is not Stop.QUANTUM:
                    break
        finally:
            self._loading = None
            self.attention = waiting or self.abandon
        if stop not in (Stop.RING_EMPTY, Stop.HUNG) and not self.abandon:
            raise context.ContextError(f"a batch of a context's restore ended with {stop.name}")

    # -- what the streamer asks of its host ----------------------------------------------------

    @property
    def status_page(self) -> int:
        """GGTT address of the hardware status page."""
        return self.gpu.registers.values[(self.mmio_base + reg.RING_HWS_PGA) >> 2] & ~0xFFF

    @property
    def context_page(self) -> int:
        """GGTT address of the running context's per-process status page; 0 when idle."""
        current = self.lists.current
        return 0 if current is None else lrca(current)

    def read_register(self, offset: int) -> int:
        """Value of the register at BAR0 offset ``offset``."""
        with self.gpu.lock:
            return self.gpu.registers.read32(offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write the register at BAR0 offset ``offset``."""
        with self.gpu.lock:
            if self._loading is not None:
                self._loading.write(offset, value)
            else:
                self.gpu.registers.write32(offset, value)

    def notify(self, bit: int) -> None:
        """Raise interrupt ``bit`` (0..15) of this engine, subject to RING_IMR and the bank."""
        with self.gpu.lock:
            imr = self.gpu.registers.values[(self.mmio_base + reg.RING_IMR) >> 2]
            raise_engine_event(self.gpu, self.facts, imr, bit)

    def timestamp(self) -> int:
        """RING_TIMESTAMP: 36-bit ticks of 83.333 ns."""
        return self.gpu.timestamp()

    def active_head(self) -> int:
        """ACTHD: the address at which the command streamer stands."""
        if self.context is None:
            return self.gpu.registers.values[(self.mmio_base + reg.RING_ACTHD) >> 2]
        return self.context.address

    def context_timestamp(self) -> int:
        """CTX_TIMESTAMP: 32-bit ticks that the loaded context has been active."""
        return self.clock.counted if self.context is None else self.clock.read()

    def flush_tlb(self) -> None:
        """Drop cached translations of the context's address space; the GGTT has no old ones."""
        self.ppgtt.flush()

    @property
    def pause(self) -> bool:
        """A change of the guest's memory map waits for the engines."""
        return self.gpu.memory.change_waiting

    @property
    def preemption_level(self) -> int:
        """Where threads may be interrupted: the context's wish counts on a strict GPU alone."""
        levels = self.gpu.strictness.preemption_levels
        return PREEMPTION_LEVEL.get(self.read_register(PREEMPTION_LEVELS)) if levels else 0

    def aside(self) -> AbstractContextManager[None]:
        """Inside, other engines may run Python."""
        return self.gpu.turn.aside()

    def hang(
        self, reason: str, *, address: int, command: int | None, fault: PageFault | None
    ) -> None:
        """Stand still until reset, and say why in the error registers.

        ``address`` is where the command stands, ``command`` its first dword if it was read. An
        illegal command sets EIR and raises the error interrupt; a page fault sets the fault
        registers and is noticed by the driver's hang check, as on hardware.
        """
        with self.gpu.lock:
            self.hung = reason
            self.totals.hangs += 1
            _LOG.info("%s hangs at %#x: %s", self.name, address, reason)
            note_hang(self, command, fault)

    # -- the execution lists ---------------------------------------------------------------------

    def _run(self) -> None:
        while not self._exit:
            try:
                pause = self.step()
            except Exception:  # noqa: BLE001 - our bug: this GPU alone pays for it
                _LOG.exception("%s fails and stands still until it is reset", self.name)
                self._fail()
                pause = None
            if pause == 0:
                continue
            with self.gpu.lock:
                if not self._kicked:
                    self._changed.wait(pause)
                self._kicked = False

    def _fail(self) -> None:
        """A step has ended with an exception: hang."""
        with self.gpu.lock:
            self.executing = False
            self.runner = None
            self.hung = "internal error"
            self.totals.failures += 1
            self._changed.notify_all()

    def _arbitrate(self) -> ContextState | None:
        """Decide which context runs now; None when there is none or the engine stands."""
        if self.abandon or self.hung is not None:
            return None
        lists = self.lists
        if self.context is None:
            if not lists.pending:
                return None
            self._report(lists.promote())
            self._load()
        elif lists.pending and self._may_take():
            if lists.is_lite_restore():
                self.totals.lite_restores += 1
                self._report(lists.lite_restore())
                self._guarded(lambda running: context.reload_tail(self, running))
            else:
                self.totals.preemptions += 1
                self._save()
                self._report(lists.preempt())
                self._load()
        self.attention = bool(lists.pending) and not self._lateness.left
        return None if self.hung is not None or self.abandon else self.context

    def _may_take(self) -> bool:
        """Whether the waiting list may be taken where the running context stands.

        At an arbitration point; where lists are taken late, between any two whole commands.
        """
        if self._lateness.left or self._may_switch or not self._lateness.anywhere:
            return self._may_switch and not self._lateness.left
        running = self.context
        if running is None or not running.arbitration:
            return False
        return not running.drawn_rows and running.interrupted is None

    def _after(self, running: ContextState, stop: Stop) -> float | None:
        """The streamer returned: what now? Pause as for `step`."""
        if stop is Stop.HUNG:
            return None
        if stop is Stop.QUANTUM:
            self._may_switch = False
            idles = running.spinning and not self._lateness.left
            return self._back_off(_LONGEST_SPIN_S) if idles else self._go_on()
        self._lateness.drained()
        if stop is Stop.WAIT:
            self._may_switch = running.arbitration
            if self.lists.pending and self._may_switch:
                return 0
            if self._may_yield(running):
                self._save()
                self._report(self.lists.yield_element())
                self._load()
                return 0
            return self._back_off(_LONGEST_WAIT_S)
        self._may_switch = True
        if stop is Stop.RING_EMPTY and (self._lateness.left or not self.lists.is_lite_restore()):
            self._complete()
        return self._go_on()

    def _may_yield(self, running: ContextState) -> bool:
        """A wait lets the next element run unless the context inhibits synchronous switches."""
        return running.arbitration and not running.inhibit_switch and self.lists.has_next()

    def _complete(self) -> None:
        self.totals.contexts_completed += 1
        self._save()
        if self.hung is not None:
            return
        self._report(self.lists.complete())
        if self.lists.current is not None:
            self._load()

    def _load(self) -> None:
        """Restore the current element's context from its image."""
        descriptor = self.lists.current
        assert descriptor is not None, "no element to load"
        self._may_switch = True
        self.clock.load()
        self.context = ContextState(descriptor=descriptor)
        self._guarded(lambda running: context.restore(self, running))

    def _save(self) -> None:
        """Save the running context into its image and unload it."""
        self._guarded(lambda running: context.save(self, running))
        self._account()
        self.clock.counted = self.context_timestamp()
        self.context = None

    def _guarded(self, action: context.Action) -> None:
        """Do ``action`` on the running context's image; a bad image hangs the engine."""
        assert self.context is not None, "no context is loaded"
        try:
            action(self.context)
        except PageFault as fault:
            self.hang(f"context image: {fault}", address=fault.address, command=None, fault=fault)
        except context.ContextError as error:
            self.hang(str(error), address=self.context_page, command=None, fault=None)

    def _report(self, status: ContextStatus) -> None:
        """Write a status buffer entry and its pointer; `_announce` tells of it."""
        note_status_pointer(self)
        page, pointer = self.status_page, self.lists.write_pointer
        entry = _CSB_ENTRY.pack(status.event, status.context_id)
        try:
            self.ggtt.write(page + HWSP_CSB_OFFSET + _CSB_ENTRY.size * pointer, entry)
            self.ggtt.write_u32(page + HWSP_CSB_WRITE_POINTER_OFFSET, pointer)
        except PageFault as fault:
            self.hang(f"status page: {fault}", address=page, command=None, fault=fault)
        self._reported = True

    def _announce(self) -> None:
        """Raise the context switch interrupt for what was reported since.

        Last of all while the lock is held: who waits for the interrupt wants the lock at once.
        """
        if self._reported:
            self._reported = False
            self.notify(EngineInterrupt.CONTEXT_SWITCH)

    def _account(self) -> None:
        if self.context is not None:
            self.totals.busy_ns += self.clock.active_ns

    def _go_on(self) -> float:
        self._pause_s = _SHORTEST_PAUSE_S
        return 0

    def _back_off(self, longest: float) -> float:
        pause = min(self._pause_s, longest)
        self._pause_s = min(2 * pause, longest)
        return pause
