"""VERSION: golden bytes, both known minor numbers, and every malformed one."""

from errno import EINVAL

import pytest

from mmio_trap.vfio_user.protocol import Command, RequestError
from mmio_trap.vfio_user.version import Version, negotiate
from tests.protocol.conftest import Rig

QEMU_REQUEST = (
    b"\0\0\0\0"
    b'{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535,'
    b' "max_data_xfer_size": 1048576, "migration": {"max_bitmap_size": 268435456,'
    b' "pgsize": 4096}, "write_multiple": true}}\0'
)
REPLY = b'\0\0\0\0{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576}}\0'


def test_golden_reply_to_qemu(fresh_rig: Rig) -> None:
    assert fresh_rig.ask(Command.VERSION, QEMU_REQUEST) == REPLY
    assert fresh_rig.session.version == Version(0, 0, 16, 1048576)


def test_reply_is_not_larger_than_qemus_request(fresh_rig: Rig) -> None:
    assert len(fresh_rig.ask(Command.VERSION, QEMU_REQUEST)) <= len(QEMU_REQUEST) <= 198


def test_request_of_our_client_round_trips() -> None:
    assert Version.parse(Version().pack()) == Version()
    assert Version().pack() == REPLY


@pytest.mark.parametrize("minor", [0, 1, 7])
def test_minor_is_answered_with_one_not_above(fresh_rig: Rig, minor: int) -> None:
    request = b"\0\0" + bytes([minor, 0]) + b'{"capabilities":{}}\0'
    assert fresh_rig.ask(Command.VERSION, request) == REPLY


@pytest.mark.parametrize("text", [b"", b"{}\0", b'{"capabilities":{}}\0', b'{"other":1}\0'])
def test_capabilities_may_be_absent(fresh_rig: Rig, text: bytes) -> None:
    fresh_rig.ask(Command.VERSION, b"\0\0\0\0" + text)
    assert fresh_rig.session.version == Version(0, 0, 1, 1 << 20)


def test_unknown_capabilities_are_ignored(fresh_rig: Rig) -> None:
    text = b'{"capabilities":{"twin_socket":{"supported":true},"max_msg_fds":3}}\0'
    fresh_rig.ask(Command.VERSION, b"\0\0\0\0" + text)
    assert fresh_rig.session.version is not None
    assert fresh_rig.session.version.max_msg_fds == 3


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\0",
        b"\1\0\0\0" + b"{}\0",
        b"\0\0\0\0" + b"{}",
        b"\0\0\0\0" + b"{\0",
        b"\0\0\0\0" + b"\0",
        b"\0\0\0\0" + b"[]\0",
        b"\0\0\0\0" + b"1\0",
        b"\0\0\0\0" + b"\xff\xfe\0",
        b"\0\0\0\0" + b"[" * 3000 + b"\0",
        b"\0\0\0\0" + b"9" * 4090 + b"\0",
        b"\0\0\0\0" + b" " * 5000 + b"{}\0",
        b"\0\0\0\0" + b'{"capabilities":[]}\0',
        b"\0\0\0\0" + b'{"capabilities":{"max_msg_fds":"8"}}\0',
        b"\0\0\0\0" + b'{"capabilities":{"max_msg_fds":true}}\0',
        b"\0\0\0\0" + b'{"capabilities":{"max_msg_fds":-1}}\0',
        b"\0\0\0\0" + b'{"capabilities":{"max_data_xfer_size":1.5}}\0',
        b"\0\0\0\0" + b'{"capabilities":{"max_data_xfer_size":4294967296}}\0',
    ],
)
def test_malformed_is_refused_and_may_be_repeated(fresh_rig: Rig, payload: bytes) -> None:
    assert fresh_rig.refuse(Command.VERSION, payload) == EINVAL
    assert fresh_rig.session.version is None
    fresh_rig.ask(Command.VERSION, QEMU_REQUEST)


def test_version_comes_first(fresh_rig: Rig) -> None:
    for command in Command:
        if command != Command.VERSION:
            assert fresh_rig.refuse(command, bytes(32)) == EINVAL
    assert fresh_rig.device.resets == 0


def test_version_comes_once(rig: Rig) -> None:
    assert rig.refuse(Command.VERSION, QEMU_REQUEST) == EINVAL


def test_client_sees_a_foreign_major_number() -> None:
    with pytest.raises(RequestError, match=r"VERSION 2\.0: major must be 0"):
        negotiate(Version(major=2))
