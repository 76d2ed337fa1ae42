"""Random instructions that hardware defines, of every form, for whoever decodes or runs them."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from mediator.gen9.eu import registers
from mediator.gen9.eu.opcodes import Form, MathFunction, Opcode
from mediator.gen9.eu.predicates import ALIGN1_PREDICATES
from mediator.gen9.eu.types import IMMEDIATE_TYPES, THREE_SOURCE_TYPES, Packed, Type
from mediator.softgpu.eu.isa.decoder import MACROS, decode_word
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Destination,
    IllegalInstruction,
    Immediate,
    IndirectDestination,
    Instruction,
    Message,
    Operand,
    Predicate,
    Region,
)
from mediator.softgpu.eu.isa.register import Register, address, arf, flag, grf, indirect, null

OPCODES: Final = tuple(opcode for opcode in Opcode if opcode is not Opcode.ILLEGAL)
_REGIONS: Final = ((8, 8, 1), (4, 4, 1), (16, 16, 1), (0, 1, 0), (2, 1, 0), (4, 1, 0), (1, 1, 0))
_INDIRECT_REGIONS: Final = ((None, 1, 0), (None, 2, 1), (None, 4, 1))
_BRANCH_CONTROL: Final = (Opcode.IF, Opcode.ELSE, Opcode.GOTO)
_ONE_OFFSET: Final = (Opcode.ENDIF, Opcode.WHILE, Opcode.JOIN, Opcode.BRD, Opcode.JMPI)
_CALLS: Final = (Opcode.CALL, Opcode.CALLA)
_SCALAR: Final = Region(0, 1, 0)

# Where the manual gives those bits no meaning.
_BITS: Final = {
    Opcode.ADDC,
    Opcode.BFE,
    Opcode.BFI1,
    Opcode.BFI2,
    Opcode.BFREV,
    Opcode.CBIT,
    Opcode.FBH,
    Opcode.FBL,
    Opcode.SMOV,
}
_NO_PREDICATE: Final = {Opcode.CSEL, Opcode.ELSE, Opcode.ENDIF, Opcode.NOP, Opcode.WAIT}
_NO_CONDITION: Final = (_BITS - {Opcode.ADDC}) | {Opcode.MACH, Opcode.MOVI}
_NO_SATURATION: Final = _BITS | {
    Opcode.AND,
    Opcode.CMP,
    Opcode.CMPN,
    Opcode.FRC,
    Opcode.NOT,
    Opcode.OR,
    Opcode.XOR,
}
_NO_MODIFIERS: Final = _BITS | {Opcode.PLN, Opcode.SUBB}


def random_instruction(random: Random, opcodes: tuple[Opcode, ...] = OPCODES) -> Instruction:
    """An instruction of one of ``opcodes`` as the decoder gives it."""
    while True:
        wanted = _build(random, random.choice(opcodes))
        try:
            return decode_word(encode(wanted))
        except (IllegalInstruction, ValueError):
            # Too wide a region, too far a register: another one.
            continue


def _build(random: Random, opcode: Opcode) -> Instruction:
    width = random.choice((1, 2, 4, 8, 8, 16, 16, 32))
    blank = Instruction(
        offset=0,
        size=16,
        word=0,
        opcode=opcode,
        width=width,
        channel=random.randrange(0, 32, max(width, 4)) if width < 32 else 0,
        align16=False,
        predicate=None if opcode in _NO_PREDICATE else _predicate(random),
        flag=0,
        no_mask=random.random() < 0.3,
        saturate=False,
        condition=Condition.NONE,
        write_accumulator=False,
        destination=None,
        sources=(),
        switch=random.random() < 0.05,
    )
    found = _BUILDERS[opcode.form](random, blank)
    uses_flag = found.predicate is not None or found.condition or found.function in MACROS
    return replace(found, flag=random.choice((0, 16, 32, 48))) if uses_flag else found


def _predicate(random: Random) -> Predicate | None:
    if random.random() < 0.6:
        return None
    return Predicate(random.choice(tuple(ALIGN1_PREDICATES)), random.random() < 0.5)


def _basic(random: Random, blank: Instruction) -> Instruction:
    if blank.opcode is Opcode.WAIT:
        source = arf(registers.NOTIFICATION, Type.UD).scalar.source(1, align16=False)
        return replace(blank, width=1, channel=0, no_mask=False, sources=(source,))
    return replace(
        blank,
        condition=_condition(random, blank.opcode),
        saturate=blank.opcode not in _NO_SATURATION and random.random() < 0.2,
        write_accumulator=random.random() < 0.1,
        destination=_destination(random),
        sources=_sources(random, blank.width, blank.opcode),
    )


def _condition(random: Random, opcode: Opcode) -> Condition:
    if opcode in _NO_CONDITION or random.random() < 0.7:
        return Condition.NONE
    return random.choice(tuple(Condition))


def _math(random: Random, blank: Instruction) -> Instruction:
    function = random.choice(tuple(MathFunction))
    if function not in MACROS:
        return replace(
            blank,
            function=function,
            saturate=random.random() < 0.2,
            destination=grf(random.randrange(128), random.choice(tuple(Type))).destination(),
            sources=tuple(
                _modified(random, grf(random.randrange(128), random.choice(tuple(Type)))).source(
                    blank.width, align16=False
                )
                for _ in range(function.source_count)
            ),
        )
    kind = random.choice((Type.F, Type.DF))
    return replace(
        blank,
        function=function,
        align16=True,
        predicate=None,
        destination=_macro(random, kind).destination(),
        sources=tuple(
            _macro(random, kind).source(blank.width, align16=True)
            for _ in range(function.source_count)
        ),
    )


def _three_source(random: Random, blank: Instruction) -> Instruction:
    kind = random.choice(tuple(THREE_SOURCE_TYPES.values()))
    floats = kind in (Type.F, Type.HF)
    kinds = [kind, *(random.choice((Type.F, Type.HF)) if floats else kind for _ in range(2))]
    macro = blank.opcode is Opcode.MADM
    to = _macro(random, kind) if macro else grf(random.randrange(128), kind)
    sources = [
        _macro(random, each) if macro else grf(random.randrange(128), each) for each in kinds
    ]
    return replace(
        blank,
        align16=True,
        width=max(blank.width, 2),
        predicate=None,
        saturate=blank.opcode not in _NO_SATURATION and random.random() < 0.2,
        condition=_condition(random, blank.opcode),
        write_accumulator=random.random() < 0.1,
        destination=to.destination(),
        sources=tuple(_align16(random, each, blank, macro) for each in sources),
    )


def _align16(random: Random, register: Register, blank: Instruction, macro: bool) -> Operand:
    if blank.opcode not in _NO_MODIFIERS:
        register = _modified(random, register)
    if not macro and register.type.size < 8 and random.random() < 0.3:
        register = register[random.randrange(32 // register.type.size)].scalar
    return register.source(blank.width, align16=True)


def _macro(random: Random, kind: Type) -> Register:
    return grf(random.randrange(128), kind).macro(random.randrange(9))


def _branch(random: Random, blank: Instruction) -> Instruction:
    opcode = blank.opcode
    blank = replace(
        blank, branch_control=opcode in _BRANCH_CONTROL and random.random() < 0.3, switch=False
    )
    if opcode is Opcode.JMPI:
        blank = replace(blank, width=1, channel=0, no_mask=True)
    if opcode in _CALLS:
        blank = replace(blank, destination=grf(random.randrange(128), Type.D).destination())
    if opcode is Opcode.RET:
        return replace(blank, sources=_target(random, Region(2, 2, 1)))
    if opcode in (Opcode.JMPI, Opcode.BRD, Opcode.CALL) and random.random() < 0.3:
        return replace(blank, sources=_target(random, _SCALAR))
    jip = random.randrange(-(1 << 31), 1 << 31, 8)
    if opcode in _ONE_OFFSET or opcode in _CALLS:
        return replace(blank, jip=jip)
    return replace(blank, jip=jip, uip=random.randrange(-(1 << 31), 1 << 31, 8))


def _target(random: Random, region: Region) -> tuple[Operand, ...]:
    register = grf(random.randrange(128), Type.D)
    return (replace(register, region=region).source(2, align16=False),)


def _send(random: Random, blank: Instruction) -> Instruction:
    split = blank.opcode.form is Form.SPLIT_SEND
    descriptor = random.getrandbits(31)
    sfid = random.choice((2, 3, 9, 10, 12))
    more = random.randrange(100) if split and random.random() < 0.8 else None
    high = random.getrandbits(16) << 16
    length = random.randrange(1, 16) if more is not None else 0
    end = random.random() < 0.1
    extended = high | length << 6 | end << 5 | sfid
    message = Message(
        sfid=sfid,
        descriptor=None if random.random() < 0.2 else descriptor,
        extended=extended,
        payload=random.randrange(112),
        payload_indirect=None,
        more=more,
        end_of_thread=end,
    )
    to = null() if random.random() < 0.3 else grf(random.randrange(96), Type.UD)
    return replace(blank, destination=to.destination(), message=message)


def _nothing(random: Random, blank: Instruction) -> Instruction:
    return replace(blank, width=1, channel=0, no_mask=False, switch=False)


def _destination(random: Random) -> Destination | IndirectDestination:
    kind = random.choice(tuple(Type))
    if random.random() < 0.1:
        return indirect(random.randrange(16), random.randrange(-512, 512), kind).destination()
    register = _register(random, kind)
    return replace(register, stride=random.choice((1, 1, 1, 2, 4))).destination()


def _sources(random: Random, width: int, opcode: Opcode) -> tuple[Operand, ...]:
    found: list[Operand] = []
    for index in range(opcode.source_count):
        # The manual wants a register of the GRF, or an immediate, for the second source.
        register = _source(random, general=index > 0)
        if opcode not in _NO_MODIFIERS:
            register = _modified(random, register)
        found.append(register.source(width, align16=False))
    if random.random() < 0.3:
        found[-1] = _immediate(random, alone=len(found) == 1)
    return tuple(found)


def _source(random: Random, *, general: bool) -> Register:
    kind = random.choice(tuple(Type))
    region = random.choice(_REGIONS)
    if random.random() < 0.15:
        register = indirect(random.randrange(16), random.randrange(-512, 512), kind)
        if random.random() < 0.5:
            return register.by(*random.choice(_INDIRECT_REGIONS))
        return register.by(*region)
    if general:
        return grf(random.randrange(128), kind).by(*region)
    return _register(random, kind).by(*region)


def _modified(random: Random, register: Register) -> Register:
    if random.random() < 0.3:
        register = -register
    return abs(register) if random.random() < 0.2 else register


def _register(random: Random, kind: Type) -> Register:
    chance = random.random()
    if chance < 0.06:
        return null(kind)
    if chance < 0.1:
        return address(0, kind)
    if chance < 0.14:
        return arf(registers.ACCUMULATOR + random.randrange(2), kind)
    if chance < 0.16:
        return flag(random.randrange(2), kind)
    element = random.randrange(32 // kind.size) if random.random() < 0.3 else 0
    return grf(random.randrange(128), kind, element)


def _immediate(random: Random, *, alone: bool) -> Immediate:
    kind = random.choice(tuple(IMMEDIATE_TYPES.values()))
    while not alone and not isinstance(kind, Packed) and kind.size == 8:
        kind = random.choice(tuple(IMMEDIATE_TYPES.values()))
    size = 4 if isinstance(kind, Packed) else kind.size
    return Immediate(kind, random.getrandbits(8 * size))


_BUILDERS: Final = {
    Form.BASIC: _basic,
    Form.MATH: _math,
    Form.THREE_SOURCE: _three_source,
    Form.BRANCH: _branch,
    Form.SEND: _send,
    Form.SPLIT_SEND: _send,
    Form.NOTHING: _nothing,
}
