"""Workloads: a submitted context becomes a shadow that runs in its place.

The way of one submission: `admit` reads the guest's register state page and ring once, audits and
patches the copies, shadows privileged batches, gets page tables from the address space and lays
all of it down in a slot of the vGPU's slab. `carry_back` returns what the hardware saved. A
context that is submitted again while its shadow is in use keeps it: only the ring's new part is
copied, as hardware would reload the tail only. What is more than new text behind the old one waits
until the context has left the hardware (`ring_copy.py` says why).

A slot's GGTT part is the shadow context (page 0 is the guest's own, all others the mediator's:
`private_part.py` says why), the shadow ring (same offsets as the guest's, so that heads and tails
need no translation) and room for batches.
"""

from __future__ import annotations

from array import array
from contextlib import suppress
from typing import TYPE_CHECKING

from mediator import hotpath
from mediator.errors import GuestError, Reason
from mediator.gen9 import registers as reg
from mediator.gen9.commands import BCS
from mediator.gen9.context_image import STATE_DWORDS, STATE_OFFSET, ImageIndex
from mediator.gen9.execlist import (
    DESCRIPTOR_ADDRESSING_MASK,
    DESCRIPTOR_ADDRESSING_SHIFT,
    Addressing,
    Descriptor,
)
from mediator.physical.partition import EMPTY_TABLES, PAGE
from mediator.vgpu.execlist import NO_SLOT
from mediator.vgpu.ggtt import GgttFault
from mediator.vgpu.mmio_table import command_read, command_target, command_write
from mediator.workload import shadow_context
from mediator.workload.batch_shadow import BatchShadow
from mediator.workload.command_scanner import audit_ring
from mediator.workload.command_stream import Target
from mediator.workload.private_part import PrivatePart
from mediator.workload.shadow_context import Batch, RingFields
from mediator.workload.slot import STATE_PAGE, Slot, make_slots
from mediator.workload.user_space import UserSpace
from mmio_trap.guest_memory import GuestAddressError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mediator.gen9.engines import EngineClass, EngineFacts
    from mediator.vgpu.execlist import Element
    from mediator.vgpu.vgpu import Vgpu
    from mediator.workload.ring_copy import RingCopy
    from mediator.workload.view import RegisterUse

_LONGEST_SPAN = 512 << 10
"""Bytes of ring in one submission: i915 gives no user a longer ring."""
_WARM_ROOM = 64 * PAGE
"""With more batch room in use a shadow is made anew, which frees it."""
_TAIL_ALIGN = ~7
_LINES = 0x3F
_VALID = 1 << 0
_STATE_BYTES = 4 * STATE_DWORDS


class Workloads:
    """The shadows of one virtual engine. Implements `workload.view.AuditView` for its audit."""

    def __init__(self, vgpu: Vgpu, facts: EngineFacts) -> None:
        self._vgpu = vgpu
        self._facts = facts
        self.slots = make_slots(vgpu.addressing.slab, facts)
        self._private = PrivatePart(vgpu, facts)
        self._slot = self.slots[0]
        self.engine_class: EngineClass = facts.engine_class
        self.mmio_base = facts.mmio_base
        self.copies_user_batches = facts.engine_class == BCS

    # -- admitting ---------------------------------------------------------------------------

    def prepare(self, elements: Iterable[Element]) -> None:
        """Get the page tables of contexts ready that are about to be admitted. Raises Unfinished.

        What is wrong with one is said when it is admitted.
        """
        self._vgpu.addressing.prepare(self._roots(elements))

    def _roots(self, elements: Iterable[Element]) -> Iterator[int]:
        """The PML4s of contexts: the first to run is the first to get room."""
        read = self._vgpu.ggtt.read_u32
        for element in elements:
            image = element.lrca + STATE_OFFSET
            with suppress(GgttFault):
                upper = read(image + 4 * ImageIndex.PDP0_UDW)
                yield upper << 32 | read(image + 4 * ImageIndex.PDP0_LDW)

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
        slot.given = False
        self._map_context(slot, pages)

    def _is_warm(self, slot: Slot, lrca: int, page: array[int]) -> bool:
        """The shadow is what the hardware saved of this context, and only the tail is new."""
        if not slot.warm or slot.lrca != lrca or slot.room_used > _WARM_ROOM:
            return False
        known = slot.page
        if known[ImageIndex.RING_HEAD] != self.head(slot):
            return False  # the ring is laid from the one, the hardware starts at the other
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
        words[at + ImageIndex.RING_TAIL] = slot.copy.tail
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
        slot.room_used = 0
        self._slot = slot
        slot.batches = batches = BatchShadow(self)
        control = self._check_ring(slot, page)
        self._take_ring(slot, page)
        first, second = shadow_context.interrupted(page)
        ring = RingFields(
            head=page[ImageIndex.RING_HEAD],
            tail=slot.copy.tail,
            start=slot.hardware_ring,
            control=control,
            root=self._root(slot.pml4),
            indirect=self._indirect(batches, page[ImageIndex.INDIRECT_CTX]),
            per_context=self._per_context(batches, page[ImageIndex.BB_PER_CTX_PTR]),
            first=_resume(batches, first, copies=self.copies_user_batches),
            second=_resume(batches, second, copies=self.copies_user_batches),
        )
        golden = self._vgpu.golden(self._facts.name)
        private = self._private.lay(slot, page)
        state = shadow_context.build(self._facts, page, golden, ring, private)
        self._vgpu.addressing.slab.bytes[slot.state : slot.state + _STATE_BYTES] = state

    def _take_ring(self, slot: Slot, page: array[int]) -> None:
        """Copy and audit the ring from its head up to its tail. The hardware does not have it."""
        copy = slot.copy
        head = page[ImageIndex.RING_HEAD] & reg.RING_HEAD_OFFSET.mask
        tail = page[ImageIndex.RING_TAIL] & reg.RING_HEAD_OFFSET.mask & _TAIL_ALIGN
        if head >= copy.size or tail >= copy.size:
            text = f"head {head:#x} or tail {tail:#x} outside {copy.size:#x} bytes"
            raise GuestError(Reason.RING, text)
        assert slot.batches is not None, "the slot is set up"
        slot.batches.begin()  # a ring without commands has batches of its context all the same
        copy.begin(head)
        self._lay_ring(slot, tail)

    def extend(self, slot: Slot, head: int | None, *, loaded: bool) -> bool:
        """The context was submitted again: take over its ring up to the new tail.

        ``head``: byte offset in the ring where the hardware was seen, or is going to start; None
        where that is not known.
        ``loaded``: the hardware may have the shadow. Returns False where the shadow cannot go on:
        the tail goes back, there is no more room for batches, the page tables are elsewhere now
        (their address has two dwords, and the hardware may read one of each), or, unless
        ``loaded``, the text has changed. It is then to be built anew from what the hardware saved.
        Raises GuestError.
        """
        slab, ggtt, copy = self._vgpu.addressing.slab, self._vgpu.ggtt, slot.copy
        try:
            tail = ggtt.read_u32(slot.lrca + STATE_OFFSET + 4 * ImageIndex.RING_TAIL)
        except GgttFault as fault:
            raise GuestError(Reason.CONTEXT, f"register state page: {fault}") from fault
        tail &= reg.RING_HEAD_OFFSET.mask & _TAIL_ALIGN
        if tail >= copy.size:
            raise GuestError(Reason.RING, f"tail {tail:#x} outside {copy.size:#x} bytes")
        if head is not None:
            copy.note_head(head)
        if not copy.goes_on(tail):
            return False
        if not loaded and not copy.same_text(self._read_ring(copy, copy.bound, copy.tail)):
            return False
        at, root = slot.state >> 2, self._root(slot.pml4)
        upper, lower = at + ImageIndex.PDP0_UDW, at + ImageIndex.PDP0_LDW
        if loaded and root != slab.u32[upper] << 32 | slab.u32[lower]:
            return False
        self._slot = slot
        try:
            self._lay_ring(slot, tail)
        except GuestError as error:
            if error.reason is Reason.TOO_LARGE and slot.room_used:
                return False
            raise
        slab.u32[upper], slab.u32[lower] = root >> 32, root & 0xFFFF_FFFF
        slab.u32[at + ImageIndex.RING_TAIL] = tail  # last: what it uncovers is there
        return True

    def submitted(self, element: Element) -> int:
        """An element that has a slot goes to the hardware: what its submission port gets.

        The first time it is to be restored whole: hardware that has been idle since it had the
        slot's last shadow may reload the tail alone (i915: WaIdleLiteRestore, lrc_update_regs),
        and would go on at another head than that from which the ring was audited.
        """
        assert element.slot != NO_SLOT, "it has a shadow"
        slot = self.slots[element.slot]
        kept = element.descriptor & (Descriptor.FORCE_RESTORE | Descriptor.FORCE_PD_RESTORE)
        if not slot.given:
            kept |= Descriptor.FORCE_RESTORE
            slot.given = True
        mode = Addressing.LEGACY_64B << DESCRIPTOR_ADDRESSING_SHIFT
        low = slot.ggtt | mode | Descriptor.VALID | Descriptor.PRIVILEGE | kept
        return slot.context_id << 32 | low

    def head(self, slot: Slot) -> int:
        """RING_HEAD in the shadow: where the context stands that is not on the hardware."""
        return self._vgpu.addressing.slab.u32[(slot.state >> 2) + ImageIndex.RING_HEAD]

    def carry_back(self, slot: Slot, *, again: bool = False) -> None:
        """Write what the hardware saved into the guest's context, which is switched out.

        ``again``: it stands in another list, so the shadow will be another than is known here. If
        the hardware may have it by now, and may be saving it once more, head and time are written
        alone: what was copied may be half of two saves.
        """
        slab, vgpu = self._vgpu.addressing.slab, self._vgpu
        saved = array("I", slab.bytes[slot.state : slot.state + _STATE_BYTES])
        pages = self._private.copy(slot) if again else None
        whole = not again or vgpu.dispatcher.world.settled(
            vgpu, self._facts.name
        )  # after the copies
        physical = vgpu.ggtt.physical(slot.lrca + STATE_OFFSET)
        if physical is None:
            vgpu.reject(Reason.CONTEXT, f"{slot.lrca:#x} was unmapped while it ran")
            return
        batches = slot.batches
        assert batches is not None, "the slot has run"
        memory = vgpu.memory
        try:
            if whole:
                self._private.carry_back(slot, saved, pages)
            shadow_context.carry_back(
                self._facts,
                saved,
                slot.page,
                batches.to_guest,
                lambda index, data: memory.write(physical + 4 * index, data),
                whole=whole,
            )
        except GuestAddressError as error:
            vgpu.reject(Reason.CONTEXT, f"{slot.lrca:#x} while it ran: {error}")
            return
        slot.warm = not again and not shadow_context.save_inhibited(slot.page)

    def to_guest(self, slot: Slot, address: int) -> Target:
        """Where the hardware executes at GGTT ``address``, as the guest knows it."""
        within = address - slot.hardware_ring
        if 0 <= within < slot.copy.size:
            return Target(slot.copy.start + within)
        batches = slot.batches
        found = None if batches is None else batches.to_guest(address)
        return Target(address) if found is None else found

    def forget(self) -> None:
        """Drop every shadow: the slab's GGTT entries are its own again."""
        slab = self._vgpu.addressing.slab
        for slot in self.slots:
            if slot.entries:
                pages = len(slot.entries) // 8
                self._vgpu.write_hardware_ggtt(slot.ggtt // PAGE, slab.entries(slot.base, pages))
        self.slots = make_slots(slab, self._facts)
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

    def read_user(self, address: int, copy: memoryview) -> int:
        """See `AuditView`."""
        space = UserSpace(self._vgpu.memory, self._slot.pml4)
        return hotpath.read_space(space, address, copy)

    def register_read(self, offset: int) -> tuple[RegisterUse, int]:
        """See `AuditView`."""
        return command_read(self._vgpu, offset)

    def register_write(self, offset: int, value: int) -> RegisterUse:
        """See `AuditView`."""
        return command_write(self._vgpu, offset, value)

    def register_target(self, offset: int) -> RegisterUse:
        """See `AuditView`."""
        return command_target(offset)

    def place_batch(self, size: int, align: int) -> tuple[int, memoryview]:
        """See `AuditView`."""
        slot = self._slot
        start = slot.take_room(size, align)
        if start is None:
            text = f"{size} bytes of batches, with {slot.room_used} of {slot.room_size} in use"
            raise GuestError(Reason.TOO_LARGE, text)
        at = slot.base + start >> 2
        return slot.ggtt + start, self._vgpu.addressing.slab.u32[at : at + size // 4]

    def update_ggtt(self, address: int, entries: list[int]) -> None:
        """See `AuditView`."""
        self._vgpu.ggtt.write_entry((address // PAGE) * 8, array("Q", entries).tobytes())

    def reject(self, reason: str, text: str) -> None:
        """See `AuditView`."""
        self._vgpu.reject(Reason(reason), text)

    # -- parts -------------------------------------------------------------------------------

    def _check_ring(self, slot: Slot, page: array[int]) -> int:
        """RING_CTL of the shadow; the ring's place and size go into the slot's copy."""
        control = page[ImageIndex.RING_CTL]
        if not control & reg.RING_CTL_VALID:
            raise GuestError(Reason.RING, "the ring is not enabled")
        start = page[ImageIndex.RING_START] & -PAGE
        size = (reg.RING_CTL_PAGES.get(control) + 1) * PAGE
        if not self._vgpu.ggtt.owns(start, size):
            raise GuestError(Reason.RING, f"{start:#x} is not the vGPU's")
        slot.copy.belongs_to(start, size)
        return control & (reg.RING_CTL_PAGES.mask | reg.RING_CTL_VALID)

    def _read_ring(self, copy: RingCopy, head: int, tail: int) -> bytes:
        """The guest's ring from ``head`` up to ``tail``, round the end if need be."""
        length = copy.distance(head, tail)
        if length > _LONGEST_SPAN:
            raise GuestError(Reason.TOO_LARGE, f"more than {_LONGEST_SPAN} bytes of ring at once")
        ggtt = self._vgpu.ggtt
        try:
            return b"".join(
                ggtt.read(copy.start + start, end - start)
                for start, end in copy.pieces(head, length)
                if start != end
            )
        except GgttFault as fault:
            raise GuestError(Reason.RING, str(fault)) from fault

    def _lay_ring(self, slot: Slot, tail: int) -> None:
        """Copy and audit the guest's ring behind what is copied, then put it into the shadow's."""
        assert slot.batches is not None, "the slot is set up"
        copy, slab = slot.copy, self._vgpu.addressing.slab
        head = copy.tail
        if head == tail:
            return
        data = self._read_ring(copy, head, tail)
        copy.copy(head, data)
        with memoryview(copy.audited).cast("I") as ring:
            try:
                audit_ring(self, slot.batches, ring, head, tail)
            except GuestError as error:
                if error.offset is not None:
                    error.offset = (head + error.offset) % copy.size
                raise
        copy.accept(head, tail, data)
        for start, end in copy.pieces(head, len(data)):
            slab.bytes[slot.ring + start : slot.ring + end] = copy.audited[start:end]

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
        return batches.shadow(Target(pointer & -PAGE), PAGE) | _VALID if pointer & _VALID else 0

    def _map_context(self, slot: Slot, pages: int) -> None:
        """The shadow context's GGTT entries: of the guest's pages, the status page alone."""
        vgpu = self._vgpu
        entries = vgpu.ggtt.hardware_entries(slot.lrca // PAGE, STATE_PAGE)
        entries += vgpu.addressing.slab.entries(slot.state, pages - STATE_PAGE)
        if entries != slot.entries:
            slot.entries = entries  # first: a restart of the GPU may come in between
            vgpu.write_hardware_ggtt(slot.ggtt // PAGE, entries)


def _resume(batches: BatchShadow, batch: Batch | None, *, copies: bool) -> Batch | None:
    """The batch in which a context goes on; one that is audited is shadowed from there.

    ``copies``: so are those without privilege.
    """
    if batch is None or (batch.ppgtt and not copies):
        return batch
    return Batch(batches.shadow(Target(batch.address, batch.ppgtt)), ppgtt=False)
