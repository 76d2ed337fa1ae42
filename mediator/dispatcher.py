"""The dispatcher: the one thread that shares a physical GPU among vGPUs.

One vGPU at a time has the whole GPU (gVirt). While it has, its submissions go to the hardware's
ports at once and the hardware's context status events become its own, one for one. When its slice
ends and another has work, the mediator's idle context preempts every busy engine; the interrupted
contexts stay in their shadows and go on in the vGPU's next slice, and their guest sees nothing of
it. What does not give way in time is taken off by an engine reset, and only its guest hears of it.

Lock order: a vGPU's ``memory.using()``, its ``lock``, then the dispatcher's ``lock``. A trap
thread has no need of ``using()``: it is the thread that changes the memory map.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.execlist import Event
from mediator.gen9.interrupts import EngineInterrupt
from mediator.physical.installed_ggtt import InstalledGgtt
from mediator.port import Load, Port
from mediator.vgpu.execlist import NO_SLOT
from mediator.vgpu.switched_registers import SwitchedRegisters

if TYPE_CHECKING:
    from mediator.physical.host import HostGpu
    from mediator.vgpu.execlist import Element
    from mediator.vgpu.vgpu import Vgpu
    from scheduler.policy import Policy, Slice

_LOG = logging.getLogger(__name__)

WATCHDOG_NS = 250_000_000
"""What a vGPU may take to give way after its slice, in nanoseconds. A guest that waits for its
turn must not wait so long that its own driver gives up: i915 does so after 640 ms."""

_ACKNOWLEDGES = Event.IDLE_TO_ACTIVE | Event.PREEMPTED
_CONTEXT_SWITCH = 1 << EngineInterrupt.CONTEXT_SWITCH
_ERROR = 1 << EngineInterrupt.MASTER_ERROR
_LONGEST_POLL_MS = 1000


class Dispatcher:
    """Shares ``host`` among the vGPUs that submit to it, as ``policy`` says."""

    def __init__(
        self,
        host: HostGpu,
        policy: Policy,
        *,
        watchdog_ns: int = WATCHDOG_NS,
        clock: Callable[[], int] = time.monotonic_ns,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_restart`` writes GGTT entries again after the GPU was brought up from cold."""
        self._on_restart = on_restart
        self.host = host
        self.policy = policy
        self.clock = clock
        self.lock = threading.RLock()
        self.current: Vgpu | None = None
        """Whose world the hardware is in; stays when it has nothing to do."""
        self.switches = 0
        self._watchdog_ns = watchdog_ns
        self._vgpus: dict[int, Vgpu] = {}
        self._ports = {name: Port() for name in host.engines}
        self._ending = False
        """The current vGPU is being taken off the hardware."""
        self._deadline_ns = 0
        """End of the slice, or while it is ending, of the patience."""
        self._busy_since: int | None = None
        self._installed = InstalledGgtt(host)
        self._left = threading.Condition(self.lock)
        self._world = SwitchedRegisters(host.gpu)
        self._used: set[str] = set()
        """Engines that the current vGPU has used since it came."""
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._exit = False
        self._thread: threading.Thread | None = None

    # -- life cycle -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to dispatch, on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._exit = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def add(self, vgpu: Vgpu) -> None:
        """A vGPU's client has come."""
        with self.lock:
            self._vgpus[vgpu.index] = vgpu
            self.policy.add(vgpu.index, vgpu.weight, self.clock())

    def remove(self, vgpu: Vgpu) -> None:
        """A vGPU's client has gone: nothing of it stays on the hardware. Its lock is held."""
        with self.lock:
            self.withdraw(vgpu)
            if self._vgpus.pop(vgpu.index, None) is not None:
                self.policy.remove(vgpu.index)
            self._installed.forget(vgpu.ggtt)
        self.wake()

    def withdraw(self, vgpu: Vgpu) -> None:
        """Take a vGPU off the hardware at once, its work lost; its lock is held."""
        with self.lock:
            if self.current is not vgpu:
                return
            for name, port in self._ports.items():
                if not port.free or port.used or vgpu.engines[name].state.stopped:
                    self._reset_hardware(vgpu, name)
            self._leave(vgpu)
            self._installed.forget(vgpu.ggtt)
            self.wake()

    def expel(self, vgpu: Vgpu, timeout_s: float) -> None:
        """Take a parked vGPU off the hardware, its contexts kept. Raises TimeoutError."""
        with vgpu.memory.using(), vgpu.lock, self.lock:
            if self.current is vgpu and not self._ending:
                self._begin_end(vgpu, self.clock())
        self.wake()
        with self.lock:
            if not self._left.wait_for(lambda: self.current is not vgpu, timeout_s):
                raise TimeoutError(f"{vgpu.name} did not leave the hardware in {timeout_s} s")

    # -- what virtual engines ask; the vGPU's lock is held ----------------------------------------

    def submit(self, vgpu: Vgpu, name: str) -> None:
        """Engine ``name`` of ``vgpu`` has a new pending list."""
        with self.lock:
            now = self.clock()
            self.policy.arrive(vgpu.index, now)
            if self.current is None and vgpu.has_work and not self._others_wait(vgpu):
                self._enter_first(vgpu, now)
            elif self.current is vgpu and not self._ending:
                self._note_busy(now)
                self._feed(vgpu, name)
            if self.current is not vgpu or self._others_wait(vgpu):
                self.wake()

    def runs(self, vgpu: Vgpu, name: str) -> bool:
        """Whether the hardware's engine has a context of ``vgpu`` now."""
        return self.current is vgpu and self._ports[name].has_guest

    def holds(self, vgpu: Vgpu, name: str) -> bool:
        """Whether the hardware's engine may have a context of ``vgpu``."""
        return self.current is vgpu and not self._ports[name].free

    def stands(self, vgpu: Vgpu, name: str) -> bool:
        """Whether the engine executes nothing of ``vgpu``."""
        if not self.runs(vgpu, name):
            return True
        mode = self.host.engines[name].read(reg.RING_MI_MODE)
        return bool(mode & reg.MI_MODE_IDLE)

    def stop_engine(self, vgpu: Vgpu, name: str) -> None:
        """Hold the ring of an engine."""
        with self.lock:
            if self.current is vgpu and not self._ending:
                self.host.engines[name].stop()

    def resume_engine(self, vgpu: Vgpu, name: str) -> None:
        """Let the ring of an engine go on."""
        with self.lock:
            if self.current is vgpu:
                self.host.engines[name].resume()
                if not self._ending:
                    self._feed(vgpu, name)
        self.wake()

    def reset_engine(self, vgpu: Vgpu, name: str) -> None:
        """Drop what ``vgpu`` has on an engine."""
        with self.lock:
            if self.current is not vgpu:
                return
            port = self._ports[name]
            if not port.free or vgpu.engines[name].state.stopped:
                self._reset_hardware(vgpu, name)
            self._settle(vgpu)

    def note_switched(self, vgpu: Vgpu, offset: int, value: int) -> None:
        """A switched register of ``vgpu`` has a new virtual value."""
        with self.lock:
            if self.current is vgpu:
                self._world.put(offset, value)

    def charge_audit(self, vgpu: Vgpu, used_ns: int) -> None:
        """A submission took so long to audit that it counts as use of the GPU."""
        with self.lock:
            if vgpu.index in self._vgpus:
                self.policy.charge(vgpu.index, used_ns, self.clock())

    def note_mask(self, vgpu: Vgpu, name: str, mask: int) -> None:
        """RING_IMR of a virtual engine has changed."""
        with self.lock:
            if self.current is vgpu:
                self.host.engines[name].set_user_mask(mask)

    def install(self, vgpu: Vgpu, page: int, entries: bytes) -> None:
        """GGTT entries of a guest with a private GGTT have changed."""
        with self.lock:
            if self.current is vgpu:
                self._installed.write(page, entries)

    # -- worlds -----------------------------------------------------------------------------------

    def _enter_first(self, vgpu: Vgpu, now: int) -> None:
        """Nobody else has work: enter from the trap. A failure of ours is not the guest's."""
        chosen = self.policy.pick({vgpu.index}, now)
        if chosen is None:
            return
        try:
            self._enter(vgpu, chosen, now)
        except Exception:  # noqa: BLE001 - our bug; the dispatcher's thread tries again
            _LOG.exception("%s could not be given the hardware", vgpu.name)
            self.wake()

    def _enter(self, vgpu: Vgpu, granted: Slice, now: int) -> None:
        """Put the hardware, whose engines are free, into the world of ``vgpu``."""
        assert self.current is None, "one world at a time"
        vgpu.addressing.activate()
        self.current, self._ending = vgpu, False
        self._deadline_ns = now + granted.length_ns
        self.switches += 1
        vgpu.counters.world_switches += 1
        if vgpu.private_ggtt:
            self._installed.enter(vgpu.ggtt)
        self._world.enter(vgpu.registers.values)
        self._used.clear()
        for name, engine in vgpu.engines.items():
            imr = vgpu.registers.values[(engine.facts.mmio_base + reg.RING_IMR) >> 2]
            self.host.engines[name].set_user_mask(imr)
        self._note_busy(now)
        for name in self._ports:
            self._feed(vgpu, name)

    def _leave(self, vgpu: Vgpu) -> None:
        """The hardware's engines are free: nobody's world."""
        if self.current is not vgpu:
            return
        self._charge(vgpu)
        for name, events in self.host.take_interrupts().items():
            vgpu.engines[name].raise_events(events & ~_CONTEXT_SWITCH & ~_ERROR)
        self._world.leave(vgpu.registers.values, self._ports if self._used else ())
        for name, engine in vgpu.engines.items():
            if engine.state.stopped:
                self.host.engines[name].resume()
        self.current, self._ending = None, False
        self._left.notify_all()

    def _begin_end(self, vgpu: Vgpu, now: int) -> None:
        """The slice is over: have every engine give way."""
        self._ending = True
        self._deadline_ns = now + self._watchdog_ns
        for name in self._ports:
            self._drive_out(vgpu, name)
        self._settle(vgpu)

    def _drive_out(self, vgpu: Vgpu, name: str) -> None:
        """Have the idle context preempt what runs; later, while a submission is unanswered."""
        port, engine = self._ports[name], self.host.engines[name]
        if not port.used or port.running is Load.IDLE:
            return
        state = vgpu.engines[name].state
        if port.has_guest and (state.hung or engine.hung()):
            vgpu.engines[name].lose("page fault or illegal command")
            self._reset_hardware(vgpu, name)
            return
        if state.stopped:
            engine.resume()
        if port.waiting is not Load.NOTHING:
            return
        self._deadline_ns = self.clock() + self._watchdog_ns
        port.waiting = Load.IDLE
        engine.submit_idle()

    def _settle(self, vgpu: Vgpu) -> None:
        """While it is ending: once every engine is free, leave."""
        if self._ending and all(p.free and not p.used for p in self._ports.values()):
            self._leave(vgpu)
            self.wake()

    def _reset_hardware(self, vgpu: Vgpu, name: str) -> None:
        engine = self.host.engines[name]
        if not engine.reset():
            self._restart_hardware(vgpu)
            return
        self._world.restore(engine.facts.name, vgpu.registers.values)
        self._ports[name] = Port()

    def _restart_hardware(self, vgpu: Vgpu) -> None:
        """An engine does not answer its reset: bring the whole GPU up again.

        The current vGPU loses what it had on the hardware; all other work is in shadows.
        """
        _LOG.error("the physical GPU does not answer an engine reset: it is restarted")
        for name, port in self._ports.items():
            if port.has_guest:
                vgpu.engines[name].lose("the GPU was restarted")
            self._ports[name] = Port()
        self.host.restart()
        self._world.forget()
        self._installed.lost()
        self._on_restart()
        self._world.enter(vgpu.registers.values)
        if vgpu.private_ggtt:
            self._installed.enter(vgpu.ggtt)
        if not self._ending:
            for name in self._ports:
                self._feed(vgpu, name)

    # -- engines of the current world -------------------------------------------------------------

    def _feed(self, vgpu: Vgpu, name: str) -> None:
        """Give the hardware what the virtual engine has for it."""
        engine, port = vgpu.engines[name], self._ports[name]
        state = engine.state
        if port.waiting is not Load.NOTHING or state.hung or state.stopped:
            return
        lists = state.lists
        if port.running is Load.NOTHING:
            if lists.active:
                elements, load = lists.rest, Load.RESUMED
            elif lists.pending:
                elements, load = lists.pending, Load.GUEST
            else:
                return
        elif port.has_guest and lists.pending:
            elements, load = lists.pending, Load.GUEST
        else:
            return
        if any(element.slot == NO_SLOT for element in elements):
            engine.build_missing(elements)
        if elements[0].refused:
            if port.running is Load.NOTHING:
                if load is Load.GUEST:
                    engine.promoted()
                engine.refuse(elements[0])
            return
        self._submit(vgpu, name, elements)
        port.waiting, port.used = load, True

    def _submit(self, vgpu: Vgpu, name: str, elements: list[Element]) -> None:
        now = self.clock()
        self._used.add(name)
        descriptors = [0, 0]
        workloads = vgpu.engines[name].workloads
        for place, element in enumerate(elements[:2]):
            if element.refused:
                break
            descriptors[place] = workloads.descriptor(element)
            if element.submitted_ns:
                vgpu.counters.waits.record(now - element.submitted_ns)
                element.submitted_ns = 0
        self.host.engines[name].submit(*descriptors)

    def _status_events(self, vgpu: Vgpu, name: str) -> None:
        port, engine = self._ports[name], vgpu.engines[name]
        for event, _context in self.host.engines[name].events():
            if event & _ACKNOWLEDGES:
                load, port.waiting = port.waiting, Load.NOTHING
                if load is Load.GUEST:
                    if event & Event.PREEMPTED:
                        engine.preempted(lite=bool(event & Event.LITE_RESTORE))
                    else:
                        engine.promoted()
                port.running = load
            elif port.running is Load.IDLE:
                port.running, port.used = Load.NOTHING, False
            elif port.has_guest:
                engine.ended(waits=bool(event & Event.WAIT_SEMAPHORE))
                if event & Event.ACTIVE_TO_IDLE:
                    port.running = Load.NOTHING
        if self._ending:
            self._drive_out(vgpu, name)
            self._settle(vgpu)
        else:
            self._feed(vgpu, name)

    # -- accounting -------------------------------------------------------------------------------

    def _note_busy(self, now: int) -> None:
        if self._busy_since is None:
            self._busy_since = now

    def _charge(self, vgpu: Vgpu) -> None:
        """Account what the current vGPU used since it was last charged."""
        now = self.clock()
        if self._busy_since is not None:
            used = now - self._busy_since
            vgpu.counters.gpu_ns += used
            self.policy.charge(vgpu.index, used, now)
            self._busy_since = None
        if any(port.has_guest or port.waiting is not Load.NOTHING for port in self._ports.values()):
            self._busy_since = now

    # -- the thread -------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have the thread look again whose turn it is."""
        os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self.host.gpu.interrupt_fd, select.POLLIN)
        poller.register(self._wake_fd, select.POLLIN)
        while not self._exit:
            for fd, _ in poller.poll(self._patience_ms()):
                if fd == self._wake_fd:  # the other is emptied where interrupts are taken
                    os.eventfd_read(fd)
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - our bug; the others' work must go on
                _LOG.exception("the dispatcher failed; the current vGPU is reset")
                self._expel_safely()

    def _patience_ms(self) -> float:
        if self.current is None or (self._busy_since is None and not self._ending):
            return _LONGEST_POLL_MS
        left = self._deadline_ns - self.clock()
        return min(max(left / 1e6, 0.0), _LONGEST_POLL_MS)

    def _others_wait(self, vgpu: Vgpu) -> bool:
        if len(self._vgpus) < 2:
            return False
        return any(v is not vgpu and v.has_work for v in list(self._vgpus.values()))

    def _turn(self) -> None:
        """Serve the hardware's interrupts, then see whose turn it is."""
        vgpu = self.current
        if vgpu is None:
            with self.lock:
                if self.current is None:
                    self.host.take_interrupts()
                else:
                    self.wake()
        else:
            memory = vgpu.memory
            with memory.using(), vgpu.lock, self.lock:
                if self.current is vgpu and memory is vgpu.memory:
                    self._serve(vgpu)
                    self._consider(vgpu)
                else:
                    self.wake()
        if self.current is None:
            self._choose()

    def _serve(self, vgpu: Vgpu) -> None:
        for name, events in self.host.take_interrupts().items():
            if events & ~_CONTEXT_SWITCH & ~_ERROR:
                vgpu.engines[name].raise_events(events & ~_CONTEXT_SWITCH & ~_ERROR)
            if events & _CONTEXT_SWITCH and self.current is vgpu:
                self._status_events(vgpu, name)
            if (
                events & _ERROR
                and self.current is vgpu
                and self._ports[name].has_guest
                and self.host.engines[name].hung()
            ):
                vgpu.engines[name].note_error()
        if self.current is vgpu and not vgpu.has_work:
            busy = any(port.has_guest for port in self._ports.values())
            if not busy and self._busy_since is not None:
                self._charge(vgpu)

    def _consider(self, vgpu: Vgpu) -> None:
        """Does the current vGPU keep the hardware?"""
        if self.current is not vgpu:
            return
        now = self.clock()
        if self._ending:
            if now >= self._deadline_ns:
                self._take_off(vgpu)
            return
        works = vgpu.has_work
        if works and now < self._deadline_ns:
            return
        ready = {v.index for v in self._vgpus.values() if v.has_work}
        if not ready:
            return
        if works:
            self._charge(vgpu)
        chosen = self.policy.pick(ready, now)
        if chosen is not None and chosen.vgpu == vgpu.index:
            self._deadline_ns = now + chosen.length_ns
        else:
            self._begin_end(vgpu, now)

    def _take_off(self, vgpu: Vgpu) -> None:
        """The watchdog: reset the engines that did not give way."""
        for name, port in self._ports.items():
            if port.free:
                continue
            _LOG.warning("%s: %s did not give way and is reset", vgpu.name, name)
            if port.has_guest or port.waiting in (Load.GUEST, Load.RESUMED):
                vgpu.engines[name].lose("did not give way after its slice")
            self._reset_hardware(vgpu, name)
        self._settle(vgpu)

    def _choose(self) -> None:
        """Nobody has the hardware: who gets it?"""
        now = self.clock()
        with self.lock:
            ready = {v.index for v in self._vgpus.values() if v.has_work}
            chosen = self.policy.pick(ready, now) if ready else None
            vgpu = None if chosen is None else self._vgpus.get(chosen.vgpu)
        if chosen is None or vgpu is None:
            return
        memory = vgpu.memory
        with memory.using(), vgpu.lock, self.lock:
            if memory is not vgpu.memory:
                self.wake()
            elif self.current is None and vgpu.index in self._vgpus and vgpu.has_work:
                self._enter(vgpu, chosen, self.clock())

    def _expel_safely(self) -> None:
        try:
            self._expel()
        except Exception:  # noqa: BLE001 - as above: the thread serves everybody
            _LOG.exception("the current vGPU could not be taken off the hardware")

    def _expel(self) -> None:
        """After a failure of ours: the current vGPU loses what it had on the hardware."""
        vgpu = self.current
        if vgpu is None:
            return
        with vgpu.memory.using(), vgpu.lock, self.lock:
            if self.current is not vgpu:
                return
            for name in self._ports:
                if vgpu.engines[name].has_work or not self._ports[name].free:
                    vgpu.engines[name].state.hung = "internal error"
                if not self._ports[name].free or self._ports[name].used:
                    self._reset_hardware(vgpu, name)
            self._leave(vgpu)
        self.wake()
