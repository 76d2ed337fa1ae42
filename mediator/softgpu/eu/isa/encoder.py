"""Instructions to native words: what `decoder` reads, written. For assemblers of test programs.

Fields that hardware ignores are written as zero. Raises ValueError for what has no encoding.
Source: PRM SKL vol 7 "EU Instruction Formats".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from mediator.gen9.eu import fields, registers
from mediator.gen9.eu.fields import SourceFields, ThreeSourceOperand
from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.gen9.eu.types import (
    IMMEDIATE_TYPES,
    REGISTER_TYPES,
    THREE_SOURCE_TYPES,
    Packed,
    Type,
)
from mediator.gen9.field import Field
from mediator.softgpu.eu.isa.decoder import JUMPS_BY_SOURCE0, MACROS
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Instruction,
    Message,
    Operand,
    Region,
    Source,
)

_FILES: Final = {File.ARF: fields.FILE_ARF, File.GRF: fields.FILE_GRF}
_REGISTER_CODES: Final = {kind: code for code, kind in REGISTER_TYPES.items()}
_IMMEDIATE_CODES: Final = {kind: code for code, kind in IMMEDIATE_TYPES.items()}
_THREE_SOURCE_CODES: Final = {kind: code for code, kind in THREE_SOURCE_TYPES.items()}
_STRIDE_CODES: Final = {stride: code for code, stride in enumerate(fields.STRIDES)}
_VERTICAL_CODES: Final[Mapping[int | None, int]] = {
    None: fields.VERTICAL_INDIRECT,
    **{stride: code for code, stride in enumerate(fields.VERTICAL_STRIDES)},
}
_WIDTH_CODES: Final = {width: code for code, width in enumerate(fields.REGION_WIDTHS)}
_SCALAR: Final = Region(0, 1, 0)
_ALL: Final = 15
_SWITCH: Final = 2
_OFFSET_LIMIT: Final = 1 << 9

_Key = TypeVar("_Key")


def encode(instruction: Instruction) -> int:
    """The native word of ``instruction``. Its ``word``, ``offset`` and ``size`` are not looked at,
    but that a jmpi's ``jip`` is stored relative to its end.
    """
    return _controls(instruction) | _ENCODERS[instruction.opcode.form](instruction)


def _controls(instruction: Instruction) -> int:
    opcode = instruction.opcode
    word = fields.OPCODE.put(opcode.code)
    word |= fields.ALIGN16.put(instruction.align16)
    if instruction.channel % 4:
        raise ValueError(f"first channel {instruction.channel}")
    if opcode.form is not Form.NOTHING:
        word |= fields.WIDTH.put(instruction.width.bit_length() - 1)
        word |= fields.CHANNEL.put(instruction.channel // 4)
    word |= fields.FLAG.put(instruction.flag // 16)
    word |= fields.NO_MASK.put(instruction.no_mask)
    word |= fields.SATURATE.put(instruction.saturate)
    if opcode.form is not Form.MATH:
        word |= fields.CONDITION.put(instruction.condition)
    word |= fields.ACCUMULATOR_WRITE.put(instruction.write_accumulator | instruction.branch_control)
    word |= fields.THREAD_CONTROL.put(_SWITCH if instruction.switch else 0)
    if instruction.predicate is not None:
        word |= fields.PREDICATE.put(instruction.predicate.control)
        word |= fields.PREDICATE_INVERSE.put(instruction.predicate.inverse)
    return word


def _basic(instruction: Instruction) -> int:
    word = 0
    if instruction.function is not None:
        word |= fields.CONDITION.put(instruction.function.code)
    if instruction.destination is not None:
        word |= _destination(instruction.destination, instruction.align16)
    macro = instruction.function in MACROS
    for which, operand in zip((fields.SOURCE0, fields.SOURCE1), instruction.sources, strict=False):
        word |= _operand(which, operand, instruction.align16, macro)
    return word


def _three_source(instruction: Instruction) -> int:
    destination = instruction.destination
    if not isinstance(destination, Destination) or destination.file is not File.GRF:
        raise ValueError("a three-source destination is a register")
    macro = instruction.opcode is Opcode.MADM
    kind = destination.type
    mask = _ALL if destination.write_mask is None else _dword_mask(destination.write_mask, kind)
    if macro:
        mask = _number(destination.mme)
    word = fields.THREE_SOURCE_REGISTER.put(destination.byte // GRF_BYTES)
    word |= fields.THREE_SOURCE_SUBREGISTER.put(_divided(destination.byte % GRF_BYTES, 4))
    word |= fields.THREE_SOURCE_WRITE_MASK.put(mask)
    word |= fields.THREE_SOURCE_DESTINATION_TYPE.put(_code(_THREE_SOURCE_CODES, kind))
    sources = [source for source in instruction.sources if isinstance(source, Source)]
    if len(sources) != 3 or any(source.file is not File.GRF for source in sources):
        raise ValueError("three-source operands are registers")
    first, second, third = (source.type for source in sources)
    word |= fields.THREE_SOURCE_SOURCE_TYPE.put(_code(_THREE_SOURCE_CODES, first))
    if first in (Type.F, Type.HF):
        if not {second, third} <= {Type.F, Type.HF}:
            raise ValueError("types that do not mix")
        word |= fields.THREE_SOURCE_SOURCE1_HALF.put(second is Type.HF)
        word |= fields.THREE_SOURCE_SOURCE2_HALF.put(third is Type.HF)
    elif not first is second is third:
        raise ValueError("types that do not mix")
    for which, source in zip(fields.THREE_SOURCE_SOURCES, sources, strict=True):
        word |= _three_source_source(which, source, macro)
    return word


def _three_source_source(which: ThreeSourceOperand, source: Source, macro: bool) -> int:
    word = which.register.put(source.byte // GRF_BYTES)
    word |= which.subregister.put(source.byte % GRF_BYTES // 4)
    word |= which.word.put(_divided(source.byte % 4, 2))
    word |= which.negate.put(source.negate) | which.absolute.put(source.absolute)
    if macro:
        return word | which.swizzle.put(_number(source.mme))
    if source.region == _SCALAR and source.type.size != 8:
        return word | which.replicate.put(1) | which.swizzle.put(fields.SWIZZLE_IDENTITY)
    if not _is_line(source.region):
        raise ValueError(f"{source.region} in a three-source instruction")
    return word | which.swizzle.put(_swizzle_bits(source.swizzle, source.type))


def _branch(instruction: Instruction) -> int:
    opcode = instruction.opcode
    if instruction.destination is not None:
        word = _destination(instruction.destination, align16=False)
    else:
        word = fields.DESTINATION.stride.put(1) | _IMPLIED.get(opcode, 0)
    in_source0 = opcode in JUMPS_BY_SOURCE0 or instruction.uip is not None
    where = fields.SOURCE0 if in_source0 else fields.SOURCE1
    if instruction.sources:
        return word | _operand(where, instruction.sources[0], align16=False, macro=False)
    word |= where.file.put(fields.FILE_IMMEDIATE)
    word |= where.type.put(_code(_IMMEDIATE_CODES, Type.D))
    jip, uip = instruction.jip or 0, instruction.uip or 0
    if opcode is Opcode.JMPI:
        jip -= instruction.size
    return word | _signed(fields.JIP, jip) | _signed(fields.UIP, uip)


def _send(instruction: Instruction) -> int:
    message, destination = instruction.message, instruction.destination
    if message is None or destination is None:
        raise ValueError("a send without message or destination")
    split = instruction.opcode.form is Form.SPLIT_SEND
    word = fields.CONDITION.put(message.sfid)
    word |= fields.END_OF_THREAD.put(message.end_of_thread)
    word |= _message_descriptor(message, split) | _extended_descriptor(message, split)
    word |= _payload(message, split) | _response(destination, split)
    if message.more is not None:
        if not split:
            raise ValueError("a send with two payloads")
        word |= fields.SENDS_SOURCE1.put(message.more)
        word |= fields.SENDS_SOURCE1_FILE.put(fields.FILE_GRF)
    return word


def _message_descriptor(message: Message, split: bool) -> int:
    if message.descriptor is not None:
        word = fields.DESCRIPTOR.put(message.descriptor)
        return word if split else word | fields.SOURCE1.file.put(fields.FILE_IMMEDIATE)
    if split:
        return fields.SENDS_DESCRIPTOR_IN_REGISTER.put(1)
    return fields.SOURCE1.register.put(registers.ADDRESS)


def _extended_descriptor(message: Message, split: bool) -> int:
    if message.extended is None:
        if not split:
            raise ValueError("a send with an extended descriptor in a register")
        word = fields.SENDS_EXTENDED_IN_REGISTER.put(1)
        return word | fields.SENDS_EXTENDED_ADDRESS.put(message.extended_address)
    word = 0
    rest = message.extended & ~(fields.EXTENDED_FUNCTION.mask | fields.EXTENDED_END_OF_THREAD.mask)
    for there, part in fields.SENDS_EXTENDED if split else fields.SEND_EXTENDED:
        word |= there.put(part.get(rest))
        rest &= ~part.mask
    if rest:
        raise ValueError(f"bits {rest:#x} of an extended descriptor")
    return word


def _payload(message: Message, split: bool) -> int:
    source = fields.SOURCE0
    word = 0 if split else source.file.put(fields.FILE_GRF)
    indirect = message.payload_indirect
    if indirect is None:
        return word | source.register.put(message.payload)
    sign = fields.SENDS_SOURCE0_OFFSET_SIGN if split else source.offset_sign
    word |= source.indirect.put(1) | source.address.put(indirect.address)
    return word | _offset(fields.SEND_SOURCE0_OFFSET, sign, indirect.offset, 16)


def _response(destination: Destination | IndirectDestination, split: bool) -> int:
    found = fields.DESTINATION
    file = fields.SENDS_DESTINATION_FILE if split else found.file
    word = 0 if split else found.stride.put(1)
    if isinstance(destination, Destination):
        word |= file.put(_FILES[destination.file])
        return word | found.register.put(_divided(destination.byte, GRF_BYTES))
    word |= file.put(fields.FILE_GRF) | found.indirect.put(1)
    word |= found.address.put(destination.address)
    if split:
        low, sign = fields.SENDS_DESTINATION_OFFSET, fields.SENDS_DESTINATION_OFFSET_SIGN
        return word | _offset(low, sign, destination.offset, 16)
    return word | _offset(found.offset, found.offset_sign, destination.offset)


def _nothing(instruction: Instruction) -> int:
    return 0


def _destination(destination: Destination | IndirectDestination, align16: bool) -> int:
    found = fields.DESTINATION
    word = found.type.put(_code(_REGISTER_CODES, destination.type))
    mask = destination.write_mask
    bits = _ALL if mask is None else _dword_mask(mask, destination.type)
    if not align16 and mask is not None:
        raise ValueError("a write mask without align16")
    word |= found.stride.put(_code(_STRIDE_CODES, destination.stride))
    if isinstance(destination, IndirectDestination):
        word |= found.file.put(fields.FILE_GRF) | found.indirect.put(1)
        word |= found.address.put(destination.address)
        word |= _offset(found.offset, found.offset_sign, destination.offset)
        return word | (found.write_mask.put(bits, word) if align16 else 0)
    word |= found.file.put(_FILES[destination.file])
    register, byte = divmod(destination.byte, GRF_BYTES)
    if not align16:
        return word | found.register.put(register) | found.subregister.put(byte)
    if destination.mme is not None:
        bits = _number(destination.mme)
    elif mask is None and byte == 0 and _is_macro_accumulator(destination.file, register):
        register, bits = registers.MACRO_ACCUMULATOR, register - registers.MACRO_ACCUMULATOR
    word |= found.register.put(register) | found.half.put(_divided(byte, 16))
    return word | found.write_mask.put(bits)


def _operand(which: SourceFields, operand: Operand, align16: bool, macro: bool) -> int:
    if isinstance(operand, Immediate):
        return _immediate(which, operand)
    word = which.type.put(_code(_REGISTER_CODES, operand.type))
    word |= which.negate.put(operand.negate) | which.absolute.put(operand.absolute)
    register, byte = 0, 0
    if isinstance(operand, IndirectSource):
        word |= which.file.put(fields.FILE_GRF) | which.indirect.put(1)
        word |= which.address.put(operand.address)
        low = _offset(which.offset, which.offset_sign, operand.offset)
        if align16:
            low &= ~which.swizzle_low.mask
        word |= low
    else:
        word |= which.file.put(_FILES[operand.file])
        register, byte = divmod(operand.byte, GRF_BYTES)
    if not align16:
        word |= which.register.put(register) | which.subregister.put(byte)
        return word | _region(which, operand.region)
    wide = operand.type.size == 8
    if not _is_line(operand.region):
        raise ValueError(f"{operand.region} in align16")
    step = 0 if operand.region.vertical == 0 else 2 if wide else 4
    word |= which.vertical.put(_VERTICAL_CODES[step])
    if macro and isinstance(operand, Source):
        word |= which.register.put(register) | which.half.put(_divided(byte, 16))
        return word | which.swizzle_low.put(_number(operand.mme))
    bits = _swizzle_bits(operand.swizzle, operand.type)
    if isinstance(operand, Source):
        whole = operand.swizzle is None and byte == 0
        if whole and _is_macro_accumulator(operand.file, register):
            bits, register = register - registers.MACRO_ACCUMULATOR, registers.MACRO_ACCUMULATOR
        word |= which.register.put(register) | which.half.put(_divided(byte, 16))
    word |= which.swizzle_low.put(bits & 15)
    return word | which.swizzle_high.put(bits >> 4)


def _immediate(which: SourceFields, immediate: Immediate) -> int:
    kind = immediate.type
    word = which.file.put(fields.FILE_IMMEDIATE) | which.type.put(_code(_IMMEDIATE_CODES, kind))
    if isinstance(kind, Packed) or kind.size == 4:
        return word | fields.IMMEDIATE32.put(immediate.bits)
    if kind.size == 8:
        if which is not fields.SOURCE0:
            raise ValueError("a 64-bit immediate beside another source")
        return word | fields.IMMEDIATE64.put(immediate.bits)
    if immediate.bits >> 16:
        raise ValueError(f"{immediate.bits:#x} in a word")
    return word | fields.IMMEDIATE32.put(immediate.bits * 0x10001)


def _region(which: SourceFields, region: Region) -> int:
    word = which.vertical.put(_code(_VERTICAL_CODES, region.vertical))
    word |= which.width.put(_code(_WIDTH_CODES, region.width))
    return word | which.stride.put(_code(_STRIDE_CODES, region.horizontal))


def _is_line(region: Region) -> bool:
    return (region.vertical in (0, 4) and region.width == 4 and region.horizontal == 1) or (
        region.vertical == region.width and region.horizontal == 1 and region.width >= 4
    )


def _is_macro_accumulator(file: File, register: int) -> bool:
    first = registers.MACRO_ACCUMULATOR
    return file is File.ARF and first <= register < first + registers.MACRO_ACCUMULATORS


def _swizzle_bits(swizzle: tuple[int, int, int, int] | None, kind: Type) -> int:
    if swizzle is None:
        return fields.SWIZZLE_IDENTITY
    channels = swizzle
    if kind.size == 8:
        first, second = swizzle[0] * 2, swizzle[1] * 2
        channels = (first, first + 1, second, second + 1)
    return sum(channel << (2 * index) for index, channel in enumerate(channels))


def _dword_mask(mask: int, kind: Type) -> int:
    if kind.size != 8:
        return mask
    return (mask & 1) * 3 | (mask >> 1 & 1) * 12


def _number(mme: int | None) -> int:
    return registers.NO_MACRO_ACCUMULATOR if mme is None else mme


def _code(codes: Mapping[_Key, int], key: _Key) -> int:
    found = codes.get(key)
    if found is None:
        raise ValueError(f"{key} has no encoding here")
    return found


def _divided(value: int, unit: int) -> int:
    if value % unit:
        raise ValueError(f"byte {value} is no multiple of {unit}")
    return value // unit


def _offset(low: Field, sign: Field, offset: int, unit: int = 1) -> int:
    if not -_OFFSET_LIMIT <= offset < _OFFSET_LIMIT:
        raise ValueError(f"offset {offset} of an indirect operand")
    return low.put(_divided(offset % _OFFSET_LIMIT, unit)) | sign.put(offset < 0)


def _signed(field: Field, value: int) -> int:
    half = (field.limit >> 1) + 1
    if not -half <= value < half:
        raise ValueError(f"jump by {value}")
    return field.put(value & field.limit)


_IP: Final = fields.DESTINATION.register.put(registers.INSTRUCTION_POINTER)
_IP_OF_D: Final = _IP | fields.DESTINATION.type.put(_REGISTER_CODES[Type.D])
_IMPLIED: Final = {
    Opcode.JMPI: _IP | fields.SOURCE0.register.put(registers.INSTRUCTION_POINTER),
    Opcode.BRD: _IP_OF_D,
    Opcode.BRC: _IP_OF_D,
}
"""What the manual wants in fields that say nothing."""

_ENCODERS: Final = {
    Form.BASIC: _basic,
    Form.MATH: _basic,
    Form.THREE_SOURCE: _three_source,
    Form.BRANCH: _branch,
    Form.SEND: _send,
    Form.SPLIT_SEND: _send,
    Form.NOTHING: _nothing,
}
