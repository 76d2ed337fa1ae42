"""The assembler: what it writes decodes to what was said."""

import pytest

from mediator.gen9.eu import registers
from mediator.gen9.eu.opcodes import MathFunction, Opcode
from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Instruction,
    Region,
    Source,
)
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import acc, address, arf, flag, grf, immediate, indirect, null


def only(asm: Assembler) -> Instruction:
    asm.end()
    return Program.of(asm.code()).instructions[0]


def test_operands_in_all_their_forms() -> None:
    asm = Assembler(width=16)
    asm.add(
        grf(2, Type.F).every(2).of(Type.W),
        -abs(grf(4, Type.W)).by(2, 1, 0),
        grf(6, Type.W)[1].scalar,
        channel=16,
        flag=48,
        predicate=False,
        condition=Condition.UNORDERED,
        saturate=True,
        no_mask=True,
        write_accumulator=True,
    )
    found = only(asm)
    assert found.destination == grf(2, Type.W).every(2).destination()
    negative, scalar = found.sources
    assert isinstance(negative, Source)
    assert (negative.byte, negative.negate, negative.absolute) == (4 * 32, True, True)
    assert negative.region == Region(2, 1, 0)
    assert isinstance(scalar, Source)
    assert scalar.region == Region(0, 1, 0)
    assert (found.channel, found.flag, found.condition) == (16, 48, Condition.UNORDERED)
    assert found.saturate
    assert found.no_mask
    assert found.write_accumulator
    assert found.predicate is not None
    assert found.predicate.inverse


@pytest.mark.parametrize(
    ("value", "kind", "bits"),
    [
        (-1, Type.W, 0xFFFF),
        (-1, Type.Q, (1 << 64) - 1),
        (1.0, Type.HF, 0x3C00),
        (1.0, Type.F, 0x3F800000),
        (1.0, Type.DF, 0x3FF0000000000000),
        (0x76543210, Packed.V, 0x76543210),
        (0x30303030, Packed.VF, 0x30303030),
    ],
)
def test_immediates(value: float, kind: Type | Packed, bits: int) -> None:
    asm = Assembler()
    asm.mov(grf(2, kind.element if isinstance(kind, Packed) else kind), immediate(value, kind))
    assert only(asm).sources == (Immediate(kind, bits),)


def test_numbers_without_a_type() -> None:
    asm = Assembler()
    asm.mul(grf(2, Type.F), grf(3, Type.F), 0.5)
    assert only(asm).sources[1] == Immediate(Type.F, 0x3F000000)
    asm = Assembler()
    asm.mul(grf(2, Type.D), grf(3, Type.D), -2)
    assert only(asm).sources[1] == Immediate(Type.D, 0xFFFFFFFE)


def test_indirect_registers() -> None:
    asm = Assembler()
    asm.mov(indirect(3, -64, Type.D), indirect(8, 508, Type.D).by(None, 1, 0))
    found = only(asm)
    assert found.destination == IndirectDestination(3, -64, Type.D, 1)
    assert found.sources == (IndirectSource(8, 508, Type.D, Region(None, 1, 0)),)


def test_architecture_registers() -> None:
    asm = Assembler(width=1)
    asm.mov(address(3), flag(1, Type.UW, 1).scalar)
    asm.mul(acc(0, Type.D), grf(2, Type.D), grf(4, Type.UW).by(16, 8, 2), width=8)
    asm.mov(null(), arf(registers.TIMESTAMP, Type.UD, 1))
    asm.wait(arf(registers.NOTIFICATION, Type.UD))
    asm.nop()
    asm.end()
    found = list(Program.of(asm.code()).instructions.values())
    opcodes = [Opcode.MOV, Opcode.MUL, Opcode.MOV, Opcode.WAIT, Opcode.NOP, Opcode.SEND]
    assert [each.opcode for each in found] == opcodes


def test_three_sources_and_macros() -> None:
    asm = Assembler(width=16)
    asm.mad(grf(2, Type.F), grf(4, Type.F), -grf(6, Type.F)[5].scalar, grf(8, Type.HF))
    found = only(asm)
    assert found.align16
    assert found.size == 16
    assert [operand.type for operand in found.sources] == [Type.F, Type.F, Type.HF]
    asm = Assembler(width=4)
    asm.math(
        MathFunction.INVM,
        grf(2, Type.DF).macro(0),
        grf(4, Type.DF).macro(8),
        grf(6, Type.DF).macro(8),
    )
    found = only(asm)
    assert found.function is MathFunction.INVM
    assert [operand.mme for operand in found.sources if isinstance(operand, Source)] == [8, 8]


def test_align16_swizzles_and_write_masks() -> None:
    asm = Assembler()
    asm.mov(grf(2, Type.F).masked(0b0101), grf(4, Type.F).swizzled(3, 2, 1, 0), align16=True)
    asm.mov(
        grf(2, Type.DF).masked(0b0101),
        grf(4, Type.DF).swizzled(1, 1, 3, 3),
        align16=True,
        width=4,
    )
    asm.end()
    first, second, _ = Program.of(asm.code()).instructions.values()
    assert first.destination == grf(2, Type.F).masked(5).destination()
    assert first.sources == (grf(4, Type.F).swizzled(3, 2, 1, 0).source(8, align16=True),)
    assert second.destination == grf(2, Type.DF).masked(5).destination()
    assert second.sources == (grf(4, Type.DF).swizzled(1, 1, 3, 3).source(4, align16=True),)


def test_labels_before_and_behind_and_compaction_between() -> None:
    asm = Assembler(width=16)
    asm.label("again")
    asm.add(grf(2, Type.D), grf(2, Type.D), -1, condition=Condition.GREATER)
    asm.if_("else", "end", predicate=True)
    asm.mov(grf(4, Type.D), grf(6, Type.D))
    asm.else_("end", "end")
    asm.label("else")
    asm.mov(grf(6, Type.D), grf(4, Type.D))
    asm.label("end")
    asm.endif("next")
    asm.label("next")
    asm.while_("again", predicate=True)
    asm.jmpi("last")
    asm.raw(bytes(16))
    asm.label("last")
    asm.end()
    program = Program.of(asm.code())
    found = {each.opcode: each for each in program.instructions.values()}
    assert {each.size for each in program.instructions.values()} == {8, 16}
    loop, condition, other = found[Opcode.WHILE], found[Opcode.IF], found[Opcode.ELSE]
    assert loop.jip is not None
    assert loop.offset + loop.jip == 0
    assert condition.jip is not None
    assert condition.uip is not None
    assert condition.offset + condition.jip == other.end
    assert condition.offset + condition.uip == found[Opcode.ENDIF].offset
    jump = found[Opcode.JMPI]
    assert jump.jip == 32


def test_calls_and_jumps_by_register() -> None:
    asm = Assembler(width=16)
    asm.call(grf(20, Type.D), "routine")
    asm.brd(grf(5, Type.D), predicate=True)
    asm.brc(grf(6, Type.D), predicate=True)
    asm.jmpi(grf(7, Type.D), predicate=True)
    asm.goto("routine", "routine", predicate=True, branch_control=True)
    asm.end()
    asm.label("routine")
    asm.ret(grf(20, Type.D))
    program = Program.of(asm.code())
    found = {each.opcode: each for each in program.instructions.values()}
    assert found[Opcode.CALL].destination == grf(20, Type.D).destination()
    assert found[Opcode.RET].sources == (grf(20, Type.D).by(2, 2, 1).source(2, align16=False),)
    assert found[Opcode.GOTO].branch_control
    assert program.dynamic


def test_messages() -> None:
    asm = Assembler(width=16)
    asm.send(grf(20, Type.UD), 4, 12, 0x04205E00)
    asm.send(None, 4, 12, 0x040A8000, more=(6, 2), extended=0x12340000)
    asm.send(None, 4, 12, None, extended=None, extended_address=2, more=(6, 0))
    asm.end()
    plain, split, late, last = (
        each.message for each in Program.of(asm.code()).instructions.values()
    )
    assert plain is not None
    assert (plain.payload, plain.sfid, plain.descriptor, plain.more) == (4, 12, 0x04205E00, None)
    assert split is not None
    assert (split.more, split.extended) == (6, 0x1234008C)
    assert late is not None
    assert (late.descriptor, late.extended, late.extended_address) == (None, None, 2)
    assert last is not None
    assert last.end_of_thread


def test_without_compaction_every_instruction_has_sixteen_bytes() -> None:
    asm = Assembler(width=16, compacting=False)
    asm.add(grf(2, Type.D), grf(2, Type.D), grf(4, Type.D))
    assert only(asm).size == 16


def test_what_has_no_encoding_is_refused() -> None:
    asm = Assembler()
    with pytest.raises(AttributeError):
        asm.frobnicate()
    asm.mov(grf(2, Type.D).every(3), 0)
    with pytest.raises(ValueError, match="no encoding"):
        asm.code()
    asm = Assembler()
    asm.jmpi("nowhere")
    with pytest.raises(KeyError):
        asm.code()
    asm.label("here")
    with pytest.raises(ValueError, match="there already"):
        asm.label("here")
