"""DEVICE_GET_IRQ_INFO."""

from errno import EINVAL

import pytest

from mmio_trap.vfio_user.protocol import Command, IrqInfo
from tests.protocol.conftest import Rig


def body(index: int, argsz: int = 16) -> bytes:
    return IrqInfo(argsz, 0, index, 0).pack()


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex("0100 0700 20000000 00000000 00000000 10000000 00000000 01000000") + (
        bytes(4)
    )
    expected = bytes.fromhex(
        "0100 0700 20000000 01000000 00000000 10000000 03000000 01000000 04000000"
    )
    assert rig.raw(request) == expected


@pytest.mark.parametrize(
    ("index", "flags", "count"), [(0, 7, 1), (1, 3, 4), (2, 0, 0), (3, 1, 1), (4, 0, 0)]
)
def test_indexes(rig: Rig, index: int, flags: int, count: int) -> None:
    info = IrqInfo.parse(rig.ask(Command.DEVICE_GET_IRQ_INFO, body(index)))
    assert info == IrqInfo(16, flags, index, count)


@pytest.mark.parametrize("payload", [b"", body(0)[:15], body(0, 15), body(5), body(0xFFFFFFFF)])
def test_malformed_is_refused(rig: Rig, payload: bytes) -> None:
    assert rig.refuse(Command.DEVICE_GET_IRQ_INFO, payload) == EINVAL
