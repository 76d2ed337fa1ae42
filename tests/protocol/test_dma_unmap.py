"""DMA_UNMAP: the echo, ranges, everything at once, and each way to get it wrong."""

import os
from errno import EINVAL, ENOENT

import pytest

from mmio_trap.vfio_user.protocol import Command, DmaMap, DmaUnmap
from tests.protocol.conftest import Rig


def body(address: int, size: int, flags: int = 0, argsz: int = 24) -> bytes:
    return DmaUnmap(argsz, flags, address, size).pack()


@pytest.fixture(autouse=True)
def two_ranges(rig: Rig, memfd: int) -> None:
    """0x10000-0x14000 and 0x14000-0x16000."""
    rig.ask(Command.DMA_MAP, DmaMap(32, 3, 0, 0x10000, 0x4000).pack(), [memfd])
    rig.ask(Command.DMA_MAP, DmaMap(32, 3, 0x4000, 0x14000, 0x2000).pack(), [memfd])


def test_golden_bytes_echo_the_request(rig: Rig) -> None:
    payload = "18000000 00000000 0000010000000000 0040000000000000"
    request = bytes.fromhex("0100 0300 28000000 00000000 00000000" + payload)
    expected = bytes.fromhex("0100 0300 28000000 01000000 00000000" + payload)
    assert rig.raw(request) == expected
    assert rig.memory.table.tolist()[:2] == [0x14000, 0x16000]


def test_range_that_covers_several(rig: Rig) -> None:
    rig.ask(Command.DMA_UNMAP, body(0, 1 << 32))
    assert len(rig.memory.table) == 0


def test_everything(rig: Rig) -> None:
    rig.ask(Command.DMA_UNMAP, body(0, 0, flags=2))
    assert len(rig.memory.table) == 0
    rig.ask(Command.DMA_UNMAP, body(0, 0, flags=2))


def test_page_view_outlives_the_range(rig: Rig, memfd: int) -> None:
    """A view somebody kept shows the old memory; it does not fault."""
    page = rig.memory.page_u32(0x10000)
    rig.ask(Command.DMA_UNMAP, body(0, 0, flags=2))
    os.pwrite(memfd, b"\1\0\0\0", 0)
    assert page[0] == 1


@pytest.mark.parametrize(
    ("payload", "errno"),
    [
        (b"", EINVAL),
        (body(0x10000, 0x4000)[:23], EINVAL),
        (body(0x10000, 0x4000, argsz=23), EINVAL),
        (body(0x10000, 0x4000, flags=1), EINVAL),
        (body(0x10000, 0x4000, flags=4), EINVAL),
        (body(0x10000, 0x4000, flags=2), EINVAL),
        (body(0x10000, 0), EINVAL),
        (body(0x10000, 0x3000), EINVAL),
        (body(0x11000, 0x3000), EINVAL),
        (body(0x11000, 0x1000), EINVAL),
        (body(0x10000, 0x5000), EINVAL),
        (body(0xF000, 0x2000), EINVAL),
        (body((1 << 64) - 0x1000, 0x2000), EINVAL),
        (body(0x16000, 0x1000), ENOENT),
        (body(0, 0x10000), ENOENT),
    ],
)
def test_malformed_is_refused(rig: Rig, payload: bytes, errno: int) -> None:
    assert rig.refuse(Command.DMA_UNMAP, payload) == errno
    assert len(rig.memory.table) == 8
