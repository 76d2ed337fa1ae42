"""The register map: what it refuses to hold, and what each access kind does."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from mmio_trap.register_map import (
    MOST_UNKNOWN,
    Access,
    Register,
    RegisterFile,
    RegisterMap,
    register_array,
)


@dataclass
class Device:
    """Remembers what its handlers were called with."""

    written: list[tuple[str, int]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)


def note_write(device: Device, register: Register[Device], value: int) -> None:
    device.written.append((register.name, value))


def note_read(device: Device, register: Register[Device]) -> int:
    device.read.append(register.name)
    return 0xA1B2C3D4


ROWS: list[Register[Device]] = [
    Register("RW", 0x00, Access.RW, 0x11223344, write=note_write),
    Register("RO", 0x04, Access.RO, 0x55667788, write=note_write),
    Register("WO", 0x08, Access.WO, write=note_write),
    Register("W1C", 0x0C, Access.W1C, 0xFF00FF00, write=note_write),
    Register("MASKED", 0x10, Access.MASKED, 0x00F0, write=note_write),
    Register("LIVE", 0x14, Access.RO, read=note_read),
    *register_array("FENCE", 0x20, 2, 8, access=Access.RW),
]


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def registers(device: Device) -> RegisterFile[Device]:
    return RegisterFile(RegisterMap(ROWS, 0x40), device)


def test_reset_values(registers: RegisterFile[Device]) -> None:
    assert [registers.read32(offset) for offset in (0, 4, 8, 0xC, 0x10)] == [
        0x11223344,
        0x55667788,
        0,
        0xFF00FF00,
        0x00F0,
    ]


@pytest.mark.parametrize(
    ("offset", "value", "stored", "handled"),
    [
        (0x00, 0xDEADBEEF, 0xDEADBEEF, [("RW", 0xDEADBEEF)]),
        (0x04, 0xDEADBEEF, 0x55667788, []),
        (0x08, 0xDEADBEEF, 0, [("WO", 0xDEADBEEF)]),
        (0x0C, 0xF0000000, 0x0F00FF00, [("W1C", 0x0F00FF00)]),
        (0x10, 0x00FF000F, 0x000F, [("MASKED", 0x000F)]),
        (0x10, 0x0000FFFF, 0x00F0, [("MASKED", 0x00F0)]),
        (0x10, 0xFFFF1234, 0x1234, [("MASKED", 0x1234)]),
    ],
)
def test_write_by_access_kind(
    registers: RegisterFile[Device],
    device: Device,
    offset: int,
    value: int,
    stored: int,
    handled: list[tuple[str, int]],
) -> None:
    registers.write32(offset, value)
    assert registers.read32(offset) == stored
    assert device.written == handled


def test_read_handler(registers: RegisterFile[Device], device: Device) -> None:
    assert registers.read(0x14, 4) == bytes.fromhex("d4c3b2a1")
    assert registers.read(0x15, 2) == bytes.fromhex("c3b2")
    assert device.read == ["LIVE", "LIVE"]


def test_handler_may_overwrite(device: Device) -> None:
    def keep_low_byte(owner: Device, register: Register[Device], value: int) -> None:
        made.values[register.offset >> 2] = value & 0xFF

    made = RegisterFile(RegisterMap([Register("R", 4, Access.RW, write=keep_low_byte)], 8), device)
    made.write32(4, 0x1234)
    assert made.read32(4) == 0x34


def test_wide_access_is_split(registers: RegisterFile[Device], device: Device) -> None:
    registers.write(0x00, bytes(range(16)))
    assert [name for name, _ in device.written] == ["RW", "WO", "W1C"]
    assert registers.read(0, 8) == bytes([0, 1, 2, 3, 0x88, 0x77, 0x66, 0x55])
    assert registers.writes == 4


def test_narrow_write_keeps_the_other_bytes(registers: RegisterFile[Device]) -> None:
    registers.write(0x01, b"\xaa")
    assert registers.read32(0) == 0x1122AA44
    registers.write(0x02, b"\xbb\xcc")
    assert registers.read32(0) == 0xCCBBAA44


def test_narrow_write_clears_and_enables_nothing_else(
    registers: RegisterFile[Device], device: Device
) -> None:
    registers.write(0x0F, b"\x0f")
    assert registers.read32(0x0C) == 0xF000FF00
    registers.write(0x10, b"\xff\xff")
    assert registers.read32(0x10) == 0x00F0
    registers.write(0x09, b"\x01")
    assert device.written[-1] == ("WO", 0x100)


def test_unaligned_write_over_two_registers(registers: RegisterFile[Device]) -> None:
    registers.write(0x1E, b"\1\2\3\4")
    assert registers.read32(0x20) == 0x0403
    assert registers.unknown_writes == {0x1C: 1}


def test_unknown_offsets_read_zero_and_are_logged_once(
    registers: RegisterFile[Device], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            registers.write32(0x30, 5)
            assert registers.read32(0x30) == 0
        assert registers.read(0x1000, 3) == bytes(3)
    assert registers.unknown_reads == {0x30: 3, 0x1000: 1}
    assert registers.unknown_writes == {0x30: 3}
    assert len(caplog.records) == 3


def test_counters(registers: RegisterFile[Device]) -> None:
    registers.read(0, 8)
    registers.write(0, bytes(12))
    assert (registers.reads, registers.writes) == (2, 3)


def test_reset_all_and_some(registers: RegisterFile[Device], device: Device) -> None:
    registers.write32(0, 1)
    registers.write32(0x20, 2)
    device.written.clear()
    registers.reset([registers.map.by_offset[0]])
    assert (registers.read32(0), registers.read32(0x20)) == (0x11223344, 2)
    registers.reset()
    assert registers.read32(0x20) == 0
    assert device.written == []


def test_very_many_unknown_offsets_are_neither_kept_nor_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registers = RegisterFile(RegisterMap(ROWS, 0x40), Device())
    caplog.set_level("INFO")
    for _ in range(2):
        registers.read(0x1000, 4 * MOST_UNKNOWN + 400)
    assert set(registers.unknown_reads) == set(range(0x1000, 0x1000 + 4 * MOST_UNKNOWN, 4))
    assert set(registers.unknown_reads.values()) == {2}
    assert len(caplog.records) == MOST_UNKNOWN


def test_names() -> None:
    register_map = RegisterMap(ROWS, 0x40)
    assert register_map.name(0x11) == "MASKED"
    assert register_map.name(0x28) == "FENCE[1]"
    assert register_map.name(0x3C) == "0x3c"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Register("A", 2, Access.RW)], "register A at 0x2: not aligned"),
        ([Register("A", 0x40, Access.RW)], "outside 0x40 bytes"),
        ([Register("A", -4, Access.RW)], "outside 0x40 bytes"),
        ([Register("A", 0, Access.RW), Register("B", 0, Access.RW)], "A is already there"),
        ([Register("A", 0, Access.RW), Register("A", 4, Access.RW)], "another register"),
        ([Register("A", 0, Access.RW, 1 << 32)], "is not 32 bits"),
        ([Register("A", 0, Access.RW, -1)], "is not 32 bits"),
        ([Register("A", 0, Access.MASKED, 0x10000)], "is not 16 bits"),
        ([Register("A", 0, Access.RW, 0, "read")], "'read' is not callable"),  # type: ignore[arg-type]
    ],
)
def test_map_refuses(rows: list[Register[Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegisterMap(rows, 0x40)


@pytest.mark.parametrize("size", [0, -4, 6])
def test_map_refuses_its_size(size: int) -> None:
    with pytest.raises(ValueError, match="whole number of dwords"):
        RegisterMap([], size)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("offset", range(9))
def test_any_bytes_are_those_of_the_whole(device: Device, offset: int, count: int) -> None:
    """Each dword that is touched is read or written once, and no other."""
    rows = register_array("PLAIN", 0, 5, access=Access.RW)
    registers = RegisterFile(RegisterMap(rows, 0x20), device)
    whole = bytes(range(0x10, 0x24))
    for at in range(0, 20, 4):
        registers.write32(at, int.from_bytes(whole[at : at + 4], "little"))
    reads, writes = registers.reads, registers.writes
    assert registers.read(offset, count) == whole[offset : offset + count]
    touched = (offset + count - 1) // 4 - offset // 4 + 1
    assert registers.reads - reads == touched
    data = bytes(range(0xE0, 0xE0 + count))
    registers.write(offset, data)
    assert registers.writes - writes == touched
    expected = whole[:offset] + data + whole[offset + count :]
    assert registers.read(0, 20) == expected
    assert registers.unknown_reads == registers.unknown_writes == {}


@pytest.mark.parametrize("old", [0, 0xFFFF, 0x8001, 0x7FFE])
@pytest.mark.parametrize("enabled", [0, 1, 0x8000, 0x0FF0, 0xFFFF])
@pytest.mark.parametrize("value", [0, 0xFFFF, 0x5555])
def test_a_masked_write_changes_what_it_enables(
    registers: RegisterFile[Device], old: int, enabled: int, value: int
) -> None:
    registers.write32(0x10, 0xFFFF << 16 | old)
    registers.write32(0x10, enabled << 16 | value)
    assert registers.read32(0x10) == old & ~enabled | value & enabled
