"""Power management of the software GPU: forcewake, RC6, frequency requests and the pcode mailbox.

Nothing really sleeps or changes speed here; the registers tell a driver what it would see on
hardware: an acknowledge for each forcewake request, residency that grows while the GT is idle and
nobody holds it awake, the requested frequency within the part's range.
Source: PRM SKL vol 2c (FORCEWAKE, RC_CONTROL, RPNSWREQ, RPSTAT1, GT_DRIVER_MAILBOX); Linux i915
intel_uncore.c, gt/intel_rc6.c, gt/intel_rps.c, intel_pcode.c. Handlers run under the GPU's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mediator.gen9.forcewake import DOMAINS, domains
from mediator.gen9.identity import FREQUENCY_UNIT_MHZ, RATIOS_PER_UNIT
from mediator.gen9.pcode import (
    CDCLK_READY,
    IA_FREQUENCY_100MHZ,
    MEMORY_LATENCY,
    PCODE_ILLEGAL_COMMAND,
    SAGV_DISABLED,
    PcodeCommand,
)
from mmio_trap.register_map import Register

if TYPE_CHECKING:
    from mediator.softgpu.gpu import SoftGpu

_RESIDENCY_UNIT_NS = 1280
_DWORD = 0xFFFF_FFFF

_REQUEST_OF_ACK = {ack: request for _, request, ack in DOMAINS}
_ACK_OF_REQUEST = {request: ack for _, request, ack in DOMAINS}

GT_STATE_ON = 0
GT_STATE_RC6 = 3
DOMAINS_AWAKE = 0x3
"""PWRGT_DOMAIN_STATUS: media in bit 0, render in bit 1."""


@dataclass
class PowerState:
    """How long the GT has slept. Plain data; times in nanoseconds."""

    rc6_ns: int = 0
    """Time in RC6 up to the last sample."""
    sampled_at_ns: int = 0
    busy_ns: int = 0
    """What the engines had counted as busy at the last sample."""
    may_sleep: bool = False
    """RC6 was enabled and no forcewake held since the last sample."""


def read_forcewake_ack(gpu: SoftGpu, register: Register[SoftGpu]) -> int:
    """FORCEWAKE_ACK: every bit requested is acknowledged, at once or after some looks."""
    values = gpu.registers.values
    if gpu.answers.there(register.offset):
        values[register.offset >> 2] = values[_REQUEST_OF_ACK[register.offset] >> 2]
    return values[register.offset >> 2]


def write_power_control(gpu: SoftGpu, _register: Register[SoftGpu], _value: int) -> None:
    """RC_CONTROL has changed: close the residency account and go on."""
    sample(gpu)


def write_forcewake(gpu: SoftGpu, register: Register[SoftGpu], _value: int) -> None:
    """A forcewake request has changed: close the residency account, and answer."""
    sample(gpu)
    gpu.answers.ask(_ACK_OF_REQUEST[register.offset])


def reaches(gpu: SoftGpu, offset: int, *, write: bool) -> bool:
    """Whether the processor reaches the register at BAR0 ``offset``: its domains are held awake."""
    wanted = domains(offset, write=write)
    values = gpu.registers.values
    for domain, request, ack in DOMAINS:
        if wanted & domain and not values[request >> 2] & values[ack >> 2]:
            return False
    return True


def read_residency(gpu: SoftGpu, _register: Register[SoftGpu]) -> int:
    """GT_GFX_RC6: a 32-bit counter of 1.28 us units that wraps."""
    sample(gpu)
    return gpu.power.rc6_ns // _RESIDENCY_UNIT_NS & _DWORD


def read_core_status(gpu: SoftGpu, _register: Register[SoftGpu]) -> int:
    """GT_CORE_STATUS: the RC state in bits 2:0."""
    return reg.GT_CORE_STATUS_RCN.put(GT_STATE_RC6 if asleep(gpu) else GT_STATE_ON)


def read_domain_status(gpu: SoftGpu, _register: Register[SoftGpu]) -> int:
    """PWRGT_DOMAIN_STATUS: which power domains are up."""
    return 0 if asleep(gpu) else DOMAINS_AWAKE


def read_frequency(gpu: SoftGpu, _register: Register[SoftGpu]) -> int:
    """RPSTAT1: the requested frequency, held within the part's range; 0 while asleep."""
    if asleep(gpu):
        return 0
    identity = gpu.identity
    lowest = identity.minimum_mhz // FREQUENCY_UNIT_MHZ * RATIOS_PER_UNIT
    highest = identity.maximum_mhz // FREQUENCY_UNIT_MHZ * RATIOS_PER_UNIT
    request = reg.RPNSWREQ_RATIO.get(gpu.registers.values[reg.GEN6_RPNSWREQ >> 2])
    return reg.RPSTAT1_RATIO.put(min(max(request, lowest), highest))


def write_pcode_mailbox(gpu: SoftGpu, _register: Register[SoftGpu], value: int) -> None:
    """GT_DRIVER_MAILBOX: serve the command, leave its result in the data registers.

    The ready bit clears at once; bits 7:0 then hold the error, 0 for success.
    """
    if not value & reg.PCODE_READY:
        return
    values = gpu.registers.values
    command = reg.PCODE_ERROR.get(value)
    reply = _pcode_reply(gpu, command, values[reg.PCODE_DATA >> 2])
    error = PCODE_ILLEGAL_COMMAND if reply is None else 0
    if reply is not None:
        values[reg.PCODE_DATA >> 2], values[reg.PCODE_DATA1 >> 2] = reply
    values[reg.PCODE_MAILBOX >> 2] = reg.PCODE_ERROR.put(error)


def asleep(gpu: SoftGpu) -> bool:
    """Whether the GT would be in RC6 now."""
    return _may_sleep(gpu) and gpu.idle


def sample(gpu: SoftGpu) -> None:
    """Add the idle part of the time since the last sample to the residency."""
    power = gpu.power
    now = gpu.clock()
    busy = sum(engine.totals.busy_ns for engine in gpu.engines.values())
    if power.may_sleep:
        idle = now - power.sampled_at_ns - (busy - power.busy_ns)
        if gpu.idle and idle > 0:
            power.rc6_ns += idle
    power.sampled_at_ns = now
    power.busy_ns = busy
    power.may_sleep = _may_sleep(gpu)


def _may_sleep(gpu: SoftGpu) -> bool:
    values = gpu.registers.values
    if not values[reg.GEN6_RC_CONTROL >> 2] & reg.RC_CONTROL_RC6_ENABLE:
        return False
    return not any(values[request >> 2] for request in _REQUEST_OF_ACK.values())


def _pcode_reply(gpu: SoftGpu, command: int, data: int) -> tuple[int, int] | None:
    """The two data dwords that answer ``command``; None for one that pcode does not know."""
    match command:
        case PcodeCommand.READ_MEMORY_LATENCY:
            return MEMORY_LATENCY[data & 1], 0
        case PcodeCommand.CDCLK_CONTROL:
            return CDCLK_READY, 0
        case PcodeCommand.SAGV_CONTROL:
            return SAGV_DISABLED, 0
        case PcodeCommand.READ_MIN_FREQUENCY_TABLE:
            ring = data & 0xFF
            return ring << 8 | IA_FREQUENCY_100MHZ, 0
        case PcodeCommand.DYNAMIC_DUTY_CYCLE:
            return gpu.identity.efficient_mhz // FREQUENCY_UNIT_MHZ << 8, 0
        case (
            PcodeCommand.READ_RC6_VIDS
            | PcodeCommand.WRITE_RC6_VIDS
            | PcodeCommand.WRITE_MIN_FREQUENCY_TABLE
            | PcodeCommand.READ_OVERCLOCK_PARAMETERS
        ):
            return 0, 0
    return None
