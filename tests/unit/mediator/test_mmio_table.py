"""The register table: its rows as a whole, and each handler at register level."""

from __future__ import annotations

import itertools

import pytest

from mediator.gen9 import context_image, interrupts
from mediator.gen9 import registers as reg
from mediator.gen9.engines import ENGINES
from mediator.gen9.identity import KABY_LAKE_GT2, SKYLAKE_GT2, Identity
from mediator.softgpu.engine_registers import engine_rows
from mediator.softgpu.mmio_table import build_map, table_rows
from mmio_trap.register_map import Access, Register
from tests.unit.mediator.register_gpu import RegisterGpu

_ROWS = table_rows()
_PLAIN = [row for row in _ROWS if row.read is None and row.write is None]
_ONES = 0xFFFF_FFFF


@pytest.fixture
def gpu() -> RegisterGpu:
    return RegisterGpu()


def test_rows_are_sorted_apart_and_in_range() -> None:
    offsets = list(build_map([]).by_offset)
    assert all(low < high for low, high in itertools.pairwise(offsets))
    assert offsets[-1] < reg.REGISTER_BLOCK_SIZE
    assert len(offsets) == len(_ROWS)


def test_every_row_names_its_source() -> None:
    rows = [*_ROWS, *(row for facts in ENGINES for row in engine_rows(facts))]
    assert [row.name for row in rows if not row.source] == []


def test_a_row_in_the_place_of_another_is_refused() -> None:
    with pytest.raises(ValueError, match="GDRST"):
        build_map([Register("INTRUDER", reg.GDRST, Access.RW)])


@pytest.mark.parametrize("row", _PLAIN, ids=lambda row: row.name)
def test_plain_registers_obey_their_access_kind(row: Register[object]) -> None:
    gpu = RegisterGpu()
    assert gpu.read(row.offset) == row.reset
    gpu.write(row.offset, 0xA5A5_1234)
    expected = {
        Access.RO: row.reset,
        Access.RW: 0xA5A5_1234,
        Access.WO: 0,
        Access.W1C: 0,
        Access.MASKED: (row.reset & ~0xA5A5 & 0xFFFF) | (0xA5A5 & 0x1234),
    }[row.access]
    assert gpu.read(row.offset) == expected


@pytest.mark.parametrize(
    ("offset", "set_bits"),
    [
        (0x20D4, 1 << 13),
        (0x20E0, 1 << 14),
        (0x2580, 1 << 0),
        (0x7004, 1 << 6 | 1 << 1),
        (0x7014, 1 << 8 | 1 << 15),
        (0x7300, 1 << 4 | 1 << 5 | 1 << 15),
        (0xE100, 1 << 4),
        (0xE180, 1 << 13),
        (0xE184, 1 << 8),
        (0xE194, 1 << 15 | 1 << 9),
        (0xE4F0, 1 << 15 | 1 << 8),
    ],
)
def test_masked_workarounds_read_back(gpu: RegisterGpu, offset: int, set_bits: int) -> None:
    gpu.write(offset, set_bits << 16 | set_bits)
    assert gpu.read(offset) & set_bits == set_bits
    gpu.write(offset, set_bits << 16)
    assert gpu.read(offset) & set_bits == 0


@pytest.mark.parametrize(
    "offset", [0x4090, 0x4DDC, 0x4AB0, 0x940C, 0xB004, 0xB008, 0xB118, 0xB11C, 0x0FDC]
)
def test_whole_register_workarounds_read_back(gpu: RegisterGpu, offset: int) -> None:
    value = gpu.read(offset) | 0x0123_4560
    gpu.write(offset, value)
    assert gpu.read(offset) == value


@pytest.mark.parametrize("identity", [KABY_LAKE_GT2, SKYLAKE_GT2], ids=lambda i: i.platform)
def test_fuses_are_those_of_the_identity(identity: Identity) -> None:
    gpu = RegisterGpu(identity)
    for offset, value in identity.fuses.items():
        gpu.write(offset, ~value & _ONES)
        assert gpu.read(offset) == value


def test_display_is_fused_off(gpu: RegisterGpu) -> None:
    assert gpu.read(reg.SKL_DFSM) == 0x5020_0000


def test_no_firmware_claims_the_wopcm(gpu: RegisterGpu) -> None:
    for offset in (reg.GUC_WOPCM_SIZE, reg.DMA_GUC_WOPCM_OFFSET):
        gpu.write(offset, _ONES)
        assert gpu.read(offset) == 0


def test_no_mediator_announces_itself(gpu: RegisterGpu) -> None:
    assert [gpu.read(0x78000 + 4 * i) for i in range(5)] == [0] * 5
    assert gpu.registers.unknown_reads == {}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda facts: facts.name)
def test_tlb_invalidation_flushes_and_clears(gpu: RegisterGpu, engine: object) -> None:
    offset = getattr(engine, "tlb_register")  # noqa: B009
    assert gpu.read(offset) == 0
    gpu.write(offset, 1)
    assert gpu.flushes == 1
    assert gpu.read(offset) == 0


def test_flush_control_flushes(gpu: RegisterGpu) -> None:
    gpu.write(reg.GFX_FLSH_CNTL, 1)
    assert gpu.flushes == 1
    assert gpu.read(reg.GFX_FLSH_CNTL) == 0


def test_fences_are_thirty_two_pairs(gpu: RegisterGpu) -> None:
    for offset in range(reg.FENCE_BASE, reg.FENCE_BASE + 8 * reg.FENCE_COUNT, 4):
        gpu.write(offset, offset)
    assert gpu.read(reg.FENCE_BASE + 8 * 31 + 4) == reg.FENCE_BASE + 8 * 31 + 4
    assert gpu.registers.unknown_writes == {}


@pytest.mark.parametrize("bank", interrupts.BANKS, ids=lambda bank: bank.name)
def test_bank_registers(gpu: RegisterGpu, bank: interrupts.Bank) -> None:
    assert [gpu.read(bank.offset + 4 * i) for i in range(4)] == [0, _ONES, 0, 0]
    gpu.write(bank.isr, _ONES)
    assert gpu.read(bank.isr) == 0
    gpu.registers.values[bank.iir >> 2] = 0x11
    gpu.write(interrupts.MASTER_IRQ, interrupts.MASTER_ENABLE)
    assert not gpu.interrupts.level
    gpu.write(bank.ier, 0x10)
    assert gpu.interrupts.level
    assert gpu.read(interrupts.MASTER_IRQ) == interrupts.MASTER_ENABLE | bank.sources[0][1]
    gpu.write(bank.iir, 0x10)
    assert gpu.read(bank.iir) == 0x01
    assert not gpu.interrupts.level
    gpu.write(bank.imr, 0x5)
    assert gpu.read(bank.imr) == 0x5


def test_gdrst_resets_the_named_engines_and_clears(gpu: RegisterGpu) -> None:
    gpu.write(reg.GDRST, reg.GDRST_BLIT | reg.GDRST_RENDER)
    assert gpu.flushes == 1
    assert {name for name, engine in gpu.engines.items() if engine.resets} == {"rcs0", "bcs0"}
    assert gpu.read(reg.GDRST) == 0
    gpu.write(reg.GDRST, reg.GDRST_FULL)
    assert gpu.engines["vecs0"].resets == 1


def test_all_context_registers_have_rows(gpu: RegisterGpu) -> None:
    rows = gpu.registers.map.by_offset
    for facts in ENGINES:
        for register in context_image.LAYOUTS[facts.engine_class].registers:
            row = rows[register.address(facts.mmio_base)]
            assert (row.access is Access.MASKED) == register.masked, row.name
