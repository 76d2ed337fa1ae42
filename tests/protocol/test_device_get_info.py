"""DEVICE_GET_INFO."""

from errno import EINVAL

import pytest

from mmio_trap.vfio_user.protocol import Command, DeviceInfo
from tests.protocol.conftest import Rig


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex("0100 0400 20000000 00000000 00000000 10000000") + bytes(12)
    expected = bytes.fromhex(
        "0100 0400 20000000 01000000 00000000 10000000 03000000 09000000 05000000"
    )
    assert rig.raw(request) == expected


def test_longer_request_is_accepted(rig: Rig) -> None:
    payload = DeviceInfo(64, 0, 0, 0).pack() + bytes(48)
    assert DeviceInfo.parse(rig.ask(Command.DEVICE_GET_INFO, payload)) == DeviceInfo(16, 3, 9, 5)


@pytest.mark.parametrize("payload", [b"", bytes(15), DeviceInfo(15, 0, 0, 0).pack(), bytes(16)])
def test_malformed_is_refused(rig: Rig, payload: bytes) -> None:
    assert rig.refuse(Command.DEVICE_GET_INFO, payload) == EINVAL
