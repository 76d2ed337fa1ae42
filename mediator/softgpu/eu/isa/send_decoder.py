"""Decoding of send, sendc, sends and sendsc: destination and message.

Source: PRM SKL vol 7 "EU_INSTRUCTION_SEND", "EU_INSTRUCTION_SENDS".
"""

from __future__ import annotations

from mediator.gen9.eu import fields, registers
from mediator.gen9.eu.types import Type
from mediator.gen9.field import Field
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    GRF_COUNT,
    Destination,
    File,
    IllegalInstruction,
    IndirectDestination,
    IndirectSource,
    Message,
    Region,
)

_NULL = Destination(File.ARF, 0, Type.UD, 1)
_WHOLE = Region(8, 8, 1)


def decode_send(
    word: int, *, split: bool, align16: bool
) -> tuple[Destination | IndirectDestination, Message]:
    """Where the response goes, and the message."""
    if align16:
        raise IllegalInstruction("an align16 send")
    descriptor = _descriptor(word, split)
    in_register = split and fields.SENDS_EXTENDED_IN_REGISTER.get(word)
    end_of_thread = bool(fields.END_OF_THREAD.get(word))
    extended = fields.CONDITION.get(word) | fields.EXTENDED_END_OF_THREAD.put(end_of_thread)
    for there, part in fields.SENDS_EXTENDED if split else fields.SEND_EXTENDED:
        extended |= part.put(there.get(word))
    message_lengths = fields.message_length(descriptor) if descriptor is not None else 0
    payload, indirect = _payload(word, split, message_lengths)
    more = _more(word, 0 if in_register else fields.extended_length(extended)) if split else None
    message = Message(
        sfid=fields.CONDITION.get(word),
        descriptor=descriptor,
        extended=None if in_register else extended,
        payload=payload,
        payload_indirect=indirect,
        more=more,
        end_of_thread=end_of_thread,
        extended_address=fields.SENDS_EXTENDED_ADDRESS.get(word) if in_register else 0,
    )
    response = fields.response_length(descriptor) if descriptor is not None else 0
    return _destination(word, split, response), message


def _descriptor(word: int, split: bool) -> int | None:
    if split:
        if fields.SENDS_DESCRIPTOR_IN_REGISTER.get(word):
            return None
        return fields.DESCRIPTOR.get(word)
    source = fields.SOURCE1
    if source.file.get(word) == fields.FILE_IMMEDIATE:
        return fields.DESCRIPTOR.get(word)
    if (
        source.file.get(word) != fields.FILE_ARF
        or source.register.get(word) != registers.ADDRESS
        or source.subregister.get(word)
        or source.indirect.get(word)
    ):
        raise IllegalInstruction("a message descriptor in a register that is not a0.0")
    return None


def _payload(word: int, split: bool, length: int) -> tuple[int, IndirectSource | None]:
    source = fields.SOURCE0
    if not split and source.file.get(word) != fields.FILE_GRF:
        raise IllegalInstruction("a message payload that is no GRF")
    if source.indirect.get(word):
        sign = fields.SENDS_SOURCE0_OFFSET_SIGN if split else source.offset_sign
        offset = _offset(fields.SEND_SOURCE0_OFFSET, sign, word)
        address = source.address.get(word)
        return 0, IndirectSource(address, offset, Type.UD, _WHOLE)
    if source.half.get(word):
        raise IllegalInstruction("a message payload within a register")
    return _registers(source.register.get(word), length, "payload"), None


def _more(word: int, length: int) -> int | None:
    if not fields.SENDS_SOURCE1_FILE.get(word):
        if length:
            raise IllegalInstruction("a second payload of the null register")
        return None
    return _registers(fields.SENDS_SOURCE1.get(word), length, "second payload")


def _destination(word: int, split: bool, length: int) -> Destination | IndirectDestination:
    found = fields.DESTINATION
    file = fields.SENDS_DESTINATION_FILE.get(word) if split else found.file.get(word)
    if file > fields.FILE_GRF:
        raise IllegalInstruction(f"reserved register file {file}")
    if found.indirect.get(word):
        if file != fields.FILE_GRF:
            raise IllegalInstruction("an indirect destination is no GRF")
        if split:
            sign = fields.SENDS_DESTINATION_OFFSET_SIGN
            offset = _offset(fields.SENDS_DESTINATION_OFFSET, sign, word)
        else:
            offset = found.offset.get(word) - (found.offset_sign.get(word) << 9)
        return IndirectDestination(found.address.get(word), offset, Type.UD, 1)
    register = found.register.get(word)
    if file == fields.FILE_ARF:
        if register != registers.NULL and length:  # IGT's programs name one for no response
            raise IllegalInstruction("a response to an architecture register")
        return _NULL
    if (found.half if split else found.subregister).get(word):
        raise IllegalInstruction("a response to within a register")
    _registers(register, length, "response")
    return Destination(File.GRF, register * GRF_BYTES, Type.UD, 1)


def _offset(field: Field, sign: Field, word: int) -> int:
    return 16 * field.get(word) - (sign.get(word) << 9)


def _registers(first: int, count: int, what: str) -> int:
    if first + max(count, 1) > GRF_COUNT:
        raise IllegalInstruction(f"the {what} of a message goes beyond the registers")
    return first
