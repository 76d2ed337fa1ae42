"""REGION_WRITE: golden bytes, every size, posted writes, every bound."""

from errno import EINVAL, EPERM

import pytest

from mmio_trap.vfio_user.protocol import NO_REPLY, REGION_ACCESS, Command, pack_message
from tests.protocol.conftest import Rig
from tests.protocol.memory_device import BAR0_SIZE


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex(
        "0500 0a00 24000000 00000000 00000000 1000000000000000 00000000 04000000 efbeadde"
    )
    expected = bytes.fromhex(
        "0500 0a00 20000000 01000000 00000000 1000000000000000 00000000 04000000"
    )
    assert rig.raw(request) == expected
    assert rig.device.writes == [(0, 0x10, b"\xef\xbe\xad\xde")]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 4096, BAR0_SIZE])
def test_every_size(rig: Rig, count: int) -> None:
    data = bytes(i * 7 & 0xFF for i in range(count))
    asked = REGION_ACCESS.pack(BAR0_SIZE - count, 0, count)
    assert rig.ask(Command.REGION_WRITE, asked + data) == asked
    assert rig.device.bars[0][-count:] == data


def test_posted_write_has_no_reply(rig: Rig) -> None:
    asked = REGION_ACCESS.pack(4, 0, 4) + b"abcd"
    assert rig.raw(pack_message(0, Command.REGION_WRITE, asked, NO_REPLY)) is None
    assert rig.device.bars[0][4:8] == b"abcd"


def test_refused_posted_write_has_no_reply_either(rig: Rig) -> None:
    asked = REGION_ACCESS.pack(BAR0_SIZE, 0, 4) + b"abcd"
    assert rig.raw(pack_message(0, Command.REGION_WRITE, asked, NO_REPLY)) is None
    assert rig.session.counters.refused == 1
    assert rig.device.writes == []


@pytest.mark.parametrize(
    ("offset", "region", "count"),
    [(BAR0_SIZE, 0, 1), (BAR0_SIZE - 3, 0, 4), ((1 << 64) - 1, 0, 4), (0, 0, 0), (0, 1, 4)],
)
def test_out_of_range_is_refused(rig: Rig, offset: int, region: int, count: int) -> None:
    asked = REGION_ACCESS.pack(offset, region, count) + bytes(count)
    assert rig.refuse(Command.REGION_WRITE, asked) == EINVAL
    assert rig.device.writes == []


def test_unwritable_region_is_refused(rig: Rig) -> None:
    asked = REGION_ACCESS.pack(0, 6, 4) + b"abcd"
    assert rig.refuse(Command.REGION_WRITE, asked) == EPERM


@pytest.mark.parametrize(("count", "given"), [(4, 0), (4, 3), (4, 5), (0xFFFFFFFF, 4)])
def test_count_must_equal_the_data(rig: Rig, count: int, given: int) -> None:
    asked = REGION_ACCESS.pack(0, 0, count) + bytes(given)
    assert rig.refuse(Command.REGION_WRITE, asked) == EINVAL
    assert rig.device.writes == []


@pytest.mark.parametrize("size", [0, 8, 15])
def test_truncated_is_refused(rig: Rig, size: int) -> None:
    assert rig.refuse(Command.REGION_WRITE, bytes(size)) == EINVAL
