"""The GPUs that can be served: PCI identity and what their fuses say.

Both are GT2 parts with one slice of three subslices of eight EUs, display fused off.
Source: PRM SKL vol 2c (FUSE2, EU_DISABLE, CTC_MODE, RP_STATE_CAP, MAD_DIMM); Linux i915
include/drm/intel/i915_pciids.h (ids), gt/intel_sseu.c and soc/intel_dram.c (how they are read).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mediator.gen9 import registers as reg
from mediator.gen9.field import Field

FUSE2_SLICE_ENABLE = Field(27, 25)
FUSE2_SUBSLICE_DISABLE = Field(23, 20)

DFSM_PIPE_A_DISABLE = 1 << 30
DFSM_PIPE_C_DISABLE = 1 << 28
DFSM_PIPE_B_DISABLE = 1 << 21
_NO_DISPLAY = DFSM_PIPE_A_DISABLE | DFSM_PIPE_B_DISABLE | DFSM_PIPE_C_DISABLE

CTC_MODE_SHIFT = Field(2, 1)
"""With bit 0 clear, timestamps count 24 MHz divided by two to the power of 3 minus this."""

MCHBAR_MAD_INTER_CHANNEL = 0x145000
MCHBAR_MAD_DIMM_CH0 = 0x14500C
MCHBAR_MAD_DIMM_CH1 = 0x145010
DRAM_TYPE_DDR4 = 0
DIMM_SIZE_GB = Field(5, 0)
DIMM_RANKS = Field(10, 10)
"""0 = one rank, 1 = two; bits 9:8 give the chip width, 0 = x8."""
_DIMM_8GB_TWO_RANKS = DIMM_SIZE_GB.put(8) | DIMM_RANKS.put(1)

SLICES = 1
"""Slices of a GT2 part."""

FREQUENCY_UNIT_MHZ = 50
"""Unit of RP_STATE_CAP."""
RATIOS_PER_UNIT = 3
"""RPNSWREQ and RPSTAT1 count in thirds of the 50 MHz of RP_STATE_CAP."""
TIMESTAMP_HZ = 12_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    """One GPU model. Frequencies in MHz, multiples of 50."""

    device_id: int
    revision: int
    name: str
    platform: str
    minimum_mhz: int
    guaranteed_mhz: int
    maximum_mhz: int
    efficient_mhz: int
    fuses: Mapping[int, int]
    """Value by BAR0 offset of each register that only reports how the part was made."""


def _rp_state_cap(minimum: int, guaranteed: int, maximum: int) -> int:
    return (
        reg.RP_STATE_CAP_RPN.put(minimum // FREQUENCY_UNIT_MHZ)
        | reg.RP_STATE_CAP_RP1.put(guaranteed // FREQUENCY_UNIT_MHZ)
        | reg.RP_STATE_CAP_RP0.put(maximum // FREQUENCY_UNIT_MHZ)
    )


def _gt2(device_id: int, revision: int, name: str, platform: str, maximum: int) -> Identity:
    minimum = guaranteed = 350
    fuses = {
        reg.SKL_DFSM: _NO_DISPLAY,
        reg.GEN8_FUSE2: FUSE2_SLICE_ENABLE.put((1 << SLICES) - 1)
        | FUSE2_SUBSLICE_DISABLE.put(0b1000),
        reg.GEN9_EU_DISABLE: 0,
        reg.GEN9_EU_DISABLE + 4: 0,
        reg.GEN9_EU_DISABLE + 8: 0,
        reg.CTC_MODE: CTC_MODE_SHIFT.put(2),
        reg.EDRAM_CAP: 0,
        reg.RP_STATE_CAP: _rp_state_cap(minimum, guaranteed, maximum),
        MCHBAR_MAD_INTER_CHANNEL: DRAM_TYPE_DDR4,
        MCHBAR_MAD_DIMM_CH0: _DIMM_8GB_TWO_RANKS,
        MCHBAR_MAD_DIMM_CH1: _DIMM_8GB_TWO_RANKS,
    }
    return Identity(
        device_id=device_id,
        revision=revision,
        name=name,
        platform=platform,
        minimum_mhz=minimum,
        guaranteed_mhz=guaranteed,
        maximum_mhz=maximum,
        efficient_mhz=450,
        fuses=MappingProxyType(fuses),
    )


KABY_LAKE_GT2 = _gt2(0x5912, 0x04, "Intel HD Graphics 630", "Kaby Lake GT2", 1150)
SKYLAKE_GT2 = _gt2(0x1912, 0x06, "Intel HD Graphics 530", "Skylake GT2", 1050)

IDENTITIES: Mapping[int, Identity] = MappingProxyType(
    {identity.device_id: identity for identity in (KABY_LAKE_GT2, SKYLAKE_GT2)}
)
"""By PCI device id."""
