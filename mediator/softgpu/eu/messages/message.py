"""A message on its way, and what it works with. Twin of the structures of ``native/eu.h``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from mediator.gen9.eu.messages import (
    BINDING_TABLE_INDEX,
    HEADER_PRESENT,
    MESSAGE_LENGTH,
    MORE_LENGTH,
    RESPONSE_LENGTH,
    STATELESS,
    STATELESS_NON_COHERENT,
)
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.messages.memory import ILLEGAL_MESSAGE, Memory

GRF_BYTES: Final = 32
GRF_DWORDS: Final = 8
MESSAGE_GRFS: Final = 48
"""GRFs that no descriptor can ask to go beyond."""
DWORD: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class ThreadPixels:
    """The block of pixels of a pixel shader's thread; ``mask`` 0: it is no pixel shader's."""

    mask: int
    x: int
    y: int
    layer: int
    writes: int
    """Channels of the target that are written, red is bit 0."""

    def at(self, channel: int) -> tuple[int, int]:
        """x and y of a channel's pixel."""
        x = self.x + 4 * (channel >> 4) + 2 * (channel >> 2 & 1) + (channel & 1)
        return x, self.y + 2 * (channel >> 3 & 1) + (channel >> 1 & 1)


class Sender(Protocol):
    """The thread a message comes from."""

    def arrive(self) -> None:
        """It is at a barrier."""

    @property
    def timestamp(self) -> tuple[int, int]:
        """Dwords 0 and 1 of tm0."""

    @property
    def pixels(self) -> ThreadPixels:
        """What it draws."""


@dataclass(slots=True)
class Buffer:
    """``size`` bytes of GPU memory from ``base`` on."""

    base: int = 0
    size: int = 0


@dataclass(slots=True)
class Unit:
    """What all messages of a thread group share: memory, bases, local memory of ``slm_size``."""

    memory: Memory
    bases: Bases
    slm: bytearray = field(default_factory=bytearray)
    slm_size: int = 0
    buffers: dict[int, Buffer] = field(default_factory=dict)
    """By binding table index, once they were looked up."""


class Message:
    """What was sent: dwords, the header's first; and what comes back."""

    def __init__(
        self,
        unit: Unit,
        sender: Sender,
        sfid: int,
        descriptor: int,
        extended: int,
        payload: bytes,
        more: bytes,
        response: bytes,
        mask: int,
    ) -> None:
        self.unit = unit
        self.memory = unit.memory
        self.sender = sender
        self.sfid = sfid
        self.descriptor = descriptor
        self.extended = extended
        self.mask = mask
        self.header_grfs = HEADER_PRESENT.get(descriptor)
        given = payload[: MESSAGE_LENGTH.get(descriptor) * GRF_BYTES]
        given += more[: MORE_LENGTH.get(extended) * GRF_BYTES]
        self.grfs = len(given) // GRF_BYTES
        """Of both parts of the payload."""
        room = MESSAGE_GRFS * GRF_BYTES
        self.payload = memoryview(given.ljust(room, b"\0")).cast("I")
        self.response_grfs = RESPONSE_LENGTH.get(descriptor) if response else 0
        self.response_bytes = bytearray(response.ljust(room, b"\0"))
        """As many GRFs as any message could write; those that come back are the first."""
        self.response = memoryview(self.response_bytes).cast("I")

    @property
    def index(self) -> int:
        """The binding table index."""
        return BINDING_TABLE_INDEX.get(self.descriptor)

    @property
    def stateless(self) -> bool:
        """The message goes to the stateless surface."""
        return self.index in {STATELESS, STATELESS_NON_COHERENT}

    def header(self, dword: int) -> int:
        """A dword of the header; 0 without one."""
        return self.payload[dword] if self.header_grfs else 0

    def operand(self, grf: int) -> memoryview:
        """The payload from the ``grf``-th register after the header on."""
        return self.payload[(self.header_grfs + grf) * GRF_DWORDS :]

    def illegal(self) -> None:
        """There is no such message."""
        self.memory.record(ILLEGAL_MESSAGE, self.sfid << 32 | self.descriptor, write=False)
