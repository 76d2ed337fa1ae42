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

from mediator.errors import GuestError, Reason
from mediator.gen9 import registers as reg
from mediator.gen9.context_image import STATE_OFFSET, ImageIndex
from mediator.gen9.execlist import (
    CSB_ENTRIES,
    HWSP_CSB_OFFSET,
    HWSP_CSB_WRITE_POINTER_OFFSET,
)
from mediator.gen9.interrupts import EngineInterrupt
from mediator.vgpu.execlist import NO_SLOT, Element, Execlists
from mediator.vgpu.ggtt import GgttFault
from mediator.vgpu.interrupt import raise_engine_event, raise_engine_events
from mediator.vgpu.metrics import EngineCounters, Failure
from mediator.vgpu.mmio_table import ENGINE_ROWS
from mediator.workload.workload import SLOTS, Slot, Workloads
from mmio_trap.guest_memory import GuestAddressError

if TYPE_CHECKING:
    from mediator.gen9.engines import EngineFacts
    from mediator.vgpu.vgpu import Vgpu

_PAGE_MASK = ~0xFFF
_LONG_AUDIT_NS = 2_000_000
"""A submission that takes longer to audit than this pays for it with GPU time."""

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

    def __init__(self, vgpu: Vgpu, facts: EngineFacts, first_page: int) -> None:
        self.vgpu = vgpu
        self.facts = facts
        self.name = facts.name
        self.state = EngineState()
        self.workloads = Workloads(vgpu, facts, first_page)

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
        return bool(state.lists.elements) and not state.hung and not state.stopped

    # -- submission --------------------------------------------------------------------------

    def write_elsp(self, value: int) -> None:
        """A dword of the execution list submission port."""
        vgpu, lists = self.vgpu, self.lists
        elements = lists.take_port(value)
        if not elements:
            return
        vgpu.counters.submissions += 1
        if lists.pending:
            vgpu.reject(Reason.SUBMISSION, f"{self.name}: a list already waits", engine=self.name)
            return
        lists.pending = elements
        began = vgpu.clock()
        self._admit(elements)
        used = vgpu.clock() - began
        if used > _LONG_AUDIT_NS:
            vgpu.dispatcher.charge_audit(vgpu, used)
        vgpu.dispatcher.submit(vgpu, self.name)

    def build_missing(self, elements: list[Element]) -> None:
        """Give shadows to elements that have none: those of a vGPU loaded from elsewhere."""
        if any(e.slot == NO_SLOT and not e.refused for e in elements):
            self._admit(elements)

    def _admit(self, elements: list[Element]) -> None:
        in_use = {e.lrca: e.slot for e in self.lists.elements if e.slot != NO_SLOT}
        free = [n for n in range(SLOTS) if n not in in_use.values()]
        now, seen = self.vgpu.clock(), set[int]()
        for element in elements:
            if element.slot != NO_SLOT or element.refused:
                continue
            if not element.requests:  # those that come from elsewhere are counted already
                element.requests = 1
                self.counters.submitted += 1
            try:
                if element.lrca in seen:
                    text = f"context {element.lrca:#x} twice in one list"
                    raise GuestError(Reason.SUBMISSION, text)
                seen.add(element.lrca)
                known = in_use.get(element.lrca)
                if known is None:
                    slot = self._choose(free, element)
                    self.workloads.build(element, self.workloads.slots[slot])
                else:
                    slot = known
                    loaded = self.vgpu.dispatcher.holds(self.vgpu, self.name)
                    head = self._head(slot, loaded=loaded)
                    self.workloads.extend(self.workloads.slots[slot], head, loaded=loaded)
                element.slot = slot
                element.submitted_ns = element.admitted_ns = now
            except GuestError as error:
                self.vgpu.reject(error.reason, f"{self.name}: {error.text}", engine=self.name)
                self._fail([element], Failure.REFUSED)
                element.refused, element.refused_command = str(error), error.command
                element.refused_at = error.offset or 0

    def _choose(self, free: list[int], element: Element) -> int:
        """Take a free slot: the one that has the context's last shadow, if there is one."""
        slots = self.workloads.slots
        chosen = next((n for n in free if slots[n].lrca == element.lrca), free[0])
        free.remove(chosen)
        return chosen

    def _head(self, number: int, *, loaded: bool) -> int:
        """Byte offset in the ring from which the hardware may still fetch, or one before.

        What the guest was told says not what runs: RING_START does.
        """
        slot = self.workloads.slots[number]
        head = None
        if loaded:
            read = self._hardware
            if read(reg.RING_START) == slot.hardware_ring:
                found = read(reg.RING_HEAD)
                if read(reg.RING_START) == slot.hardware_ring:
                    head = found
        return (self.workloads.head(slot) if head is None else head) & reg.RING_HEAD_OFFSET.mask

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
        return self._stored(reg.RING_TAIL) if slot is None else slot.tail

    def ring_start(self) -> int:
        """RING_START of what runs, the guest's own."""
        slot = self._slot()
        return self._stored(reg.RING_START) if slot is None else slot.ring_start

    def ring_control(self) -> int:
        """RING_CTL of what runs; a wait for a semaphore shows."""
        slot = self._slot()
        if slot is None:
            return self._stored(reg.RING_CTL)
        if self._on_hardware:
            return self._hardware(reg.RING_CTL)
        pages = slot.ring_size // 4096 - 1
        return reg.RING_CTL_PAGES.put(pages) | reg.RING_CTL_VALID

    def active_head(self) -> int:
        """ACTHD: 48-bit GPU address at which the engine executes."""
        slot = self._slot()
        if slot is None:
            return self._stored(reg.RING_ACTHD)
        if self._on_hardware:
            address = self._hardware(reg.RING_ACTHD_UDW) << 32 | self._hardware(reg.RING_ACTHD)
            return self.workloads.to_guest(slot, address)
        if self.state.lost:
            return self.state.stands_at
        return slot.ring_start + (self.workloads.head(slot) & reg.RING_HEAD_OFFSET.mask)

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
        return self.workloads.to_guest(slot, address) | low & 1

    def batch_state(self) -> int:
        """BB_STATE."""
        if self._on_hardware:
            return self._hardware(reg.RING_BB_STATE)
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
            self.workloads.carry_back(slot)

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
