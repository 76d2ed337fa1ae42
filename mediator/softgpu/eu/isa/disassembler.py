"""Instructions as text, in the syntax of Intel's assembler, one blank between columns.

Where that syntax has nothing (align16 swizzles and write masks) they follow the subregister, as in
``r4.0.xyxy``. Source: IGA's grammar.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from mediator.gen9.eu import fields, registers
from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.gen9.eu.predicates import ALIGN1_PREDICATES, ALIGN16_PREDICATES, CONDITIONS
from mediator.gen9.eu.types import REGISTER_TYPES, Kind, Packed, Type
from mediator.softgpu.eu.isa.decoder import COMPACTED_BYTES, MACROS
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    Condition,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Instruction,
    Operand,
    Region,
    Source,
)
from mediator.softgpu.eu.isa.program import Program

_LOGICAL: Final = frozenset({Opcode.AND, Opcode.OR, Opcode.XOR, Opcode.NOT})
_WITHOUT_CHANNELS: Final = frozenset({Opcode.NOP, Opcode.WAIT, Opcode.JMPI})
_WITHOUT_SUBREGISTERS: Final = frozenset(
    {registers.NULL, registers.INSTRUCTION_POINTER, registers.CHANNEL_ENABLE}
)
_FLOATS: Final = {Type.HF: "<e", Type.F: "<f", Type.DF: "<d"}
_QUIET_BITS: Final = {Type.HF: 1 << 9, Type.F: 1 << 22, Type.DF: 1 << 51}
_ROWS: Final = Region(4, 4, 1)
_NO_DD_CLEAR: Final = 1
_NO_DD_CHECK: Final = 2
_ATOMIC: Final = 1


def text(instruction: Instruction) -> str:
    """One line of assembly."""
    opcode = instruction.opcode
    name = opcode.mnemonic
    if instruction.function is not None:
        name += f".{instruction.function.mnemonic}"
    if instruction.branch_control:
        name += ".b"
    parts = [_predicate(instruction), name]
    if opcode not in _WITHOUT_CHANNELS:
        parts.append(f"({instruction.width}|M{instruction.channel})")
    parts.append(_condition(instruction))
    if instruction.message is not None:
        parts += _send(instruction)
    else:
        if instruction.destination is not None:
            parts.append(_destination(instruction, instruction.destination))
        parts += [
            _operand(instruction, operand, index)
            for index, operand in enumerate(instruction.sources)
        ]
        parts += [str(jump) for jump in (instruction.jip, instruction.uip) if jump is not None]
    parts.append(_options(instruction))
    return " ".join(part for part in parts if part)


def listing(program: Program) -> str:
    """All instructions of a program, each with its offset; a blank line before each block."""
    lines: list[str] = []
    for block in program.blocks:
        if lines:
            lines.append("")
        lines += [f"{each.offset:6x}: {text(each)}" for each in block.instructions]
    return "\n".join(lines) + "\n"


def _predicate(instruction: Instruction) -> str:
    parts = ["W"] if instruction.no_mask else []
    predicate = instruction.predicate
    if predicate is not None:
        names = ALIGN16_PREDICATES if instruction.align16 else ALIGN1_PREDICATES
        control = names[predicate.control]
        flag = _flag(instruction) + (f".{control}" if control else "")
        parts.append("~" + flag if predicate.inverse else flag)
    return f"({'&'.join(parts)})" if parts else ""


def _flag(instruction: Instruction) -> str:
    return f"f{instruction.flag // 32}.{instruction.flag // 16 % 2}"


def _condition(instruction: Instruction) -> str:
    name = CONDITIONS[instruction.condition]
    if instruction.function in MACROS:
        name = "eo"
    elif instruction.condition is Condition.NONE:
        return ""
    return f"({name}){_flag(instruction)}"


def _destination(instruction: Instruction, destination: Destination | IndirectDestination) -> str:
    saturate = "(sat)" if instruction.saturate else ""
    kind = destination.type
    mask = ""
    if destination.write_mask is not None:
        mask = "." + "".join(
            name for bit, name in enumerate("xyzw") if destination.write_mask >> bit & 1
        )
    if isinstance(destination, IndirectDestination):
        where = _indirect(destination.address, destination.offset)
        return f"{saturate}{where}{mask}<{destination.stride}>:{kind.mnemonic}"
    if instruction.opcode.form is Form.BRANCH:
        return _register(destination.file, destination.byte, kind)
    if destination.mme is not None:
        where = _macro(destination.file, destination.byte, destination.mme)
        return f"{saturate}{where}:{kind.mnemonic}"
    where = _register(destination.file, destination.byte, kind)
    return f"{saturate}{where}{mask}<{destination.stride}>:{kind.mnemonic}"


def _operand(instruction: Instruction, operand: Operand, index: int) -> str:
    if isinstance(operand, Immediate):
        return _immediate(operand)
    if instruction.opcode.form is Form.BRANCH and isinstance(operand, Source):
        return _register(operand.file, operand.byte, operand.type)
    modifier = "~" if instruction.opcode in _LOGICAL and not operand.absolute else "-"
    modifier = (modifier if operand.negate else "") + ("(abs)" if operand.absolute else "")
    suffix = f":{operand.type.mnemonic}"
    if isinstance(operand, Source) and operand.mme is not None:
        return f"{modifier}{_macro(operand.file, operand.byte, operand.mme)}{suffix}"
    if isinstance(operand, IndirectSource):
        where = _indirect(operand.address, operand.offset)
    else:
        where = _register(operand.file, operand.byte, operand.type)
    if operand.swizzle is not None:
        where += "." + "".join("xyzw"[channel] for channel in operand.swizzle)
    return f"{modifier}{where}{_region(instruction, operand.region, index)}{suffix}"


def _region(instruction: Instruction, region: Region, index: int) -> str:
    if instruction.opcode.form is Form.THREE_SOURCE:
        scalar = region != _ROWS
        if index == 2:
            return "<0>" if scalar else "<1>"
        return "<0;0>" if scalar else "<2;1>"
    if instruction.align16 and region == _ROWS:
        return "<1;1,0>"
    if region.vertical is None:
        return f"<{region.width},{region.horizontal}>"
    return f"<{region.vertical};{region.width},{region.horizontal}>"


def _indirect(address: int, offset: int) -> str:
    return f"r[a0.{address},{offset}]" if offset else f"r[a0.{address}]"


def _register(file: File, byte: int, kind: Type) -> str:
    number, rest = divmod(byte, GRF_BYTES)
    if file is File.GRF:
        return f"r{number}.{rest // kind.size}"
    name = registers.REGISTERS.get(number, f"arf{number:#x}")
    if number in _WITHOUT_SUBREGISTERS:
        return name
    return f"{name}.{rest // kind.size}"


def _macro(file: File, byte: int, mme: int) -> str:
    name = "nomme" if mme == registers.NO_MACRO_ACCUMULATOR else f"mme{mme}"
    number = byte // GRF_BYTES
    base = f"r{number}" if file is File.GRF else registers.REGISTERS.get(number, f"arf{number:#x}")
    return f"{base}.{name}"


def _immediate(immediate: Immediate) -> str:
    kind, bits = immediate.type, immediate.bits
    if isinstance(kind, Packed) or kind.kind is Kind.UNSIGNED:
        number = f"0x{bits:X}"
    elif kind.kind is Kind.FLOAT:
        number = _float(bits, kind)
    else:
        sign = 1 << (8 * kind.size - 1)
        number = str((bits ^ sign) - sign)
    return f"{number}:{kind.mnemonic}"


def _float(bits: int, kind: Type) -> str:
    """As a decimal if that gives the same bits again, else in hexadecimal."""
    layout = _FLOATS[kind]
    (value,) = struct.unpack(layout, bits.to_bytes(kind.size, "little"))
    sign = "-" if bits >> (8 * kind.size - 1) else ""
    if math.isinf(value):
        return f"{sign}inf"
    if math.isnan(value):
        quiet = _QUIET_BITS[kind]
        return f"{sign}{'qnan' if bits & quiet else 'snan'}(0x{bits & (quiet - 1):X})"
    parsed = "<d" if kind is Type.DF else "<f"
    for form in (f"{value:g}", f"{value:e}"):
        if struct.pack(parsed, float(form)) == struct.pack(parsed, value):
            return form if "." in form or "e" in form else form + ".0"
    return f"0x{bits:X}"


def _send(instruction: Instruction) -> list[str]:
    message, destination = instruction.message, instruction.destination
    if message is None or destination is None:
        return []
    split = instruction.opcode.form is Form.SPLIT_SEND
    kind = REGISTER_TYPES.get(fields.DESTINATION.type.get(instruction.word), Type.UD)
    if isinstance(destination, IndirectDestination):
        to = _indirect(destination.address, destination.offset)
    elif destination.file is File.ARF:
        to = "null"
    else:
        to = f"r{destination.byte // GRF_BYTES}"
    if split or kind is not Type.UD:
        to += f":{kind.mnemonic}"
    payload = f"r{message.payload}"
    if message.payload_indirect is not None:
        payload = _indirect(message.payload_indirect.address, message.payload_indirect.offset)
    kind = REGISTER_TYPES.get(fields.SOURCE0.type.get(instruction.word), Type.UD)
    if not split and kind is not Type.UD:
        payload += f":{kind.mnemonic}"
    parts = [to, payload]
    if split:
        parts.append("null" if message.more is None else f"r{message.more}")
    if message.extended is None:
        parts.append(f"a0.{message.extended_address}")
    else:
        parts.append(f"0x{message.extended:X}")
    parts.append("a0.0" if message.descriptor is None else f"0x{message.descriptor:08X}")
    return parts


def _options(instruction: Instruction) -> str:
    word = instruction.word
    options = {
        "AccWrEn": instruction.write_accumulator,
        "Atomic": fields.THREAD_CONTROL.get(word) == _ATOMIC,
        "Breakpoint": fields.DEBUG.get(word),
        "Compacted": instruction.size == COMPACTED_BYTES,
        "EOT": instruction.message is not None and instruction.message.end_of_thread,
        "NoDDChk": fields.DEPENDENCY.get(word) & _NO_DD_CHECK,
        "NoDDClr": fields.DEPENDENCY.get(word) & _NO_DD_CLEAR,
        "Switch": instruction.switch,
    }
    found = ",".join(name for name, there in options.items() if there)
    return f"{{{found}}}" if found else ""
