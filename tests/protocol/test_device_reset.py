"""DEVICE_RESET."""

from errno import EINVAL

from mmio_trap.vfio_user.protocol import Command
from tests.protocol.conftest import Rig


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex("0100 0d00 10000000 00000000 00000000")
    assert rig.raw(request) == bytes.fromhex("0100 0d00 10000000 01000000 00000000")
    assert rig.device.resets == 1


def test_payload_is_refused(rig: Rig) -> None:
    assert rig.refuse(Command.DEVICE_RESET, b"\0") == EINVAL
    assert rig.device.resets == 0
