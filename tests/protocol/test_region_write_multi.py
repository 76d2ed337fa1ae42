"""REGION_WRITE_MULTI: all writes in order, or none."""

from errno import EINVAL, EPERM

import pytest

from mmio_trap.vfio_user.protocol import (
    NO_REPLY,
    WRITE_MULTI_COUNT,
    WRITE_MULTI_ENTRY,
    Command,
    pack_message,
)
from tests.protocol.conftest import Rig
from tests.protocol.memory_device import BAR0_SIZE


def entry(offset: int, data: bytes, region: int = 0) -> bytes:
    return WRITE_MULTI_ENTRY.pack(offset, region, len(data), data)


def multi(*entries: bytes) -> bytes:
    return WRITE_MULTI_COUNT.pack(len(entries)) + b"".join(entries)


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex(
        "0500 0f00 48000000 00000000 00000000 0200000000000000"
        "1000000000000000 00000000 04000000 efbeadde00000000"
        "2000000000000000 00000000 08000000 0102030405060708"
    )
    expected = bytes.fromhex("0500 0f00 18000000 01000000 00000000 0200000000000000")
    assert rig.raw(request) == expected
    assert rig.device.writes == [
        (0, 0x10, b"\xef\xbe\xad\xde"),
        (0, 0x20, bytes(range(1, 9))),
    ]


def test_posted(rig: Rig) -> None:
    payload = multi(*(entry(i, b"x") for i in range(200)))
    assert rig.raw(pack_message(0, Command.REGION_WRITE_MULTI, payload, NO_REPLY)) is None
    assert [offset for _, offset, _ in rig.device.writes] == list(range(200))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(7),
        multi(),
        multi(*(entry(i, b"x") for i in range(201))),
        WRITE_MULTI_COUNT.pack(2) + entry(0, b"x"),
        WRITE_MULTI_COUNT.pack(1) + entry(0, b"x") + b"\0",
        WRITE_MULTI_COUNT.pack((1 << 64) - 1) + entry(0, b"x"),
        multi(entry(0, b"x"), entry(0, b"")),
        multi(entry(0, b"x"), WRITE_MULTI_ENTRY.pack(0, 0, 9, b"12345678")),
        multi(entry(0, b"x"), entry(BAR0_SIZE, b"x")),
        multi(entry(0, b"x"), entry(BAR0_SIZE - 1, b"xy")),
        multi(entry(0, b"x"), entry(0, b"x", region=1)),
        multi(entry(0, b"x"), entry(0, b"x", region=77)),
    ],
)
def test_malformed_is_refused_whole(rig: Rig, payload: bytes) -> None:
    assert rig.refuse(Command.REGION_WRITE_MULTI, payload) == EINVAL
    assert rig.device.writes == []


def test_unwritable_region_is_refused_whole(rig: Rig) -> None:
    payload = multi(entry(0, b"x"), entry(0, b"x", region=6))
    assert rig.refuse(Command.REGION_WRITE_MULTI, payload) == EPERM
    assert rig.device.writes == []
