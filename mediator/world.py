"""The physical GPU in the world of one vGPU at a time, or of none.

Entering gives the hardware the vGPU's address space, private GGTT and switched registers; then its
lists are fed to the hardware's ports, and the hardware's status events become its own. Leaving
has the mediator's idle context preempt every engine that was used, which also leaves golden
values in the registers that contexts keep. Every method is called with the lock of the vGPU and
that of the dispatcher held.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.engines import RCS0
from mediator.gen9.execlist import Event
from mediator.gen9.interrupts import EngineInterrupt
from mediator.physical.compute_work import ComputeWork
from mediator.physical.host import HardwareError
from mediator.physical.installed_ggtt import InstalledGgtt
from mediator.port import Load, Port
from mediator.vgpu.admission import build_next, lacks_shadows
from mediator.vgpu.switched_registers import SwitchedRegisters

if TYPE_CHECKING:
    from mediator.physical.host import HostGpu
    from mediator.vgpu.execlist import Element
    from mediator.vgpu.metrics import GpuCounters
    from mediator.vgpu.vgpu import Vgpu

_LOG = logging.getLogger(__name__)

_ACKNOWLEDGES = Event.IDLE_TO_ACTIVE | Event.PREEMPTED
_CONTEXT_SWITCH = 1 << EngineInterrupt.CONTEXT_SWITCH
_STOOD_STILL_NS = 20_000_000
"""So much lateness within one patience is more than that of a quiet machine."""
_LEAST_FORGIVEN = 4
"""An engine that is asked to give way after its time has one part in so many of the patience."""
_ERROR = 1 << EngineInterrupt.MASTER_ERROR


class World:
    """Whose world ``host`` is in, and what its engines have been given."""

    def __init__(
        self,
        host: HostGpu,
        lock: threading.RLock,
        *,
        patience_ns: int,
        clock: Callable[[], int],
        on_leave: Callable[[Vgpu], None],
        on_restart: Callable[[], None],
        on_unbuilt: Callable[[], None],
        counters: GpuCounters,
    ) -> None:
        """``on_leave`` is told before a vGPU has left.

        ``on_restart`` writes GGTT entries again after the GPU was brought up from cold.
        ``on_unbuilt`` has `build` called soon.
        """
        self.host = host
        self.current: Vgpu | None = None
        """It stays when it has nothing to do, until another has."""
        self.ending = False
        """The current vGPU is being taken off the hardware."""
        self.deadline_ns = 0
        """End of the slice, or while it is ending, of the patience."""
        self._forgave = False
        self._late_ns = 0
        """By how much the dispatcher has woken up late since it began to end, in all."""
        self.counters = counters
        self.ports = {name: Port() for name in host.engines}
        self.installed = InstalledGgtt(host)
        self.left = threading.Condition(lock)
        """Notified when nobody has the hardware any more."""
        self._lock = lock
        self._down = False
        """The GPU has not come up again after a reset that it did not answer."""
        self._registers = SwitchedRegisters(host.gpu)
        self._used: set[str] = set()
        """Engines that the current vGPU has used since it came."""
        self._entered_ns = 0
        self._work_mark = ComputeWork()
        self._patience_ns = patience_ns
        self._clock = clock
        self._on_leave = on_leave
        self._on_restart = on_restart
        self._on_unbuilt = on_unbuilt
        self._unbuilt: set[str] = set()
        """Engines whose next list of the current vGPU lacks shadows."""

    @property
    def busy(self) -> bool:
        """An engine has something of the current vGPU, or will take it next."""
        for port in self.ports.values():
            if port.has_guest or port.waiting is not Load.NOTHING:
                return True
        return False

    @property
    def has_guest(self) -> bool:
        """A context of the current vGPU runs."""
        return any(port.has_guest for port in self.ports.values())

    def withdraw(self, vgpu: Vgpu) -> None:
        """Take the current vGPU off the hardware at once, its work lost."""
        self.ending = True  # so that no restart of the GPU gives it more
        for name, port in self.ports.items():
            if not port.free or port.used or vgpu.engines[name].state.stopped:
                self.reset_engine(vgpu, name)
        self.leave(vgpu)

    def busy_ns(self, vgpu: Vgpu, name: str) -> int:
        """Time for which engine ``name`` has had a context of ``vgpu``, up to now. Any thread."""
        with self._lock:
            running = self.running_ns(name) if self.current is vgpu else 0
            return vgpu.counters.engines[name].busy_ns + running

    def compute_work(self, vgpu: Vgpu) -> ComputeWork:
        """What execution units have done for ``vgpu``, up to now. Any thread."""
        with self._lock:
            done = vgpu.counters.compute
            if self.current is not vgpu:
                return done
            return done + (self.host.gpu.compute_work - self._work_mark)

    def engine_ns(self, name: str) -> int:
        """Time for which engine ``name`` has had a guest's context, up to now. Any thread."""
        with self._lock:
            return self.counters.engine_ns[name] + self.running_ns(name)

    def running_ns(self, name: str) -> int:
        """How long engine ``name`` has been at a guest's context by now; 0 when it is not."""
        since = self.ports[name].since_ns
        return self._clock() - since if since else 0

    def settled(self, vgpu: Vgpu, name: str) -> bool:
        """Whether no context of ``vgpu`` has been loaded since the event that is being served."""
        port = self.ports[name]
        return (
            self.current is not vgpu
            or port.free
            or not (port.tells_more or self.host.engines[name].has_news)
        )

    def _run(self, vgpu: Vgpu, name: str, load: Load) -> None:
        """An engine of the hardware has something else to do, or nothing: keep account of it."""
        port = self.ports[name]
        port.running = load
        if port.has_guest:
            if not port.since_ns:
                port.since_ns = self._clock()
        elif port.since_ns:
            used = self._clock() - port.since_ns
            vgpu.counters.engines[name].busy_ns += used
            self.counters.engine_ns[name] += used
            before, port.work = port.work, self._traced_work(vgpu, name)
            computed = str(port.work - before) if port.work and before else ""
            vgpu.note(f"{name} busy", "busy", port.since_ns, used, computed)
            port.since_ns = 0

    def _traced_work(self, vgpu: Vgpu, name: str) -> ComputeWork | None:
        """What execution units have done by now, if a trace of this engine is to tell of it."""
        traced = vgpu.trace is not None and name == RCS0.name
        return self.host.gpu.compute_work if traced else None

    def _clear_port(self, vgpu: Vgpu, name: str) -> None:
        """An engine of the hardware was reset."""
        self._run(vgpu, name, Load.NOTHING)
        self.ports[name] = Port()

    def _install_ggtt(self, vgpu: Vgpu) -> None:
        self.installed.enter(vgpu.ggtt if vgpu.private_ggtt else None)

    def refresh_registers(self, vgpu: Vgpu) -> None:
        """Virtual values of the current vGPU were reset."""
        self._registers.enter(vgpu.registers.values)

    def put_register(self, offset: int, value: int) -> None:
        """A switched register of the current vGPU has a new virtual value."""
        self._registers.put(offset, value)

    def enter(self, vgpu: Vgpu, deadline_ns: int) -> None:
        """Put the hardware, whose engines are free, into the world of ``vgpu``."""
        assert self.current is None, "one world at a time"
        vgpu.addressing.activate()
        self.current, self.ending = vgpu, False
        self.deadline_ns = deadline_ns
        self._entered_ns = self._clock()
        self._work_mark = self.host.gpu.compute_work
        self.counters.world_switches += 1
        vgpu.counters.world_switches += 1
        self._install_ggtt(vgpu)
        self._registers.enter(vgpu.registers.values)
        self._used.clear()
        for name, engine in vgpu.engines.items():
            imr = vgpu.registers.values[(engine.facts.mmio_base + reg.RING_IMR) >> 2]
            self.host.engines[name].set_user_mask(imr)
        for name in self.ports:
            self.feed(vgpu, name)

    def leave(self, vgpu: Vgpu) -> None:
        """The hardware's engines are free: nobody's world."""
        if self.current is not vgpu:
            return
        self._on_leave(vgpu)
        for name, events in self.host.take_interrupts().items():
            vgpu.engines[name].raise_events(events & ~_CONTEXT_SWITCH & ~_ERROR)
        self._registers.leave(vgpu.registers.values, self.ports if self._used else ())
        for name, engine in vgpu.engines.items():
            if engine.state.stopped:
                self.host.engines[name].resume()
        before, vgpu.counters.compute = vgpu.counters.compute, self.compute_work(vgpu)
        done = vgpu.counters.compute - before
        vgpu.note("slices", "slice", self._entered_ns, self._clock() - self._entered_ns, str(done))
        self.current, self.ending = None, False
        self._unbuilt.clear()
        self.left.notify_all()

    def end(self, vgpu: Vgpu) -> None:
        """The slice is over: have every engine give way, all within one patience.

        What engines do one after the other, be it ever so much, does not prolong it.
        """
        self.ending, self._forgave, self._late_ns = True, False, 0
        if vgpu.has_work:
            self.counters.preemptions += 1
            vgpu.counters.preemptions += 1
        self.be_patient()
        for name in self.ports:
            self._drive_out(vgpu, name)
        self.settle(vgpu)

    def be_patient(self) -> None:
        """Who is being taken off the hardware may take so long from now on."""
        self.deadline_ns = self._clock() + self._patience_ns

    def note_late(self, late_ns: int) -> None:
        """The dispatcher woke up so much later than it should: the machine or the process is busy.

        Nobody's engine could give way in that time.
        """
        self._late_ns += max(late_ns, 0)

    def forgive_lateness(self) -> bool:
        """The patience is over: is there some more for what was late since it began?"""
        late_ns = self._late_ns
        return late_ns > _STOOD_STILL_NS and self.forgive(late_ns)

    def forgive(self, late_ns: int) -> bool:
        """This process stood still, or was late, for so long: nobody could give way in that time.

        Once an ending, and for no longer than `be_patient` allows: who keeps the process from
        running cannot keep the hardware with that, nor can engines that answer one by one. False
        if there is no more.
        """
        if not self.ending or self._forgave:
            return False
        self._forgave = True
        more_ns = min(late_ns, self._patience_ns)
        self.deadline_ns = max(self.deadline_ns, self._clock() + more_ns)
        return True

    def _drive_out(self, vgpu: Vgpu, name: str) -> None:
        """Have the idle context preempt what runs; later, while a submission is unanswered."""
        port, engine = self.ports[name], self.host.engines[name]
        if not port.used or port.running is Load.IDLE:
            return
        state = vgpu.engines[name].state
        if port.has_guest and (state.hung or engine.hung()):
            vgpu.engines[name].lose("page fault or illegal command")
            self.reset_engine(vgpu, name)
            return
        if state.stopped:
            engine.resume()
        if port.waiting is not Load.NOTHING:
            return
        late_ns = self._clock() - self.deadline_ns
        if late_ns >= 0:  # it may have answered long ago, and was served late
            self.forgive(max(late_ns, self._patience_ns // _LEAST_FORGIVEN))
        port.waiting = Load.IDLE
        engine.submit_idle()

    def settle(self, vgpu: Vgpu) -> None:
        """While it is ending: once every engine is free, leave."""
        if self.ending and all(p.free and not p.used for p in self.ports.values()):
            self.leave(vgpu)

    def reset_engine(self, vgpu: Vgpu, name: str) -> None:
        engine = self.host.engines[name]
        if self._down or not engine.reset():
            self._restart_hardware(vgpu)
            return
        self._registers.restore(engine.facts.name, vgpu.registers.values)
        self._clear_port(vgpu, name)

    def _restart_hardware(self, vgpu: Vgpu) -> None:
        """An engine does not answer its reset: bring the whole GPU up again.

        The current vGPU loses what it had on the hardware; all other work is in shadows. Where it
        does not come up, the next reset of an engine tries again.
        """
        _LOG.error("the physical GPU does not answer an engine reset: it is restarted")
        for name, port in self.ports.items():
            if port.may_have_guest:
                vgpu.engines[name].lose("the GPU was restarted")
            self._clear_port(vgpu, name)
        self.counters.restarts += 1
        self._down = True
        try:
            self.host.restart()
        except HardwareError as error:
            _LOG.error("the physical GPU does not come up: %s", error)
            return
        self._down = False
        self._registers.forget()
        self.installed.lost()
        self._on_restart()
        self._registers.enter(vgpu.registers.values)
        self._install_ggtt(vgpu)
        if not self.ending:
            for name in self.ports:
                self.feed(vgpu, name)

    def feed(self, vgpu: Vgpu, name: str) -> None:
        """Give the hardware what the virtual engine has for it."""
        engine, port = vgpu.engines[name], self.ports[name]
        state = engine.state
        if port.waiting is not Load.NOTHING or state.hung or state.stopped:
            return
        idle = port.running is Load.NOTHING
        if (idle or port.has_guest) and lacks_shadows(engine, idle=idle):
            self._unbuilt.add(name)
            self._on_unbuilt()
            return
        if idle:
            elements, load = engine.next_list()
        elif port.has_guest and engine.lists.pending:
            if engine.must_leave:
                port.waiting = Load.IDLE
                self.host.engines[name].submit_idle()
                return
            elements, load = engine.lists.pending, Load.GUEST
        else:
            return
        if not elements:
            return
        if elements[0].refused:
            if port.running is Load.NOTHING:
                if load is Load.GUEST:
                    engine.promoted()
                engine.refuse(elements[0])
            return
        self._submit(vgpu, name, elements)
        port.waiting, port.used = load, True

    def build(self, vgpu: Vgpu) -> None:
        """Make the shadows that `feed` found missing, and feed; the dispatcher's lock is not held.

        It takes as long as audits do, and others need the lock for their accesses.
        """
        while self._unbuilt and self.current is vgpu and not self.ending:
            name = self._unbuilt.pop()
            build_next(vgpu.engines[name], idle=self.ports[name].running is Load.NOTHING)
            with self._lock:
                self.feed(vgpu, name)

    def _submit(self, vgpu: Vgpu, name: str, elements: list[Element]) -> None:
        now, port = self._clock(), self.ports[name]
        self._used.add(name)
        if not port.has_guest:  # before it runs: it may have ended when its events are seen
            port.work = self._traced_work(vgpu, name)
        descriptors = [0, 0]
        workloads = vgpu.engines[name].workloads
        for place, element in enumerate(elements[:2]):
            if element.refused:
                break
            descriptors[place] = workloads.submitted(element)
            if element.submitted_ns:
                counters = vgpu.counters.engines[name]
                counters.waits.record(now - element.submitted_ns)
                element.submitted_ns, element.started_ns = 0, element.started_ns or now
        self.host.engines[name].submit(*descriptors)

    def _status_events(self, vgpu: Vgpu, name: str) -> None:
        port, engine = self.ports[name], vgpu.engines[name]
        events = self.host.engines[name].events()
        for number, (event, _context) in enumerate(events, 1):
            port.tells_more = number < len(events)
            if event & _ACKNOWLEDGES:
                load, port.waiting = port.waiting, Load.NOTHING
                if load is Load.GUEST:
                    if event & Event.PREEMPTED:
                        engine.preempted(lite=bool(event & Event.LITE_RESTORE))
                    else:
                        engine.promoted()
                self._run(vgpu, name, load)
            elif port.running is Load.IDLE:
                port.running, port.used = Load.NOTHING, False
            elif port.has_guest:
                engine.ended(waits=bool(event & Event.WAIT_SEMAPHORE))
                if event & Event.ACTIVE_TO_IDLE:
                    self._run(vgpu, name, Load.NOTHING)
        if self.ending:
            self._drive_out(vgpu, name)
            self.settle(vgpu)
        else:
            self.feed(vgpu, name)

    def serve(self, vgpu: Vgpu) -> None:
        for name, events in self.host.take_interrupts().items():
            if events & ~_CONTEXT_SWITCH & ~_ERROR:
                vgpu.engines[name].raise_events(events & ~_CONTEXT_SWITCH & ~_ERROR)
            if events & _CONTEXT_SWITCH and self.current is vgpu:
                self._status_events(vgpu, name)
            if (
                events & _ERROR
                and self.current is vgpu
                and self.ports[name].has_guest
                and self.host.engines[name].hung()
            ):
                vgpu.engines[name].note_error()

    def take_off(self, vgpu: Vgpu) -> None:
        """The watchdog: reset the engines that did not give way."""
        for name, port in self.ports.items():
            if port.free and not port.used:
                continue
            _LOG.warning("%s: %s did not give way and is reset", vgpu.name, name)
            if port.may_have_guest:
                vgpu.engines[name].lose("did not give way after its slice")
            self.reset_engine(vgpu, name)
        self.settle(vgpu)
