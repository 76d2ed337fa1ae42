"""Identities and fields against what a driver reads from the same numbers."""

from __future__ import annotations

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.engines import BCS0, ENGINES, RCS0, VCS0, VECS0
from mediator.gen9.field import Field
from mediator.gen9.identity import IDENTITIES, Identity
from mediator.gen9.interrupts import BANKS


def test_the_two_models() -> None:
    assert {(i.device_id, i.revision) for i in IDENTITIES.values()} == {(0x5912, 4), (0x1912, 6)}


@pytest.mark.parametrize("identity", IDENTITIES.values(), ids=lambda i: i.platform)
def test_fuses_describe_a_gt2_part_without_display(identity: Identity) -> None:
    assert identity.fuses[reg.GEN8_FUSE2] == 0x0280_0000
    assert identity.fuses[reg.SKL_DFSM] == 0x5020_0000
    assert identity.fuses[reg.CTC_MODE] == 0x4
    cap = identity.fuses[reg.RP_STATE_CAP]
    assert cap & 0xFF == identity.maximum_mhz // 50
    assert identity.minimum_mhz <= identity.efficient_mhz <= identity.maximum_mhz


def test_engines_do_not_share_bits() -> None:
    assert [facts.name for facts in ENGINES] == ["rcs0", "bcs0", "vcs0", "vecs0"]
    for values in (
        [facts.mmio_base for facts in ENGINES],
        [facts.reset_bit for facts in ENGINES],
        [facts.master_bit for facts in ENGINES],
        [facts.tlb_register for facts in ENGINES],
        [facts.fault_id for facts in ENGINES],
        [facts.mocs_base for facts in ENGINES],
        [(facts.interrupt_bank.name, facts.interrupt_shift) for facts in ENGINES],
    ):
        assert len(set(map(str, values))) == len(ENGINES)


def test_engine_events_raise_their_master_bit() -> None:
    for facts in (RCS0, BCS0, VCS0, VECS0):
        event = 1 << facts.interrupt_shift
        raised = [bit for bits, bit in facts.interrupt_bank.sources if bits & event]
        assert raised == [facts.master_bit]


def test_banks_do_not_overlap() -> None:
    offsets = [bank.offset + 4 * i for bank in BANKS for i in range(4)]
    assert len(set(offsets)) == len(offsets)


def test_field() -> None:
    field = Field(10, 8)
    assert (field.mask, field.limit) == (0x700, 7)
    assert field.get(0xFFFF_F2FF) == 2
    assert field.put(5, 0xFFFF) == 0xFDFF
    for value in (-1, 8):
        with pytest.raises(ValueError, match="bits 10:8"):
            field.put(value)
