"""DEVICE_GET_REGION_INFO: plain regions, sparse mmap and its second question."""

from errno import EINVAL

import pytest

from mmio_trap.vfio_user.protocol import (
    Command,
    PeerError,
    RegionInfo,
    parse_sparse_areas,
)
from tests.protocol.conftest import Rig
from tests.protocol.memory_device import BAR0_SIZE, BAR2_SIZE, ROM_SIZE


def body(index: int, argsz: int = 32) -> bytes:
    return RegionInfo(argsz, 0, index, 0, 0, 0).pack()


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex("0100 0500 30000000 00000000 00000000 20000000") + bytes(28)
    expected = bytes.fromhex(
        "0100 0500 30000000 01000000 00000000"
        "20000000 03000000 00000000 00000000 0000010000000000 0000000000000000"
    )
    assert rig.raw(request) == expected


@pytest.mark.parametrize(
    ("index", "flags", "size"),
    [(0, 3, BAR0_SIZE), (1, 0, 0), (2, 3, BAR2_SIZE), (6, 1, ROM_SIZE), (7, 3, 256), (8, 2, 16)],
)
def test_regions(rig: Rig, index: int, flags: int, size: int) -> None:
    info = RegionInfo.parse(rig.ask(Command.DEVICE_GET_REGION_INFO, body(index)))
    assert info == RegionInfo(32, flags, index, 0, size, 0)
    assert rig.reply_fds == ()


def test_sparse_mmap_asks_for_room_first(mappable_rig: Rig) -> None:
    reply = mappable_rig.ask(Command.DEVICE_GET_REGION_INFO, body(2))
    assert RegionInfo.parse(reply) == RegionInfo(80, 0xF, 2, 32, BAR2_SIZE, 0)
    assert len(reply) == 32
    assert mappable_rig.reply_fds == (mappable_rig.device.fd,)


@pytest.mark.parametrize("padding", [0, 48])
def test_golden_sparse_mmap(mappable_rig: Rig, padding: int) -> None:
    """QEMU's second request is as long as the reply it hopes for."""
    reply = mappable_rig.ask(Command.DEVICE_GET_REGION_INFO, body(2, 80) + bytes(padding))
    assert reply == bytes.fromhex(
        "50000000 0f000000 02000000 20000000 0080000000000000 0000000000000000"
        "0100 0100 00000000 02000000 00000000"
        "0010000000000000 0020000000000000 0040000000000000 0010000000000000"
    )
    assert parse_sparse_areas(reply, 32) == [(0x1000, 0x2000), (0x4000, 0x1000)]
    assert mappable_rig.reply_fds == (mappable_rig.device.fd,)


@pytest.mark.parametrize(
    "payload", [b"", body(0)[:31], body(0, 31), body(0, 0), body(9), body(0xFFFFFFFF)]
)
def test_malformed_is_refused(rig: Rig, payload: bytes) -> None:
    assert rig.refuse(Command.DEVICE_GET_REGION_INFO, payload) == EINVAL


@pytest.mark.parametrize(
    ("payload", "cap_offset"),
    [(bytes(40), 32), (bytes(32), 0xFFFFFFFF), (bytes(64), 32), (b"\1\0\1\0\0\0\0\0\2", 0)],
)
def test_client_refuses_capabilities_that_do_not_fit(payload: bytes, cap_offset: int) -> None:
    with pytest.raises(PeerError):
        parse_sparse_areas(payload, cap_offset)
