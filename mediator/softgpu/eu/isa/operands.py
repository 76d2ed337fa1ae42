"""Operands of instruction words: bits in, destinations and sources out.

Each function sees only those bits of the word that its operand is made of, so that the caches
hold few entries. What is not defined raises `IllegalInstruction`.
Source: PRM SKL vol 7 "EU Instruction Formats", "Register Region Restrictions", "Align16".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from mediator.gen9.eu import fields, registers
from mediator.gen9.eu.fields import DestinationFields, SourceFields, ThreeSourceOperand
from mediator.gen9.eu.types import IMMEDIATE_TYPES, REGISTER_TYPES, THREE_SOURCE_TYPES, Packed, Type
from mediator.gen9.field import Field
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    GRF_COUNT,
    Destination,
    File,
    IllegalInstruction,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Operand,
    Region,
    Source,
)

_CACHED: Final = 1 << 14
_FILES: Final = {fields.FILE_ARF: File.ARF, fields.FILE_GRF: File.GRF}
_SCALAR: Final = Region(0, 1, 0)
_ADDRESS_WORDS: Final = 16
_ROW: Final = 4
"""Channels that an align16 swizzle or write mask speaks of."""

Swizzle = tuple[int, int, int, int]
_ALL: Final = 15


def _mask(*found: Field) -> int:
    mask = 0
    for field in found:
        mask |= field.mask
    return mask


_DESTINATION: Final = fields.DESTINATION
DESTINATION_BITS: Final = _mask(
    _DESTINATION.file,
    _DESTINATION.type,
    _DESTINATION.register,
    _DESTINATION.subregister,
    _DESTINATION.stride,
    _DESTINATION.indirect,
    _DESTINATION.offset_sign,
    _DESTINATION.offset,
    _DESTINATION.address,
    fields.ALIGN16,
)


def _source_bits(source: SourceFields) -> int:
    return _mask(
        source.file,
        source.type,
        source.subregister,
        source.register,
        source.absolute,
        source.negate,
        source.indirect,
        source.stride,
        source.width,
        source.vertical,
        source.offset_sign,
        fields.ALIGN16,
    )


SOURCE_BITS: Final = {
    fields.SOURCE0: _source_bits(fields.SOURCE0),
    fields.SOURCE1: _source_bits(fields.SOURCE1),
}


@lru_cache(_CACHED)
def destination(bits: int, width: int, macro: bool) -> Destination | IndirectDestination:
    """The destination of a one- or two-source instruction, from `DESTINATION_BITS` of its word."""
    found: DestinationFields = _DESTINATION
    file = _file(found.file.get(bits))
    kind = _type(found.type.get(bits))
    align16 = bool(fields.ALIGN16.get(bits))
    write_mask = found.write_mask.get(bits)
    if found.indirect.get(bits):
        if file is not File.GRF or macro:
            raise IllegalInstruction("an indirect destination is no GRF")
        offset = _offset(found.offset, found.offset_sign, bits)
        address = found.address.get(bits)
        if align16:
            return IndirectDestination(address, offset & ~15, kind, 1, _mask_of(write_mask, kind))
        return IndirectDestination(address, offset, kind, _stride(found.stride.get(bits)))
    register = found.register.get(bits)
    if align16:
        position = register * GRF_BYTES + found.half.get(bits) * 16
        if macro:
            mme = _macro_accumulator(write_mask)
            return _fitting(Destination(file, position, kind, 1, None, mme), width)
        if file is File.ARF and register == registers.MACRO_ACCUMULATOR:
            # Macro accumulators are numbered by the write mask; all four bits mean the last.
            number = 7 if write_mask == _ALL else _macro_accumulator(write_mask, none=False)
            position = (registers.MACRO_ACCUMULATOR + number) * GRF_BYTES
            return _fitting(Destination(file, position, kind, 1), width)
        return _fitting(Destination(file, position, kind, 1, _mask_of(write_mask, kind)), width)
    if macro:
        raise IllegalInstruction("a macro instruction is align16")
    position = register * GRF_BYTES + found.subregister.get(bits)
    null = file is File.ARF and register == registers.NULL
    stride = found.stride.get(bits)
    return _fitting(
        Destination(file, position, kind, fields.STRIDES[stride] if null else _stride(stride)),
        width,
    )


@lru_cache(_CACHED)
def source(which: SourceFields, bits: int, width: int, macro: bool) -> Source | IndirectSource:
    """A register source of a one- or two-source instruction, from its `SOURCE_BITS`."""
    file = _file(which.file.get(bits))
    kind = _type(which.type.get(bits))
    align16 = bool(fields.ALIGN16.get(bits))
    negate = bool(which.negate.get(bits))
    absolute = bool(which.absolute.get(bits))
    indirect = bool(which.indirect.get(bits))
    low = which.swizzle_low.get(bits)
    register = which.register.get(bits)
    if macro:
        if not align16 or indirect:
            raise IllegalInstruction("a macro instruction is align16 and direct")
        position = register * GRF_BYTES + which.half.get(bits) * 16
        region, mme = Region(_ROW, _ROW, 1), _macro_accumulator(low)
        return _readable(Source(file, position, kind, region, negate, absolute, None, mme), width)
    if indirect and file is not File.GRF:
        raise IllegalInstruction("an indirect source is no GRF")
    vertical = which.vertical.get(bits)
    if not align16:
        region = _region(vertical, which.width.get(bits), which.stride.get(bits), indirect)
        if indirect:
            offset = _offset(which.offset, which.offset_sign, bits)
            address = which.address.get(bits)
            return _addressable(
                IndirectSource(address, offset, kind, region, negate, absolute), width
            )
        position = register * GRF_BYTES + which.subregister.get(bits)
        return _readable(Source(file, position, kind, region, negate, absolute), width)
    region, swizzle = _swizzled(vertical, low | which.swizzle_high.get(bits) << 4, kind)
    if indirect:
        offset = _offset(which.offset, which.offset_sign, bits) & ~15
        address = which.address.get(bits)
        return IndirectSource(address, offset, kind, region, negate, absolute, swizzle)
    position = register * GRF_BYTES + which.half.get(bits) * 16
    if file is File.ARF and register == registers.MACRO_ACCUMULATOR:
        number = _macro_accumulator(low, none=False)
        position = (registers.MACRO_ACCUMULATOR + number) * GRF_BYTES
        swizzle = None
    return _readable(Source(file, position, kind, region, negate, absolute, swizzle), width)


def immediate(which: SourceFields, word: int, *, alone: bool) -> Immediate:
    """An immediate operand; only one that is the only source has 64 bits."""
    kind = IMMEDIATE_TYPES.get(which.type.get(word))
    if kind is None:
        raise IllegalInstruction(f"reserved type {which.type.get(word)} of an immediate")
    if isinstance(kind, Packed):
        return Immediate(kind, fields.IMMEDIATE32.get(word))
    if kind.size == 8:
        if not alone:
            raise IllegalInstruction("a 64-bit immediate beside another source")
        return Immediate(kind, fields.IMMEDIATE64.get(word))
    return Immediate(kind, fields.IMMEDIATE32.get(word) & ((1 << (8 * kind.size)) - 1))


def operand(which: SourceFields, word: int, width: int, *, macro: bool, alone: bool) -> Operand:
    """A source of a one- or two-source instruction, whatever it is."""
    if which.file.get(word) == fields.FILE_IMMEDIATE:
        return immediate(which, word, alone=alone)
    return source(which, word & SOURCE_BITS[which], width, macro)


@lru_cache(_CACHED)
def three_source_destination(
    register: int, subregister: int, mask: int, code: int, width: int, macro: bool
) -> Destination:
    """The destination of a three-source instruction."""
    kind = _three_source_type(code)
    position = register * GRF_BYTES + subregister * 4
    if macro:
        mme = _macro_accumulator(mask)
        return _fitting(Destination(File.GRF, position, kind, 1, None, mme), width)
    return _fitting(Destination(File.GRF, position, kind, 1, _mask_of(mask, kind)), width)


def three_source_types(word: int) -> tuple[Type, Type, Type]:
    """The types of the sources of a three-source instruction: F and HF may be mixed."""
    kind = _three_source_type(fields.THREE_SOURCE_SOURCE_TYPE.get(word))
    if kind not in (Type.F, Type.HF):
        return (kind, kind, kind)
    second = Type.HF if fields.THREE_SOURCE_SOURCE1_HALF.get(word) else Type.F
    third = Type.HF if fields.THREE_SOURCE_SOURCE2_HALF.get(word) else Type.F
    return (kind, second, third)


@lru_cache(_CACHED)
def three_source_source(
    which: ThreeSourceOperand, bits: int, kind: Type, width: int, macro: bool
) -> Source:
    """A source of a three-source instruction, from `THREE_SOURCE_BITS` of its word."""
    negate = bool(which.negate.get(bits))
    absolute = bool(which.absolute.get(bits))
    swizzle_bits = which.swizzle.get(bits)
    position = which.register.get(bits) * GRF_BYTES + which.subregister.get(bits) * 4
    position += which.word.get(bits) * 2
    file = File.GRF
    if macro:
        mme, region = _macro_accumulator(swizzle_bits & 15), Region(_ROW, _ROW, 1)
        return _readable(Source(file, position, kind, region, negate, absolute, None, mme), width)
    if which.replicate.get(bits):
        if kind.size == 8:
            raise IllegalInstruction("replication of a 64-bit element")
        return _readable(Source(file, position, kind, _SCALAR, negate, absolute), width)
    swizzle = _swizzle(swizzle_bits, kind)
    region = Region(_ROW, _ROW, 1)
    return _readable(Source(file, position, kind, region, negate, absolute, swizzle), width)


THREE_SOURCE_BITS: Final = {
    operand_fields: _mask(
        operand_fields.replicate,
        operand_fields.swizzle,
        operand_fields.subregister,
        operand_fields.word,
        operand_fields.register,
        operand_fields.absolute,
        operand_fields.negate,
    )
    for operand_fields in fields.THREE_SOURCE_SOURCES
}


def last_element(region: Region, width: int, swizzle: Swizzle | None = None) -> int:
    """The largest element number that ``width`` channels read from ``region``."""
    if swizzle is not None:
        row = max(swizzle[: min(width, _ROW)])
        return row + (max(width // _ROW, 1) - 1) * (region.vertical or 0)
    inside = min(width, region.width)
    rows = max(width // region.width, 1)
    return (rows - 1) * (region.vertical or 0) + (inside - 1) * region.horizontal


def _file(code: int) -> File:
    file = _FILES.get(code)
    if file is None:
        raise IllegalInstruction(f"reserved register file {code}")
    return file


def _type(code: int) -> Type:
    kind = REGISTER_TYPES.get(code)
    if kind is None:
        raise IllegalInstruction(f"reserved register type {code}")
    return kind


def _three_source_type(code: int) -> Type:
    kind = THREE_SOURCE_TYPES.get(code)
    if kind is None:
        raise IllegalInstruction(f"reserved type {code} of a three-source instruction")
    return kind


def _stride(code: int) -> int:
    if code == 0:
        raise IllegalInstruction("a destination with stride 0")
    return fields.STRIDES[code]


def _offset(low: Field, sign: Field, bits: int) -> int:
    return low.get(bits) - (sign.get(bits) << (low.hi - low.lo + 1))


def _region(vertical: int, width: int, stride: int, indirect: bool) -> Region:
    if width >= len(fields.REGION_WIDTHS):
        raise IllegalInstruction(f"reserved region width {width}")
    rows: int | None
    if vertical == fields.VERTICAL_INDIRECT and indirect:
        rows = None
    elif vertical < len(fields.VERTICAL_STRIDES):
        rows = fields.VERTICAL_STRIDES[vertical]
    else:
        raise IllegalInstruction(f"reserved vertical stride {vertical}")
    return Region(rows, fields.REGION_WIDTHS[width], fields.STRIDES[stride])


def _swizzled(vertical: int, swizzle: int, kind: Type) -> tuple[Region, Swizzle | None]:
    """Region and swizzle of an align16 operand: 16 bytes, then 16 bytes on, or the same again."""
    step = fields.VERTICAL_STRIDES[vertical] if vertical < len(fields.VERTICAL_STRIDES) else -1
    if step not in (0, 2 if kind.size == 8 else 4):
        raise IllegalInstruction(f"reserved vertical stride {vertical} of an align16 operand")
    channels = _swizzle(swizzle, kind)
    if step == 0 and kind.size == 8:
        first, second = (channels[0], channels[1]) if channels is not None else (0, 1)
        channels = (first, second, first, second)
    return Region(_ROW if step else 0, _ROW, 1), channels


def _swizzle(bits: int, kind: Type) -> Swizzle | None:
    if bits == fields.SWIZZLE_IDENTITY:
        return None
    found = (bits & 3, bits >> 2 & 3, bits >> 4 & 3, bits >> 6 & 3)
    if kind.size != 8:
        return found
    # Of 64-bit types it chooses dwords of 16 bytes, of which two channels take two each.
    first, second = (found[0], found[1]), (found[2], found[3])
    if not {first, second} <= {(0, 1), (2, 3)}:
        raise IllegalInstruction("a swizzle that tears 64-bit elements")
    return (first[0] // 2, second[0] // 2, 2 + first[0] // 2, 2 + second[0] // 2)


def _mask_of(bits: int, kind: Type) -> int | None:
    if bits == _ALL:
        return None
    if kind.size != 8:
        return bits
    low, high = bits & 3, bits >> 2
    if not {low, high} <= {0, 3}:
        raise IllegalInstruction("a write mask that tears 64-bit elements")
    return (low & 1) * 5 | (high & 1) * 10


def _macro_accumulator(number: int, *, none: bool = True) -> int:
    if number > registers.NO_MACRO_ACCUMULATOR - (not none):
        raise IllegalInstruction(f"reserved macro accumulator {number}")
    return number


def _fitting(found: Destination, width: int) -> Destination:
    last = found.byte + ((width - 1) * found.stride + 1) * found.type.size - 1
    _check_span(found.file, found.byte, last, found.type)
    return found


def _readable(found: Source, width: int) -> Source:
    element = last_element(found.region, width, found.swizzle)
    last = found.byte + (element + 1) * found.type.size - 1
    _check_span(found.file, found.byte, last, found.type)
    return found


def _addressable(found: IndirectSource, width: int) -> IndirectSource:
    if found.region.vertical is None:
        rows = max(width // found.region.width, 1)
        if found.address + rows > _ADDRESS_WORDS:
            raise IllegalInstruction("more address registers than there are")
    return found


def _check_span(file: File, first: int, last: int, kind: Type) -> None:
    register = first // GRF_BYTES
    if file is File.ARF:
        if register == registers.NULL:
            return
        if register not in registers.REGISTERS:
            raise IllegalInstruction(f"reserved architecture register {register:#x}")
        limit = register + 1
        if register >> 4 == registers.ACCUMULATOR >> 4:
            limit = min(register + 2, registers.ACCUMULATOR + registers.ACCUMULATORS)
    else:
        limit = min(register + 2, GRF_COUNT)
    if last >= limit * GRF_BYTES:
        raise IllegalInstruction("an operand spans more registers than it may")
    if first % kind.size:
        raise IllegalInstruction("an operand that is not aligned to its type")
