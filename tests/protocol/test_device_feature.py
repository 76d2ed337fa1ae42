"""DEVICE_FEATURE: well-formed or not, there is an answer, and no feature."""

from errno import EINVAL, ENOTTY

import pytest

from mmio_trap.vfio_user.protocol import Command, DeviceFeature, FeatureFlag
from tests.protocol.conftest import Rig


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex("0100 1000 18000000 00000000 00000000 08000000 01000500")
    assert rig.raw(request) == bytes.fromhex("0100 1000 10000000 21000000 19000000")


@pytest.mark.parametrize("flag", list(FeatureFlag))
@pytest.mark.parametrize("feature", [0, 1, 2, 6, 0xFFFF])
def test_no_feature_is_offered(rig: Rig, flag: FeatureFlag, feature: int) -> None:
    payload = DeviceFeature(16, flag | feature).pack() + bytes(8)
    assert rig.refuse(Command.DEVICE_FEATURE, payload) == ENOTTY


@pytest.mark.parametrize("payload", [b"", bytes(7), DeviceFeature(7, 0).pack()])
def test_malformed_is_refused(rig: Rig, payload: bytes) -> None:
    assert rig.refuse(Command.DEVICE_FEATURE, payload) == EINVAL
