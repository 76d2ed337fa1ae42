"""Virtual interrupts: masks, banks, master and line."""

from __future__ import annotations

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.engines import BCS0, ENGINES, RCS0, EngineFacts
from mediator.gen9.interrupts import BANKS, GT0, MASTER_ENABLE, MASTER_IRQ, Bank, EngineInterrupt
from mediator.vgpu.interrupt import latch, pending, raise_engine_event, update_line
from tests.unit.mediator.vgpu_fake import FakeVgpu

_ONES = 0xFFFF_FFFF


@pytest.fixture
def vgpu() -> FakeVgpu:
    """All banks open and enabled, the master enabled, the engines' own masks closed."""
    vgpu = FakeVgpu()
    for bank in BANKS:
        vgpu.write(bank.imr, 0)
        vgpu.write(bank.ier, _ONES)
    vgpu.write(MASTER_IRQ, MASTER_ENABLE)
    return vgpu


@pytest.mark.parametrize("facts", ENGINES, ids=lambda facts: facts.name)
def test_an_event_goes_the_whole_way(vgpu: FakeVgpu, facts: EngineFacts) -> None:
    bit = EngineInterrupt.CONTEXT_SWITCH
    event = 1 << (bit + facts.interrupt_shift)
    raise_engine_event(vgpu.real, facts, bit)
    assert not vgpu.interrupts.level, "RING_IMR holds it back"
    vgpu.write(facts.mmio_base + reg.RING_IMR, _ONES & ~event)
    raise_engine_event(vgpu.real, facts, bit)
    assert vgpu.read(facts.interrupt_bank.iir) == event
    assert vgpu.read(MASTER_IRQ) == MASTER_ENABLE | facts.master_bit
    assert vgpu.interrupts.level
    vgpu.write(facts.interrupt_bank.iir, event)
    assert vgpu.read(MASTER_IRQ) == MASTER_ENABLE
    assert not vgpu.interrupts.level


def test_a_bank_mask_keeps_an_event_from_being_latched(vgpu: FakeVgpu) -> None:
    vgpu.write(GT0.imr, 1 << EngineInterrupt.USER)
    vgpu.write(RCS0.mmio_base + reg.RING_IMR, 0)
    raise_engine_event(vgpu.real, RCS0, EngineInterrupt.USER)
    assert vgpu.read(GT0.iir) == 0


def test_what_is_not_enabled_is_latched_and_waits(vgpu: FakeVgpu) -> None:
    vgpu.write(GT0.ier, 0)
    vgpu.write(BCS0.mmio_base + reg.RING_IMR, 0)
    raise_engine_event(vgpu.real, BCS0, EngineInterrupt.USER)
    assert vgpu.read(GT0.iir) == 1 << 16
    assert not vgpu.interrupts.level
    vgpu.write(GT0.ier, 1 << 16)
    assert vgpu.interrupts.level


def test_the_line_rises_again_when_the_master_is_enabled(vgpu: FakeVgpu) -> None:
    latch(vgpu.real, GT0, 1)
    assert vgpu.interrupts.edges == 1
    vgpu.write(MASTER_IRQ, 0)
    assert not vgpu.interrupts.level
    latch(vgpu.real, GT0, 1 << 16)
    vgpu.write(GT0.iir, 1)
    vgpu.write(MASTER_IRQ, MASTER_ENABLE)
    assert vgpu.interrupts.edges == 2


def test_an_event_that_comes_before_its_like_is_cleared_is_there_once_more(vgpu: FakeVgpu) -> None:
    for _ in range(3):  # a bank holds two
        latch(vgpu.real, GT0, 1)
    latch(vgpu.real, GT0, 2)
    vgpu.write(GT0.iir, 3)
    assert vgpu.read(GT0.iir) == 1
    assert vgpu.interrupts.level
    vgpu.write(GT0.iir, 1)
    assert vgpu.read(GT0.iir) == 0
    assert not vgpu.interrupts.level


def test_a_second_event_waits_for_the_first_to_be_cleared(vgpu: FakeVgpu) -> None:
    latch(vgpu.real, GT0, 1)
    latch(vgpu.real, GT0, 1)
    vgpu.write(GT0.iir, 2)
    assert vgpu.read(GT0.iir) == 1
    vgpu.write(GT0.iir, 1)
    assert vgpu.read(GT0.iir) == 1
    vgpu.write(GT0.iir, 1)
    assert vgpu.read(GT0.iir) == 0


def test_only_the_enable_bit_of_the_master_is_written(vgpu: FakeVgpu) -> None:
    vgpu.write(MASTER_IRQ, 0x7FFF_FFFF)
    assert vgpu.read(MASTER_IRQ) == 0
    assert vgpu.registers.values[MASTER_IRQ >> 2] == 0, "nothing else is kept"
    assert not vgpu.interrupts.level


@pytest.mark.parametrize("bank", BANKS, ids=lambda bank: bank.name)
def test_each_bank_has_its_status_bits(vgpu: FakeVgpu, bank: Bank) -> None:
    for bits, master in bank.sources:
        latch(vgpu.real, bank, bits)
        assert pending(vgpu.real) == master
        vgpu.write(bank.iir, _ONES)
    vgpu.write(bank.isr, _ONES)
    assert vgpu.read(bank.isr) == 0


def test_the_line_follows_registers_that_were_loaded(vgpu: FakeVgpu) -> None:
    vgpu.registers.values[GT0.iir >> 2] = 1
    update_line(vgpu.real)
    assert vgpu.interrupts.level
    vgpu.registers.reset()
    update_line(vgpu.real)
    assert not vgpu.interrupts.level
