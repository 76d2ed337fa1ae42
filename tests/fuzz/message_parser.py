"""Fuzz target: bytes from a hostile client through the parser and the session.

Invariant: any bytes give replies or a PeerError, never another exception; the same bytes give the
same, whole and byte by byte; every reply is one whole well-formed message; and at the end no file
descriptor is left and no guest memory mapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.vfio_user.protocol import (
    ERROR,
    HEADER,
    HEADER_SIZE,
    NO_REPLY,
    TYPE_REPLY,
    MessageParser,
    PeerError,
)
from mmio_trap.vfio_user.session import Session
from mmio_trap.vfio_user.version import Version
from tests.protocol.memory_device import MemoryDevice


def converse(reads: Iterable[tuple[bytes, Sequence[int]]]) -> list[bytes | None]:
    """The replies to what each read brings (None = none wanted); a last b"" is a PeerError.

    Takes over the descriptors.
    """
    device = MemoryDevice()
    memory = GuestMemory()
    interrupts = Interrupts(device.irq_counts)
    device.attach(memory, interrupts)
    session = Session(device, memory, interrupts)
    session.version = Version()
    parser = MessageParser()
    replies: list[bytes | None] = []
    try:
        for data, fds in reads:
            own = fds
            while data or own:
                step = len(parser.room())
                parser.feed(data[:step], own)
                data, own = data[step:], ()
                while (message := parser.next_message()) is not None:
                    try:
                        reply = session.answer(message)
                    finally:
                        message.close()
                    assert (reply is None) == bool(message.flags & NO_REPLY)
                    if reply is not None:
                        check_reply(message.id, message.command, reply.data)
                    replies.append(None if reply is None else reply.data)
    except PeerError:
        replies.append(b"")
    finally:
        parser.close()
        memory.close()
        interrupts.close()
    assert len(memory.table) == 0
    return replies


def check_reply(identity: int, command: int, data: bytes) -> None:
    """A reply names its request, has its own size, and an errno if and only if it is an error."""
    got_identity, got_command, size, flags, errno = HEADER.unpack_from(data)
    assert (got_identity, got_command, size) == (identity, command, len(data))
    assert flags in (TYPE_REPLY, TYPE_REPLY | ERROR)
    if flags & ERROR:
        assert errno > 0
        assert size == HEADER_SIZE
    else:
        assert errno == 0


def fuzz(stream: bytes) -> None:
    """Check the invariant on ``stream``."""
    whole = converse([(stream, ())])
    pieces = converse((stream[i : i + 1], ()) for i in range(len(stream)))
    assert whole == pieces
