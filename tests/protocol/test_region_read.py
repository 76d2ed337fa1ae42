"""REGION_READ: golden bytes, every size, every bound."""

from errno import EINVAL, EPERM

import pytest

from mmio_trap.vfio_user.protocol import REGION_ACCESS, Command, pack_message
from tests.protocol.conftest import Rig
from tests.protocol.memory_device import BAR0_SIZE


def test_golden_bytes(rig: Rig) -> None:
    rig.device.bars[0][0x10:0x14] = b"\xef\xbe\xad\xde"
    request = bytes.fromhex(
        "0500 0900 20000000 00000000 00000000 1000000000000000 00000000 04000000"
    )
    expected = bytes.fromhex(
        "0500 0900 24000000 01000000 00000000 1000000000000000 00000000 04000000 efbeadde"
    )
    assert rig.raw(request) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 4096, BAR0_SIZE])
def test_every_size(rig: Rig, count: int) -> None:
    rig.device.bars[0][:] = bytes(i & 0xFF for i in range(BAR0_SIZE))
    asked = REGION_ACCESS.pack(BAR0_SIZE - count, 0, count)
    assert rig.ask(Command.REGION_READ, asked) == asked + rig.device.bars[0][-count:]


def test_unaligned(rig: Rig) -> None:
    rig.device.bars[0][3:10] = b"unalign"
    assert rig.ask(Command.REGION_READ, REGION_ACCESS.pack(3, 0, 7))[16:] == b"unalign"


def test_config_space(rig: Rig) -> None:
    assert rig.ask(Command.REGION_READ, REGION_ACCESS.pack(0, 7, 4))[16:] == b"\x34\x12\x78\x56"
    assert len(rig.ask(Command.REGION_READ, REGION_ACCESS.pack(0, 7, 256))) == 16 + 256


@pytest.mark.parametrize(
    ("offset", "region", "count"),
    [
        (BAR0_SIZE, 0, 1),
        (BAR0_SIZE - 3, 0, 4),
        ((1 << 64) - 1, 0, 4),
        ((1 << 64) - 4, 0, 4),
        (0, 0, 0),
        (0, 0, BAR0_SIZE + 1),
        (0, 0, 0xFFFFFFFF),
        (0, 0, (1 << 20) + 1),
        (0, 1, 4),
        (0, 9, 4),
        (0, 0xFFFFFFFF, 4),
    ],
)
def test_out_of_range_is_refused(rig: Rig, offset: int, region: int, count: int) -> None:
    asked = REGION_ACCESS.pack(offset, region, count)
    assert rig.refuse(Command.REGION_READ, asked) == EINVAL


def test_unreadable_region_is_refused(rig: Rig) -> None:
    assert rig.refuse(Command.REGION_READ, REGION_ACCESS.pack(0, 8, 4)) == EPERM


@pytest.mark.parametrize("size", [0, 1, 15, 17, 20])
def test_wrong_length_is_refused(rig: Rig, size: int) -> None:
    assert rig.refuse(Command.REGION_READ, REGION_ACCESS.pack(0, 0, 4).ljust(32)[:size]) == EINVAL


def test_no_reply_is_honoured(rig: Rig) -> None:
    asked = REGION_ACCESS.pack(0, 0, 4)
    assert rig.raw(pack_message(0, Command.REGION_READ, asked, 0x10)) is None
