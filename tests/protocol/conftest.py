"""A session without a socket: bytes in, bytes out, and a look for descriptors left behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence

import pytest

from mmio_trap.guest_memory import GuestMemory
from mmio_trap.irq import Interrupts
from mmio_trap.vfio_user.protocol import HEADER, MessageParser, pack_message
from mmio_trap.vfio_user.session import Session
from mmio_trap.vfio_user.version import Version
from tests.open_files import open_fds
from tests.protocol.memory_device import MemoryDevice


class Rig:
    """A session over :class:`MemoryDevice`; each request goes through the parser."""

    def __init__(self, device: MemoryDevice, *, negotiated: bool = True) -> None:
        self.device = device
        self.memory = GuestMemory()
        self.interrupts = Interrupts(device.irq_counts)
        device.attach(self.memory, self.interrupts)
        self.session = Session(device, self.memory, self.interrupts)
        if negotiated:
            self.session.version = Version()
        self.parser = MessageParser()
        self.reply_fds: Sequence[int] = ()

    def raw(self, data: bytes, fds: Sequence[int] = ()) -> bytes | None:
        """Answer one whole message; the session gets duplicates of ``fds``, as over a socket."""
        own = [os.dup(fd) for fd in fds]
        message = None
        while message is None and data:
            step = len(self.parser.room())
            self.parser.feed(data[:step], own)
            message = self.parser.next_message()
            data, own = data[step:], []
        assert message is not None
        try:
            reply = self.session.answer(message)
        finally:
            message.close()
        if reply is None:
            return None
        self.reply_fds = reply.fds
        return reply.data

    def ask(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> bytes:
        """The payload of the reply, whose header must be a plain success."""
        reply = self.raw(pack_message(7, command, payload), fds)
        assert reply is not None
        assert HEADER.unpack_from(reply) == (7, command, len(reply), 1, 0)
        return reply[16:]

    def refuse(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> int:
        """The errno of the reply, which must be nothing but an error header."""
        reply = self.raw(pack_message(7, command, payload), fds)
        assert reply is not None
        identity, replied, size, flags, errno = HEADER.unpack(reply)
        assert (identity, replied, size, flags) == (7, command, 16, 0x21)
        assert errno > 0
        return int(errno)

    def close(self) -> None:
        self.parser.close()
        self.memory.close()
        self.interrupts.close()
        self.device.close()


@pytest.fixture(autouse=True, scope="module")
def _collected() -> None:
    """Earlier tests' garbage holds descriptors: it must not go while a test counts them."""
    gc.collect()


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A session past its version exchange; no descriptor may be left at the end."""
    before = open_fds()
    made = Rig(MemoryDevice())
    yield made
    made.close()
    assert open_fds() <= before


@pytest.fixture
def fresh_rig() -> Iterator[Rig]:
    """A session before its version exchange."""
    made = Rig(MemoryDevice(), negotiated=False)
    yield made
    made.close()


@pytest.fixture
def mappable_rig() -> Iterator[Rig]:
    """A session whose BAR 2 can be mapped in two areas."""
    before = open_fds()
    made = Rig(MemoryDevice(mappable=True))
    yield made
    made.close()
    assert open_fds() <= before


@pytest.fixture
def memfd() -> Iterator[int]:
    """A memfd of 64 KiB."""
    fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 0x10000)
    yield fd
    os.close(fd)


@pytest.fixture
def eventfds() -> Iterator[list[int]]:
    """Four non-blocking eventfds."""
    fds = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(4)]
    yield fds
    for fd in fds:
        os.close(fd)
