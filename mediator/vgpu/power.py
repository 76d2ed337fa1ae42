"""Power management that a guest sees: its own requests, answered at once; the hardware's counters.

The mediator alone decides when the GPU sleeps and how fast it runs. A guest's forcewake requests,
RC6 and frequency settings are kept and read back; what it reads of the actual state (residency,
frequency, power domains) is the hardware's, by `passthrough` rows of `mmio_table.py`. A mailbox
command never reaches the hardware's pcode.
Source: PRM SKL vol 2c (FORCEWAKE, GT_DRIVER_MAILBOX, PWR_WELL_CTL); Linux i915 intel_uncore.c,
intel_pcode.c, display/intel_display_power_well.c. Handlers run with the vGPU's lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.identity import FREQUENCY_UNIT_MHZ
from mediator.gen9.pcode import (
    CDCLK_READY,
    IA_FREQUENCY_100MHZ,
    MEMORY_LATENCY,
    PCODE_ILLEGAL_COMMAND,
    SAGV_DISABLED,
    PcodeCommand,
)

if TYPE_CHECKING:
    from mediator.vgpu.vgpu import Vgpu
    from mmio_trap.register_map import Register

_REQUEST_OF = {
    reg.FORCEWAKE_ACK_RENDER: reg.FORCEWAKE_RENDER,
    reg.FORCEWAKE_ACK_MEDIA: reg.FORCEWAKE_MEDIA,
    reg.FORCEWAKE_ACK_GT: reg.FORCEWAKE_GT,
}
_RING_FREQUENCY = 0xFF
"""Bits of the data dword that name a GPU frequency in the table of minimum frequencies."""


def read_forcewake_ack(vgpu: Vgpu, register: Register[Vgpu]) -> int:
    """FORCEWAKE_ACK: the bits that the guest has requested."""
    return vgpu.registers.values[_REQUEST_OF[register.offset] >> 2]


def read_fuse(vgpu: Vgpu, register: Register[Vgpu]) -> int:
    """A register that reports how the part was made."""
    return vgpu.identity.fuses[register.offset]


def read_power_wells(vgpu: Vgpu, register: Register[Vgpu]) -> int:
    """PWR_WELL_CTL: the register's requests, and the state that follows all four requesters'."""
    values = vgpu.registers.values
    requests = 0
    for requester in reg.PWR_WELL_CTL:
        requests |= values[requester >> 2] & reg.PWR_WELL_REQUESTS
    return values[register.offset >> 2] & reg.PWR_WELL_REQUESTS | requests >> 1


def write_pcode_mailbox(vgpu: Vgpu, _register: Register[Vgpu], value: int) -> None:
    """GT_DRIVER_MAILBOX: answer a command; the ready bit clears and bits 7:0 hold the error."""
    if not value & reg.PCODE_READY:
        return
    values = vgpu.registers.values
    answer = _answer(vgpu, reg.PCODE_ERROR.get(value), values[reg.PCODE_DATA >> 2])
    if answer is None:
        values[reg.PCODE_MAILBOX >> 2] = PCODE_ILLEGAL_COMMAND
        return
    values[reg.PCODE_MAILBOX >> 2] = 0
    values[reg.PCODE_DATA >> 2] = answer
    values[reg.PCODE_DATA1 >> 2] = 0


def _answer(vgpu: Vgpu, command: int, data: int) -> int | None:
    """The first data dword of the answer; None for a command that pcode does not know."""
    match command:
        case PcodeCommand.READ_MEMORY_LATENCY:
            return MEMORY_LATENCY[data & 1]
        case PcodeCommand.CDCLK_CONTROL:
            return CDCLK_READY
        case PcodeCommand.SAGV_CONTROL:
            return SAGV_DISABLED
        case PcodeCommand.READ_MIN_FREQUENCY_TABLE:
            return (data & _RING_FREQUENCY) << 8 | IA_FREQUENCY_100MHZ
        case PcodeCommand.DYNAMIC_DUTY_CYCLE:
            return vgpu.identity.efficient_mhz // FREQUENCY_UNIT_MHZ << 8
        case (
            PcodeCommand.READ_RC6_VIDS
            | PcodeCommand.WRITE_RC6_VIDS
            | PcodeCommand.WRITE_MIN_FREQUENCY_TABLE
            | PcodeCommand.READ_OVERCLOCK_PARAMETERS
        ):
            return 0
    return None
