"""Admission: the contexts of a submitted list get shadows, or a reason why they cannot run.

A context that nothing runs gets a shadow built from the guest's memory. One that is in a list
already keeps its shadow, which takes over what is new in the ring. Where that cannot be, its
element waits (`Element.must_leave`) until the hardware has let go of the context; then the shadow
is built from what the hardware saved. Linux i915 asks for that itself when it has taken requests
back: it moves the tail back and submits with FORCE_RESTORE (gt/intel_execlists_submission.c).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mediator.errors import GuestError, Reason
from mediator.gen9 import registers as reg
from mediator.gen9.execlist import Descriptor
from mediator.vgpu.execlist import NO_SLOT
from mediator.workload.slot import SLOTS

if TYPE_CHECKING:
    from mediator.vgpu.engine import VirtualEngine
    from mediator.vgpu.execlist import Element

_LONG_AUDIT_NS = 2_000_000
"""A submission that takes longer to audit than this pays for it with GPU time."""


def admit(engine: VirtualEngine, elements: list[Element]) -> None:
    """Have shadows for those ``elements`` of the pending list, or of the running one, without.

    It takes time, for which the guest pays if it is long.
    """
    vgpu, state = engine.vgpu, engine.state
    began, computed = vgpu.clock(), time.thread_time_ns()
    loaded = vgpu.dispatcher.holds(vgpu, engine.name)
    _find_shadows(engine, elements, loaded=loaded)
    if engine.must_leave and not (loaded or state.hung or state.stopped):
        engine.gave_way()  # it is off the hardware anyway, and the audit is the guest's to wait for
        _find_shadows(engine, engine.lists.rest, loaded=False)
    used = vgpu.clock() - began
    if used > _LONG_AUDIT_NS:
        vgpu.dispatcher.charge_audit(vgpu, used)
        vgpu.rest.owe(time.thread_time_ns() - computed)


def lacks_shadows(engine: VirtualEngine, *, idle: bool) -> bool:
    """The list that the hardware gets next is not ready, and `build_next` makes it so.

    ``idle``: the hardware has nothing of the engine.
    """
    lists = engine.lists
    if not idle:
        return not engine.must_leave and _missing(lists.pending)
    if lists.active:
        return engine.must_leave or _missing(lists.rest)
    return _missing(lists.pending)


def build_next(engine: VirtualEngine, *, idle: bool) -> None:
    """Build what `lacks_shadows` misses. It takes as long as its audits."""
    if idle:
        engine.next_list()
    elif not engine.must_leave:
        engine.build_missing(engine.lists.pending)


def _missing(elements: list[Element]) -> bool:
    return any(element.slot == NO_SLOT and not element.refused for element in elements)


def _find_shadows(engine: VirtualEngine, elements: list[Element], *, loaded: bool) -> None:
    lists, now = engine.lists, engine.vgpu.clock()
    in_use = {e.lrca: e.slot for e in lists.elements if e.slot != NO_SLOT}
    free = [n for n in range(SLOTS) if n not in in_use.values()]
    seen = set[int]()
    for element in elements:
        if element.slot != NO_SLOT or element.refused:
            continue
        if not element.requests:  # those that come from elsewhere are counted already
            element.requests = 1
            engine.counters.submitted += 1
        try:
            if element.lrca in seen:
                text = f"context {element.lrca:#x} twice in one list"
                raise GuestError(Reason.SUBMISSION, text)
            seen.add(element.lrca)
            known = in_use.get(element.lrca)
            if known is None:
                _build(engine, element, free)
            else:
                _extend(engine, element, known, loaded=loaded)
        except GuestError as error:
            engine.refuse_element(element, error)
        else:
            element.submitted_ns = element.submitted_ns or now
            element.admitted_ns = element.admitted_ns or now


def _build(engine: VirtualEngine, element: Element, free: list[int]) -> None:
    """A shadow in a free slot: the one that has the context's last shadow, if there is one."""
    slots = engine.workloads.slots
    chosen = next((n for n in free if slots[n].lrca == element.lrca), free[0])
    free.remove(chosen)
    engine.workloads.build(element, slots[chosen])
    element.slot, element.must_leave = chosen, False


def _extend(engine: VirtualEngine, element: Element, known: int, *, loaded: bool) -> None:
    """The shadow in slot ``known`` goes on, or has to leave the hardware first.

    A forced restore of what runs goes back to an image: who asks for it has it from what was saved.
    """
    if loaded and element.descriptor & Descriptor.FORCE_RESTORE:
        element.must_leave = True
        return
    slot = engine.workloads.slots[known]
    head = _head(engine, known, loaded=loaded)
    if engine.workloads.extend(slot, head, loaded=loaded):
        element.slot = known
    else:
        element.must_leave = True


def _head(engine: VirtualEngine, number: int, *, loaded: bool) -> int | None:
    """Byte offset in the ring at which the hardware was seen, or where it last went off.

    None: it may be anywhere. What the guest was told says not what runs: RING_START does. Of a
    context that the hardware may have, and is not seen at, the image may be older than what runs.
    """
    slot = engine.workloads.slots[number]
    if not loaded:
        return engine.workloads.head(slot) & reg.RING_HEAD_OFFSET.mask
    read = engine.vgpu.dispatcher.host.engines[engine.name].read
    if read(reg.RING_START) == slot.hardware_ring:
        head = read(reg.RING_HEAD)
        if read(reg.RING_START) == slot.hardware_ring:
            return head & reg.RING_HEAD_OFFSET.mask
    return None
