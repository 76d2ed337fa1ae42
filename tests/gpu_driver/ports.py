"""What stands in an engine's execution list ports, driven by its status buffer as i915 does it.

i915's rule (gen8_csb_parse): an event with IDLE_TO_ACTIVE or PREEMPTED promotes the list that was
written last, any other event completes the element that runs. Nothing is written while a list waits
for its promotion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.gpu_driver.context import Context
from tests.gpu_driver.memory import Ram

CSB_ENTRIES = 6
RESET_POINTER = CSB_ENTRIES - 1
HWSP_BUFFER = 0x40
HWSP_POINTER = 0x7C
_PROMOTES = 0b11
_NOT_WRITTEN = 0xFFFF_FFFF


class StatusError(AssertionError):
    """Events that no driver expects: i915 would reset the engine."""


@dataclass
class Ports:
    """One engine. ``write`` puts one or two contexts into the submission port."""

    ram: Ram
    write: Callable[[Context, Context | None], None]
    page: int = 0
    """Guest address of the engine's status page."""
    queue: list[Context] = field(default_factory=list)
    """Contexts with work that wait for a port, first come first."""
    pending: list[Context] = field(default_factory=list)
    active: list[Context] = field(default_factory=list)
    history: list[tuple[int, int]] = field(default_factory=list)
    """Every (event, context id) so far."""
    _read: int = RESET_POINTER

    @property
    def idle(self) -> bool:
        return not (self.queue or self.pending or self.active)

    def add(self, context: Context) -> None:
        """``context`` has work: run it when its turn comes, before what is less urgent."""
        self.queue = _once((*self.queue, context))
        self._dequeue()

    def process(self) -> list[tuple[int, int]]:
        """Take in new events, and write what may run now; the new (event, context id)."""
        found = []
        pointer = self.ram.read_u32(self.page + HWSP_POINTER) & 7
        while self._read != pointer:
            self._read = (self._read + 1) % CSB_ENTRIES
            at = self.page + HWSP_BUFFER + 8 * self._read
            event, identity = self.ram.read_u32(at), self.ram.read_u32(at + 4)
            if event == _NOT_WRITTEN:
                raise StatusError(f"the pointer names entry {self._read}, which is not written")
            self.ram.write_u32(at, _NOT_WRITTEN, _NOT_WRITTEN)
            found.append((event, identity))
            self._take(event, identity)
        self.history += found
        self._dequeue()
        return found

    def reset(self) -> list[Context]:
        """The engine was reset: the status buffer is as new; what stood in the ports."""
        self._read = RESET_POINTER
        self.ram.write_u32(self.page + HWSP_POINTER, RESET_POINTER)
        for entry in range(2 * CSB_ENTRIES):
            self.ram.write_u32(self.page + HWSP_BUFFER + 4 * entry, _NOT_WRITTEN)
        unwound = _once((*self.active, *self.pending))
        self.active, self.pending = [], []
        return unwound

    def _take(self, event: int, identity: int) -> None:
        if event & _PROMOTES:
            if not self.pending:
                raise StatusError(f"event {event:#x} of {identity:#x} promotes nothing")
            self.active, self.pending = self.pending, []
            return
        if not self.active:
            raise StatusError(f"event {event:#x} of {identity:#x} completes nothing")
        done = self.active.pop(0)
        if done.reported != identity:
            raise StatusError(f"event {event:#x} of {identity:#x}, expected {done.reported:#x}")

    def _dequeue(self) -> None:
        """As i915: nothing while a list waits; with two that run, only what is more urgent."""
        if self.pending or not self.queue:
            return
        most = max(context.priority for context in self.queue)
        preempt = bool(self.active) and most > self.active[0].priority
        if len(self.active) > 1 and not preempt:
            return
        candidates = _once((*self.active, *self.queue))
        ports = sorted(candidates, key=lambda context: -context.priority)[:2]
        left = candidates if preempt else self.queue
        self.queue = [c for c in left if not any(c is port for port in ports)]
        self.pending = ports
        self.write(ports[0], ports[1] if len(ports) > 1 else None)


def _once(contexts: Iterable[Context]) -> list[Context]:
    """Each context where it comes first."""
    return list({id(context): context for context in contexts}.values())
