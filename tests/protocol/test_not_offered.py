"""Commands of the specification this server does not offer: a proper error, whatever they carry."""

from errno import EOPNOTSUPP

import pytest

from mmio_trap.vfio_user.protocol import Command
from tests.protocol.conftest import Rig


@pytest.mark.parametrize("size", [0, 1, 16, 4096])
@pytest.mark.parametrize(
    "command",
    [
        Command.DEVICE_GET_REGION_IO_FDS,
        Command.DMA_READ,
        Command.DMA_WRITE,
        Command.DIRTY_PAGES,
        Command.MIG_DATA_READ,
        Command.MIG_DATA_WRITE,
    ],
)
def test_refused(rig: Rig, command: Command, size: int) -> None:
    assert rig.refuse(command, bytes(size)) == EOPNOTSUPP


def test_golden_bytes(rig: Rig) -> None:
    request = bytes.fromhex("0100 0600 10000000 00000000 00000000")
    assert rig.raw(request) == bytes.fromhex("0100 0600 10000000 21000000 5f000000")
