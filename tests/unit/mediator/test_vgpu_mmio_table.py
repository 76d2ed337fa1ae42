"""The register table of a vGPU: policies as a whole, each handler, and what commands may do."""

from __future__ import annotations

from collections import Counter

import pytest

from mediator.gen9 import context_image
from mediator.gen9 import registers as reg
from mediator.gen9.engine_register_facts import engine_register_rows
from mediator.gen9.engines import BCS0, ENGINES, RCS0, VCS0, EngineFacts
from mediator.gen9.identity import KABY_LAKE_GT2, SKYLAKE_GT2, Identity
from mediator.gen9.privilege import user_registers
from mediator.gen9.register_facts import plain_rows
from mediator.vgpu.mmio_table import (
    ENGINE_ROWS,
    POLICY,
    REGISTER_MAP,
    SWITCHED,
    VOLATILE,
    Policy,
    command_read,
    command_target,
    command_write,
    hardware_value,
    virtual_value,
)
from mediator.workload.view import RegisterUse
from mmio_trap.register_map import Access, Register
from tests.unit.mediator.vgpu_fake import FakeVgpu

_ONES = 0xFFFF_FFFF
_ROWS = list(REGISTER_MAP.by_offset.values())
_STORAGE = [row for row in _ROWS if row.read is None and row.write is None]
_L3SQCREG4 = 0xB118
_OACONTROL = 0x2B00

PASS, VIRTUAL, REFUSED = RegisterUse.PASS, RegisterUse.VIRTUAL, RegisterUse.REFUSED


@pytest.fixture
def vgpu() -> FakeVgpu:
    return FakeVgpu()


def at(facts: EngineFacts, offset: int) -> int:
    return facts.mmio_base + offset


# -- the table -------------------------------------------------------------------------------------


def test_every_register_of_the_gpu_has_a_row_and_a_policy() -> None:
    known = [*plain_rows(), *(row for facts in ENGINES for row in engine_register_rows(facts))]
    assert [row.name for row in known if row.offset not in POLICY] == []
    assert POLICY.keys() == REGISTER_MAP.by_offset.keys()
    assert set(POLICY.values()) == set(Policy)


def test_every_row_names_its_source() -> None:
    assert [row.name for row in _ROWS if not row.source] == []


def test_reset_values_are_those_of_the_gpu() -> None:
    known = [*plain_rows(), *(row for facts in ENGINES for row in engine_register_rows(facts))]
    vgpu = FakeVgpu()
    for row in known:
        assert vgpu.registers.values[row.offset >> 2] == row.reset, row.name


@pytest.mark.parametrize("row", _STORAGE, ids=lambda row: row.name)
def test_storage_obeys_its_access_kind(row: Register[object]) -> None:
    vgpu = FakeVgpu()
    assert vgpu.read(row.offset) == row.reset
    vgpu.write(row.offset, 0xA5A5_1234)
    expected = {
        Access.RO: row.reset,
        Access.RW: 0xA5A5_1234,
        Access.WO: 0,
        Access.W1C: 0,
        Access.MASKED: (row.reset & ~0xA5A5 & 0xFFFF) | (0xA5A5 & 0x1234),
    }[row.access]
    assert vgpu.read(row.offset) == expected
    assert vgpu.switched == []


def test_what_is_unknown_reads_0_and_is_counted(vgpu: FakeVgpu) -> None:
    vgpu.write(0x50000, _ONES)
    assert vgpu.read(0x50000) == 0
    assert vgpu.registers.unknown_reads == vgpu.registers.unknown_writes == {0x50000: 1}


def test_rows_of_an_engine_are_its_own() -> None:
    for facts in ENGINES:
        offsets = [row.offset - facts.mmio_base for row in ENGINE_ROWS[facts.name]]
        assert all(0 <= offset < 0x1000 for offset in offsets)


# -- policies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offset", [o for o, p in POLICY.items() if p is Policy.PASSTHROUGH_READ and o > 0x30000]
)
def test_passthrough_reads_reach_the_hardware(vgpu: FakeVgpu, offset: int) -> None:
    vgpu.hardware[offset] = 0x1234
    vgpu.write(offset, _ONES)
    assert vgpu.read(offset) == 0x1234
    assert vgpu.switched == []


def test_switched_registers_read_back_and_go_to_the_world(vgpu: FakeVgpu) -> None:
    for offset in SWITCHED:
        masked = REGISTER_MAP.by_offset[offset].access is Access.MASKED
        vgpu.write(offset, 0x0011_0011 if masked else offset)
        assert vgpu.read(offset) == (0x11 if masked else offset)
    assert vgpu.switched == [(offset, vgpu.read(offset)) for offset in SWITCHED]


def test_switched_registers_are_each_named_once() -> None:
    assert max(Counter(SWITCHED).values()) == 1
    assert set(VOLATILE) <= set(SWITCHED)
    assert SWITCHED[-1] in {at(f, reg.RING_FORCE_TO_NONPRIV + 4 * 11) for f in ENGINES}, (
        "slots open the way to registers that stand before them"
    )


def test_what_user_batches_may_change_is_the_contexts_or_switched() -> None:
    for facts in ENGINES:
        for offset in user_registers(facts.engine_class, facts.mmio_base):
            assert POLICY[offset] is Policy.CONTEXT or offset in VOLATILE, hex(offset)


def test_where_a_context_is_stays_the_mediators() -> None:
    hidden = [
        reg.RING_HEAD,
        reg.RING_TAIL,
        reg.RING_START,
        reg.RING_CTL,
        reg.RING_CONTEXT_CONTROL,
        reg.RING_BB_ADDR,
        reg.RING_BB_ADDR_UDW,
        reg.RING_BB_STATE,
        reg.RING_BB_PER_CTX_PTR,
        reg.RING_INDIRECT_CTX,
        reg.RING_INDIRECT_CTX_OFFSET,
        reg.RING_MI_MODE,
        reg.RING_BB_START_ADDR,
        *range(reg.RING_PDP0_LDW, reg.RING_PDP0_LDW + 32, 4),
    ]
    for facts in ENGINES:
        for offset in hidden:
            assert POLICY[at(facts, offset)] is Policy.EMULATED
            assert command_target(at(facts, offset)) is REFUSED
            slot = hardware_value(at(RCS0, reg.RING_FORCE_TO_NONPRIV), at(facts, offset))
            assert slot == at(RCS0, reg.RING_NOPID)


def test_masked_registers_go_to_the_hardware_with_all_their_bits() -> None:
    assert hardware_value(0x20D4, 0x2000) == 0xFFFF_2000
    assert hardware_value(0x20D4, 0xFFFF) == 0xFFFF_FFE7  # no engine gets at another's registers
    assert virtual_value(0xE48C, 0xFFFF_0020) == 0x20
    assert hardware_value(0xB008, 0x1234_5678) == 0x1234_5678
    assert virtual_value(_L3SQCREG4, 0x4040_0000) == 0x4040_0000


def test_performance_reports_stay_off(vgpu: FakeVgpu) -> None:
    vgpu.write(_OACONTROL, 1)
    assert vgpu.read(_OACONTROL) == 1
    assert hardware_value(_OACONTROL, 1) == 0
    assert command_write(vgpu.real, _OACONTROL, 3) is VIRTUAL
    assert vgpu.read(_OACONTROL) == 3


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_slots_name_only_harmless_registers(vgpu: FakeVgpu, facts: EngineFacts) -> None:
    slot, nopid = at(facts, reg.RING_FORCE_TO_NONPRIV + 8), at(facts, reg.RING_NOPID)
    assert vgpu.read(slot) == nopid
    assert hardware_value(slot, nopid) == nopid
    # What i915 puts there on Skylake, Kaby Lake and Coffee Lake (gt/intel_workarounds.c).
    for harmless in (0x2248, 0x2580, 0x7304, 0x7014, _L3SQCREG4, 0x1000_2348 | 1):
        assert hardware_value(slot, harmless) == harmless
    for harm in (
        reg.GDRST,
        reg.FORCEWAKE_GT,
        0x44200,
        0x100000,
        at(BCS0, reg.RING_ELSP),
        at(RCS0, reg.RING_HWS_PGA),
        at(RCS0, reg.RING_FORCE_TO_NONPRIV),
        0x138124,
        0x20EC | 1,  # the range holds more than this one register
        0,
    ):
        vgpu.write(slot, harm)
        assert vgpu.read(slot) == harm
        assert hardware_value(slot, harm) == nopid


# -- engine registers ------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_an_engine_shows_what_runs(vgpu: FakeVgpu, facts: EngineFacts) -> None:
    seen = {
        reg.RING_HEAD: 0x40,
        reg.RING_TAIL: 0x80,
        reg.RING_START: 0x40_0000,
        reg.RING_CTL: 0x3001,
        reg.RING_ACTHD: 0x8765_4320,
        reg.RING_ACTHD_UDW: 0x1234,
        reg.RING_DMA_FADD: 0x8765_4320,
        reg.RING_DMA_FADD_UDW: 0x1234,
        reg.RING_BB_ADDR: 0x2001,
        reg.RING_BB_ADDR_UDW: 1,
        reg.RING_SBB_ADDR: 0x1000,
        reg.RING_SBB_ADDR_UDW: 2,
        reg.RING_BB_STATE: 0x20,
        reg.RING_EXECLIST_STATUS_LO: 0x11,
        reg.RING_EXECLIST_STATUS_HI: 0x22,
        reg.RING_TIMESTAMP: 0x1234_5678,
        reg.RING_TIMESTAMP_UDW: 0xA,
        reg.RING_CTX_TIMESTAMP: 0x77,
        reg.RING_CONTEXT_STATUS_BUFFER + 4 * 7: 0x107,
        reg.RING_ESR: 0,
    }
    for offset, value in seen.items():
        assert vgpu.read(at(facts, offset)) == value, hex(offset)


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_a_submission_goes_to_the_virtual_engine(vgpu: FakeVgpu, facts: EngineFacts) -> None:
    for value in (0, 0, 0x20, 0x1_0119):
        vgpu.write(at(facts, reg.RING_ELSP), value)
    assert vgpu.engines[facts.name].told == [0, 0, 0x20, 0x1_0119]
    assert vgpu.read(at(facts, reg.RING_ELSP)) == 0


def test_stopping_a_ring(vgpu: FakeVgpu) -> None:
    mode, engine = at(RCS0, reg.RING_MI_MODE), vgpu.engines["rcs0"]
    stop = reg.MI_MODE_STOP_RING
    engine.idle = False
    vgpu.write(mode, stop << 16 | stop)
    assert vgpu.read(mode) == stop
    engine.idle = True
    assert vgpu.read(mode) == stop | reg.MI_MODE_IDLE
    vgpu.write(mode, stop << 16)
    assert vgpu.read(mode) == reg.MI_MODE_IDLE
    assert engine.told == ["stop", "resume"]


def test_a_reset_request_is_answered(vgpu: FakeVgpu) -> None:
    control, engine = at(VCS0, reg.RING_RESET_CTL), vgpu.engines["vcs0"]
    request = reg.RESET_CTL_REQUEST
    engine.ready = False
    vgpu.write(control, request << 16 | request)
    assert vgpu.read(control) == request
    engine.ready = True
    vgpu.write(control, request << 16 | request)
    assert vgpu.read(control) == request | reg.RESET_CTL_READY
    vgpu.write(control, request << 16)
    assert vgpu.read(control) == 0
    assert engine.told == ["request", "request", "withdraw"]
    vgpu.write(control, reg.RESET_CTL_CAT_ERROR << 16 | reg.RESET_CTL_CAT_ERROR)
    assert vgpu.read(control) == 0


def test_gdrst_resets_the_engines_it_names_and_clears(vgpu: FakeVgpu) -> None:
    vgpu.write(reg.GDRST, reg.GDRST_BLIT | reg.GDRST_RENDER)
    assert vgpu.read(reg.GDRST) == 0
    told = {name for name, engine in vgpu.engines.items() if engine.told == ["reset"]}
    assert told == {"rcs0", "bcs0"}
    assert (vgpu.counters.engine_resets, vgpu.counters.full_resets) == (2, 0)
    vgpu.write(reg.GDRST, reg.GDRST_FULL)
    assert all("reset" in engine.told for engine in vgpu.engines.values())
    assert (vgpu.counters.engine_resets, vgpu.counters.full_resets) == (2, 1)


def test_status_pointers_are_written_one_by_one(vgpu: FakeVgpu) -> None:
    pointers, engine = at(BCS0, reg.RING_CONTEXT_STATUS_PTR), vgpu.engines["bcs0"]
    assert vgpu.read(pointers) == 0x505
    engine.pointer = 0x203
    vgpu.write(pointers, 0x0700_0300)
    assert vgpu.read(pointers) == 0x303
    vgpu.write(pointers, 0xFFFF_0505)
    assert vgpu.read(pointers) == 0x505


def test_an_engines_mask_reaches_the_hardware(vgpu: FakeVgpu) -> None:
    vgpu.write(at(BCS0, reg.RING_IMR), 0xFEFE_FFFF)
    assert vgpu.masks == [("bcs0", 0xFEFE_FFFF)]
    assert vgpu.read(at(BCS0, reg.RING_IMR)) == 0xFEFE_FFFF


def test_errors_are_virtual_values(vgpu: FakeVgpu) -> None:
    eir, ipehr = at(RCS0, reg.RING_EIR), at(RCS0, reg.RING_IPEHR)
    vgpu.registers.values[eir >> 2] = reg.EIR_INSTRUCTION_ERROR
    vgpu.registers.values[ipehr >> 2] = 0x1234
    vgpu.registers.values[reg.GEN8_RING_FAULT_REG >> 2] = 0x4001
    assert (vgpu.read(eir), vgpu.read(ipehr)) == (1, 0x1234)
    assert vgpu.read(reg.GEN8_RING_FAULT_REG) == 0x4001
    vgpu.write(eir, 1)
    vgpu.write(reg.GEN8_RING_FAULT_REG, 0x4000)
    assert (vgpu.read(eir), vgpu.read(reg.GEN8_RING_FAULT_REG)) == (0, 0x4000)


# -- what is done at once --------------------------------------------------------------------------


@pytest.mark.parametrize("offset", reg.TLB_CONTROLS)
def test_tlb_invalidation_is_done_at_once(vgpu: FakeVgpu, offset: int) -> None:
    vgpu.write(offset, 1)
    assert vgpu.read(offset) == 0


def test_flush_control_puts_ggtt_entries_in_force(vgpu: FakeVgpu) -> None:
    vgpu.write(reg.GFX_FLSH_CNTL, 1)
    assert vgpu.flushes == 1
    assert vgpu.read(reg.GFX_FLSH_CNTL) == 0
    assert vgpu.registers.unknown_writes == {}


@pytest.mark.parametrize("identity", [KABY_LAKE_GT2, SKYLAKE_GT2], ids=lambda i: i.platform)
def test_fuses_are_those_of_the_identity(identity: Identity) -> None:
    vgpu = FakeVgpu(identity)
    for offset, value in identity.fuses.items():
        vgpu.write(offset, ~value & _ONES)
        assert vgpu.read(offset) == value


# -- commands --------------------------------------------------------------------------------------


def test_commands_use_the_registers_of_their_context(vgpu: FakeVgpu) -> None:
    offsets = [
        at(BCS0, reg.RING_CS_GPR + 8),
        at(RCS0, reg.MI_PREDICATE_RESULT_1),
        at(RCS0, reg.RING_R_PWR_CLK_STATE),
        at(BCS0, reg.RING_SWCTRL),
        *context_image.RENDER_MASKED_REGISTERS,
        *context_image.RENDER_STATE_REGISTERS,
        *context_image.OA_REGISTERS,
        *context_image.FLEXIBLE_EU_REGISTERS,
        _L3SQCREG4,
        0x2248,
    ]
    for offset in offsets:
        assert command_read(vgpu.real, offset) == (PASS, 0), hex(offset)
        assert command_target(offset) is PASS, hex(offset)
        assert command_write(vgpu.real, offset, 0x1234) is PASS, hex(offset)
        assert vgpu.registers.values[offset >> 2] == REGISTER_MAP.by_offset[offset].reset
    assert vgpu.switched == []


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_commands_read_the_time(vgpu: FakeVgpu, facts: EngineFacts) -> None:
    for offset in (reg.RING_TIMESTAMP, reg.RING_TIMESTAMP_UDW, reg.RING_CTX_TIMESTAMP):
        assert command_read(vgpu.real, at(facts, offset)) == (PASS, 0)
        assert command_target(at(facts, offset)) is REFUSED


def test_a_switched_register_gets_its_value_from_a_command(vgpu: FakeVgpu) -> None:
    mocs, masked = RCS0.mocs_base + 8, 0x20D4
    assert command_write(vgpu.real, mocs, 0x39) is VIRTUAL
    assert command_write(vgpu.real, masked, 0x2000_2000) is VIRTUAL
    assert vgpu.switched == [(mocs, 0x39), (masked, 0x2000)]
    assert command_read(vgpu.real, mocs) == (VIRTUAL, 0x39)
    slot = at(RCS0, reg.RING_FORCE_TO_NONPRIV)
    assert command_write(vgpu.real, slot, reg.GDRST) is VIRTUAL
    assert hardware_value(slot, vgpu.read(slot)) == at(RCS0, reg.RING_NOPID)


def test_a_performance_configuration_is_taken_without_effect(vgpu: FakeVgpu) -> None:
    for offset in (0x9888, 0x9840, 0x9884, 0x0D00, 0x0D2C, 0x2710, 0x275C, 0x27AC, 0x91CC, 0x20CC):
        assert command_write(vgpu.real, offset, 0x0001_0001) is VIRTUAL, hex(offset)
    for offset in (0xE180, 0xE458, 0x91B8):
        assert command_write(vgpu.real, offset, 0x1) is PASS, hex(offset)
    assert vgpu.switched == []
    assert vgpu.registers.unknown_writes == {}


@pytest.mark.parametrize(
    "offset",
    [
        reg.GDRST,
        reg.GFX_FLSH_CNTL,
        reg.GEN8_RTCR,
        reg.FENCE_BASE,
        reg.PCODE_MAILBOX,
        reg.FORCEWAKE_GT,
        0x44200,
        0x78818,
        at(RCS0, reg.RING_ELSP),
        at(RCS0, reg.RING_HWS_PGA),
        at(RCS0, reg.RING_IMR),
        at(RCS0, reg.RING_MODE),
        at(RCS0, reg.RING_RESET_CTL),
        at(VCS0, reg.RING_CCID),
    ],
)
def test_commands_do_not_write_what_is_emulated(vgpu: FakeVgpu, offset: int) -> None:
    before = list(vgpu.registers.values)
    assert command_write(vgpu.real, offset, _ONES) is REFUSED
    assert list(vgpu.registers.values) == before
    assert command_target(offset) is REFUSED
    assert command_read(vgpu.real, offset)[0] is VIRTUAL
    assert all(engine.told == [] for engine in vgpu.engines.values())


def test_commands_read_virtual_values(vgpu: FakeVgpu) -> None:
    assert command_read(vgpu.real, at(RCS0, reg.RING_HEAD)) == (VIRTUAL, 0x40)
    assert command_read(vgpu.real, at(RCS0, reg.RING_HWSTAM)) == (VIRTUAL, _ONES)


def test_a_command_that_touches_an_unknown_register_is_refused(vgpu: FakeVgpu) -> None:
    for offset in (0x50000, 0, 0x1F_FFFC, 0x7F_FFFC):
        assert command_read(vgpu.real, offset) == (REFUSED, 0)
        assert command_write(vgpu.real, offset, 1) is REFUSED
