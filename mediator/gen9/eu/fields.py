"""Bit fields of a native, 128-bit instruction word, and of the descriptors of messages.

Source: PRM SKL vol 7 "EU Instruction Formats" (EU_INSTRUCTION_BASIC_*, _OPERAND_*, _SEND, _SENDS,
_BRANCH_*), vol 2a "EU Overview"; where they are silent Intel's IGA and Mesa's brw_inst.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediator.gen9.field import Field

# What stands in the same place in every form.
OPCODE: Final = Field(6, 0)
RESERVED: Final = Field(7, 7)
ALIGN16: Final = Field(8, 8)
DEPENDENCY: Final = Field(10, 9)
CHANNEL: Final = Field(13, 11)
"""First channel divided by four: quarter (13:12) and nibble control (11)."""
THREAD_CONTROL: Final = Field(15, 14)
PREDICATE: Final = Field(19, 16)
PREDICATE_INVERSE: Final = Field(20, 20)
WIDTH: Final = Field(23, 21)
"""Execution size as a power of two; 6 and 7 are reserved."""
CONDITION: Final = Field(27, 24)
"""Also the function of math and the shared function of send."""
ACCUMULATOR_WRITE: Final = Field(28, 28)
"""Branch control of branches."""
COMPACT: Final = Field(29, 29)
DEBUG: Final = Field(30, 30)
SATURATE: Final = Field(31, 31)
FLAG: Final = Field(33, 32)
"""Flag register (33) and its half (32)."""
NO_MASK: Final = Field(34, 34)


@dataclass(frozen=True, slots=True)
class DestinationFields:
    """The destination of a one- or two-source instruction."""

    file: Field
    type: Field
    subregister: Field
    half: Field
    """Align16: upper 16 bytes."""
    write_mask: Field
    """Align16; macros: the macro accumulator."""
    register: Field
    stride: Field
    indirect: Field
    address: Field
    """Which word of a0."""
    offset: Field
    offset_sign: Field


@dataclass(frozen=True, slots=True, eq=False)
class SourceFields:
    """A source of a one- or two-source instruction."""

    file: Field
    type: Field
    subregister: Field
    half: Field
    swizzle_low: Field
    """Align16: channels x and y; macros: the macro accumulator."""
    swizzle_high: Field
    register: Field
    absolute: Field
    negate: Field
    indirect: Field
    stride: Field
    width: Field
    vertical: Field
    address: Field
    offset: Field
    offset_sign: Field


def _source(file: Field, kind: Field, base: int, sign: int) -> SourceFields:
    def bits(high: int, low: int) -> Field:
        return Field(base + high, base + low)

    return SourceFields(
        file=file,
        type=kind,
        subregister=bits(4, 0),
        half=bits(4, 4),
        swizzle_low=bits(3, 0),
        swizzle_high=bits(19, 16),
        register=bits(12, 5),
        absolute=bits(13, 13),
        negate=bits(14, 14),
        indirect=bits(15, 15),
        stride=bits(17, 16),
        width=bits(20, 18),
        vertical=bits(24, 21),
        address=bits(12, 9),
        offset=bits(8, 0),
        offset_sign=Field(sign, sign),
    )


DESTINATION: Final = DestinationFields(
    file=Field(36, 35),
    type=Field(40, 37),
    subregister=Field(52, 48),
    half=Field(52, 52),
    write_mask=Field(51, 48),
    register=Field(60, 53),
    stride=Field(62, 61),
    indirect=Field(63, 63),
    address=Field(60, 57),
    offset=Field(56, 48),
    offset_sign=Field(47, 47),
)
SOURCE0: Final = _source(Field(42, 41), Field(46, 43), 64, 95)
SOURCE1: Final = _source(Field(90, 89), Field(94, 91), 96, 121)

IMMEDIATE32: Final = Field(127, 96)
IMMEDIATE64: Final = Field(127, 64)

FILE_ARF: Final = 0
FILE_GRF: Final = 1
FILE_IMMEDIATE: Final = 3
"""File 2 is reserved."""

STRIDES: Final = (0, 1, 2, 4)
"""By code: elements. 0 is reserved for destinations."""
VERTICAL_STRIDES: Final = (0, 1, 2, 4, 8, 16, 32)
"""By code; codes between these and `VERTICAL_INDIRECT` are reserved."""
VERTICAL_INDIRECT: Final = 15
"""One address register for each row (VxH, Vx1)."""
REGION_WIDTHS: Final = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True, eq=False)
class ThreeSourceOperand:
    """A source of a three-source instruction, always of the GRF."""

    replicate: Field
    swizzle: Field
    """Four channel numbers, x in the low bits; madm: the macro accumulator."""
    subregister: Field
    """In dwords."""
    word: Field
    """Upper word of that dword, for half floats."""
    register: Field
    absolute: Field
    negate: Field


THREE_SOURCE_SOURCES: Final = tuple(
    ThreeSourceOperand(
        replicate=Field(base, base),
        swizzle=Field(base + 8, base + 1),
        subregister=Field(base + 11, base + 9),
        word=Field(base + 20, base + 20),
        register=Field(base + 19, base + 12),
        absolute=Field(modifier, modifier),
        negate=Field(modifier + 1, modifier + 1),
    )
    for base, modifier in ((64, 37), (85, 39), (106, 41))
)
THREE_SOURCE_REGISTER: Final = Field(63, 56)
THREE_SOURCE_SUBREGISTER: Final = Field(55, 53)
THREE_SOURCE_WRITE_MASK: Final = Field(52, 49)
THREE_SOURCE_DESTINATION_TYPE: Final = Field(48, 46)
THREE_SOURCE_SOURCE_TYPE: Final = Field(45, 43)
THREE_SOURCE_SOURCE1_HALF: Final = Field(36, 36)
"""Source 1 is HF and not F, where the source type is one of the two."""
THREE_SOURCE_SOURCE2_HALF: Final = Field(35, 35)
SWIZZLE_IDENTITY: Final = 0xE4

JIP: Final = Field(127, 96)
UIP: Final = Field(95, 64)

# send and sends.
END_OF_THREAD: Final = Field(127, 127)
DESCRIPTOR: Final = Field(126, 96)
SEND_EXTENDED: Final = (
    (Field(94, 91), Field(31, 28)),
    (Field(88, 85), Field(27, 24)),
    (Field(83, 80), Field(23, 20)),
    (Field(67, 64), Field(19, 16)),
)
"""send: where a part of the extended descriptor stands, and which part."""
SENDS_EXTENDED: Final = (
    (Field(95, 80), Field(31, 16)),
    (Field(67, 64), Field(9, 6)),
)
SENDS_EXTENDED_IN_REGISTER: Final = Field(61, 61)
SENDS_EXTENDED_ADDRESS: Final = Field(82, 80)
"""Which dword of a0."""
SENDS_DESCRIPTOR_IN_REGISTER: Final = Field(77, 77)
SENDS_DESTINATION_FILE: Final = Field(35, 35)
SENDS_SOURCE1_FILE: Final = Field(36, 36)
SENDS_SOURCE1: Final = Field(51, 44)
SENDS_DESTINATION_OFFSET: Final = Field(56, 52)
"""In 16 bytes; the sign is bit 62."""
SENDS_DESTINATION_OFFSET_SIGN: Final = Field(62, 62)
SEND_SOURCE0_OFFSET: Final = Field(72, 68)
"""In 16 bytes, of send and sends; the sign of sends is bit 78."""
SENDS_SOURCE0_OFFSET_SIGN: Final = Field(78, 78)

# Descriptors.
RESPONSE_LENGTH: Final = Field(24, 20)
MESSAGE_LENGTH: Final = Field(28, 25)
HEADER_PRESENT: Final = Field(19, 19)
EXTENDED_FUNCTION: Final = Field(3, 0)
EXTENDED_END_OF_THREAD: Final = Field(5, 5)
EXTENDED_LENGTH: Final = Field(9, 6)


def message_length(descriptor: int) -> int:
    """Registers of the payload that ``descriptor`` names."""
    return MESSAGE_LENGTH.get(descriptor)


def response_length(descriptor: int) -> int:
    """Registers that come back."""
    return RESPONSE_LENGTH.get(descriptor)


def extended_length(extended: int) -> int:
    """Registers of the second payload of sends."""
    return EXTENDED_LENGTH.get(extended)
