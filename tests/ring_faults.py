"""Faults of the mediator by which a guest gets out, planted to prove that a judge sees them."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import pytest

from mediator.gen9.context_image import ImageIndex
from mediator.gen9.execlist import Descriptor
from mediator.vgpu.execlist import Element
from mediator.workload.ring_copy import RingCopy
from mediator.workload.slot import Slot
from mediator.workload.workload import Workloads

_SUBMITTED, _EXTEND, _CARRY_BACK = Workloads.submitted, Workloads.extend, Workloads.carry_back


def _without_a_restore(works: Workloads, element: Element) -> int:
    asked = element.descriptor & Descriptor.FORCE_RESTORE
    return _SUBMITTED(works, element) & ~Descriptor.FORCE_RESTORE | asked


def _in_used_room(works: Workloads, slot: Slot, head: int | None, *, loaded: bool) -> bool:
    slot.room_used = 0
    return _EXTEND(works, slot, head, loaded=loaded)


def _saved_though_it_runs(works: Workloads, slot: Slot, *, again: bool = False) -> None:
    del again
    _CARRY_BACK(works, slot)


def _from_any_head(works: Workloads, slot: Slot, lrca: int, page: array[int]) -> bool:
    del works
    if not slot.warm or slot.lrca != lrca:
        return False
    slot.page[ImageIndex.RING_TAIL] = page[ImageIndex.RING_TAIL]
    return page == slot.page


FAULTS: dict[str, list[tuple[type, str, Callable[..., object]]]] = {
    "a tail goes back": [(RingCopy, "goes_on", lambda _copy, _tail: True)],
    "nothing is restored": [(Workloads, "submitted", _without_a_restore)],
    "room is used again": [(Workloads, "extend", _in_used_room)],
    "it runs and counts as saved": [
        (Workloads, "carry_back", _saved_though_it_runs),
        (Workloads, "_is_warm", _from_any_head),
    ],
}
"""By what is wrong: methods, and what is put in their places."""


def plant(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until ``monkeypatch`` is undone, the mediator has the fault."""
    for place, name, does in FAULTS[fault]:
        monkeypatch.setattr(place, name, does)
