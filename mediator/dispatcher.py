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

from mediator.attending import attending
from mediator.gen9 import registers as reg
from mediator.vgpu.metrics import GpuCounters
from mediator.world import World
from scheduler.cap import Capped, checked_cap
from scheduler.policy import Idle, Slice, checked_weight

if TYPE_CHECKING:
    from mediator.physical.host import HostGpu
    from mediator.vgpu.vgpu import Vgpu
    from scheduler.policy import Policy

_LOG = logging.getLogger(__name__)

WATCHDOG_NS = 150_000_000
"""What a vGPU may take to give way after its slice, in nanoseconds. A guest that waits for its
turn must not wait so long that its own driver gives up: i915 does so after 640 ms; and with a slice
and the reset no neighbour is to wait a quarter of a second."""

_LONGEST_POLL_MS = 1000
_LOOK_AGAIN_NS = 10_000_000
_ENDING_POLL_MS = 10
"""While a vGPU has to give way the thread wakes up so often, and so sees how late it is each time:
on a machine with too much to do an engine of software is as late."""


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
        self.host = host
        self.policy = Capped(policy)
        self.clock = clock
        self.counters = GpuCounters(clock())
        self.lock = threading.RLock()
        self.world = World(
            host,
            self.lock,
            patience_ns=watchdog_ns,
            clock=clock,
            on_leave=self._account_leaving,
            on_restart=on_restart,
            on_unbuilt=self.wake,
            counters=self.counters,
        )
        self._vgpus: dict[int, Vgpu] = {}
        self._busy_since: int | None = None
        self._idle_until = 0
        """While all that have work have had their share: when the next may run; else 0."""
        self._granted_until = 0
        """Until when the current vGPU may run as far as its cap goes, busy or not."""
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._exit = False
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Vgpu | None:
        """Whose world the hardware is in; it stays when it has nothing to do."""
        return self.world.current

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

    def close(self) -> None:
        """Let go of its file descriptor; the thread has ended, and nobody is woken any more."""
        with self.lock:
            os.close(self._wake_fd)
            self._wake_fd = -1

    def add(self, vgpu: Vgpu) -> None:
        """A vGPU's client has come."""
        with self.lock:
            now = self.clock()
            self.policy.add(vgpu.index, vgpu.weight, now)
            self.policy.set_cap(vgpu.index, vgpu.cap, now)
            self._vgpus[vgpu.index] = vgpu

    def remove(self, vgpu: Vgpu) -> None:
        """A vGPU's client has gone: nothing of it stays on the hardware. Its lock is held."""
        with self.lock:
            self.withdraw(vgpu)
            if self._vgpus.pop(vgpu.index, None) is not None:
                self.policy.remove(vgpu.index)
        self.wake()

    def set_share(self, vgpu: Vgpu, weight: int, cap: float) -> None:
        """From now on ``vgpu`` is due ``weight`` parts, and at most ``cap`` of all time.

        Raises ValueError, with nothing changed, for a weight below 1 or a cap not in (0, 1].
        """
        checked_weight(weight)
        checked_cap(cap)
        with self.lock:
            if self._vgpus.get(vgpu.index) is vgpu:
                if self.world.current is vgpu:
                    self._charge(vgpu)  # what it used so far counts under the old cap
                self.policy.set_weight(vgpu.index, weight)
                self.policy.set_cap(vgpu.index, cap, self.clock())
                if self.world.current is vgpu and not self.world.ending:
                    self.world.deadline_ns = self._granted_until = self.clock()
            vgpu.weight, vgpu.cap = weight, cap
        self.wake()

    def lose_work(self, vgpu: Vgpu, reason: str) -> None:
        """Every engine that has work of ``vgpu`` stands as after a hang; its lock is held."""
        with self.lock:
            on_hardware = self.world.current is vgpu
            for name, engine in vgpu.engines.items():
                if engine.has_work:
                    engine.lose(reason)
                    if on_hardware and not self.world.ports[name].free:
                        self.world.reset_engine(vgpu, name)
            if on_hardware:
                self.world.settle(vgpu)
        self.wake()

    def gpu_ns(self, vgpu: Vgpu) -> int:
        """Time for which ``vgpu`` has had the GPU, up to now. Any thread."""
        with self.lock:
            since = self._busy_since if self.world.current is vgpu else None
            return vgpu.counters.gpu_ns + (0 if since is None else self.clock() - since)

    def busy_ns(self) -> int:
        """Time for which anybody has had the GPU, up to now. Any thread."""
        with self.lock:
            since = self._busy_since
            return self.counters.busy_ns + (0 if since is None else self.clock() - since)

    def withdraw(self, vgpu: Vgpu) -> None:
        """Take a vGPU off the hardware at once, its work lost; its lock is held."""
        with self.lock:
            if self.world.current is vgpu:
                self.world.withdraw(vgpu)
            self.world.installed.forget(vgpu.ggtt)

    def expel(self, vgpu: Vgpu, timeout_s: float) -> None:
        """Take a parked vGPU off the hardware, its contexts kept. Raises TimeoutError."""
        with vgpu.memory.using(), vgpu.lock, self.lock:
            if self.world.current is vgpu and not self.world.ending:
                self.world.end(vgpu)
        self.wake()
        with self.lock:
            if not self.world.left.wait_for(lambda: self.world.current is not vgpu, timeout_s):
                raise TimeoutError(f"{vgpu.name} did not leave the hardware in {timeout_s} s")

    # -- what virtual engines ask; the vGPU's lock is held ----------------------------------------

    def submit(self, vgpu: Vgpu, name: str) -> None:
        """Engine ``name`` of ``vgpu`` has a new pending list."""
        with self.lock:
            now = self.clock()
            self.policy.arrive(vgpu.index, now)
            if self.world.current is None and vgpu.has_work and not self._others_wait(vgpu):
                self._enter_first(vgpu, now)
            elif self.world.current is vgpu and not self.world.ending:
                if vgpu.cap < 1 and not self._may_go_on(vgpu, now):
                    self.world.end(vgpu)
                else:
                    self._note_busy(now)
                    self.world.feed(vgpu, name)
            if vgpu.cap < 1 or self.world.current is not vgpu or self._others_wait(vgpu):
                self.wake()

    def runs(self, vgpu: Vgpu, name: str) -> bool:
        """Whether the hardware's engine has a context of ``vgpu`` now."""
        return self.world.current is vgpu and self.world.ports[name].has_guest

    def holds(self, vgpu: Vgpu, name: str) -> bool:
        """Whether the hardware's engine may have a context of ``vgpu``."""
        return self.world.current is vgpu and not self.world.ports[name].free

    def stands(self, vgpu: Vgpu, name: str) -> bool:
        """Whether the engine executes nothing of ``vgpu``."""
        if not self.runs(vgpu, name):
            return True
        mode = self.host.engines[name].read(reg.RING_MI_MODE)
        return bool(mode & reg.MI_MODE_IDLE)

    def stop_engine(self, vgpu: Vgpu, name: str) -> None:
        """Hold the ring of an engine."""
        with self.lock:
            if self.world.current is vgpu and not self.world.ending:
                self.host.engines[name].stop()

    def resume_engine(self, vgpu: Vgpu, name: str) -> None:
        """Let the ring of an engine go on."""
        with self.lock:
            if self.world.current is vgpu:
                self.host.engines[name].resume()
                if not self.world.ending:
                    self.world.feed(vgpu, name)
        self.wake()

    def reset_engine(self, vgpu: Vgpu, name: str) -> None:
        """Drop what ``vgpu`` has on an engine."""
        with self.lock:
            if self.world.current is not vgpu:
                return
            port = self.world.ports[name]
            if not port.free or vgpu.engines[name].state.stopped:
                self.world.reset_engine(vgpu, name)
            self.world.refresh_registers(vgpu)
            self.world.settle(vgpu)

    def note_switched(self, vgpu: Vgpu, offset: int, value: int) -> None:
        """A switched register of ``vgpu`` has a new virtual value."""
        with self.lock:
            if self.world.current is vgpu:
                self.world.put_register(offset, value)

    def charge_audit(self, vgpu: Vgpu, used_ns: int) -> None:
        """So long others waited for work done for ``vgpu``: it counts as use of the GPU."""
        with self.lock:
            if vgpu.index in self._vgpus:
                self.policy.charge(vgpu.index, used_ns, self.clock())

    def note_mask(self, vgpu: Vgpu, name: str, mask: int) -> None:
        """RING_IMR of a virtual engine has changed."""
        with self.lock:
            if self.world.current is vgpu:
                self.host.engines[name].set_user_mask(mask)

    def install(self, vgpu: Vgpu, page: int, entries: bytes) -> None:
        """Hardware GGTT entries of a guest have changed."""
        with self.lock:
            if not vgpu.private_ggtt:
                self.world.installed.write_resident(page, entries)
            elif self.world.current is vgpu:
                self.world.installed.write(page, entries)

    # -- worlds -----------------------------------------------------------------------------------

    def _enter_first(self, vgpu: Vgpu, now: int) -> None:
        """Nobody else has work: enter from the trap. A failure of ours is not the guest's."""
        chosen = self.policy.pick({vgpu.index}, now)
        if chosen is None or isinstance(chosen, Idle):
            return
        try:
            self._enter(vgpu, now, chosen)
        except Exception:  # noqa: BLE001 - our bug; the dispatcher's thread tries again
            _LOG.exception("%s could not be given the hardware", vgpu.name)
            self.wake()

    def _enter(self, vgpu: Vgpu, now: int, chosen: Slice) -> None:
        """Begin the slice that the policy has chosen at ``now``; the switch is part of it."""
        self._granted_until = now + chosen.length_ns
        self.world.enter(vgpu, self._granted_until)
        self._note_busy(now)

    def _may_go_on(self, vgpu: Vgpu, now: int) -> bool:
        """New work of a vGPU that has a cap, in its own world: may it still run?

        A vGPU with short requests is idle between them, so that no slice of it ever ends.
        """
        if now < self._granted_until:
            return True
        self._charge(vgpu)
        return self._renew(vgpu, now)

    def _renew(self, vgpu: Vgpu, now: int) -> bool:
        """The slice of the current vGPU is over: does it stay, for the next one or without work?"""
        chosen = self.policy.pick(self._ready(), now)
        if isinstance(chosen, Idle) and chosen.kept_for == vgpu.index:
            self.world.deadline_ns = self._idle_until = chosen.until_ns
            return True
        if not isinstance(chosen, Slice) or chosen.vgpu != vgpu.index:
            return False
        self.world.deadline_ns = self._granted_until = now + chosen.length_ns
        return True

    def _ready(self) -> set[int]:
        """Numbers of the vGPUs with work."""
        return {vgpu.index for vgpu in self._vgpus.values() if vgpu.has_work}

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
            self.counters.busy_ns += used
            self.policy.charge(vgpu.index, used, now)
            self._busy_since = None
        if self.world.busy:
            self._busy_since = now

    def _account_leaving(self, vgpu: Vgpu) -> None:
        self._charge(vgpu)
        self.wake()

    def _note_idle(self, vgpu: Vgpu) -> None:
        """Time in which the hardware has nothing to do is nobody's."""
        world = self.world
        idle = world.current is vgpu and not vgpu.has_work and not world.has_guest
        if idle and self._busy_since is not None:
            self._charge(vgpu)

    # -- the thread -------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have the thread look again whose turn it is."""
        with self.lock:
            if self._wake_fd >= 0:  # else somebody is late, and the number may be another file's
                os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self.host.gpu.interrupt_fd, select.POLLIN)
        poller.register(self._wake_fd, select.POLLIN)
        while not self._exit:
            self._sleep(poller)
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - our bug; the others' work must go on
                _LOG.exception("the dispatcher failed; the current vGPU is reset")
                self._expel_safely()

    def _sleep(self, poller: select.poll) -> None:
        """Until there is something to look at."""
        patience_ms, began = self._patience_ms(), self.clock()
        for fd, _ in poller.poll(patience_ms):
            if fd == self._wake_fd:  # the other is emptied where interrupts are taken
                os.eventfd_read(fd)
        late_ns = self.clock() - began - round(patience_ms * 1e6)
        if late_ns > 0:
            with self.lock:
                self.world.note_late(late_ns)

    def _patience_ms(self) -> float:
        world = self.world
        if self._idle_until:
            ends = self._idle_until
        elif world.current is not None and (world.ending or self._busy_since is not None):
            ends = world.deadline_ns
        else:
            return _LONGEST_POLL_MS
        longest_ms = _ENDING_POLL_MS if world.ending else _LONGEST_POLL_MS
        return min(max((ends - self.clock()) / 1e6, 0.0), longest_ms)

    def _others_wait(self, vgpu: Vgpu) -> bool:
        return any(v is not vgpu and v.has_work for v in list(self._vgpus.values()))

    def _turn(self) -> None:
        """Serve the hardware's interrupts, then see whose turn it is."""
        vgpu = self.world.current
        if vgpu is None:
            with self.lock:
                if self.world.current is None:
                    self.host.take_interrupts()
                else:
                    self.wake()
        else:
            memory = vgpu.memory
            with memory.using(), vgpu.lock:
                with self.lock:
                    if self.world.current is vgpu and memory is vgpu.memory:
                        with vgpu.holding_line():
                            self.world.serve(vgpu)
                        self._note_idle(vgpu)
                        self._consider(vgpu)
                    else:
                        self.wake()
                if memory is vgpu.memory:
                    self.world.build(vgpu)  # others may have the lock meanwhile
        if self.world.current is None:
            self._choose()

    def _consider(self, vgpu: Vgpu) -> None:
        """Does the current vGPU keep the hardware?"""
        self._idle_until = 0
        if self.world.current is not vgpu:
            return
        now = self.clock()
        if self.world.ending:
            if now >= self.world.deadline_ns:
                self._lose_patience(vgpu)
            return
        works = vgpu.has_work
        if works and now < self.world.deadline_ns:
            return
        if not self._ready():  # what is on the hardware stands: look again, but not at once
            self.world.deadline_ns = now + _LOOK_AGAIN_NS
            return
        if works:
            self._charge(vgpu)
        if not self._renew(vgpu, now):
            self.world.end(vgpu)

    def _lose_patience(self, vgpu: Vgpu) -> None:
        """The watchdog; a cap alone is no reason to lose work: who overruns it pays it back."""
        if vgpu.cap == 1 or vgpu.parked or self._others_wait(vgpu):
            if not self.world.forgive_lateness():
                self.world.take_off(vgpu)
        else:
            self.world.be_patient()

    def _choose(self) -> None:
        """Nobody has the hardware: who gets it?

        One whose locks are held (a long audit, a change of its memory map) is passed over for the
        moment: the others do not wait for what is done for it. That it was waited for is its own.
        """
        occupied: list[int] = []
        while True:
            with self.lock:
                ready = self._ready().difference(occupied)
                chosen = self.policy.pick(ready, self.clock(), occupied)
                again_ns = self.clock() + _LOOK_AGAIN_NS if occupied else 0
                self._idle_until = chosen.until_ns if isinstance(chosen, Idle) else again_ns
                vgpu = self._vgpus.get(chosen.vgpu) if isinstance(chosen, Slice) else None
            if not isinstance(chosen, Slice) or vgpu is None:
                return
            began = self.clock()
            with attending(vgpu, self.lock) as attends:
                if attends:
                    self._begin(vgpu, chosen)
                    return
            self.charge_audit(vgpu, self.clock() - began)
            occupied.append(vgpu.index)

    def _begin(self, vgpu: Vgpu, chosen: Slice) -> None:
        """Give ``vgpu``, whose locks are held, the hardware if all is still as it was."""
        if self._vgpus.get(vgpu.index) is not vgpu:
            self.wake()
        elif self.world.current is None and vgpu.has_work:
            self._enter(vgpu, self.clock(), chosen)

    def _expel_safely(self) -> None:
        try:
            self._expel()
        except Exception:  # noqa: BLE001 - as above: the thread serves everybody
            _LOG.exception("the current vGPU could not be taken off the hardware")

    def _expel(self) -> None:
        """After a failure of ours: the current vGPU loses what it had on the hardware."""
        vgpu = self.world.current
        if vgpu is None:
            return
        with vgpu.memory.using(), vgpu.lock, self.lock:
            if self.world.current is not vgpu:
                return
            for name in self.world.ports:
                if vgpu.engines[name].has_work or not self.world.ports[name].free:
                    vgpu.engines[name].state.hung = "internal error"
                if not self.world.ports[name].free or self.world.ports[name].used:
                    self.world.reset_engine(vgpu, name)
            self.world.leave(vgpu)
