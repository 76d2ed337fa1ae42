"""Workloads: a submitted context becomes a shadow that runs in its place.

The way of one submission: `admit` reads the guest's register state page and ring once, audits and
patches the copies, shadows privileged batches, gets page tables from the address space and lays
all of it down in a slot of the vGPU's slab. `carry_back` returns what the hardware saved. A
context that is submitted again while its shadow is in use keeps it: only the ring's new part is
copied, as hardware would reload the tail only.

A slot's GGTT part is the shadow context (page 0 and all from page 2 on are the guest's own pages,
page 1 is the mediator's), the shadow ring (same offsets as the guest's, so that heads and tails
need no translation) and room for batches.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediator.errors import GuestError, Reason
from mediator.gen9 import registers as reg
from mediator.gen9.context_image import STATE_DWORDS, STATE_OFFSET, ImageIndex
from mediator.gen9.execlist import (
    DESCRIPTOR_ADDRESSING_MASK,
    DESCRIPTOR_ADDRESSING_SHIFT,
    Addressing,
    Descriptor,
)
from mediator.gen9.pte import PRESENT
from mediator.physical.partition import EMPTY_TABLES, PAGE
from mediator.vgpu.ggtt import GgttFault
from mediator.vgpu.mmio_table import command_read, command_target, command_write
from mediator.workload import shadow_context
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_scanner import audit_ring
from mediator.workload.shadow_context import Batch, RingFields
from mmio_trap.guest_memory import GuestAddressError

if TYPE_CHECKING:
    from mediator.gen9.engines import EngineClass, EngineFacts
    from mediator.physical.memory import Slab
    from mediator.vgpu.execlist import Element
    from mediator.vgpu.vgpu import Vgpu
    from mediator.workload.view import RegisterUse

SLOTS = 4
"""Shadows of one engine: two elements that run, two that are pending."""
SLOT_PAGES = 1024
"""Pages of the slab that one slot takes."""
_RING_PAGE = 32
_BATCH_PAGE = 544
_LONGEST_SPAN = 512 << 10
"""Bytes of ring in one submission: i915 gives no user a longer ring."""
_WARM_BATCH_PAGES = 64
"""With more batch room in use a shadow is made anew, which frees it."""
_CONTEXT_ID = 0x100
"""Hardware context ids of shadows: this and the slot's number."""
_TAIL_ALIGN = ~7
_LINES = 0x3F
_VALID = 1 << 0
_STATE_PAGE = 1
_STATE_BYTES = 4 * STATE_DWORDS


@dataclass
class Slot:
    """One shadow: where it lies and whose context it is."""

    number: int
    base: int
    """Byte of the slab at which it begins."""
    ggtt: int
    """GGTT address of the same."""
    lrca: int = 0
    ring_start: int = 0
    """The guest's own, as all below but ``ring`` and ``batches``."""
    ring_size: int = 0
    pml4: int = 0
    tail: int = 0
    """How far the ring is copied and audited."""
    page: array[int] = field(default_factory=lambda: array("I"))
    """The guest's register state page as it was read, or written back."""
    warm: bool = False
    """The shadow and ``page`` are what the hardware saved last: it can be run again."""
    raw: bytearray = field(default_factory=bytearray)
    """The guest's ring as it was copied, before the audit patched it."""
    audited: bytearray = field(default_factory=bytearray)
    """The same after the audit; only from here it goes where the hardware can see it."""
    batches: BatchShadow | None = None
    batch_pages: int = 0
    """Pages of batch room in use."""
    entries: bytes = b""
    """GGTT entries of the shadow context, as the hardware has them."""

    @property
    def state(self) -> int:
        """Byte of the slab at which the register state page is."""
        return self.base + _STATE_PAGE * PAGE

    @property
    def ring(self) -> int:
        """Byte of the slab at which the shadow ring begins."""
        return self.base + _RING_PAGE * PAGE

    @property
    def hardware_ring(self) -> int:
        """GGTT address of the shadow ring."""
        return self.ggtt + _RING_PAGE * PAGE

    @property
    def context_id(self) -> int:
        """What the hardware's status entries call it."""
        return _CONTEXT_ID + self.number


class Workloads:
    """The shadows of one virtual engine. Implements `workload.view.AuditView` for its audit."""

    def __init__(self, vgpu: Vgpu, facts: EngineFacts, first_page: int) -> None:
        """``first_page``: page of the slab at which the engine's slots begin."""
        self._vgpu = vgpu
        self._facts = facts
        self._first_page = first_page
        self.slots = _make_slots(vgpu.addressing.slab, first_page)
        self._slot = self.slots[0]
        self.engine_class: EngineClass = facts.engine_class
        self.mmio_base = facts.mmio_base
        self.knows_of_sharing = not vgpu.private_ggtt

    # -- admitting ---------------------------------------------------------------------------

    def build(self, element: Element, slot: Slot) -> None:
        """Make ``slot`` the shadow of a context that has none. Raises GuestError.

        The caller is inside ``memory.using()`` or is the thread that changes the memory map.
        """
        descriptor, ggtt = element.descriptor, self._vgpu.ggtt
        mode = descriptor >> DESCRIPTOR_ADDRESSING_SHIFT & DESCRIPTOR_ADDRESSING_MASK
        if mode != Addressing.LEGACY_64B:
            raise GuestError(Reason.CONTEXT, f"addressing mode {mode}: 48-bit page tables only")
        pages = self._facts.context_pages
        if not ggtt.owns(element.lrca, pages * PAGE):
            raise GuestError(Reason.CONTEXT, f"{element.lrca:#x} is not the vGPU's")
        try:
            page = array("I", ggtt.read(element.lrca + STATE_OFFSET, _STATE_BYTES))
        except GgttFault as fault:
            raise GuestError(Reason.CONTEXT, f"register state page: {fault}") from fault
        if self._is_warm(slot, element.lrca, page):
            self._renew(slot, page)
        else:
            slot.warm = False
            self._build(slot, element.lrca, page)
            slot.page = page
        self._map_context(slot, pages)

    def _is_warm(self, slot: Slot, lrca: int, page: array[int]) -> bool:
        """The shadow is what the hardware saved of this context, and only the tail is new."""
        if not slot.warm or slot.lrca != lrca or slot.batch_pages > _WARM_BATCH_PAGES:
            return False
        known = slot.page
        known[ImageIndex.RING_TAIL] = page[ImageIndex.RING_TAIL]
        return page == known and shadow_context.interrupted(page) == (None, None)

    def _renew(self, slot: Slot, page: array[int]) -> None:
        """A context goes on whose shadow lies ready."""
        slot.warm = False
        self._slot = slot
        batches, at = slot.batches, slot.state >> 2
        assert batches is not None, "the slot has run"
        self._take_ring(slot, page)
        root = self._root(slot.pml4)
        words = self._vgpu.addressing.slab.u32
        words[at + ImageIndex.RING_TAIL] = slot.tail
        words[at + ImageIndex.INDIRECT_CTX] = self._indirect(batches, page[ImageIndex.INDIRECT_CTX])
        words[at + ImageIndex.BB_PER_CTX_PTR] = self._per_context(
            batches, page[ImageIndex.BB_PER_CTX_PTR]
        )
        words[at + ImageIndex.PDP0_UDW] = root >> 32
        words[at + ImageIndex.PDP0_LDW] = root & 0xFFFF_FFFF

    def _build(self, slot: Slot, lrca: int, page: array[int]) -> None:
        """Make the shadow from the guest's ``page`` alone."""
        slot.lrca = lrca
        slot.pml4 = page[ImageIndex.PDP0_UDW] << 32 | page[ImageIndex.PDP0_LDW]
        slot.batch_pages = 0
        self._slot = slot
        slot.batches = batches = BatchShadow(self)
        control = self._check_ring(slot, page)
        self._take_ring(slot, page)
        first, second = shadow_context.interrupted(page)
        ring = RingFields(
            head=page[ImageIndex.RING_HEAD],
            tail=slot.tail,
            start=slot.hardware_ring,
            control=control,
            root=self._root(slot.pml4),
            indirect=self._indirect(batches, page[ImageIndex.INDIRECT_CTX]),
            per_context=self._per_context(batches, page[ImageIndex.BB_PER_CTX_PTR]),
            first=_resume(batches, first),
            second=_resume(batches, second),
        )
        golden = self._vgpu.golden(self._facts.name)
        state = shadow_context.build(self._facts, page, golden, ring)
        self._vgpu.addressing.slab.bytes[slot.state : slot.state + _STATE_BYTES] = state

    def _take_ring(self, slot: Slot, page: array[int]) -> None:
        """Copy and audit the ring from its head up to its tail."""
        offset = page[ImageIndex.RING_HEAD] & reg.RING_HEAD_OFFSET.mask
        slot.tail = page[ImageIndex.RING_TAIL] & reg.RING_HEAD_OFFSET.mask & _TAIL_ALIGN
        if offset >= slot.ring_size or slot.tail >= slot.ring_size:
            text = f"head {offset:#x} or tail {slot.tail:#x} outside {slot.ring_size:#x} bytes"
            raise GuestError(Reason.RING, text)
        if offset != slot.tail:
            self._lay_ring(slot, offset, slot.tail, self._read_ring(slot, offset, slot.tail))

    def extend(self, slot: Slot, head: int, *, loaded: bool) -> None:
        """The context was submitted again: take over its ring up to the new tail.

        ``head``: byte offset in the ring where the hardware stands at least. Raises GuestError.
        """
        slab, ggtt = self._vgpu.addressing.slab, self._vgpu.ggtt
        try:
            tail = ggtt.read_u32(slot.lrca + STATE_OFFSET + 4 * ImageIndex.RING_TAIL)
        except GgttFault as fault:
            raise GuestError(Reason.CONTEXT, f"register state page: {fault}") from fault
        tail &= reg.RING_HEAD_OFFSET.mask & _TAIL_ALIGN
        if tail >= slot.ring_size:
            raise GuestError(Reason.RING, f"tail {tail:#x} outside {slot.ring_size:#x} bytes")
        self._slot = slot
        assert slot.batches is not None, "the slot is in use"
        if head != tail:
            fresh = self._read_ring(slot, head, tail)
            known = (slot.tail - head) % slot.ring_size
            start, fresh_from = head, 0
            if known <= len(fresh) and (
                loaded or _span(slot.raw, head, slot.tail) == fresh[:known]
            ):
                # As it was audited; what the hardware may be fetching is never laid over.
                start, fresh_from = slot.tail, known
            elif loaded:  # the tail goes back: it must still stand behind a whole command
                with memoryview(bytearray(slot.raw)).cast("I") as ring:
                    audit_ring(self, slot.batches, ring, head, tail)
                start = tail
            if start != tail:
                self._lay_ring(slot, start, tail, fresh[fresh_from:])
        slot.tail = tail
        slab.u32[(slot.state >> 2) + ImageIndex.RING_TAIL] = tail
        root = self._root(slot.pml4)
        at = slot.state >> 2
        slab.u32[at + ImageIndex.PDP0_UDW] = root >> 32
        slab.u32[at + ImageIndex.PDP0_LDW] = root & 0xFFFF_FFFF

    def descriptor(self, element: Element) -> int:
        """What the hardware's submission port gets for an element that has a slot."""
        slot = self.slots[element.slot]
        kept = element.descriptor & (Descriptor.FORCE_RESTORE | Descriptor.FORCE_PD_RESTORE)
        mode = Addressing.LEGACY_64B << DESCRIPTOR_ADDRESSING_SHIFT
        low = slot.ggtt | mode | Descriptor.VALID | Descriptor.PRIVILEGE | kept
        return slot.context_id << 32 | low

    def head(self, slot: Slot) -> int:
        """RING_HEAD in the shadow: where the context stands that is not on the hardware."""
        return self._vgpu.addressing.slab.u32[(slot.state >> 2) + ImageIndex.RING_HEAD]

    def carry_back(self, slot: Slot) -> None:
        """Write what the hardware saved into the guest's context, which is switched out."""
        slab, vgpu = self._vgpu.addressing.slab, self._vgpu
        saved = array("I", slab.bytes[slot.state : slot.state + _STATE_BYTES])
        physical = vgpu.ggtt.physical(slot.lrca + STATE_OFFSET)
        if physical is None:
            vgpu.reject(Reason.CONTEXT, f"{slot.lrca:#x} was unmapped while it ran")
            return
        batches = slot.batches
        assert batches is not None, "the slot has run"
        memory = vgpu.memory
        try:
            shadow_context.carry_back(
                self._facts,
                saved,
                slot.page,
                batches.to_guest,
                lambda index, data: memory.write(physical + 4 * index, data),
            )
        except GuestAddressError as error:
            vgpu.reject(Reason.CONTEXT, f"{slot.lrca:#x} while it ran: {error}")
            return
        slot.warm = True

    def to_guest(self, slot: Slot, address: int) -> int:
        """A GGTT address at which the hardware executes, as the guest knows it."""
        within = address - slot.hardware_ring
        if 0 <= within < slot.ring_size:
            return slot.ring_start + within
        batches = slot.batches
        found = None if batches is None else batches.to_guest(address)
        return address if found is None else found

    def forget(self) -> None:
        """Drop every shadow: the slab's GGTT entries are its own again."""
        slab = self._vgpu.addressing.slab
        for slot in self.slots:
            if slot.entries:
                pages = len(slot.entries) // 8
                self._vgpu.write_hardware_ggtt(slot.ggtt // PAGE, slab.entries(slot.base, pages))
        self.slots = _make_slots(slab, self._first_page)
        self._slot = self.slots[0]

    def reinstall(self) -> None:
        """Write the shadow contexts' GGTT entries again: the hardware has lost them."""
        for slot in self.slots:
            if slot.entries:
                self._vgpu.write_hardware_ggtt(slot.ggtt // PAGE, slot.entries)

    # -- what the audit asks -----------------------------------------------------------------

    def owns(self, address: int, length: int) -> bool:
        """See `AuditView`."""
        return self._vgpu.ggtt.owns(address, length)

    def read_ggtt(self, address: int, length: int) -> bytes:
        """See `AuditView`."""
        try:
            return self._vgpu.ggtt.read(address, length)
        except GgttFault as fault:
            raise GuestError(Reason.BATCH, str(fault)) from fault

    def register_read(self, offset: int) -> tuple[RegisterUse, int]:
        """See `AuditView`."""
        return command_read(self._vgpu, offset)

    def register_write(self, offset: int, value: int) -> RegisterUse:
        """See `AuditView`."""
        return command_write(self._vgpu, offset, value)

    def register_target(self, offset: int) -> RegisterUse:
        """See `AuditView`."""
        return command_target(offset)

    def place_batch(self, size: int) -> tuple[int, memoryview]:
        """See `AuditView`."""
        slot, pages = self._slot, -(-size // PAGE)
        first = _BATCH_PAGE + slot.batch_pages
        if first + pages > SLOT_PAGES:
            most = SLOT_PAGES - _BATCH_PAGE
            raise GuestError(Reason.TOO_LARGE, f"more than {most} pages of privileged batches")
        slot.batch_pages += pages
        at = (slot.base + first * PAGE) >> 2
        room = self._vgpu.addressing.slab.u32[at : at + pages * PAGE // 4]
        return slot.ggtt + first * PAGE, room

    def update_ggtt(self, address: int, entries: list[int]) -> None:
        """See `AuditView`."""
        data = b"".join((entry & (1 << 64) - 1).to_bytes(8, "little") for entry in entries)
        self._vgpu.ggtt.write_entry((address // PAGE) * 8, data)

    def reject(self, reason: str, text: str) -> None:
        """See `AuditView`."""
        self._vgpu.reject(Reason(reason), text)

    # -- parts -------------------------------------------------------------------------------

    def _check_ring(self, slot: Slot, page: array[int]) -> int:
        """RING_CTL of the shadow; the ring's place and size go into the slot."""
        control = page[ImageIndex.RING_CTL]
        if not control & reg.RING_CTL_VALID:
            raise GuestError(Reason.RING, "the ring is not enabled")
        slot.ring_start = page[ImageIndex.RING_START] & -PAGE
        slot.ring_size = (reg.RING_CTL_PAGES.get(control) + 1) * PAGE
        if not self._vgpu.ggtt.owns(slot.ring_start, slot.ring_size):
            raise GuestError(Reason.RING, f"{slot.ring_start:#x} is not the vGPU's")
        if len(slot.raw) != slot.ring_size:
            slot.raw = bytearray(slot.ring_size)
            slot.audited = bytearray(slot.ring_size)
        return control & (reg.RING_CTL_PAGES.mask | reg.RING_CTL_VALID)

    def _read_ring(self, slot: Slot, head: int, tail: int) -> bytes:
        """The guest's ring from ``head`` up to ``tail``, round the end if need be."""
        ggtt, start = self._vgpu.ggtt, slot.ring_start
        if (tail - head) % slot.ring_size > _LONGEST_SPAN:
            raise GuestError(Reason.TOO_LARGE, f"more than {_LONGEST_SPAN} bytes of ring at once")
        try:
            if head < tail:
                return ggtt.read(start + head, tail - head)
            end = ggtt.read(start + head, slot.ring_size - head)
            return end + ggtt.read(start, tail) if tail else end
        except GgttFault as fault:
            raise GuestError(Reason.RING, str(fault)) from fault

    def _lay_ring(self, slot: Slot, head: int, tail: int, data: bytes) -> None:
        """Audit a copied span of the ring, then put it into the shadow ring."""
        assert slot.batches is not None, "the slot is set up"
        slab = self._vgpu.addressing.slab
        first = min(len(data), slot.ring_size - head)
        spans = [(head, head + first), (0, len(data) - first)]
        slot.audited[head : head + first] = data[:first]
        slot.audited[: len(data) - first] = data[first:]
        with memoryview(slot.audited).cast("I") as ring:
            try:
                audit_ring(self, slot.batches, ring, head, tail)
            except GuestError as error:
                if error.offset is not None:
                    error.offset = (head + error.offset) % slot.ring_size
                raise
        slot.raw[head : head + first] = data[:first]
        slot.raw[: len(data) - first] = data[first:]
        for start, end in spans:
            slab.bytes[slot.ring + start : slot.ring + end] = slot.audited[start:end]

    def _root(self, pml4: int) -> int:
        try:
            return self._vgpu.addressing.root(pml4)
        except GuestError as error:
            if error.reason is not Reason.PAGE_TABLE:
                raise
            self._vgpu.reject(error.reason, error.text)
            return EMPTY_TABLES

    def _indirect(self, batches: BatchShadow, pointer: int) -> int:
        lines = pointer & _LINES
        if not lines:
            return 0
        try:
            return batches.shadow_fixed(pointer & ~_LINES, lines * (_LINES + 1)) | lines
        except GuestError as error:
            error.offset = None  # not one of the ring
            raise

    def _per_context(self, batches: BatchShadow, pointer: int) -> int:
        return batches.shadow(pointer & -PAGE) | _VALID if pointer & _VALID else 0

    def _map_context(self, slot: Slot, pages: int) -> None:
        """The shadow context's GGTT entries: the guest's pages, but for the state page."""
        vgpu = self._vgpu
        entries = bytearray(vgpu.ggtt.hardware_entries(slot.lrca // PAGE, pages))
        own = vgpu.addressing.slab.iova + slot.state | PRESENT
        entries[8 * _STATE_PAGE : 8 * _STATE_PAGE + 8] = own.to_bytes(8, "little")
        if entries != slot.entries:
            slot.entries = bytes(entries)  # first: a restart of the GPU may come in between
            vgpu.write_hardware_ggtt(slot.ggtt // PAGE, entries)


def _make_slots(slab: Slab, first_page: int) -> list[Slot]:
    bases = [(first_page + number * SLOT_PAGES) * PAGE for number in range(SLOTS)]
    return [Slot(number, base, slab.ggtt + base) for number, base in enumerate(bases)]


def _span(ring: bytearray, head: int, tail: int) -> bytes:
    if head <= tail:
        return bytes(ring[head:tail])
    return bytes(ring[head:] + ring[:tail])


def _resume(batches: BatchShadow, batch: Batch | None) -> Batch | None:
    """The batch in which a context goes on; a privileged one is shadowed from there."""
    if batch is None or batch.ppgtt:
        return batch
    return Batch(batches.shadow(batch.address & 0xFFFF_FFFF), ppgtt=False)
