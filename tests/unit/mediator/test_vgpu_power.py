"""Forcewake, frequencies, power wells and pcode of a vGPU at register level."""

from __future__ import annotations

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.pcode import PCODE_ILLEGAL_COMMAND, PcodeCommand
from tests.unit.mediator.vgpu_fake import FakeVgpu


@pytest.fixture
def vgpu() -> FakeVgpu:
    return FakeVgpu()


@pytest.mark.parametrize(
    ("request_at", "ack_at"),
    [
        (reg.FORCEWAKE_RENDER, reg.FORCEWAKE_ACK_RENDER),
        (reg.FORCEWAKE_MEDIA, reg.FORCEWAKE_ACK_MEDIA),
        (reg.FORCEWAKE_GT, reg.FORCEWAKE_ACK_GT),
    ],
)
def test_forcewake_is_acknowledged_at_once(vgpu: FakeVgpu, request_at: int, ack_at: int) -> None:
    assert vgpu.read(ack_at) == 0
    vgpu.write(request_at, 0x8001_8001)
    assert vgpu.read(ack_at) == 0x8001
    vgpu.write(request_at, 0x8000_0000)
    assert vgpu.read(ack_at) == 1
    vgpu.write(ack_at, 0xFF)
    assert vgpu.read(ack_at) == 1
    assert vgpu.switched == []


def test_sleep_and_speed_are_the_hardwares(vgpu: FakeVgpu) -> None:
    vgpu.write(reg.GEN6_RC_CONTROL, reg.RC_CONTROL_RC6_ENABLE)
    vgpu.write(reg.GEN6_RPNSWREQ, reg.RPNSWREQ_RATIO.put(30))
    assert vgpu.read(reg.GEN6_RC_CONTROL) == reg.RC_CONTROL_RC6_ENABLE
    assert reg.RPNSWREQ_RATIO.get(vgpu.read(reg.GEN6_RPNSWREQ)) == 30
    assert vgpu.switched == []
    for offset in (
        reg.GEN6_GT_GFX_RC6,
        reg.GEN6_RPSTAT1,
        reg.GEN6_GT_CORE_STATUS,
        reg.PWRGT_STATUS,
    ):
        vgpu.hardware[offset] = offset ^ 0x55
        assert vgpu.read(offset) == offset ^ 0x55


def _pcode(vgpu: FakeVgpu, command: int, data: int = 0) -> tuple[int, int]:
    vgpu.write(reg.PCODE_DATA, data)
    vgpu.write(reg.PCODE_DATA1, 0x99)
    vgpu.write(reg.PCODE_MAILBOX, reg.PCODE_READY | command)
    return vgpu.read(reg.PCODE_MAILBOX), vgpu.read(reg.PCODE_DATA)


@pytest.mark.parametrize(
    ("command", "data", "reply"),
    [
        (PcodeCommand.CDCLK_CONTROL, 3, 1),
        (PcodeCommand.SAGV_CONTROL, 0, 1),
        (PcodeCommand.READ_MEMORY_LATENCY, 0, 0x1E1A_1100),
        (PcodeCommand.READ_MEMORY_LATENCY, 1, 0x6151_4B3D),
        (PcodeCommand.DYNAMIC_DUTY_CYCLE, 0, 9 << 8),
        (PcodeCommand.WRITE_MIN_FREQUENCY_TABLE, 0x1234, 0),
        (PcodeCommand.READ_MIN_FREQUENCY_TABLE, 0x17, 0x172A),
        (PcodeCommand.READ_OVERCLOCK_PARAMETERS, 0, 0),
        (PcodeCommand.READ_RC6_VIDS, 0, 0),
    ],
)
def test_pcode_answers_at_once(vgpu: FakeVgpu, command: int, data: int, reply: int) -> None:
    assert _pcode(vgpu, command, data) == (0, reply)
    assert vgpu.read(reg.PCODE_DATA1) == 0


def test_pcode_refuses_an_unknown_command(vgpu: FakeVgpu) -> None:
    assert _pcode(vgpu, 0xEE, 0x55) == (PCODE_ILLEGAL_COMMAND, 0x55)
    assert vgpu.read(reg.PCODE_DATA1) == 0x99


def test_the_mailbox_is_storage_without_the_ready_bit(vgpu: FakeVgpu) -> None:
    vgpu.write(reg.PCODE_MAILBOX, 0x7)
    assert vgpu.read(reg.PCODE_MAILBOX) == 0x7


def test_power_wells_follow_every_requester(vgpu: FakeVgpu) -> None:
    bios, driver, *_ = reg.PWR_WELL_CTL
    vgpu.write(driver, 1 << 29)
    assert vgpu.read(driver) == 1 << 29 | 1 << 28
    assert vgpu.read(bios) == 1 << 28
    vgpu.write(driver, 0)
    assert vgpu.read(driver) == 0
