"""The byte stream: cutting it into messages, giving descriptors to theirs, and breaking it."""

import os
from collections.abc import Iterator

import pytest

from mmio_trap.vfio_user.protocol import (
    HEADER,
    MAX_MESSAGE_SIZE,
    NO_REPLY,
    Command,
    MessageParser,
    PeerError,
    pack_message,
)
from tests.open_files import open_fds
from tests.protocol.conftest import Rig

READ = pack_message(1, Command.REGION_READ, bytes(16))
MAP = pack_message(2, Command.DMA_MAP, bytes(32))


@pytest.fixture
def parser() -> Iterator[MessageParser]:
    before = open_fds()
    made = MessageParser()
    yield made
    made.close()
    assert open_fds() <= before


@pytest.fixture
def fd() -> int:
    """A descriptor for the parser to own."""
    return os.eventfd(0)


def test_golden_header() -> None:
    expected = bytes.fromhex("3412 0900 20000000 10000000 00000000") + bytes(16)
    assert pack_message(0x1234, 9, bytes(16), NO_REPLY) == expected


def test_message_fields(parser: MessageParser) -> None:
    parser.feed(HEADER.pack(0xFFFF, 77, 18, 0x31, 5) + b"ab")
    message = parser.next_message()
    assert message is not None
    assert (message.id, message.command, message.flags, message.errno) == (0xFFFF, 77, 0x31, 5)
    assert (message.payload, message.fds) == (b"ab", [])
    assert parser.next_message() is None
    assert not parser.is_inside_message


def test_byte_by_byte(parser: MessageParser) -> None:
    for byte in READ[:-1]:
        parser.feed(bytes([byte]))
        assert parser.next_message() is None
        assert parser.is_inside_message
    parser.feed(READ[-1:])
    message = parser.next_message()
    assert message is not None
    assert message.payload == bytes(16)


def test_many_in_one_read(parser: MessageParser) -> None:
    stream = b"".join(pack_message(i, 10, bytes(i)) for i in range(100))
    parser.feed(stream + READ[:5])
    for i in range(100):
        message = parser.next_message()
        assert message is not None
        assert (message.id, message.payload) == (i, bytes(i))
    assert parser.next_message() is None
    parser.feed(READ[5:])
    assert parser.next_message() is not None


def test_long_stream_through_a_small_buffer(parser: MessageParser) -> None:
    """Messages that never end where a read ends wander through the whole buffer and wrap."""
    stream = b"".join(pack_message(i & 0xFFFF, 10, os.urandom(i % 5000)) for i in range(200))
    cut: list[bytes] = []
    at = 0
    while at < len(stream):
        step = min(len(parser.room()), 7919, len(stream) - at)
        parser.feed(stream[at : at + step])
        at += step
        while (message := parser.next_message()) is not None:
            cut.append(pack_message(message.id, message.command, message.payload))
    assert b"".join(cut) == stream


def test_largest_message(parser: MessageParser) -> None:
    stream = pack_message(3, Command.REGION_WRITE, b"\xa5" * (MAX_MESSAGE_SIZE - 16)) + READ
    at = 0
    messages = []
    while at < len(stream):
        step = min(len(parser.room()), len(stream) - at)
        parser.feed(stream[at : at + step])
        at += step
        while (message := parser.next_message()) is not None:
            messages.append(message)
    assert [len(message.payload) for message in messages] == [MAX_MESSAGE_SIZE - 16, 16]


@pytest.mark.parametrize("size", [0, 1, 15, MAX_MESSAGE_SIZE + 1, 0xFFFFFFFF])
def test_impossible_size_breaks_the_connection(parser: MessageParser, size: int) -> None:
    parser.feed(HEADER.pack(0, 9, size, 0, 0))
    with pytest.raises(PeerError, match=f"message of {size} bytes"):
        parser.next_message()


@pytest.mark.parametrize("kind", [2, 3, 15])
def test_unknown_type_breaks_the_connection(parser: MessageParser, kind: int) -> None:
    parser.feed(HEADER.pack(0, 9, 16, kind, 0))
    with pytest.raises(PeerError, match="unknown type"):
        parser.next_message()


def test_reply_nobody_asked_for_breaks_the_connection(rig: Rig) -> None:
    with pytest.raises(PeerError, match="never sent"):
        rig.raw(pack_message(0, Command.DMA_READ, bytes(16), 1))


def test_unknown_command_is_refused(rig: Rig) -> None:
    for command in (0, 19, 0xFFFF):
        assert rig.refuse(command, b"abc") == 22


def test_request_with_the_error_flag_is_refused(rig: Rig) -> None:
    assert rig.raw(pack_message(0, Command.DEVICE_RESET, b"", 0x20)) is not None
    assert rig.device.resets == 0


def test_refusal_is_not_sent_when_no_reply_is_wanted(rig: Rig) -> None:
    assert rig.raw(pack_message(0, 99, b"", NO_REPLY)) is None
    assert rig.session.counters.refused == 1


def test_requests_and_refusals_are_counted(rig: Rig) -> None:
    assert (rig.session.counters.requests, rig.session.counters.refused) == (0, 0)
    rig.ask(Command.DEVICE_RESET)
    rig.refuse(99)
    rig.raw(pack_message(0, Command.DEVICE_RESET, b"", NO_REPLY))
    assert (rig.session.counters.requests, rig.session.counters.refused) == (3, 1)


# Descriptors


def test_fd_goes_to_its_message(parser: MessageParser, fd: int) -> None:
    parser.feed(MAP, [fd])
    message = parser.next_message()
    assert message is not None
    assert message.fds == [fd]
    message.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_fd_goes_to_the_last_message_of_its_read(parser: MessageParser, fd: int) -> None:
    """The kernel joins bytes sent before with the segment that carries descriptors."""
    parser.feed(READ + MAP + MAP, [fd])
    owners = [parser.next_message() for _ in range(3)]
    assert [message.fds for message in owners if message] == [[], [], [fd]]
    for message in owners:
        assert message is not None
        message.close()


def test_fd_goes_past_messages_that_take_none(parser: MessageParser, fd: int) -> None:
    parser.feed(MAP + READ + READ, [fd])
    owners = [parser.next_message() for _ in range(3)]
    assert [message.fds for message in owners if message] == [[fd], [], []]
    assert owners[0] is not None
    owners[0].close()


@pytest.mark.parametrize("cut", [1, 15, 16, 47])
def test_fd_waits_for_the_rest_of_its_message(parser: MessageParser, fd: int, cut: int) -> None:
    parser.feed(READ + MAP[:cut], [fd])
    first = parser.next_message()
    assert first is not None
    assert first.fds == []
    assert parser.next_message() is None
    parser.feed(MAP[cut:] + READ)
    second = parser.next_message()
    assert second is not None
    assert second.fds == [fd]
    second.close()


def test_fds_of_several_reads(parser: MessageParser) -> None:
    fds = [os.eventfd(0) for _ in range(3)]
    for fd in fds:
        parser.feed(MAP, [fd])
    for fd in fds:
        message = parser.next_message()
        assert message is not None
        assert message.fds == [fd]
        message.close()


def test_fds_of_an_unfinished_message_are_closed(parser: MessageParser, fd: int) -> None:
    parser.feed(MAP[:20], [fd])
    assert parser.next_message() is None
    parser.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_fds_before_a_broken_header_are_closed(parser: MessageParser, fd: int) -> None:
    parser.feed(READ + bytes(16), [fd])
    message = parser.next_message()
    assert message is not None
    assert message.fds == []
    with pytest.raises(PeerError):
        parser.next_message()


def test_fds_with_a_command_that_takes_none_are_closed(rig: Rig, eventfds: list[int]) -> None:
    before = open_fds()
    rig.raw(pack_message(0, Command.DEVICE_RESET), eventfds)
    assert open_fds() <= before
