"""A shadow's register state page: the mediator's frame, the guest's values, and the way back."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.context_image import (
    BATCH_BUFFER_END,
    LAYOUTS,
    STATE_DWORDS,
    ContextControl,
    ImageIndex,
    ImageRegister,
    Layout,
)
from mediator.gen9.engines import ENGINES, EngineFacts
from mediator.vgpu.register_policy import ROW_POLICY, Policy
from mediator.workload import shadow_context
from mediator.workload.command_stream import Target
from mediator.workload.shadow_context import SAVED_FROM, Batch, RingFields

NEVER_RAN = 0x0009_0009
HAS_RUN = 0xFFFF_0008
GOLDEN = array("I", range(0x6000_0000, 0x6000_0000 + STATE_DWORDS))
DRIVERS = (
    ImageIndex.RING_TAIL,
    ImageIndex.RING_START,
    ImageIndex.RING_CTL,
    ImageIndex.BB_PER_CTX_PTR,
    ImageIndex.INDIRECT_CTX,
    ImageIndex.INDIRECT_CTX_OFFSET,
    *range(ImageIndex.PDP3_UDW, ImageIndex.PDP0_LDW + 1, 2),
)
"""What a driver may be writing while the context runs."""
PRIVATE = 0x7000_0001
"""What is put behind the register loads."""
every_engine = pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)


def ring(**changes: object) -> RingFields:
    made = RingFields(head=0x40, tail=0x80, start=0x8002_0000, control=0x3001, root=0x12_3456_7000)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def noise(control: int = HAS_RUN) -> array[int]:
    """A page in which no dword is what it should be, with a control of its own; no batches."""
    page = array("I", ((n * 0x9E37_79B1 ^ 0xDEAD_BEEF) & 0xFFFF_FFFF for n in range(STATE_DWORDS)))
    page[ImageIndex.CONTEXT_CONTROL] = control
    for index in (ImageIndex.BB_ADDR, ImageIndex.SBB_ADDR):
        page[index] &= ~1
    return page


def built(
    facts: EngineFacts,
    page: array[int],
    fields: RingFields | None = None,
    golden: array[int] = GOLDEN,
) -> array[int]:
    private = array("I", [PRIVATE] * (STATE_DWORDS - shadow_context.plan(facts.name).end))
    return array("I", shadow_context.build(facts, page, golden, fields or ring(), private))


def layout(facts: EngineFacts) -> Layout:
    return LAYOUTS[facts.engine_class]


def is_own(facts: EngineFacts, register: ImageRegister) -> bool:
    return ROW_POLICY[register.address(facts.mmio_base)] is Policy.CONTEXT


@every_engine
@pytest.mark.parametrize("control", [NEVER_RAN, HAS_RUN])
def test_headers_and_offsets_are_never_the_guests(facts: EngineFacts, control: int) -> None:
    made = built(facts, noise(control))
    end = layout(facts).end
    expected = {0: 0, end: BATCH_BUFFER_END}
    values = set()
    for block in layout(facts).blocks:
        expected[block.index] = block.header
        for register in block.registers:
            expected[register.index - 1] = register.address(facts.mmio_base)
            values.add(register.index)
    gaps = set(range(end)) - values - expected.keys()
    assert {index: made[index] for index in expected} == expected
    assert {made[index] for index in gaps} == {0}


@every_engine
def test_a_context_that_never_ran_gets_golden_values(facts: EngineFacts) -> None:
    made, end = built(facts, noise(NEVER_RAN)), layout(facts).end
    for register in layout(facts).registers:
        if register.index >= SAVED_FROM and register.index != ImageIndex.MI_MODE:
            assert made[register.index] == GOLDEN[register.index]
    assert set(made[end + 1 :]) == {PRIVATE}
    assert made[ImageIndex.CTX_TIMESTAMP] == 0


@every_engine
def test_a_context_that_ran_gets_its_own_values(facts: EngineFacts) -> None:
    page, end = noise(), layout(facts).end
    made = built(facts, page)
    own = [r for r in layout(facts).registers if r.index >= SAVED_FROM and is_own(facts, r)]
    assert len(own) > 30
    assert [made[r.index] for r in own] == [page[r.index] for r in own]
    assert set(made[end + 1 :]) == {PRIVATE}
    assert made[ImageIndex.CTX_TIMESTAMP] == page[ImageIndex.CTX_TIMESTAMP]


@every_engine
def test_a_register_that_is_no_contexts_own_is_never_the_guests_to_say(
    facts: EngineFacts,
) -> None:
    made = built(facts, noise())
    others = {
        r.index for r in layout(facts).registers if r.index >= SAVED_FROM and not is_own(facts, r)
    }
    assert {ImageIndex.EXCC, ImageIndex.TIMESTAMP, ImageIndex.BB_START_ADDR} < others
    for index in others - {ImageIndex.MI_MODE}:
        assert made[index] == GOLDEN[index]


def test_an_indirect_batch_runs_where_gen9_expects_it() -> None:
    """Elsewhere it may cut a command of the image in two, and operands become commands."""
    assert built(ENGINES[0], noise())[ImageIndex.INDIRECT_CTX_OFFSET] == 0x26 << 6


@every_engine
def test_ring_and_tables_are_the_mediators(facts: EngineFacts) -> None:
    made = built(facts, noise(), ring(indirect=0x9000_0005, per_context=0x9000_1001))
    assert made[ImageIndex.RING_HEAD] == 0x40
    assert made[ImageIndex.RING_TAIL] == 0x80
    assert made[ImageIndex.RING_START] == 0x8002_0000
    assert made[ImageIndex.RING_CTL] == 0x3001
    assert made[ImageIndex.INDIRECT_CTX] == 0x9000_0005
    assert made[ImageIndex.BB_PER_CTX_PTR] == 0x9000_1001
    assert made[ImageIndex.PDP0_UDW] << 32 | made[ImageIndex.PDP0_LDW] == 0x12_3456_7000
    others = range(ImageIndex.PDP3_UDW, ImageIndex.PDP0_UDW, 2)
    assert {made[index] for index in others} == {0}


@pytest.mark.parametrize("control", [0xFFFF_FFFF, 0, NEVER_RAN, HAS_RUN, 0x0001_0004])
def test_a_shadow_is_always_restored_and_saved(control: int) -> None:
    made = built(ENGINES[0], noise(control))[ImageIndex.CONTEXT_CONTROL]
    assert made & 0xFFFF_0000 == 0xFFFF_0000
    kept = ContextControl.RS_ENABLE | ContextControl.INHIBIT_SYNC_SWITCH
    assert made & 0xFFFF == control & kept


@every_engine
@pytest.mark.parametrize("control", [NEVER_RAN, HAS_RUN])
def test_a_context_does_not_stop_its_ring(facts: EngineFacts, control: int) -> None:
    """Neither the guest's page nor the one that was saved first says so, and all else stays."""
    page, golden = noise(control), GOLDEN[:]
    page[ImageIndex.MI_MODE] = golden[ImageIndex.MI_MODE] = 0xFFFF_FFFF
    made = built(facts, page, golden=golden)[ImageIndex.MI_MODE]
    assert made == 0xFFFF_FFFF & ~reg.MI_MODE_STOP_RING


def test_no_batch_of_the_guest_is_resumed_unless_it_is_given() -> None:
    page = noise()
    page[ImageIndex.BB_ADDR] |= 1
    page[ImageIndex.SBB_ADDR] |= 1
    made = built(ENGINES[0], page)
    assert set(made[ImageIndex.BB_ADDR_UDW : ImageIndex.SBB_STATE + 1 : 2]) == {0}


def test_batches_that_are_given_are_resumed() -> None:
    first, second = Batch(0x9000_2000, ppgtt=False), Batch(0x1234_5678_9ABC, ppgtt=True)
    made = built(ENGINES[0], noise(), ring(first=first, second=second))
    assert shadow_context.interrupted(made) == (first, second)
    places = (ImageIndex.BB_ADDR_UDW, ImageIndex.SBB_ADDR_UDW)
    found = [made[at : at + 5 : 2].tolist() for at in places]
    assert found == [[0, 0x9000_2001, 0], [0x1234, 0x5678_9ABD, reg.BB_STATE_PPGTT]]


@pytest.mark.parametrize("control", [NEVER_RAN, 1])
def test_a_context_that_never_ran_is_in_no_batch(control: int) -> None:
    page = noise(control)
    page[ImageIndex.BB_ADDR] |= 1
    assert shadow_context.interrupted(page) == (None, None)


def test_where_a_context_was_interrupted() -> None:
    page = noise()
    page[ImageIndex.BB_ADDR_UDW : ImageIndex.BB_STATE + 1 : 2] = array("I", [0x12, 0x1001, 0x20])
    assert shadow_context.interrupted(page) == (Batch(0x12_0000_1000, ppgtt=True), None)
    page[ImageIndex.BB_STATE] = 0
    assert shadow_context.interrupted(page)[0] == Batch(0x12_0000_1000, ppgtt=False)


# -- the way back ------------------------------------------------------------------------------


def carried(
    facts: EngineFacts,
    saved: Sequence[int],
    guest: array[int],
    batches: dict[int, Target],
    *,
    whole: bool = True,
) -> array[int]:
    """The guest's page afterwards. What was put is what is known of it, and none the driver's."""
    page = guest[:]
    known = guest[:]

    def put(index: int, data: bytes) -> None:
        dwords = array("I", data)
        assert not set(range(index, index + len(dwords))) & {*DRIVERS, *range(3)}
        page[index : index + len(dwords)] = dwords

    shadow_context.carry_back(facts, array("I", saved), known, batches.get, put, whole=whole)
    assert known == page
    return page


@every_engine
@pytest.mark.parametrize("control", [NEVER_RAN, HAS_RUN])
def test_carry_back_does_not_touch_what_the_driver_owns(facts: EngineFacts, control: int) -> None:
    guest = noise(control)
    page = carried(facts, built(facts, noise()), guest, {})
    assert [page[index] for index in DRIVERS] == [guest[index] for index in DRIVERS]
    assert page[0 : ImageIndex.CONTEXT_CONTROL] == guest[0 : ImageIndex.CONTEXT_CONTROL]
    offsets = range(ImageIndex.BB_ADDR_UDW + 1, ImageIndex.SBB_STATE, 2)
    assert [page[index] for index in offsets] == [guest[index] for index in offsets]


@every_engine
def test_carry_back_takes_what_the_hardware_saved(facts: EngineFacts) -> None:
    saved = built(facts, noise())
    saved[ImageIndex.RING_HEAD], saved[ImageIndex.CTX_TIMESTAMP] = 0x0020_0060, 0x77
    for register in layout(facts).registers:
        if register.index >= SAVED_FROM:
            saved[register.index] ^= 0xFFFF
    page = carried(facts, saved, noise(), {})
    assert page[ImageIndex.RING_HEAD] == 0x0020_0060
    assert page[ImageIndex.CTX_TIMESTAMP] == 0x77
    for index in (ImageIndex.BB_START_ADDR_UDW, ImageIndex.BB_START_ADDR):
        assert page[index] == noise()[index]
        saved[index] = page[index]
    assert page[SAVED_FROM:] == saved[SAVED_FROM:]


def test_a_context_that_has_run_is_restored_the_next_time() -> None:
    """Whatever the hardware has in its image, which is always restored and saved."""
    for control in (NEVER_RAN, 0x000B_000B):
        guest = noise(control)
        saved = built(ENGINES[0], guest)
        saved[ImageIndex.CONTEXT_CONTROL] = 0x1234
        page = carried(ENGINES[0], saved, guest, {})
        assert page[ImageIndex.CONTEXT_CONTROL] == 0xFFFF_0000 | control & 0xFFFE


@pytest.mark.parametrize(
    ("control", "whole"),
    [
        (NEVER_RAN | ContextControl.SAVE_INHIBIT, True),
        (HAS_RUN | ContextControl.SAVE_INHIBIT, True),
        (NEVER_RAN, False),
        (HAS_RUN, False),
    ],
)
def test_head_and_time_alone_are_written_where_the_save_is_inhibited_or_not_whole(
    control: int, whole: bool
) -> None:
    guest = noise(control)
    saved = built(ENGINES[0], noise(NEVER_RAN))
    saved[ImageIndex.RING_HEAD], saved[ImageIndex.CTX_TIMESTAMP] = 0x60, 0x77
    page = carried(ENGINES[0], saved, guest, {}, whole=whole)
    changed = {n: page[n] for n in range(STATE_DWORDS) if page[n] != guest[n]}
    assert changed == {ImageIndex.RING_HEAD: 0x60, ImageIndex.CTX_TIMESTAMP: 0x77}


def test_a_batch_that_ran_as_a_shadow_has_the_guests_address() -> None:
    shadow, user = Batch(0x9000_2010, ppgtt=False), Batch(0x1234_5678_9ABC, ppgtt=True)
    saved = built(ENGINES[0], noise(), ring(first=shadow, second=user))
    page = carried(ENGINES[0], saved, noise(), {0x9000_2010: Target(0x10_0010)})
    assert shadow_context.interrupted(page) == (Batch(0x10_0010, ppgtt=False), user)


def test_an_address_of_the_mediator_is_not_told() -> None:
    """A place in no batch that is known: nothing, rather than where the shadow lies."""
    saved = built(ENGINES[0], noise(), ring(first=Batch(0x9000_2010, ppgtt=False)))
    page = carried(ENGINES[0], saved, noise(), {})
    assert shadow_context.interrupted(page)[0] == Batch(0, ppgtt=False)
    assert 0x9000_2010 not in {dword & ~3 for dword in page}


def test_a_batch_is_found_by_all_bits_of_its_address() -> None:
    shadow = Batch(0x1234_9000_2010, ppgtt=False)
    saved = built(ENGINES[0], noise(), ring(second=shadow))
    place = Target(0xABCD_0010_0010, user=True)
    page = carried(ENGINES[0], saved, noise(), {0x1234_9000_2010: place})
    assert shadow_context.interrupted(page) == (None, Batch(0xABCD_0010_0010, ppgtt=True))
