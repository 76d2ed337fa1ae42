"""Messages answered in Python: what the interpreter calls where there is no extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mediator.hotpath.interface import FAULT_REASONS, FaultKind, Space
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.message_port import Call, MessageFault
from mediator.softgpu.eu.messages.memory import ILLEGAL_MESSAGE, Memory
from mediator.softgpu.eu.messages.message import Message, ThreadPixels, Unit
from mediator.softgpu.eu.messages.send import send

SLM_BYTES = 65536


def message_fault(kind: int, address: int, *, write: bool) -> MessageFault:
    """A fault as the runtime records it, in words."""
    if kind == ILLEGAL_MESSAGE:
        return MessageFault(
            f"no such message: shared function {address >> 32}, "
            f"descriptor {address & 0xFFFF_FFFF:#010x}"
        )
    return MessageFault(FAULT_REASONS[FaultKind(kind)], address, write)


@dataclass(frozen=True, slots=True)
class _Thread:
    """A thread's block as a message sees it."""

    block: NDArray[Any]

    def arrive(self) -> None:
        self.block["arrived"] = 1

    @property
    def timestamp(self) -> tuple[int, int]:
        ticks = self.block["tm0"].reshape(-1)
        return int(ticks[0]), int(ticks[1])

    @property
    def pixels(self) -> ThreadPixels:
        names = ("mask", "x", "y", "layer", "writes")
        found = (int(self.block[f"pixel_{name}"].reshape(-1)[0]) for name in names)
        return ThreadPixels(*found)


class PythonMessages:
    """`message_port.Messages` of one thread group, whose shared local memory is zero at first.

    ``slm_size``: bytes that the descriptor grants, 64 KiB at most. The caller is inside
    ``space.memory.using()`` whenever it sends.
    """

    def __init__(self, space: Space, bases: Bases, slm_size: int) -> None:
        self.unit = Unit(Memory(space), bases, bytearray(SLM_BYTES), slm_size)

    def attach(self, space: Space) -> None:
        """Go on in ``space``, after `close`."""
        self.unit.memory = Memory(space)
        self.unit.buffers.clear()

    def close(self) -> None:
        """Let go of the space."""

    def take_discarded(self) -> int:
        """Writes to read-only pages since the last call."""
        found, self.unit.memory.discarded = self.unit.memory.discarded, 0
        return found

    def send(self, call: Call) -> MessageFault | None:
        """Carry a message out; `message_port.Messages.send`."""
        message = Message(
            self.unit,
            _Thread(call.thread),
            call.sfid,
            call.descriptor,
            call.extended,
            call.payload.tobytes(),
            call.more.tobytes(),
            call.response.tobytes(),
            call.mask,
        )
        call.response[:] = np.frombuffer(send(message), np.uint8)[: len(call.response)]
        fault = self.unit.memory.fault
        if fault is None:
            return None
        return message_fault(fault.kind, fault.address, write=fault.write)
