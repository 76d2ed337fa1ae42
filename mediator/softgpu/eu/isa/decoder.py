"""Instruction words to instructions.

Every 16 bytes either decode or raise `IllegalInstruction`; nothing is guessed. What hardware
defines but no compiler writes is decoded as the manual has it.
Source: PRM SKL vol 7 "EU Instruction Formats", vol 2a "EU Overview".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mediator.gen9.eu import fields, registers
from mediator.gen9.eu.opcodes import MATH_FUNCTIONS, OPCODES, Form, MathFunction, Opcode
from mediator.gen9.eu.predicates import ALIGN1_PREDICATES, ALIGN16_PREDICATES
from mediator.softgpu.eu.isa import operands
from mediator.softgpu.eu.isa.compaction import expand
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    GRF_COUNT,
    Condition,
    Destination,
    File,
    IllegalInstruction,
    IndirectDestination,
    Instruction,
    Operand,
    Predicate,
    Source,
)
from mediator.softgpu.eu.isa.send_decoder import decode_send

NATIVE_BYTES: Final = 16
COMPACTED_BYTES: Final = 8
_COMPACT_IN_BYTE_3: Final = fields.COMPACT.mask >> 24
_CHANNELS: Final = 32
_SWITCH: Final = 2
_CONTROL_BITS: Final = (fields.NO_MASK.mask << 1) - 1
_CONDITIONS: Final = {int(condition): condition for condition in Condition}
MACROS: Final = (MathFunction.INVM, MathFunction.RSQTM)
_BOTH_OFFSETS: Final = frozenset(
    {Opcode.IF, Opcode.ELSE, Opcode.BREAK, Opcode.CONT, Opcode.HALT, Opcode.GOTO, Opcode.BRC}
)
JUMPS_BY_SOURCE1: Final = frozenset({Opcode.JMPI, Opcode.CALL, Opcode.CALLA})
"""Their offset stands where source 1 does."""
JUMPS_BY_SOURCE0: Final = frozenset({Opcode.BRD, Opcode.BRC, Opcode.RET})
_CALLS: Final = frozenset({Opcode.CALL, Opcode.CALLA})
_WITH_BRANCH_CONTROL: Final = frozenset({Opcode.IF, Opcode.ELSE, Opcode.GOTO})
"""Compilers set that bit on others too, where it says nothing."""


@dataclass(frozen=True, slots=True)
class _Controls:
    """What the low 35 bits of a word say, whatever its form."""

    opcode: Opcode
    width: int
    channel: int
    align16: bool
    predicate: Predicate | None
    flag: int
    no_mask: bool
    saturate: bool
    condition: Condition
    accumulator_write: bool
    switch: bool
    function: MathFunction | None


def size_at(code: bytes | bytearray | memoryview, at: int = 0) -> int:
    """Bytes of the instruction whose first four bytes are at ``at``: 8 or 16."""
    return COMPACTED_BYTES if code[at + 3] & _COMPACT_IN_BYTE_3 else NATIVE_BYTES


def decode(
    code: bytes | bytearray | memoryview, at: int = 0, offset: int | None = None
) -> Instruction:
    """The instruction at byte ``at`` of ``code``; ``offset`` is what it says of itself, if not
    ``at``. Raises IllegalInstruction, also if ``code`` ends within it.
    """
    place = at if offset is None else offset
    if at < 0 or at + COMPACTED_BYTES > len(code):
        raise IllegalInstruction("the code ends within an instruction", None, place)
    size = size_at(code, at)
    if at + size > len(code):
        raise IllegalInstruction("the code ends within an instruction", None, place)
    word = int.from_bytes(code[at : at + size], "little")
    return decode_word(word if size == NATIVE_BYTES else expand(word), place, size)


def decode_word(word: int, offset: int = 0, size: int = NATIVE_BYTES) -> Instruction:
    """The instruction of a native word. ``size`` is 8 if it was compacted."""
    try:
        controls = _controls(word & _CONTROL_BITS)
        return _DECODERS[controls.opcode.form](word, offset, size, controls)
    except IllegalInstruction as illegal:
        illegal.word = word
        illegal.offset = offset
        raise


@lru_cache(1 << 14)
def _controls(bits: int) -> _Controls:
    code = fields.OPCODE.get(bits) | fields.RESERVED.get(bits) << 7
    opcode = OPCODES.get(code)
    if opcode is None or opcode is Opcode.ILLEGAL:
        raise IllegalInstruction(f"opcode {code:#x}")
    if fields.COMPACT.get(bits):
        raise IllegalInstruction("a compacted instruction in a native word")
    align16 = bool(fields.ALIGN16.get(bits))
    exponent = fields.WIDTH.get(bits)
    channel = fields.CHANNEL.get(bits) * 4
    if exponent > 5:
        raise IllegalInstruction(f"reserved execution size {exponent}")
    width = 1 << exponent
    if opcode.form is Form.NOTHING:
        width, channel = 1, 0
    if channel + width > _CHANNELS:
        raise IllegalInstruction(f"channels {channel} to {channel + width - 1}")
    thread_control = fields.THREAD_CONTROL.get(bits)
    if thread_control > _SWITCH:
        raise IllegalInstruction(f"reserved thread control {thread_control}")
    condition, function = Condition.NONE, None
    number = fields.CONDITION.get(bits)
    if opcode.form is Form.MATH:
        function = MATH_FUNCTIONS.get(number)
        if function is None:
            raise IllegalInstruction(f"reserved math function {number}")
    elif opcode.form in (Form.BASIC, Form.THREE_SOURCE):
        if number not in _CONDITIONS:
            raise IllegalInstruction(f"reserved condition {number}")
        condition = _CONDITIONS[number]
    return _Controls(
        opcode=opcode,
        width=width,
        channel=channel,
        align16=align16,
        predicate=_predicate(bits, align16),
        flag=fields.FLAG.get(bits) * 16,
        no_mask=bool(fields.NO_MASK.get(bits)),
        saturate=bool(fields.SATURATE.get(bits)),
        condition=condition,
        accumulator_write=bool(fields.ACCUMULATOR_WRITE.get(bits)),
        switch=thread_control == _SWITCH,
        function=function,
    )


def _predicate(bits: int, align16: bool) -> Predicate | None:
    control = fields.PREDICATE.get(bits)
    if control == 0:
        return None
    if control not in (ALIGN16_PREDICATES if align16 else ALIGN1_PREDICATES):
        raise IllegalInstruction(f"reserved predicate control {control}")
    return Predicate(control, bool(fields.PREDICATE_INVERSE.get(bits)))


def _basic(word: int, offset: int, size: int, controls: _Controls) -> Instruction:
    opcode, width, function = controls.opcode, controls.width, controls.function
    macro = function in MACROS
    count = opcode.source_count if function is None else function.source_count
    source0 = operands.operand(fields.SOURCE0, word, width, macro=macro, alone=count == 1)
    sources: tuple[Operand, ...] = (source0,)
    if count == 2:
        if fields.SOURCE0.file.get(word) == fields.FILE_IMMEDIATE:
            raise IllegalInstruction("an immediate that is not the last source")
        source1 = operands.operand(fields.SOURCE1, word, width, macro=macro, alone=False)
        sources = (source0, source1)
    destination: Destination | IndirectDestination | None = None
    if opcode is Opcode.WAIT:
        _check_wait(source0)
    else:
        destination = operands.destination(word & operands.DESTINATION_BITS, width, macro)
        _check_implied(opcode, function, width, destination, sources)
    return _instruction(word, offset, size, controls, destination, sources)


def _three_source(word: int, offset: int, size: int, controls: _Controls) -> Instruction:
    if not controls.align16:
        raise IllegalInstruction("a three-source instruction that is not align16")
    macro, width = controls.opcode is Opcode.MADM, controls.width
    destination = operands.three_source_destination(
        fields.THREE_SOURCE_REGISTER.get(word),
        fields.THREE_SOURCE_SUBREGISTER.get(word),
        fields.THREE_SOURCE_WRITE_MASK.get(word),
        fields.THREE_SOURCE_DESTINATION_TYPE.get(word),
        width,
        macro,
    )
    sources = tuple(
        operands.three_source_source(
            which, word & operands.THREE_SOURCE_BITS[which], kind, width, macro
        )
        for which, kind in zip(
            fields.THREE_SOURCE_SOURCES, operands.three_source_types(word), strict=True
        )
    )
    return _instruction(word, offset, size, controls, destination, sources)


def _branch(word: int, offset: int, size: int, controls: _Controls) -> Instruction:
    if controls.align16:
        raise IllegalInstruction("an align16 branch")
    opcode, width = controls.opcode, controls.width
    destination: Destination | IndirectDestination | None = None
    sources: tuple[Operand, ...] = ()
    in_register = False
    if opcode in JUMPS_BY_SOURCE1:
        in_register = fields.SOURCE1.file.get(word) != fields.FILE_IMMEDIATE
        which = fields.SOURCE1
    elif opcode in JUMPS_BY_SOURCE0:
        in_register = fields.SOURCE0.file.get(word) != fields.FILE_IMMEDIATE
        which = fields.SOURCE0
    if in_register:
        # Its region is <0;1,0>, or <2;2,1> of brc and ret: two elements at most are read.
        bits = word & operands.SOURCE_BITS[which]
        sources = (operands.source(which, bits, min(width, 2), False),)
    elif opcode is Opcode.RET:
        raise IllegalInstruction("a return to an immediate")
    if opcode in _CALLS:
        destination = operands.destination(word & operands.DESTINATION_BITS, 2, False)
    jip = uip = None
    if not in_register:
        jip = fields.JIP.signed(word)
        if opcode is Opcode.JMPI:
            jip += size
        if opcode in _BOTH_OFFSETS:
            uip = fields.UIP.signed(word)
    return _instruction(word, offset, size, controls, destination, sources, jip, uip)


def _send(word: int, offset: int, size: int, controls: _Controls) -> Instruction:
    destination, message = decode_send(
        word, split=controls.opcode.form is Form.SPLIT_SEND, align16=controls.align16
    )
    return Instruction(
        offset=offset,
        size=size,
        word=word,
        opcode=controls.opcode,
        width=controls.width,
        channel=controls.channel,
        align16=controls.align16,
        predicate=controls.predicate,
        flag=controls.flag,
        no_mask=controls.no_mask,
        saturate=False,
        condition=Condition.NONE,
        write_accumulator=False,
        destination=destination,
        sources=(),
        message=message,
        switch=controls.switch,
    )


def _nothing(word: int, offset: int, size: int, controls: _Controls) -> Instruction:
    return _instruction(word, offset, size, controls, None, ())


def _instruction(
    word: int,
    offset: int,
    size: int,
    controls: _Controls,
    destination: Destination | IndirectDestination | None,
    sources: tuple[Operand, ...],
    jip: int | None = None,
    uip: int | None = None,
) -> Instruction:
    branch = controls.opcode.form is Form.BRANCH
    return Instruction(
        offset,
        size,
        word,
        controls.opcode,
        controls.width,
        controls.channel,
        controls.align16,
        controls.predicate,
        controls.flag,
        controls.no_mask,
        controls.saturate and not branch,
        controls.condition,
        controls.accumulator_write and not branch,
        destination,
        sources,
        jip,
        uip,
        controls.accumulator_write and controls.opcode in _WITH_BRANCH_CONTROL,
        controls.function,
        None,
        controls.switch,
    )


_DECODERS: Final = {
    Form.BASIC: _basic,
    Form.MATH: _basic,
    Form.THREE_SOURCE: _three_source,
    Form.BRANCH: _branch,
    Form.SEND: _send,
    Form.SPLIT_SEND: _send,
    Form.NOTHING: _nothing,
}


def _check_wait(source: Operand) -> None:
    if not (
        isinstance(source, Source)
        and source.file is File.ARF
        and source.byte // GRF_BYTES == registers.NOTIFICATION
    ):
        raise IllegalInstruction("wait for what is no notification register")


def _check_implied(
    opcode: Opcode,
    function: MathFunction | None,
    width: int,
    destination: Destination | IndirectDestination,
    sources: tuple[Operand, ...],
) -> None:
    """Registers that no region names: the remainder of idiv, the channels of a plane."""
    if function is MathFunction.IDIVREM and isinstance(destination, Destination):
        if destination.file is File.GRF and destination.byte // GRF_BYTES + 2 > GRF_COUNT:
            raise IllegalInstruction("the remainder goes beyond the registers")
    elif opcode is Opcode.PLN and isinstance(sources[1], Source):
        registers_read = 2 * max(width // 8, 1)
        if sources[1].byte // GRF_BYTES + registers_read > GRF_COUNT:
            raise IllegalInstruction("plane coordinates go beyond the registers")
