"""Laws of shadow contexts over any register state page."""

from __future__ import annotations

import random
from array import array

from hypothesis import given
from hypothesis import strategies as st

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import LAYOUTS, STATE_DWORDS, ContextControl, ImageIndex
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.vgpu.register_policy import ROW_POLICY, Policy
from mediator.workload import shadow_context
from mediator.workload.command_stream import Target
from mediator.workload.shadow_context import SAVED_FROM, RingFields

RING = RingFields(head=0, tail=0x100, start=0x8002_0000, control=0x3001, root=0x1000)
GOLDEN = array("I", bytes(4 * STATE_DWORDS))
DWORDS = st.integers(0, 0xFFFF_FFFF)
engines = st.sampled_from(ENGINES)


@st.composite
def pages(draw: st.DrawFn) -> array[int]:
    """Noise, and any values in the dwords with which the driver begins."""
    page = array("I", random.Random(draw(DWORDS)).randbytes(4 * STATE_DWORDS))
    for index, value in draw(st.dictionaries(st.integers(0, 0xB0), DWORDS)).items():
        page[index] = value
    return page


@given(engines, pages())
def test_only_values_come_from_the_guest(facts: EngineFacts, page: array[int]) -> None:
    end = shadow_context.plan(facts.name).end
    made = array("I", shadow_context.build(facts, page, GOLDEN, RING, GOLDEN[end:]))
    layout = LAYOUTS[facts.engine_class]
    values = {register.index for register in layout.registers}
    template = shadow_context.plan(facts.name).template
    frame = [index for index in range(layout.end + 1) if index not in values]
    assert [made[index] for index in frame] == [template[index] for index in frame]


@given(engines, pages())
def test_a_context_that_did_nothing_comes_back_as_it_was(
    facts: EngineFacts, page: array[int]
) -> None:
    """Built and carried back: a context's own values are the guest's again, and what it owns."""
    page[ImageIndex.CONTEXT_CONTROL] &= ~ContextControl.RESTORE_INHIBIT
    first, second = shadow_context.interrupted(page)
    page[ImageIndex.MI_MODE] &= ~reg.MI_MODE_STOP_RING
    fields = RingFields(
        head=page[ImageIndex.RING_HEAD],
        tail=0x100,
        start=0x8002_0000,
        control=0x3001,
        root=0x1000,
        first=first,
        second=second,
    )
    private = page[shadow_context.plan(facts.name).end :]
    saved = array("I", shadow_context.build(facts, page, GOLDEN, fields, private))
    known = page[:]
    shadow_context.carry_back(facts, saved, known, Target, lambda _index, _data: None, whole=True)
    assert (
        known[ImageIndex.RING_HEAD : ImageIndex.BB_ADDR_UDW]
        == (page[ImageIndex.RING_HEAD : ImageIndex.BB_ADDR_UDW])
    )
    assert (
        known[ImageIndex.SBB_STATE + 1 : SAVED_FROM]
        == (page[ImageIndex.SBB_STATE + 1 : SAVED_FROM])
    )
    for register in LAYOUTS[facts.engine_class].registers:
        own = ROW_POLICY[register.address(facts.mmio_base)] is Policy.CONTEXT
        if register.index >= SAVED_FROM and own:
            assert known[register.index] == page[register.index]
    if not page[ImageIndex.CONTEXT_CONTROL] & ContextControl.SAVE_INHIBIT:
        assert shadow_context.interrupted(known) == (first, second)
