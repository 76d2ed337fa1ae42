"""Execution lists of one engine: what is submitted, what runs, and which events that makes.

Pure state: no memory, no registers, no clock. `engine.py` moves the contexts and writes the
events; this file decides which element is current and what the status buffer says of it.
Implements PRM SKL vol 3 "Execlists" as i915's CSB parser expects it: each submission is
acknowledged by exactly one event with IDLE_TO_ACTIVE or PREEMPTED.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mediator.gen9.execlist import (
    CSB_ENTRIES,
    CSB_RESET_POINTER,
    DESCRIPTOR_LRCA_MASK,
    ELSP_DWORDS,
    STATUS_ACTIVE_ELEMENT_SHIFT,
    STATUS_SWITCH_REASON_SHIFT,
    Descriptor,
    Event,
    Status,
)

_SWITCH_REASON_MASK = 0x1FF

# Plain numbers: this is on the way of every request, and enumerations make new members each time.
_VALID = int(Descriptor.VALID)
_FORCE_RESTORE = int(Descriptor.FORCE_RESTORE)
_IDLE_TO_ACTIVE = int(Event.IDLE_TO_ACTIVE)
_PREEMPTED = int(Event.PREEMPTED)
_LITE_RESTORE = int(Event.LITE_RESTORE | Event.PREEMPTED)
_ELEMENT_SWITCH = int(Event.ELEMENT_SWITCH)
_ACTIVE_TO_IDLE = int(Event.ACTIVE_TO_IDLE)
_CONTEXT_COMPLETE = int(Event.CONTEXT_COMPLETE)
_WAIT_SEMAPHORE = int(Event.WAIT_SEMAPHORE)


@dataclass
class ContextStatus:
    """One context status buffer entry: event bits and the context id it is about."""

    event: int
    context_id: int


def lrca(descriptor: int) -> int:
    """GGTT address of the context image that ``descriptor`` (64 bit) names."""
    return descriptor & DESCRIPTOR_LRCA_MASK


def context_id(descriptor: int) -> int:
    """Upper dword of ``descriptor``: reported verbatim in status entries."""
    return descriptor >> 32


@dataclass
class Execlists:
    """Submission port, the running list and the status buffer. Serialisable as it stands."""

    written: list[int] = field(default_factory=list)
    """ELSP dwords of a submission that is not complete yet, oldest first."""
    pending: list[int] = field(default_factory=list)
    """Submitted descriptors that wait for promotion; empty = none."""
    active: list[int] = field(default_factory=list)
    """The running list; empty = idle."""
    element: int = 0
    """Index into ``active`` of the element that runs."""
    write_pointer: int = CSB_RESET_POINTER
    read_pointer: int = CSB_RESET_POINTER
    entries: list[ContextStatus] = field(
        default_factory=lambda: [ContextStatus(0, 0) for _ in range(CSB_ENTRIES)]
    )
    last_reason: int = 0
    overruns: int = 0
    """Submissions dropped because one was already waiting (the guest broke the rules)."""

    @property
    def current(self) -> int | None:
        """Descriptor of the running element, None when idle."""
        return self.active[self.element] if self.active else None

    def write_elsp(self, value: int) -> bool:
        """Take one ELSP dword; True when it completed a submission that is now pending."""
        self.written.append(value)
        if len(self.written) < ELSP_DWORDS:
            return False
        high1, low1, high0, low0 = self.written
        self.written = []
        if self.pending:
            self.overruns += 1
            return False
        pair = (high0 << 32 | low0, high1 << 32 | low1)
        self.pending = [d for d in pair if d & _VALID]
        return bool(self.pending)

    def promote(self) -> ContextStatus:
        """Idle engine takes the pending list."""
        self._take_pending()
        return self._record(_IDLE_TO_ACTIVE, 0)

    def is_lite_restore(self) -> bool:
        """Does the pending list start with the very context that runs?"""
        current = self.current
        if current is None or not self.pending:
            return False
        first = self.pending[0]
        same = lrca(first) == lrca(current) and context_id(first) == context_id(current)
        return same and not first & _FORCE_RESTORE

    def lite_restore(self) -> ContextStatus:
        """The running context goes on as first element of the pending list."""
        identity = self._current_id()
        self._take_pending()
        return self._record(_LITE_RESTORE, identity)

    def preempt(self) -> ContextStatus:
        """The running list gives way to the pending one."""
        identity = self._current_id()
        self._take_pending()
        return self._record(_PREEMPTED, identity)

    def complete(self) -> ContextStatus:
        """The running context drained its ring: next element, or idle."""
        identity = self._current_id()
        return self._record(_CONTEXT_COMPLETE | self._advance(), identity)

    def yield_element(self) -> ContextStatus:
        """The running context waits on a semaphore and lets the next element run."""
        identity = self._current_id()
        return self._record(_WAIT_SEMAPHORE | self._advance(), identity)

    def has_next(self) -> bool:
        """Is there an element after the current one?"""
        return self.element + 1 < len(self.active)

    def status(self, *, arbitration: bool) -> tuple[int, int]:
        """EXECLIST_STATUS (low, high)."""
        low = self.last_reason << STATUS_SWITCH_REASON_SHIFT
        if arbitration:
            low |= Status.ARBITRATION_ENABLED
        if self.pending:
            low |= Status.QUEUE_FULL | Status.LIST_1_VALID
        current = self.current
        if current is None:
            return low, 0
        low |= Status.LIST_0_VALID | Status.LIST_0_ACTIVE
        low |= (self.element + 1) << STATUS_ACTIVE_ELEMENT_SHIFT
        return low, context_id(current)

    def _current_id(self) -> int:
        current = self.current
        assert current is not None, "no element runs"
        return context_id(current)

    def _take_pending(self) -> None:
        self.active, self.pending, self.element = self.pending, [], 0

    def _advance(self) -> int:
        if self.has_next():
            self.element += 1
            return _ELEMENT_SWITCH
        self.active, self.element = [], 0
        return _ACTIVE_TO_IDLE

    def _record(self, event: int, identity: int) -> ContextStatus:
        status = ContextStatus(event, identity)
        self.write_pointer = (self.write_pointer + 1) % CSB_ENTRIES
        self.entries[self.write_pointer] = status
        self.last_reason = event & _SWITCH_REASON_MASK
        return status
