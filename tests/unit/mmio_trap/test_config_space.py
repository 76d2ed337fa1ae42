"""Configuration space and BARs: header, sizing, capabilities, masks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmio_trap.bar import Bar, BarKind
from mmio_trap.config_space import ConfigSpace


@pytest.fixture
def config() -> ConfigSpace:
    made = ConfigSpace(
        0x8086,
        0x5912,
        revision=4,
        class_code=0x030000,
        subsystem_vendor_id=0x1AF4,
        subsystem_id=0x1100,
        interrupt_pin=1,
    )
    made.add_bar(0, 16 << 20, BarKind.MEMORY64)
    made.add_bar(2, 256 << 20, BarKind.MEMORY64, prefetchable=True)
    made.add_bar(4, 64, BarKind.IO)
    return made


def test_golden_header(config: ConfigSpace) -> None:
    assert config.read(0, 64) == bytes.fromhex(
        "86801259 00000000 04000003 00000000 04000000 00000000 0c000000 00000000"
        "01000000 00000000 00000000 f41a0011 00000000 00000000 00000000 00010000"
    )


@pytest.mark.parametrize(
    ("offset", "mask"),
    [
        (0x10, 0xFF000004),
        (0x14, 0xFFFFFFFF),
        (0x18, 0xF000000C),
        (0x1C, 0xFFFFFFFF),
        (0x20, 0xFFFFFFC1),
        (0x24, 0),
        (0x30, 0),
    ],
)
def test_bar_sizing(config: ConfigSpace, offset: int, mask: int) -> None:
    config.write(offset, b"\xff\xff\xff\xff")
    assert config.value(offset, 4) == mask


def test_bar_address(config: ConfigSpace) -> None:
    assert config.bar_address(2) == 0
    config.write(0x18, (0xE0001234).to_bytes(4, "little"))
    config.write(0x1C, (0x12).to_bytes(4, "little"))
    assert config.bar_address(2) == 0x12E0000000


def test_bar_of_four_gigabytes_and_more() -> None:
    assert Bar(0, 1 << 33, BarKind.MEMORY64).address_mask == 0xFFFFFFFE00000000


@pytest.mark.parametrize(
    ("index", "size", "kind"),
    [
        (6, 4096, BarKind.MEMORY32),
        (-1, 4096, BarKind.MEMORY32),
        (5, 4096, BarKind.MEMORY64),
        (0, 0, BarKind.MEMORY32),
        (0, 8, BarKind.MEMORY32),
        (0, 2, BarKind.IO),
        (0, 4097, BarKind.MEMORY32),
        (0, 1 << 32, BarKind.MEMORY32),
        (0, 1 << 64, BarKind.MEMORY64),
    ],
)
def test_impossible_bars(index: int, size: int, kind: BarKind) -> None:
    with pytest.raises(ValueError, match=f"BAR {index}"):
        Bar(index, size, kind)


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4])
def test_bar_slot_is_taken_once(config: ConfigSpace, index: int) -> None:
    with pytest.raises(ValueError, match=f"BAR {index} is taken"):
        config.add_bar(index, 4096)


def test_command_register(config: ConfigSpace) -> None:
    config.write(4, b"\xff\xff")
    assert config.value(4, 2) == 0x0547
    assert config.memory_enabled
    assert config.bus_master
    config.write(4, b"\0\0")
    assert not config.memory_enabled
    assert not config.bus_master


def test_status_is_write_1_to_clear(config: ConfigSpace) -> None:
    config.add_msi()
    config.poke(6, 0xF910, 2)
    config.write(6, b"\xff\x08")
    assert config.value(6, 2) == 0xF110
    config.write(6, b"\0\0")
    assert config.value(6, 2) == 0xF110


def test_identity_is_read_only(config: ConfigSpace) -> None:
    before = config.read(0, 4) + config.read(8, 4) + config.read(0x2C, 4)
    for offset in (0, 8, 0x2C):
        config.write(offset, b"\xff" * 4)
    assert config.read(0, 4) + config.read(8, 4) + config.read(0x2C, 4) == before


def test_scratch_registers(config: ConfigSpace) -> None:
    config.write(0x3C, b"\x0b\xff")
    assert config.read(0x3C, 2) == b"\x0b\x01"
    config.write(0x0C, b"\x10")
    assert config.read(0x0C, 1) == b"\x10"


def test_golden_capability_list(config: ConfigSpace) -> None:
    assert config.add_vendor(b"abc") == 0x40
    assert config.add_power_management() == 0x48
    assert config.add_msi() == 0x50
    assert config.read(0x34, 1) == b"\x40"
    assert config.read(0x40, 32) == bytes.fromhex(
        "09480661 62630000 01500300 08000000 05008000 00000000 00000000 00000000"
    )
    assert config.value(6, 2) == 0x10


def test_capabilities_at_places_a_driver_knows(config: ConfigSpace) -> None:
    config.add_vendor(b"abc", at=0x40)
    config.add_msi(at=0xAC)
    config.add_power_management(at=0xD0)
    chain = [config.value(0x34, 1)]
    while chain[-1]:
        chain.append(config.value(chain[-1] + 1, 1))
    assert chain == [0x40, 0xAC, 0xD0, 0]


@pytest.mark.parametrize("at", [0x3C, 0x41, 0xFC])
def test_capability_that_does_not_fit(config: ConfigSpace, at: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        config.add_power_management(at=at)


def test_capability_over_another(config: ConfigSpace) -> None:
    config.add_msi(at=0x40)
    with pytest.raises(ValueError, match="overlaps"):
        config.add_vendor(b"abc", at=0x40)


def test_msi_registers(config: ConfigSpace) -> None:
    at = config.add_msi(4, maskable=True)
    assert config.value(at + 2, 2) == 0x0184
    config.write(at + 2, b"\xff" * 22)
    assert config.value(at + 2, 2) == 0x01A5
    assert config.value(at + 4, 8) == 0xFFFFFFFF_FFFFFFFC
    assert config.value(at + 12, 2) == 0xFFFF
    assert config.value(at + 16, 4) == 0xF
    assert config.value(at + 20, 4) == 0
    assert config.msi_enabled


@pytest.mark.parametrize("vectors", [1, 2, 4, 8, 16, 32])
def test_no_more_vectors_are_enabled_than_there_are(config: ConfigSpace, vectors: int) -> None:
    at = config.add_msi(vectors)
    capable = vectors.bit_length() - 1
    for enabled in range(8):
        config.write(at + 2, bytes([enabled << 4 | 1]))
        assert config.value(at + 2, 1) >> 4 & 7 == min(enabled, capable)
        assert config.value(at + 2, 1) >> 1 & 7 == capable
        assert config.msi_enabled


def test_a_saved_state_enables_no_more_vectors_either(config: ConfigSpace) -> None:
    at = config.add_msi()
    image = bytearray(config.snapshot())
    image[at + 2] |= 7 << 4
    config.load(bytes(image))
    assert config.value(at + 2, 1) >> 4 & 7 == 0


def test_msi_32_bit(config: ConfigSpace) -> None:
    at = config.add_msi(wide=False)
    config.write(at, b"\xff" * 12)
    assert config.read(at, 12) == bytes.fromhex("05000100 fcffffff ffff0000")


@pytest.mark.parametrize("vectors", [0, 3, 64])
def test_msi_vectors(config: ConfigSpace, vectors: int) -> None:
    with pytest.raises(ValueError, match=f"{vectors} vectors"):
        config.add_msi(vectors)


def test_states_that_are_not_offered_are_not_taken(config: ConfigSpace) -> None:
    at = config.add_power_management()
    for before in (0, 3):
        for written in (1, 2):
            config.write(at + 4, bytes([before]))
            config.write(at + 4, bytes([written]))
            assert config.power_state == before


def test_power_state(config: ConfigSpace) -> None:
    assert config.power_state == 0
    at = config.add_power_management()
    config.write(at + 4, b"\xff\xff")
    assert config.power_state == 3
    assert config.value(at + 4, 2) == 0x000B


def test_reset_returns_everything(config: ConfigSpace) -> None:
    config.add_msi()
    before = config.read(0, 256)
    config.write(0, b"\xff" * 256)
    assert config.read(0, 256) != before
    config.reset()
    assert config.read(0, 256) == before


def test_device_learns_of_writes(config: ConfigSpace) -> None:
    seen: list[tuple[int, int]] = []
    config.on_write = lambda offset, count: seen.append((offset, count))
    config.write(4, b"\x06\x00")
    config.write(254, b"\xff" * 8)
    config.write(256, b"\xff")
    assert seen == [(4, 2), (254, 2)]


def test_reads_past_the_end_are_zero(config: ConfigSpace) -> None:
    assert config.read(252, 8) == bytes(8)


def test_extended_space() -> None:
    config = ConfigSpace(1, 2, size=4096)
    config.define(0x100, 0x10001, 4)
    assert config.read(0x100, 4) == b"\x01\x00\x01\x00"
    with pytest.raises(ValueError, match="not 512"):
        ConfigSpace(1, 2, size=512)
    with pytest.raises(ValueError, match="outside 4096"):
        config.define(4094, 0, 4)
    with pytest.raises(ValueError, match="both writable"):
        config.define(0x200, 0, 4, writable=1, w1c=1)


def as_used(config: ConfigSpace) -> ConfigSpace:
    """A driver has been at work."""
    config.write(0x04, b"\x06\x04")
    config.write(0x10, (0xE000_0000).to_bytes(4, "little"))
    config.write(0x3C, b"\x0b")
    return config


def test_a_snapshot_is_the_whole_image(config: ConfigSpace) -> None:
    as_used(config)
    snapshot = config.snapshot()
    assert snapshot == config.read(0, 256)
    config.reset()
    assert snapshot != config.read(0, 256), "a copy"


def test_a_snapshot_is_taken_over_by_a_function_like_it(config: ConfigSpace) -> None:
    cold = config.snapshot()
    snapshot = as_used(config).snapshot()
    config.reset()
    seen: list[tuple[int, int]] = []
    config.on_write = lambda offset, count: seen.append((offset, count))
    config.load(snapshot)
    assert config.snapshot() == snapshot
    assert config.bus_master
    assert config.bar_address(0) == 0xE000_0000
    assert seen == []
    config.reset()
    assert config.snapshot() == cold


@pytest.mark.parametrize("size", [0, 255, 257, 4096])
def test_a_snapshot_of_another_size_is_refused(config: ConfigSpace, size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes, not 256"):
        config.load(bytes(size))


@pytest.mark.parametrize("offset", [0x00, 0x02, 0x08, 0x0B, 0x10, 0x2E, 0x3D, 0x40])
def test_a_snapshot_of_another_function_is_refused_and_changes_nothing(
    config: ConfigSpace, offset: int
) -> None:
    snapshot = bytearray(as_used(config).snapshot())
    config.reset()
    before = config.snapshot()
    snapshot[offset] ^= 1
    with pytest.raises(ValueError, match=f"byte {offset:#x}.*another function"):
        config.load(bytes(snapshot))
    assert config.snapshot() == before


def test_fields_reach_to_the_last_byte_and_no_further() -> None:
    config = ConfigSpace(1, 2)
    config.define(252, 0x0403_0201, 4)
    assert config.read(250, 6) == b"\0\0\1\2\3\4"
    for offset, width in ((253, 4), (256, 1), (-1, 1), (-4, 4)):
        with pytest.raises(ValueError, match="outside 256"):
            config.define(offset, 0, width)
    with pytest.raises(OverflowError):
        config.define(0x80, 0x100, 1)


def test_a_capability_fits_up_to_the_last_byte(config: ConfigSpace) -> None:
    assert config.add_power_management(at=0xF8) == 0xF8
    with pytest.raises(ValueError, match="does not fit at 0x100"):
        config.add_vendor(b"")


def test_the_next_place_is_behind_the_last(config: ConfigSpace) -> None:
    assert config.add_vendor(b"ab", at=0x80) == 0x80
    assert config.add_vendor(b"a", at=0x50) == 0x50
    assert config.add_vendor(b"") == 0x88
    assert config.add_vendor(b"abcde") == 0x8C
    assert config.add_vendor(b"a") == 0x94


def test_of_a_capability_what_may_be_written(config: ConfigSpace) -> None:
    """What the mask leaves out is for reading; a longer one is cut; the length stays."""
    short = config.add_vendor(b"abc", b"\xff\x0f")
    long = config.add_vendor(b"a", b"\xff\xff\xff")
    other = config.add_vendor(b"\1\2\3\4\5\6")
    config.write(short, b"\0" * 6)
    config.write(long, b"\0" * 8)
    assert config.read(short, 6) == bytes([9, long, 6, 0, 0x60, 0x63])
    assert config.read(long, 4) == bytes([9, other, 4, 0])
    assert config.read(other, 9) == bytes([9, 0, 9, 1, 2, 3, 4, 5, 6])


def test_a_capability_lies_on_nothing_that_is_there(config: ConfigSpace) -> None:
    config.define(0x67, 1, 1)
    with pytest.raises(ValueError, match="0x60 overlaps"):
        config.add_vendor(b"abcde", at=0x60)
    assert config.add_vendor(b"abcd", at=0x60) == 0x60


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda config: config.add_power_management(at=0x60), 8),
        (lambda config: config.add_msi(wide=False, at=0x60), 10),
        (lambda config: config.add_msi(at=0x60), 14),
        (lambda config: config.add_msi(wide=False, maskable=True, at=0x60), 20),
        (lambda config: config.add_msi(maskable=True, at=0x60), 24),
        (lambda config: config.add_vendor(b"abc", at=0x60), 6),
    ],
)
def test_how_long_a_capability_is(build: Callable[[ConfigSpace], int], size: int) -> None:
    """By the byte that it lies on, and the one behind it."""
    config = ConfigSpace(1, 2)
    config.define(0x60 + size, 1, 1)
    assert build(config) == 0x60
    config = ConfigSpace(1, 2)
    config.define(0x60 + size - 1, 1, 1)
    with pytest.raises(ValueError, match="0x60 overlaps"):
        build(config)
