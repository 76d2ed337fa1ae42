"""How the interpreter's threads send messages: payload out of the registers, response into them.

Source: PRM SKL vol 2a "Send Message", "Split Send Message"; vol 7 "Message Descriptors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mediator.gen9.field import Field
from mediator.softgpu.eu.interpreter.predication import enabled_lanes
from mediator.softgpu.eu.interpreter.regions import indirect_source_bytes
from mediator.softgpu.eu.interpreter.threads import packed
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import GRF_BYTES, GRF_COUNT, Destination, File
from mediator.softgpu.eu.message_port import Call, MessageFault

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.threads import Rows, Threads
    from mediator.softgpu.eu.isa.instruction import Instruction, Message
    from mediator.softgpu.eu.message_port import Messages

_RESPONSE_LENGTH: Final = Field(24, 20)
_MESSAGE_LENGTH: Final = Field(28, 25)
_EXTENDED_LENGTH: Final = Field(9, 6)
_SHARED_FUNCTION: Final = Field(3, 0)
_REGISTERS: Final = GRF_BYTES * GRF_COUNT


def send(
    instruction: Instruction, threads: Threads, rows: Rows, messages: Messages
) -> MessageFault | None:
    """Let each of the threads send; the first fault ends it.

    Raises:
        IllegalOperation: A payload or response that is not within the registers.
    """
    masks = packed(enabled_lanes(instruction, threads, rows))
    for thread, mask in zip(np.arange(threads.count)[rows], masks.tolist(), strict=True):
        fault = _send_one(instruction, threads, int(thread), int(mask), messages)
        if fault is not None:
            return fault
    return None


def _send_one(
    instruction: Instruction, threads: Threads, thread: int, mask: int, messages: Messages
) -> MessageFault | None:
    message = instruction.message
    assert message is not None
    descriptor, extended, sfid = _descriptors(message, threads, thread)
    registers = threads.bytes[thread]
    first = message.payload * GRF_BYTES
    if message.payload_indirect is not None:
        address = threads.blocks["a0"][thread : thread + 1]
        first = int(indirect_source_bytes(message.payload_indirect, address, 1)[0, 0])
        first = first // GRF_BYTES * GRF_BYTES
    payload = _span(first, _MESSAGE_LENGTH.get(descriptor))
    more = slice(0, 0)
    if message.more is not None:
        more = _span(message.more * GRF_BYTES, _EXTENDED_LENGTH.get(extended))
    response = _response(instruction, descriptor)
    found = registers[response].copy()
    fault = messages.send(
        Call(
            threads.blocks[thread : thread + 1],
            sfid,
            descriptor,
            extended,
            registers[payload].copy(),
            registers[more].copy(),
            found,
            mask,
        )
    )
    if fault is None:
        registers[response] = found
    return fault


def _descriptors(message: Message, threads: Threads, thread: int) -> tuple[int, int, int]:
    """Descriptor, extended descriptor and shared function of one thread's message."""
    addresses = threads.blocks["a0"][thread].view(np.uint32)
    descriptor, extended, sfid = message.descriptor, message.extended, message.sfid
    if descriptor is None:
        descriptor = int(addresses[0])
    if extended is None:
        extended = int(addresses[message.extended_address])
        sfid = _SHARED_FUNCTION.get(extended)
    return descriptor, extended, sfid


def _response(instruction: Instruction, descriptor: int) -> slice:
    length = _RESPONSE_LENGTH.get(descriptor)
    destination = instruction.destination
    if not length or not isinstance(destination, Destination):
        return slice(0, 0)
    if destination.file is not File.GRF:
        return slice(0, 0)
    return _span(destination.byte // GRF_BYTES * GRF_BYTES, length)


def _span(first: int, count: int) -> slice:
    end = first + count * GRF_BYTES
    if end > _REGISTERS:
        raise IllegalOperation("a message beyond the registers")
    return slice(first, end)
