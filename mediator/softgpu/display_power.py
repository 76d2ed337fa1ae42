"""Power wells of the display engine, which a driver requests even where display is fused off.

Four requesters (BIOS, driver, KVMR, debug) each have a register of request bits; a well is up while
any of them asks for it, and each register shows that in the bit below the request.
Source: PRM SKL vol 2c PWR_WELL_CTL, FUSE_STATUS; Linux i915 display/intel_display_power_well.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9 import registers as reg
from mmio_trap.register_map import Register

if TYPE_CHECKING:
    from mediator.softgpu.gpu import SoftGpu


def read_power_wells(gpu: SoftGpu, register: Register[SoftGpu]) -> int:
    """The register's own requests, and the state of every well."""
    values = gpu.registers.values
    wanted = 0
    for requester in reg.PWR_WELL_CTL:
        wanted |= values[requester >> 2] & reg.PWR_WELL_REQUESTS
    return values[register.offset >> 2] & reg.PWR_WELL_REQUESTS | wanted >> 1
