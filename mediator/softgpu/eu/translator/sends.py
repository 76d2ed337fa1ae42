"""Messages by call: payload to memory, the native routine, response to the registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.fields import extended_length, message_length, response_length
from mediator.softgpu.eu.isa.instruction import GRF_BYTES, GRF_COUNT, Destination, File
from mediator.softgpu.eu.translator.compute import enabled
from mediator.softgpu.eu.translator.registers import Memory, Untranslatable
from mediator.softgpu.eu.translator.text import Value, zero

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction, Message
    from mediator.softgpu.eu.translator.state import State

SPAWNER: Final = 7
_MOST_GRFS: Final = {"payload": 15, "more": 15, "response": 31}
"""What lengths of 4 and 5 bits can say."""


def mask_number(state: State, mask: Value | None, width: int) -> Value:
    """A mask of channels as an i32."""
    if mask is None:
        return Value(str((1 << width) - 1), "i32")
    return state.text.cast("zext", state.text.bitcast(mask, f"i{width}", 1), "i32")


def send(state: State, instruction: Instruction) -> None:
    """Write the call that carries out any message."""
    message = instruction.message
    assert message is not None
    if message.descriptor is None or message.extended is None:
        raise Untranslatable("a message whose descriptor is in a register")
    if message.payload_indirect is not None:
        raise Untranslatable("a message whose payload is found by an address register")
    if message.sfid == SPAWNER:
        return
    number = mask_number(state, enabled(state, instruction), instruction.width)
    send_one(state, instruction, message, number)


def send_one(state: State, instruction: Instruction, message: Message, mask: Value) -> None:
    """The call for the channels of a mask."""
    assert message.descriptor is not None
    assert message.extended is not None
    text = state.text
    length = message_length(message.descriptor)
    payload = copied(state, "payload", message.payload, length)
    more = "null"
    if message.more is not None:
        length = extended_length(message.extended)
        more = copied(state, "more", message.more, length)
    first, count = response_place(instruction, message)
    if instruction.offset in state.unmasked:
        # Nobody looks at what was there before; at what the host left on its stack somebody may.
        response = cleared(state, "response", count)
    else:
        response = copied(state, "response", first, count)
    text.call_void(
        "eu_send",
        Value("%worker", "ptr"),
        Value("%group", "ptr"),
        Value(state.thread.pointer, "ptr"),
        Value(str(message.sfid), "i32"),
        Value(str(_signed(message.descriptor)), "i32"),
        Value(str(_signed(message.extended)), "i32"),
        Value(payload, "ptr"),
        Value(more, "ptr"),
        Value(response, "ptr"),
        mask,
    )
    put_back(state, response, first, count)


def response_place(instruction: Instruction, message: Message) -> tuple[int, int]:
    """First register of the response, and how many there are."""
    assert message.descriptor is not None
    place = instruction.destination
    count = response_length(message.descriptor)
    if count == 0 or place is None:
        return 0, 0
    if not isinstance(place, Destination):
        raise Untranslatable("a response to where an address register says")
    if place.file is not File.GRF:
        return 0, 0
    return place.byte // GRF_BYTES, count


def _buffer(state: State, part: str, count: int) -> Memory:
    """Room for a part of a message; all messages of a function have the same, else its frame grows
    beyond the stack."""
    if part not in state.buffers:
        state.buffers[part] = state.text.alloca_bytes(_MOST_GRFS[part] * GRF_BYTES)
    return Memory(state.buffers[part], count * GRF_BYTES)


def copied(state: State, part: str, first: int, count: int) -> str:
    """A copy in memory of so many registers, as a part of a message; null of none."""
    if count == 0:
        return "null"
    if first + count > GRF_COUNT:
        raise Untranslatable("a message beyond the register file")
    copy = _buffer(state, part, count)
    for at in range(count):
        state.access.store(copy, at, state.access.load(state.thread.grf, first + at, 1))
    return copy.pointer


def cleared(state: State, part: str, count: int) -> str:
    """The same, all zeros."""
    copy = _buffer(state, part, count)
    for at in range(count):
        state.access.store(copy, at, zero("i32", GRF_BYTES // 4))
    return copy.pointer


def put_back(state: State, copy: str, first: int, count: int) -> None:
    """So many registers from memory."""
    memory = Memory(copy, count * GRF_BYTES)
    for at in range(count):
        state.access.store(state.thread.grf, first + at, state.access.load(memory, at, 1))


def payload_registers(message: Message) -> list[int]:
    """The registers of a message's payload, both parts, in order."""
    assert message.descriptor is not None
    assert message.extended is not None
    length = message_length(message.descriptor)
    registers = list(range(message.payload, message.payload + length))
    if message.more is not None:
        registers += range(message.more, message.more + extended_length(message.extended))
    if any(register >= GRF_COUNT for register in registers):
        raise Untranslatable("a message beyond the register file")
    return registers


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
