"""Forcewake, RC6, frequencies and pcode at register level."""

from __future__ import annotations

import pytest

from mediator.gen9 import registers as reg
from mediator.gen9.identity import KABY_LAKE_GT2, SKYLAKE_GT2
from mediator.gen9.pcode import PCODE_ILLEGAL_COMMAND, PcodeCommand
from tests.unit.mediator.register_gpu import RegisterGpu

_ENABLE, _DISABLE = 0x0001_0001, 0x0001_0000
_RC6 = reg.RC_CONTROL_HW_ENABLE | reg.RC_CONTROL_RC6_ENABLE
_DOMAINS = [
    (reg.FORCEWAKE_RENDER, reg.FORCEWAKE_ACK_RENDER),
    (reg.FORCEWAKE_MEDIA, reg.FORCEWAKE_ACK_MEDIA),
    (reg.FORCEWAKE_GT, reg.FORCEWAKE_ACK_GT),
]


@pytest.fixture
def gpu() -> RegisterGpu:
    return RegisterGpu()


@pytest.mark.parametrize(("request_offset", "ack"), _DOMAINS)
def test_forcewake_is_acknowledged_bit_by_bit(
    gpu: RegisterGpu, request_offset: int, ack: int
) -> None:
    assert gpu.read(ack) == 0
    gpu.write(request_offset, _ENABLE)
    gpu.write(request_offset, 0x8000_8000)
    assert gpu.read(ack) == 0x8001
    assert [gpu.read(other) for _, other in _DOMAINS if other != ack] == [0, 0]
    gpu.write(request_offset, _DISABLE)
    assert gpu.read(ack) == 0x8000
    gpu.write(ack, 0xFFFF_FFFF)
    assert gpu.read(ack) == 0x8000


def _residency_ns(gpu: RegisterGpu) -> int:
    return gpu.read(reg.GEN6_GT_GFX_RC6) * 1280


def test_residency_stands_until_rc6_is_enabled(gpu: RegisterGpu) -> None:
    gpu.now += 1_000_000
    assert _residency_ns(gpu) == 0
    gpu.write(reg.GEN6_RC_CONTROL, _RC6)
    assert gpu.read(reg.GEN6_RC_CONTROL) == _RC6
    gpu.now += 1_280_000
    assert _residency_ns(gpu) == 1_280_000


def test_residency_stands_while_forcewake_is_held(gpu: RegisterGpu) -> None:
    gpu.write(reg.GEN6_RC_CONTROL, _RC6)
    gpu.now += 128_000
    gpu.write(reg.FORCEWAKE_GT, _ENABLE)
    gpu.now += 5_000_000
    gpu.write(reg.FORCEWAKE_GT, _DISABLE)
    gpu.now += 256_000
    assert _residency_ns(gpu) == 384_000


def test_residency_leaves_out_the_time_engines_were_busy(gpu: RegisterGpu) -> None:
    gpu.write(reg.GEN6_RC_CONTROL, _RC6)
    gpu.now += 1_280_000
    gpu.engines["rcs0"].totals.busy_ns += 1_024_000
    assert _residency_ns(gpu) == 256_000
    gpu.now += 128_000
    assert _residency_ns(gpu) == 384_000


def test_residency_never_goes_back(gpu: RegisterGpu) -> None:
    gpu.write(reg.GEN6_RC_CONTROL, _RC6)
    gpu.now += 128_000
    for engine in gpu.engines.values():
        engine.totals.busy_ns += 128_000
    assert _residency_ns(gpu) == 0


def test_residency_wraps_at_32_bits(gpu: RegisterGpu) -> None:
    gpu.write(reg.GEN6_RC_CONTROL, _RC6)
    gpu.now += (1 << 32) * 1280 + 2560
    assert gpu.read(reg.GEN6_GT_GFX_RC6) == 2


def test_status_registers_follow_the_sleep_state(gpu: RegisterGpu) -> None:
    assert (gpu.read(reg.GEN6_GT_CORE_STATUS), gpu.read(0xA2A0)) == (0, 3)
    gpu.write(reg.GEN6_RC_CONTROL, _RC6)
    assert (gpu.read(reg.GEN6_GT_CORE_STATUS), gpu.read(0xA2A0)) == (3, 0)
    assert gpu.read(reg.GEN6_RPSTAT1) == 0
    gpu.idle = False
    assert (gpu.read(reg.GEN6_GT_CORE_STATUS), gpu.read(0xA2A0)) == (0, 3)


@pytest.mark.parametrize("identity", [KABY_LAKE_GT2, SKYLAKE_GT2])
def test_frequency_is_the_request_within_the_range(identity: object) -> None:
    assert identity in (KABY_LAKE_GT2, SKYLAKE_GT2)
    gpu = RegisterGpu(KABY_LAKE_GT2 if identity is KABY_LAKE_GT2 else SKYLAKE_GT2)
    cap = gpu.read(reg.RP_STATE_CAP)
    lowest, highest = 3 * reg.RP_STATE_CAP_RPN.get(cap), 3 * reg.RP_STATE_CAP_RP0.get(cap)

    def actual() -> int:
        return reg.RPSTAT1_RATIO.get(gpu.read(reg.GEN6_RPSTAT1))

    assert actual() == lowest
    for request, expected in ((lowest - 1, lowest), (40, 40), (highest, highest), (511, highest)):
        value = reg.RPNSWREQ_RATIO.put(request)
        gpu.write(reg.GEN6_RPNSWREQ, value)
        assert gpu.read(reg.GEN6_RPNSWREQ) == value
        assert actual() == expected


def _pcode(gpu: RegisterGpu, command: int, data: int = 0) -> tuple[int, int]:
    gpu.write(reg.PCODE_DATA, data)
    gpu.write(reg.PCODE_MAILBOX, reg.PCODE_READY | command)
    return gpu.read(reg.PCODE_MAILBOX), gpu.read(reg.PCODE_DATA)


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
    ],
)
def test_pcode_answers_at_once(gpu: RegisterGpu, command: int, data: int, reply: int) -> None:
    assert _pcode(gpu, command, data) == (0, reply)


def test_pcode_refuses_an_unknown_command(gpu: RegisterGpu) -> None:
    assert _pcode(gpu, 0xEE, 0x55) == (PCODE_ILLEGAL_COMMAND, 0x55)


def test_pcode_does_nothing_without_the_ready_bit(gpu: RegisterGpu) -> None:
    gpu.write(reg.PCODE_DATA, 7)
    gpu.write(reg.PCODE_MAILBOX, PcodeCommand.CDCLK_CONTROL)
    assert gpu.read(reg.PCODE_DATA) == 7
    assert gpu.read(reg.PCODE_MAILBOX) == PcodeCommand.CDCLK_CONTROL


def test_every_mailbox_command_has_one_answer(gpu: RegisterGpu) -> None:
    """Both data dwords; what pcode does not know is an error and leaves them."""
    known = {
        0x04: (0, 0),
        0x05: (0, 0),
        0x06: (0x6151_4B3D, 0),
        0x07: (1, 0),
        0x08: (0, 0),
        0x09: (0x552A, 0),
        0x0C: (0, 0),
        0x1A: (450 // 50 << 8, 0),
        0x21: (1, 0),
    }
    for command in range(256):
        gpu.write(reg.PCODE_DATA, 0x55)
        gpu.write(reg.PCODE_DATA1, 0x66)
        gpu.write(reg.PCODE_MAILBOX, 1 << 31 | command)
        assert gpu.read(reg.PCODE_MAILBOX) == (0 if command in known else 1)
        data = gpu.read(reg.PCODE_DATA), gpu.read(reg.PCODE_DATA1)
        assert data == known.get(command, (0x55, 0x66)), hex(command)
    gpu.write(reg.PCODE_DATA, 0x54)
    gpu.write(reg.PCODE_MAILBOX, 1 << 31 | 0x06)
    assert gpu.read(reg.PCODE_DATA) == 0x1E1A_1100
    gpu.write(reg.PCODE_DATA, 9)
    gpu.write(reg.PCODE_MAILBOX, 0x06)
    assert gpu.read(reg.PCODE_DATA) == 9, "it was not asked"
