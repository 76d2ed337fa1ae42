"""What hardware does not define is refused: operands, messages, macros and three sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mediator.gen9.eu import fields, registers
from mediator.gen9.eu.opcodes import MathFunction, Opcode
from mediator.gen9.eu.types import Type
from mediator.gen9.field import Field
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.decoder import decode, decode_word
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.instruction import IllegalInstruction, IndirectSource, Region
from mediator.softgpu.eu.isa.register import acc, arf, grf, immediate, indirect, null

F, D, DF, HF, UW, UD = Type.F, Type.D, Type.DF, Type.HF, Type.UW, Type.UD
Write = Callable[[Assembler], None]


def word(write: Write) -> int:
    asm = Assembler(width=8, compacting=False)
    write(asm)
    return int.from_bytes(asm.code()[:16], "little")


def put(write: Write, field: Field, value: int) -> int:
    return field.put(value, word(write))


def refused(value: int, reason: str) -> None:
    with pytest.raises(IllegalInstruction, match=reason):
        decode_word(value)


LEGAL: dict[str, Write] = {
    "two whole registers": lambda a: a.mov(grf(126, F), grf(126, F), width=16),
    "the last element": lambda a: a.mov(grf(127, F)[7], grf(127, F)[7], width=1),
    "both accumulators": lambda a: a.mov(acc(0, F), acc(0, F), width=16),
    "all address registers": lambda a: a.mov(arf(0x10, UW), indirect(0, 0, F).by(None, 1, 0)),
    "a plane's last coordinates": lambda a: a.pln(grf(2, F), grf(4, F), grf(126, F)),
    "a remainder in the last register": lambda a: a.math(
        MathFunction.IDIVREM, grf(126, D), grf(2, D), grf(4, D)
    ),
    "null of any size": lambda a: a.mov(null(DF), grf(2, DF).by(0, 1, 0), width=16),
}


@pytest.mark.parametrize("name", LEGAL)
def test_what_just_fits_is_legal(name: str) -> None:
    decode_word(word(LEGAL[name]))


REFUSED: dict[str, tuple[Write, str]] = {
    "beyond two registers": (lambda a: a.mov(grf(2, F), grf(4, F)[1], width=16), "spans more"),
    "beyond the file": (lambda a: a.mov(grf(127, F), grf(4, F), width=16), "spans more"),
    "a register that is none": (lambda a: a.mov(grf(2, F), grf(128, F)), "spans more"),
    "beyond a0": (lambda a: a.mov(grf(2, F), arf(0x10, F), width=16), "spans more"),
    "beyond the accumulators": (lambda a: a.mov(acc(9, F), grf(4, F), width=16), "spans more"),
    "a debugger's register": (lambda a: a.mov(grf(2, UD), arf(0xF0, UD)), "reserved arch"),
    "too many addresses": (
        lambda a: a.mov(grf(2, F), indirect(9, 0, F).by(None, 1, 0)),
        "more address registers",
    ),
    "a plane beyond the file": (lambda a: a.pln(grf(2, F), grf(4, F), grf(127, F)), "plane"),
    "a remainder beyond the file": (
        lambda a: a.math(MathFunction.IDIVREM, grf(127, D), grf(2, D), grf(4, D)),
        "remainder",
    ),
    "a 64-bit immediate beside a source": (
        lambda a: a.add(grf(2, DF), immediate(1.0, DF), grf(4, DF).by(4, 4, 1)),
        "not the last source|64-bit",
    ),
    "waiting for nothing": (lambda a: a.wait(arf(registers.CONTROL, UD)), "no notification"),
    "an align16 branch": (lambda a: a.endif(16, align16=True), "align16 branch"),
    "three sources in align1": (
        lambda a: a.mad(grf(2, F), grf(4, F), grf(6, F), grf(8, F), align16=False),
        "not align16",
    ),
    "a macro in align1": (
        lambda a: a.math(MathFunction.RSQTM, grf(2, F), grf(4, F), align16=False),
        "align16",
    ),
    "an align16 send": (lambda a: a.send(None, 4, 12, 0, align16=True), "align16 send"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    write, reason = REFUSED[name]
    refused(word(write), reason)


def move(asm: Assembler) -> None:
    asm.mov(grf(2, F), grf(4, F))


def align16_move(asm: Assembler) -> None:
    asm.mov(grf(2, F), grf(4, F), align16=True)


def align16_double(asm: Assembler) -> None:
    asm.mov(grf(2, DF), grf(4, DF), align16=True, width=4)


def mad(asm: Assembler) -> None:
    asm.mad(grf(2, F), grf(4, F), grf(6, F), grf(8, F))


def madm(asm: Assembler) -> None:
    asm.madm(*(grf(2 * n, F).macro(n) for n in range(4)))


def send(asm: Assembler) -> None:
    asm.send(grf(20, UD), 4, 12, 0x02106E00)


def sends(asm: Assembler) -> None:
    asm.send(grf(20, UD), 4, 12, 0x02106E00, more=(6, 2))


FIELDS: tuple[tuple[Write, Field, int, str], ...] = (
    (move, fields.SOURCE0.type, 12, "register type"),
    (move, fields.SOURCE0.file, 2, "register file"),
    (align16_move, fields.SOURCE0.vertical, 4, "vertical stride 4 of an align16"),
    (align16_move, fields.SOURCE0.vertical, 15, "vertical stride 15 of an align16"),
    (align16_move, fields.PREDICATE, 8, "predicate control 8"),
    (align16_double, fields.SOURCE0.swizzle_low, 0b0001, "tears"),
    (align16_double, fields.DESTINATION.write_mask, 0b0111, "tears"),
    (mad, fields.THREE_SOURCE_DESTINATION_TYPE, 5, "reserved type 5"),
    (mad, fields.THREE_SOURCE_SOURCE_TYPE, 7, "reserved type 7"),
    (mad, fields.THREE_SOURCE_REGISTER, 128, "spans more"),
    (mad, fields.THREE_SOURCE_SOURCES[1].register, 255, "spans more"),
    (madm, fields.THREE_SOURCE_WRITE_MASK, 9, "macro accumulator 9"),
    (madm, fields.THREE_SOURCE_SOURCES[2].swizzle, 15, "macro accumulator 15"),
    (send, fields.SOURCE0.file, 0, "payload that is no GRF"),
    (send, fields.SOURCE0.register, 127, "legal"),
    (send, fields.SOURCE0.register, 128, "payload of a message"),
    (send, fields.SOURCE0.half, 1, "within a register"),
    (send, fields.SOURCE1.file, 1, "not a0.0"),
    (send, fields.SOURCE1.file, 0, "not a0.0"),
    (send, fields.DESTINATION.subregister, 4, "within a register"),
    (send, fields.DESTINATION.register, 128, "response of a message"),
    (send, fields.DESTINATION.file, 2, "register file 2"),
    (send, fields.DESTINATION.file, 0, "architecture register"),
    (sends, fields.SENDS_SOURCE1, 127, "second payload of a message"),
    (sends, fields.SENDS_SOURCE1_FILE, 0, "null register"),
    (sends, fields.SENDS_DESTINATION_FILE, 0, "architecture register"),
)


@pytest.mark.parametrize(("write", "field", "value", "reason"), FIELDS)
def test_reserved_codes_are_refused(write: Write, field: Field, value: int, reason: str) -> None:
    decode_word(word(write))
    changed = put(write, field, value)
    if reason == "legal":
        decode_word(changed)
    else:
        refused(changed, reason)


def test_an_indirect_architecture_register_is_refused() -> None:
    indirectly = fields.SOURCE0.indirect.put(1, word(move))
    decode_word(indirectly)
    refused(fields.SOURCE0.file.put(fields.FILE_ARF, indirectly), "no GRF")
    to = fields.DESTINATION.indirect.put(1, word(move))
    decode_word(to)
    refused(fields.DESTINATION.file.put(fields.FILE_ARF, to), "no GRF")
    response = fields.DESTINATION.indirect.put(1, word(send))
    decode_word(response)
    refused(fields.DESTINATION.file.put(fields.FILE_ARF, response), "no GRF")


def test_payloads_and_responses_end_within_the_file() -> None:
    for length, payload in ((15, 113), (1, 127)):
        asm = Assembler()
        asm.send(None, payload, 12, fields.MESSAGE_LENGTH.put(length))
        decode(asm.code())
        asm = Assembler()
        asm.send(None, payload + 1, 12, fields.MESSAGE_LENGTH.put(length))
        with pytest.raises(IllegalInstruction, match="payload of a message"):
            decode(asm.code())
    asm = Assembler()
    asm.send(grf(112, UD), 4, 12, fields.RESPONSE_LENGTH.put(16))
    decode(asm.code())
    asm = Assembler()
    asm.send(grf(113, UD), 4, 12, fields.RESPONSE_LENGTH.put(16))
    with pytest.raises(IllegalInstruction, match="response"):
        decode(asm.code())


def test_indirect_payloads_come_back_as_they_were() -> None:
    for more in (None, (6, 2)):
        asm = Assembler(compacting=False)
        payload = IndirectSource(3, -64, UD, Region(8, 8, 1))
        asm.send(indirect(2, 96, UD), payload, 12, None, more=more)
        found = decode(asm.code())
        assert found.message is not None
        assert found.message.payload_indirect == payload
        assert found.message.descriptor is None
        assert found.destination == indirect(2, 96, UD).destination()


def test_align16_comes_back_as_it_was() -> None:
    asm = Assembler(compacting=False)
    asm.mov(
        indirect(1, 32, F).masked(0b0011),
        -indirect(2, -48, F).swizzled(0, 0, 1, 1).by(4, 4, 1),
        align16=True,
    )
    asm.add(grf(2, F), grf(4, F).by(0, 4, 1), grf(6, F).swizzled(3, 3, 3, 3), align16=True)
    asm.mov(arf(registers.MACRO_ACCUMULATOR + 3, UD), grf(4, UD), align16=True)
    code = asm.code()
    for at in range(0, len(code), 16):
        found = decode(code, at)
        assert replace(decode_word(encode(found), at), word=found.word) == found
    moved = decode(code, 32).destination
    assert moved == arf(registers.MACRO_ACCUMULATOR + 3, UD).destination()


def test_reserved_opcodes_are_refused() -> None:
    known = {opcode.code for opcode in Opcode} - {0}
    for code in set(range(256)) - known:
        refused(word(move) & ~0xFF | code, f"opcode {code:#x} ")
