"""The configuration space of a Gen9 GPU as the PCI core and i915 read it."""

from __future__ import annotations

import pytest

from mediator.gen9.identity import IDENTITIES, KABY_LAKE_GT2, Identity
from mediator.gen9.pci import BAR0_SIZE, BAR2_SIZE, BAR4_SIZE, GGMS_4MB, build_config_space
from mmio_trap.config_space import ConfigSpace


@pytest.fixture
def config() -> ConfigSpace:
    return build_config_space(KABY_LAKE_GT2)


def _sized(config: ConfigSpace, offset: int, width: int) -> int:
    config.write(offset, b"\xff" * width)
    return config.value(offset, width)


@pytest.mark.parametrize("identity", IDENTITIES.values(), ids=lambda i: i.platform)
def test_identity(identity: Identity) -> None:
    config = build_config_space(identity)
    assert config.value(0x00, 4) == identity.device_id << 16 | 0x8086
    assert config.value(0x08, 4) == 0x0300_0000 | identity.revision
    assert config.value(0x2C, 2) == 0x8086
    assert config.value(0x3D, 1) == 1


def test_bars(config: ConfigSpace) -> None:
    assert _sized(config, 0x10, 8) == (1 << 64) - BAR0_SIZE | 0x4
    assert _sized(config, 0x18, 8) == (1 << 64) - BAR2_SIZE | 0xC
    assert _sized(config, 0x20, 4) == (1 << 32) - BAR4_SIZE | 0x1
    assert _sized(config, 0x24, 4) == 0
    assert _sized(config, 0x30, 4) == 0


def test_capabilities(config: ConfigSpace) -> None:
    chain, at = {}, config.value(0x34, 1)
    while at:
        chain[at] = config.value(at, 1)
        at = config.value(at + 1, 1)
    assert chain == {0x40: 0x09, 0xAC: 0x05, 0xD0: 0x01}
    assert config.value(0x06, 2) & 0x10
    assert config.value(0xAE, 2) == 0, "one vector, 32-bit address, not maskable"


def test_graphics_memory_registers(config: ConfigSpace) -> None:
    gmch = config.value(0x50, 2)
    assert gmch >> 6 & 3 == 3, "8 MiB of GGTT entries"
    assert gmch >> 8 == 0, "no stolen memory"
    config.write(0x50, b"\xff\xff")
    config.write(0x5C, b"\xff\xff\xff\xff")
    assert config.value(0x50, 2) == gmch
    assert config.value(0x5C, 4) == 0
    assert config.value(0xFC, 4) == 0


def test_a_guest_of_the_mediator_finds_half_of_the_entries() -> None:
    config = build_config_space(KABY_LAKE_GT2, GGMS_4MB)
    assert config.value(0x50, 2) == 2 << 6
    config.reset()
    assert config.value(0x50, 2) == 2 << 6


def test_reset_forgets_what_was_written(config: ConfigSpace) -> None:
    config.write(0x04, b"\x07\x04")
    config.write(0x10, b"\x00\x00\x00\xfe")
    config.reset()
    assert config.value(0x04, 2) == 0
    assert config.value(0x10, 4) == 0x4
