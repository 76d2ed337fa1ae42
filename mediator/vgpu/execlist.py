"""A virtual engine's execution lists: what its guest submitted, and what the guest is told of it.

Pure state: no memory, no registers, no clock. The hardware's events say when something happens;
this file says which status a guest sees of it, so that sequences are those of a GPU of its own.
Source: PRM SKL vol 3 "Execlists"; Linux i915 gen8_csb_parse, which takes IDLE_TO_ACTIVE or
PREEMPTED as the acknowledge of one submission and anything else as the end of an element.
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

NO_SLOT = -1
_SWITCH_REASONS = 0x1FF


@dataclass
class Element:
    """One submitted context."""

    descriptor: int
    """64 bits, as the guest wrote it."""
    slot: int = NO_SLOT
    """The shadow that runs in its place; NO_SLOT: there is none yet."""
    must_leave: bool = False
    """Its context has a shadow that cannot go on: first that has to leave the hardware."""
    refused: str = ""
    """Why it cannot run; empty when it can."""
    refused_command: int = 0
    """First dword of the command for which it was refused."""
    refused_at: int = 0
    """Byte of the ring at which that command stands."""
    submitted_ns: int = 0
    """When it was submitted, until it first reaches the hardware; then 0."""
    admitted_ns: int = 0
    """When it was submitted; 0: not known, since it comes from elsewhere."""
    started_ns: int = 0
    """When it first reached the hardware; 0: it has not."""
    requests: int = 0
    """Submissions that it stands for: its own, and those of the same context that it took over."""

    @property
    def lrca(self) -> int:
        """GGTT address of its context."""
        return self.descriptor & DESCRIPTOR_LRCA_MASK

    @property
    def context_id(self) -> int:
        """Upper dword: what status entries say."""
        return self.descriptor >> 32

    def same_context(self, other: Element) -> bool:
        """Whether both name the same context: then the hardware only reloads the tail."""
        return self.lrca == other.lrca and self.context_id == other.context_id

    def forget_here(self) -> None:
        """It goes to another process or host, whose shadows and clock are others."""
        self.slot, self.must_leave = NO_SLOT, False
        self.submitted_ns = self.admitted_ns = self.started_ns = 0

    def take_over(self, other: Element) -> None:
        """This one ends when ``other``, of the same context, would have ended too."""
        self.requests, other.requests = self.requests + other.requests, 0
        self.admitted_ns = min(self.admitted_ns, other.admitted_ns) or self.admitted_ns
        self.started_ns = self.started_ns or other.started_ns


@dataclass
class Execlists:
    """Submission port, lists and status buffer of one virtual engine."""

    written: list[int] = field(default_factory=list)
    """Dwords of a submission that is not complete, oldest first."""
    pending: list[Element] = field(default_factory=list)
    """Submitted, not yet acknowledged to the guest."""
    active: list[Element] = field(default_factory=list)
    """The running list as the guest knows it."""
    element: int = 0
    """Index in ``active`` of what runs."""
    entries: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * CSB_ENTRIES)
    """Status buffer: event bits, context id."""
    write_pointer: int = CSB_RESET_POINTER
    read_pointer: int = CSB_RESET_POINTER
    last_reason: int = 0

    @property
    def current(self) -> Element | None:
        """What runs, or would while another vGPU has the hardware."""
        return self.active[self.element] if self.active else None

    @property
    def rest(self) -> list[Element]:
        """What runs and what follows it."""
        return self.active[self.element :]

    @property
    def elements(self) -> list[Element]:
        """Everything that may still run."""
        return self.rest + self.pending

    @property
    def empty(self) -> bool:
        """There are no `elements`: of a running list there always is one left."""
        return not (self.active or self.pending)

    def take_port(self, value: int) -> list[Element] | None:
        """One dword of the submission port; the elements once the fourth is there.

        In the order of execution; elements that are not valid are left out.
        """
        found = self.completed_by(value)
        self.keep(value, complete=found is not None)
        return found

    def keep(self, value: int, *, complete: bool) -> None:
        """One dword of the submission port: the fourth, if it is ``complete`` with it."""
        if complete:
            self.written = []
        else:
            self.written.append(value)

    def completed_by(self, value: int) -> list[Element] | None:
        """What `take_port` would give for this dword."""
        if len(self.written) < ELSP_DWORDS - 1:
            return None
        high1, low1, high0 = self.written
        pair = (high0 << 32 | value, high1 << 32 | low1)
        return [Element(each) for each in pair if each & Descriptor.VALID]

    def promote(self) -> tuple[int, int]:
        """An idle engine takes the pending list: its status entry."""
        self._take_pending()
        return self._record(Event.IDLE_TO_ACTIVE, 0)

    def preempt(self, *, lite: bool) -> tuple[int, int]:
        """The running list gives way to the pending one; ``lite``: its context goes on.

        Submissions of contexts that are in both lists go over to the new one.
        """
        outgoing = self._current_id()
        for element in self.rest:
            for follower in self.pending:
                if follower.same_context(element):
                    follower.take_over(element)
        self._take_pending()
        reason = Event.PREEMPTED | Event.LITE_RESTORE if lite else Event.PREEMPTED
        return self._record(reason, outgoing)

    def complete(self) -> tuple[int, int]:
        """The running context drained its ring."""
        return self._end(Event.CONTEXT_COMPLETE)

    def wait(self) -> tuple[int, int]:
        """The running context waits for a semaphore and lets the next element run."""
        return self._end(Event.WAIT_SEMAPHORE)

    def status(self) -> tuple[int, int]:
        """EXECLIST_STATUS, low and high dword."""
        low = self.last_reason << STATUS_SWITCH_REASON_SHIFT | Status.ARBITRATION_ENABLED
        if self.pending:
            low |= Status.QUEUE_FULL | Status.LIST_1_VALID
        current = self.current
        if current is None:
            return low, 0
        low |= Status.LIST_0_VALID | Status.LIST_0_ACTIVE
        return low | (self.element + 1) << STATUS_ACTIVE_ELEMENT_SHIFT, current.context_id

    def _end(self, reason: Event) -> tuple[int, int]:
        outgoing = self._current_id()
        if self.element + 1 < len(self.active):
            self.element += 1
            return self._record(reason | Event.ELEMENT_SWITCH, outgoing)
        self.active, self.element = [], 0
        return self._record(reason | Event.ACTIVE_TO_IDLE, outgoing)

    def _current_id(self) -> int:
        current = self.current
        assert current is not None, "no element runs"
        return current.context_id

    def _take_pending(self) -> None:
        self.active, self.pending, self.element = self.pending, [], 0

    def _record(self, event: int, context_id: int) -> tuple[int, int]:
        entry = (int(event), context_id)
        self.write_pointer = (self.write_pointer + 1) % CSB_ENTRIES
        self.entries[self.write_pointer] = entry
        self.last_reason = int(event) & _SWITCH_REASONS
        return entry
