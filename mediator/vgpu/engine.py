"""One virtual engine: the submission port, what its guest sees of its lists, stop and reset.

The way of one request: the fourth ELSP dword (`write_elsp`) -> each context becomes a shadow
(`workload/workload.py`) -> `dispatcher.submit`. Back: the dispatcher tells `promoted`,
`preempted` or `ended`, and the guest finds the status entry in its status page and an interrupt.
Every method is called with the vGPU's lock held.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediator.errors import Reason, Unfinished
from mediator.gen9 import registers as reg
from mediator.gen9.context_image import STATE_OFFSET, ImageIndex
from mediator.gen9.execlist import (
    CSB_ENTRIES,
    HWSP_CSB_OFFSET,
    HWSP_CSB_WRITE_POINTER_OFFSET,
    Descriptor,
)
from mediator.gen9.interrupts import EngineInterrupt
from mediator.port import Load
from mediator.vgpu.admission import admit
from mediator.vgpu.execlist import NO_SLOT, Element, Execlists
from mediator.vgpu.ggtt import GgttFault
from mediator.vgpu.interrupt import raise_engine_event, raise_engine_events
from mediator.vgpu.metrics import EngineCounters, Failure
from mediator.vgpu.mmio_table import ENGINE_ROWS
from mediator.workload.workload import Workloads
from mmio_trap.guest_memory import GuestAddressError

if TYPE_CHECKING:
    from mediator.errors import GuestError
    from mediator.gen9.engines import EngineFacts
    from mediator.vgpu.vgpu import Vgpu
    from mediator.workload.slot import Slot

_PAGE_MASK = ~0xFFF
_SHOWN = (
    (reg.RING_HEAD, ImageIndex.RING_HEAD),
    (reg.RING_TAIL, ImageIndex.RING_TAIL),
    (reg.RING_START, ImageIndex.RING_START),
    (reg.RING_CTL, ImageIndex.RING_CTL),
)
"""Ring registers of a context that never got to the hardware, and where its image has them."""
SNAPSHOT = (
    reg.RING_IPEIR,
    reg.RING_IPEHR,
    reg.RING_INSTDONE,
    reg.RING_INSTPS,
    reg.RING_EIR,
)
"""What error capture reads of an engine that hangs, as hardware left it."""


@dataclass
class EngineState:
    """What a virtual engine is beside its registers."""

    lists: Execlists = field(default_factory=Execlists)
    stopped: bool = False
    """MI_MODE or RESET_CTL hold the ring."""
    hung: str = ""
    """Why the engine stands until its guest resets it; empty: it does not."""
    lost: bool = False
    """The hardware no longer has the context that hangs: it was reset for the sake of others."""
    stands_at: int = 0
    """ACTHD of a context that the hardware no longer has."""
    stands_at_head: int = 0
    """RING_HEAD of the same."""
    stands_in_batches: list[int] = field(default_factory=lambda: [0, 0])
    """BB_ADDR and SBB_ADDR of the same, bit 0 set while active."""
    stands_in_ppgtt: bool = False
    """BB_STATE of the same."""


class VirtualEngine:
    """One engine as its guest sees it."""

    def __init__(self, vgpu: Vgpu, facts: EngineFacts) -> None:
        self.vgpu = vgpu
        self.facts = facts
        self.name = facts.name
        self.state = EngineState()
        self.workloads = Workloads(vgpu, facts)

    @property
    def lists(self) -> Execlists:
        """Execution lists and status buffer."""
        return self.state.lists

    @property
    def counters(self) -> EngineCounters:
        """What it did."""
        return self.vgpu.counters.engines[self.name]

    @property
    def has_work(self) -> bool:
        """There is something that the hardware could do."""
        state = self.state
        return not (state.lists.empty or state.hung or state.stopped)

    @property
    def must_leave(self) -> bool:
        """A list waits until the running one has left the hardware: see `Element`."""
        lists = self.lists
        return bool(lists.pending) and any(element.must_leave for element in lists.elements)

    # -- submission --------------------------------------------------------------------------

    def write_elsp(self, value: int) -> None:
        """A dword of the execution list submission port.

        Raises Unfinished, and nothing has changed, where more is to be prepared than should be at
        once.
        """
        vgpu, lists = self.vgpu, self.lists
        elements = lists.completed_by(value)
        if elements is not None and not lists.pending:
            self.workloads.prepare(elements)
        lists.keep(value, complete=elements is not None)
        if not elements:
            return
        vgpu.counters.submissions += 1
        if lists.pending:
            vgpu.reject(Reason.SUBMISSION, f"{self.name}: a list already waits", engine=self.name)
            return
        lists.pending = elements
        admit(self, elements)
        vgpu.dispatcher.submit(vgpu, self.name)

    def next_list(self) -> tuple[list[Element], Load]:
        """What the hardware, which has nothing of this engine, gets; each with a shadow or refused.

        The rest of the running list, unless the pending one has to take its place first.
        """
        lists = self.lists
        if lists.active:
            if self.must_leave:
                self.gave_way()
            self.build_missing(lists.rest)  # may have the pending list take its place too
            return lists.rest, Load.RESUMED
        self.build_missing(lists.pending)
        return lists.pending, Load.GUEST

    def build_missing(self, elements: list[Element]) -> None:
        """Give shadows to elements that have none, and whose contexts the hardware does not have.

        Those of a vGPU loaded from elsewhere, and those that waited for their context to leave.
        """
        missing = [e for e in elements if e.slot == NO_SLOT and not e.refused]
        if missing:
            if not all(e.admitted_ns for e in missing):
                self._prepare_at_once(missing)  # it comes from elsewhere and has all to do
            admit(self, elements)

    def _prepare_at_once(self, elements: list[Element]) -> None:
        while True:
            try:
                return self.workloads.prepare(elements)
            except Unfinished:
                continue

    def refuse_element(self, element: Element, error: GuestError) -> None:
        """A context that was submitted cannot run: the engine will stand when it is its turn."""
        self.vgpu.reject(error.reason, f"{self.name}: {error.text}", engine=self.name)
        self._fail([element], Failure.REFUSED)
        element.refused, element.refused_command = str(error), error.command
        element.refused_at, element.must_leave = error.offset or 0, False

    def roots(self) -> set[int]:
        """Guest physical addresses of the page tables that its shadows use."""
        slots = self.workloads.slots
        return {slots[e.slot].pml4 for e in self.lists.elements if e.slot != NO_SLOT}

    # -- what the dispatcher tells -------------------------------------------------------------

    def promoted(self) -> None:
        """The pending list began to run on an idle engine."""
        self._report(self.lists.promote())

    def preempted(self, *, lite: bool) -> None:
        """The pending list took the place of the running one."""
        if not lite:
            self._carry_back()
        self._give_place(lite=lite)

    def gave_way(self) -> None:
        """The pending list, whose shadows could not go on, takes the place of the running one.

        The hardware has nothing of either. The guest sees the event that hardware would give.
        """
        first, current = self.lists.pending[0], self.lists.current
        assert current is not None, "something had the shadow"
        self._carry_back()
        forced = first.descriptor & Descriptor.FORCE_RESTORE
        self._give_place(lite=not forced and first.same_context(current))

    def _give_place(self, *, lite: bool) -> None:
        outgoing = self.lists.rest
        status = self.lists.preempt(lite=lite)
        self.counters.preempted += sum(element.requests for element in outgoing)
        self._report(status)

    def ended(self, *, waits: bool) -> None:
        """The running context drained its ring, or ``waits`` on a semaphore."""
        self._carry_back()
        self._count_end(waits=waits)
        self._report(self.lists.wait() if waits else self.lists.complete())

    def _count_end(self, *, waits: bool) -> None:
        element, counters, now = self.lists.current, self.counters, self.vgpu.clock()
        if element is None:
            return
        if waits:
            counters.preempted += element.requests
        else:
            counters.completed += element.requests
            if element.admitted_ns:
                counters.latency.record(now - element.admitted_ns)
        if self.vgpu.trace is not None and element.started_ns:
            name = f"request of context {element.context_id:#x}"
            detail = "waits for a semaphore" if waits else ""
            self.vgpu.note(self.name, name, element.started_ns, now - element.started_ns, detail)

    def _fail(self, elements: list[Element], why: Failure) -> None:
        for element in elements:
            self.counters.fail(why, element.requests)
            element.requests = 0

    def drop(self, why: Failure) -> None:
        """Count what is in the lists as failed: they are about to go."""
        current = self.lists.current
        if current is not None and self.state.hung and why is Failure.RESET:
            self._fail([current], Failure.HANG)
        self._fail(self.lists.elements, why)

    def raise_events(self, events: int) -> None:
        """Interrupt events of the hardware's engine, by bit."""
        raise_engine_events(self.vgpu, self.facts, events)

    def fail(self, reason: str) -> None:
        """The engine stands until it is reset, with an error as of an illegal command."""
        self.state.hung = reason
        self.vgpu.note_hang(self.name, reason)
        eir = (self.facts.mmio_base + reg.RING_EIR) >> 2
        emr = (self.facts.mmio_base + reg.RING_EMR) >> 2
        values = self.vgpu.registers.values
        values[eir] |= reg.EIR_INSTRUCTION_ERROR
        if not values[emr] & reg.EIR_INSTRUCTION_ERROR:
            raise_engine_event(self.vgpu, self.facts, EngineInterrupt.MASTER_ERROR)

    def refuse(self, element: Element) -> None:
        """The running context was refused: the engine stands as at an illegal command."""
        values, base = self.vgpu.registers.values, self.facts.mmio_base
        image = element.lrca + STATE_OFFSET
        found = {reg.RING_IPEHR: element.refused_command}
        with suppress(GgttFault):
            for offset, index in _SHOWN:
                found[offset] = self.vgpu.ggtt.read_u32(image + 4 * index)
            wraps = found[reg.RING_HEAD] & ~reg.RING_HEAD_OFFSET.mask
            found[reg.RING_HEAD] = wraps | element.refused_at
            start = found[reg.RING_START] & _PAGE_MASK
            found[reg.RING_ACTHD] = start + element.refused_at
        for offset, value in found.items():
            values[(base + offset) >> 2] = value & 0xFFFF_FFFF
        self.fail(element.refused)

    def note_error(self) -> None:
        """The hardware reports an error of the running context: it stands there."""
        self._snapshot()
        self.fail("illegal command")

    def note_fault(self) -> None:
        """The hardware reports a page fault of the running context: it stands there."""
        if not self.state.hung:
            self.state.hung = "page fault"
            self.vgpu.counters.faults += 1
            self.vgpu.note_hang(self.name, "page fault")

    def lose(self, reason: str) -> None:
        """The context that runs is lost: the hardware that has it is about to be reset."""
        state = self.state
        state.stands_at, state.stands_at_head = self.active_head(), self.ring_head()
        state.stands_in_batches = [self.batch_address(second=level) for level in (False, True)]
        state.stands_in_ppgtt = bool(self.batch_state() & reg.BB_STATE_PPGTT)
        if self.vgpu.dispatcher.holds(self.vgpu, self.name):  # else they are another guest's
            self._snapshot()
        self.vgpu.take_fault()
        state.lost = True
        if not state.hung:
            state.hung = reason
            self.vgpu.note_hang(self.name, reason)

    def give_up_shadows(self) -> None:
        """Carry every context back into the guest's memory; shadows are made anew when they run.

        Nothing of the engine is on the hardware.
        """
        for element in self.lists.elements:
            if element.slot != NO_SLOT:
                self.workloads.carry_back(self.workloads.slots[element.slot])
        for element in (*self.lists.active, *self.lists.pending):
            element.forget_here()

    # -- registers -----------------------------------------------------------------------------

    def stop(self) -> None:
        """MI_MODE STOP_RING."""
        if not self.state.stopped:
            self.state.stopped = True
            self.vgpu.dispatcher.stop_engine(self.vgpu, self.name)

    def resume(self) -> None:
        """STOP_RING and the reset request are withdrawn."""
        if self.state.stopped:
            self.state.stopped = False
            self.vgpu.dispatcher.resume_engine(self.vgpu, self.name)

    def request_reset(self) -> bool:
        """RESET_CTL: whether the engine is ready for its reset."""
        self.stop()
        return True

    def withdraw_reset(self) -> None:
        """RESET_CTL: the request is taken back."""
        mode = self.vgpu.registers.values[(self.facts.mmio_base + reg.RING_MI_MODE) >> 2]
        if not mode & reg.MI_MODE_STOP_RING:
            self.resume()

    def reset(self) -> None:
        """GDRST of this engine: lists, contexts and registers are cold again."""
        self.vgpu.registers.reset(ENGINE_ROWS[self.name])
        self.vgpu.dispatcher.reset_engine(self.vgpu, self.name)
        self.drop(Failure.RESET)
        self.state = EngineState()
        self.vgpu.observer.was_reset(self.vgpu, self.name)

    def stands(self) -> bool:
        """MODE_IDLE: nothing runs, or what runs is held."""
        state = self.state
        if state.lists.current is None:
            return True
        return state.stopped and self.vgpu.dispatcher.stands(self.vgpu, self.name)

    @property
    def _on_hardware(self) -> bool:
        """The hardware has this engine's running context now."""
        return self.vgpu.dispatcher.runs(self.vgpu, self.name)

    def _hardware(self, offset: int) -> int:
        return self.vgpu.dispatcher.host.engines[self.name].read(offset)

    def _stored(self, offset: int) -> int:
        return self.vgpu.registers.values[(self.facts.mmio_base + offset) >> 2]

    def _slot(self) -> Slot | None:
        current = self.lists.current
        if current is None or current.slot == NO_SLOT:
            return None
        return self.workloads.slots[current.slot]

    def ring_head(self) -> int:
        """RING_HEAD of what runs."""
        slot = self._slot()
        if slot is None:
            return self._stored(reg.RING_HEAD)
        if self._on_hardware:
            return self._hardware(reg.RING_HEAD)
        return self.state.stands_at_head if self.state.lost else self.workloads.head(slot)

    def ring_tail(self) -> int:
        """RING_TAIL of what runs."""
        slot = self._slot()
        return self._stored(reg.RING_TAIL) if slot is None else slot.copy.tail

    def ring_start(self) -> int:
        """RING_START of what runs, the guest's own."""
        slot = self._slot()
        return self._stored(reg.RING_START) if slot is None else slot.copy.start

    def ring_control(self) -> int:
        """RING_CTL of what runs; a wait for a semaphore shows."""
        slot = self._slot()
        if slot is None:
            return self._stored(reg.RING_CTL)
        if self._on_hardware:
            return self._hardware(reg.RING_CTL)
        pages = slot.copy.size // 4096 - 1
        return reg.RING_CTL_PAGES.put(pages) | reg.RING_CTL_VALID

    def active_head(self) -> int:
        """ACTHD: 48-bit GPU address at which the engine executes."""
        slot = self._slot()
        if slot is None:
            return self._stored(reg.RING_ACTHD)
        if self._on_hardware:
            address = self._hardware(reg.RING_ACTHD_UDW) << 32 | self._hardware(reg.RING_ACTHD)
            return self.workloads.to_guest(slot, address).address
        if self.state.lost:
            return self.state.stands_at
        return slot.copy.start + (self.workloads.head(slot) & reg.RING_HEAD_OFFSET.mask)

    def batch_address(self, *, second: bool) -> int:
        """BB_ADDR or SBB_ADDR: 48-bit address, bit 0 set while the batch is active."""
        slot = self._slot()
        if slot is None:
            return 0
        if not self._on_hardware:
            return self.state.stands_in_batches[second]
        upper, lower = (
            (reg.RING_SBB_ADDR_UDW, reg.RING_SBB_ADDR)
            if second
            else (reg.RING_BB_ADDR_UDW, reg.RING_BB_ADDR)
        )
        low = self._hardware(lower)
        address = self._hardware(upper) << 32 | low & ~3
        return self.workloads.to_guest(slot, address).address | low & 1

    def batch_state(self) -> int:
        """BB_STATE. A user batch that runs as a copy stands in the GGTT on hardware alone."""
        slot = self._slot()
        if slot is not None and self._on_hardware:
            state = self._hardware(reg.RING_BB_STATE)
            low = self._hardware(reg.RING_BB_ADDR)
            place = self.workloads.to_guest(slot, low & ~3)
            return state | reg.BB_STATE_PPGTT if low & 1 and place.user else state
        return reg.BB_STATE_PPGTT if self.state.stands_in_ppgtt else 0

    def error_register(self, offset: int) -> int:
        """IPEHR and its like: the hardware's while it has the context, else as it was then."""
        return self._hardware(offset) if self._on_hardware else self._stored(offset)

    def status(self) -> tuple[int, int]:
        """EXECLIST_STATUS, low and high dword."""
        return self.lists.status()

    def status_entry(self, dword: int) -> int:
        """CONTEXT_STATUS dword ``dword`` (0..11)."""
        return self.lists.entries[dword >> 1][dword & 1]

    def status_pointer(self) -> int:
        """CONTEXT_STATUS_PTR."""
        lists = self.lists
        return reg.CONTEXT_STATUS_WRITE.put(
            lists.write_pointer, reg.CONTEXT_STATUS_READ.put(lists.read_pointer)
        )

    def write_status_pointer(self, value: int) -> None:
        """CONTEXT_STATUS_PTR: both pointers can be set; past the last entry is the last."""
        lists = self.lists
        lists.write_pointer = min(reg.CONTEXT_STATUS_WRITE.get(value), CSB_ENTRIES - 1)
        lists.read_pointer = reg.CONTEXT_STATUS_READ.get(value)

    def timestamp(self) -> int:
        """RING_TIMESTAMP: the hardware's, 36 bits."""
        low = self._hardware(reg.RING_TIMESTAMP)
        return self._hardware(reg.RING_TIMESTAMP_UDW) << 32 | low

    def context_timestamp(self) -> int:
        """CTX_TIMESTAMP of what runs; 0 while nothing does."""
        return self._hardware(reg.RING_CTX_TIMESTAMP) if self._on_hardware else 0

    # -- parts ---------------------------------------------------------------------------------

    def _carry_back(self) -> None:
        slot = self._slot()
        if slot is not None:
            uses = sum(element.slot == slot.number for element in self.lists.elements)
            self.workloads.carry_back(slot, again=uses > 1)

    def _report(self, entry: tuple[int, int]) -> None:
        """Write a status entry and the pointer into the guest's status page, and interrupt."""
        vgpu, pointer = self.vgpu, self.lists.write_pointer
        page = self._stored(reg.RING_HWS_PGA) & _PAGE_MASK
        physical = vgpu.ggtt.physical(page)
        try:
            if physical is None:
                raise GgttFault(page)
            value = entry[1] << 32 | entry[0]
            vgpu.memory.write_u64(physical + HWSP_CSB_OFFSET + 8 * pointer, value)
            vgpu.memory.write_u32(physical + HWSP_CSB_WRITE_POINTER_OFFSET, pointer)
        except (GgttFault, GuestAddressError) as fault:
            vgpu.reject(Reason.ADDRESS, f"{self.name}: status page: {fault}")
            self.state.hung = self.state.hung or "no status page"
        raise_engine_event(vgpu, self.facts, EngineInterrupt.CONTEXT_SWITCH)

    def _snapshot(self) -> None:
        values, base = self.vgpu.registers.values, self.facts.mmio_base
        for offset in SNAPSHOT:
            values[(base + offset) >> 2] = self._hardware(offset)
