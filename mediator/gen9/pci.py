"""The PCI configuration space of a Gen9 GPU's function, native or virtual.

Layout as on Skylake and Kaby Lake processors (function 00:02.0): Intel 6th/7th generation
processor datasheet vol 2, "Processor Graphics Registers". No stolen memory and no OpRegion: GMS and
ASLS read 0, so that a driver keeps everything in its own memory.
"""

from __future__ import annotations

from mediator.gen9.identity import Identity
from mmio_trap.bar import BarKind
from mmio_trap.config_space import CONFIG_SIZE as CONFIG_SIZE
from mmio_trap.config_space import ConfigSpace

VENDOR_INTEL = 0x8086
CLASS_VGA = 0x030000
SUBSYSTEM_ID = 0x2212
"""Any value will do: no driver looks at it."""

BAR0_SIZE = 16 << 20
"""GTTMMADR: 2 MiB of registers, reserved space, from 8 MiB on the GGTT entries."""
BAR2_SIZE = 256 << 20
"""GMADR: the aperture into the GGTT's low end."""
BAR4_SIZE = 64
"""I/O index and data port."""

CAPABILITY_VENDOR_AT = 0x40
CAPABILITY_MSI_AT = 0xAC
CAPABILITY_PM_AT = 0xD0

GMCH_CONTROL = 0x50
GMCH_CONTROL_GGMS_SHIFT = 6
GGMS_4MB = 2
"""4 MiB of GGTT entries: a GGTT of 2 GiB."""
GGMS_8MB = 3
"""8 MiB of GGTT entries: a GGTT of 4 GiB."""
BDSM = 0x5C
BGSM = 0x70
ASLS = 0xFC

_INTA = 1
_CAPID0_BODY = bytes([0x01]) + bytes(8)
"""CAPID0: version 1, no feature disabled."""


def build_config_space(identity: Identity, ggms: int = GGMS_8MB) -> ConfigSpace:
    """The cold configuration space of ``identity``'s function.

    ``ggms`` (0..3) says how many GGTT entries the driver finds: `GGMS_8MB` all, `GGMS_4MB` half.
    """
    config = ConfigSpace(
        VENDOR_INTEL,
        identity.device_id,
        revision=identity.revision,
        class_code=CLASS_VGA,
        subsystem_vendor_id=VENDOR_INTEL,
        subsystem_id=SUBSYSTEM_ID,
        interrupt_pin=_INTA,
    )
    config.add_bar(0, BAR0_SIZE, BarKind.MEMORY64)
    config.add_bar(2, BAR2_SIZE, BarKind.MEMORY64, prefetchable=True)
    config.add_bar(4, BAR4_SIZE, BarKind.IO)
    config.add_vendor(_CAPID0_BODY, at=CAPABILITY_VENDOR_AT)
    config.add_msi(1, wide=False, at=CAPABILITY_MSI_AT)
    config.add_power_management(at=CAPABILITY_PM_AT)
    config.define(GMCH_CONTROL, ggms << GMCH_CONTROL_GGMS_SHIFT, 2)
    config.define(BDSM, 0, 4)
    config.define(BGSM, 0, 4)
    config.define(ASLS, 0, 4, writable=0xFFFF_FFFF)
    return config
