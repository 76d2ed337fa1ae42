"""Words that Intel's assembler made of the text beside them, and words that are none."""

from dataclasses import replace

import pytest

from mediator.gen9.eu.opcodes import MathFunction, Opcode
from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.decoder import decode, decode_word
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Destination,
    File,
    IllegalInstruction,
    Immediate,
    IndirectDestination,
    IndirectSource,
    Instruction,
    Predicate,
    Region,
    Source,
)

PACKED = Region(8, 8, 1)
SCALAR = Region(0, 1, 0)
ROWS = Region(4, 4, 1)
LINE = Region(1, 1, 0)


def grf(register: int, kind: Type, region: Region = PACKED, byte: int = 0) -> Source:
    return Source(File.GRF, register * 32 + byte, kind, region)


def arf(register: int, kind: Type, byte: int = 0) -> Source:
    return Source(File.ARF, register * 32 + byte, kind, SCALAR)


def to(register: int, kind: Type, byte: int = 0, **more: int) -> Destination:
    return Destination(File.GRF, register * 32 + byte, kind, 1, **more)


NULL = Destination(File.ARF, 0, Type.D, 1)


def word(text: str) -> Instruction:
    return decode_word(int(text, 16))


def test_a_compare_with_a_word_immediate() -> None:
    """cmp (8|M0) (lt)f0.0 null:d r2:d 100:w"""
    found = word("006400641e20004020000a2005600010")
    assert (found.opcode, found.width, found.channel) == (Opcode.CMP, 8, 0)
    assert found.condition is Condition.LESS
    assert found.destination == NULL
    assert found.sources == (grf(2, Type.D, LINE), Immediate(Type.W, 100))


@pytest.mark.parametrize(
    ("text", "width", "flag", "channel", "predicate"),
    [
        ("002000601a20004020201a6d00610002", 8, 16, 0, Predicate(1, False)),
        ("002000601a20004020201a6a00760002", 8, 32, 0, Predicate(6, True)),
        ("000000000020004020201a6a008b2001", 16, 32, 16, Predicate(11, False)),
        ("000000000020004020201a6a00832001", 16, 32, 16, Predicate(3, False)),
    ],
    ids=["(W&f0.1)", "(~f1.0.any4h)", "(f1.0.all16h)", "(f1.0.allv)"],
)
def test_predicates(text: str, width: int, flag: int, channel: int, predicate: Predicate) -> None:
    found = word(text)
    assert (found.width, found.flag, found.channel) == (width, flag, channel)
    assert found.predicate == predicate
    assert found.no_mask == (flag == 16)


def test_immediates() -> None:
    double = word("3ff0000000000000202056c800600001")
    assert double.sources == (Immediate(Type.DF, 0x3FF0000000000000),)
    half = word("3c003c000000000020205f4800600001")
    assert half.sources == (Immediate(Type.HF, 0x3C00),)
    assert half.destination == to(1, Type.HF)


def test_packed_immediates() -> None:
    """mov (8|M0) r1.0<1>:uw 0x76543210:v, mov (8|M0) r1.0<1>:f 0x30383c40:vf"""
    found = word("76543210000000002020364800600001")
    assert found.destination == to(1, Type.UW)
    assert found.sources == (Immediate(Packed.V, 0x76543210),)
    found = word("30383c400000000020202ee800600001")
    assert found.sources == (Immediate(Packed.VF, 0x30383C40),)


def test_indirect_operands() -> None:
    """mov (8|M0) r[a0.2,-32]<1>:f r[a0.1]<1,0>:f and the two region forms"""
    found = word("0000000001e08200a5e0bae800600001")
    assert found.destination == IndirectDestination(2, -32, Type.F, 1)
    assert found.sources == (IndirectSource(1, 0, Type.F, Region(None, 1, 0)),)
    found = word("00000000808d85e020203ae800600001")
    assert found.sources == (IndirectSource(2, -32, Type.F, PACKED),)
    found = word("0000000001e9820020203ae800600001")
    assert found.sources == (IndirectSource(1, 0, Type.F, Region(None, 4, 1)),)


@pytest.mark.parametrize(
    ("text", "register", "byte", "kind"),
    [
        ("00000000000002062020100c00000001", 0x10, 6, Type.UW),
        ("00000000000018042020000c00000001", 0xC0, 4, Type.UD),
        ("00000000000008002020000c00000001", 0x40, 0, Type.UD),
        ("00000000000010002020000c00000001", 0x80, 0, Type.UD),
        ("00000000000014002020000c00000001", 0xA0, 0, Type.UD),
    ],
    ids=["a0.3:uw", "tm0.1:ud", "ce", "cr0.0:ud", "ip"],
)
def test_architecture_registers(text: str, register: int, byte: int, kind: Type) -> None:
    assert word(text).sources == (arf(register, kind, byte),)


def test_three_sources_of_half_and_single_floats() -> None:
    """mad (8|M0) r1.0<1>:f r2.0<2;1>:f r3.0<2;1>:f r4.0<1>:hf, then r2.1<0;0>:hf and so on"""
    found = word("01072006390021c8011e00080060015b")
    assert found.destination == to(1, Type.F)
    assert found.sources == (grf(2, Type.F, ROWS), grf(3, Type.F, ROWS), grf(4, Type.HF, ROWS))
    found = word("410f2606792023c9011f20180060015b")
    assert found.destination == to(1, Type.HF)
    assert found.sources == (
        grf(2, Type.HF, SCALAR, 4),
        grf(3, Type.HF, SCALAR, 6),
        grf(4, Type.HF, SCALAR, 6),
    )


def test_one_channel_of_doubles_by_mask_and_swizzle() -> None:
    """mad (1|M0) r1.1<1>:df r2.1<0;0>:df r3.1<0;0>:df r4.0<0>:df"""
    found = word("010220063b8021dc0118d8000020015b")
    assert found.width == 2
    assert found.destination == to(1, Type.DF, write_mask=0b1010)
    high = replace(grf(2, Type.DF, ROWS), swizzle=(1, 1, 3, 3))
    low = replace(grf(4, Type.DF, ROWS), swizzle=(0, 0, 2, 2))
    assert found.sources == (high, replace(high, byte=96), low)


def test_macro_accumulators() -> None:
    """math.invm (4|M0) r1.mme0<1>:df r2.mme1:df r3.nomme:df; madm (4|M0) ...; mme1 itself"""
    found = word("0040006832400041002032c80e400138")
    assert found.function is MathFunction.INVM
    assert found.destination == to(1, Type.DF, mme=0)
    assert [operand.mme for operand in found.sources if isinstance(operand, Source)] == [1, 8]
    found = word("01003806020020020100d8000040015d")
    assert found.opcode is Opcode.MADM
    assert [operand.mme for operand in found.sources if isinstance(operand, Source)] == [1, 8, 7]
    found = word("0000000000600441002f000800600101")
    assert found.sources == (Source(File.ARF, 0x23 * 32, Type.UD, ROWS),)
    found = word("00000000006e00240441020000600101")
    assert found.destination == Destination(File.ARF, 0x23 * 32, Type.UD, 1)


def test_branches() -> None:
    found = word("000000000e0014003400000400000020")
    assert (found.opcode, found.jip, found.uip) == (Opcode.JMPI, 16, None)
    assert found.no_mask
    found = word("000000a00a0014003400000400000020")
    assert (found.jip, found.sources) == (None, (grf(5, Type.D, SCALAR),))
    found = word("000000100000001020000e0010800024")
    assert found.opcode is Opcode.ELSE
    assert found.branch_control
    found = word("ffffff900e0000002000000000610027")
    assert (found.opcode, found.jip, found.uip) == (Opcode.WHILE, -112, None)
    found = word("000000200000004020000e0000610022")
    assert (found.opcode, found.jip, found.uip) == (Opcode.IF, 32, 64)
    found = word("00000000004500a034000a2000600023")
    assert (found.opcode, found.sources) == (Opcode.BRC, (grf(5, Type.D, Region(2, 2, 1)),))
    found = word("000000a00a450000212000280060002c")
    assert found.opcode is Opcode.CALL
    assert found.destination == to(9, Type.D)
    found = word("000000000000012020000a000060002d")
    assert (found.opcode, found.sources) == (Opcode.RET, (grf(9, Type.D, SCALAR),))


def test_sends() -> None:
    """send (8|M0) r8:ud r4 0xFEDC000C 0x210a8000; sends ... r4 r5 0xFEDC00CC; ... a0.2 a0.0"""
    message = word("210a80007fcd008c210002080c600031").message
    assert message is not None
    assert (message.sfid, message.descriptor, message.extended) == (12, 0x210A8000, 0xFEDC000C)
    assert (message.payload, message.more, message.end_of_thread) == (4, None, False)
    found = word("210a8000fedc0083010050180c600033")
    message = found.message
    assert message is not None
    assert found.destination == to(8, Type.UD)
    assert (message.payload, message.more, message.extended) == (4, 5, 0xFEDC00CC)
    message = word("00000000000220802000501000600033").message
    assert message is not None
    assert (message.descriptor, message.extended, message.extended_address) == (None, None, 2)
    message = word("8200001006000fe02000020407600031").message
    assert message is not None
    assert (message.end_of_thread, message.sfid, message.extended) == (True, 7, 0x27)
    found = word("210a80000000c5e000a050180c600033")
    assert found.message is not None
    assert found.message.payload_indirect == IndirectSource(2, -32, Type.UD, PACKED)
    found = word("210a800000000080c5e050180c600033")
    assert found.destination == IndirectDestination(2, -32, Type.UD, 1)


MOVE = 0x00000000008D004020200A2800800001
"""mov (16|M0) r1.0<1>:d r2.0<8;8,1>:d"""


@pytest.mark.parametrize(
    ("bits", "shift", "value", "reason"),
    [
        (7, 0, 0, "opcode 0x0"),
        (7, 0, 11, "opcode 0xb"),
        (7, 0, 127, "opcode 0x7f"),
        (1, 7, 1, "opcode 0x81"),
        (1, 29, 1, "compacted"),
        (3, 21, 6, "execution size 6"),
        (3, 21, 7, "execution size 7"),
        (3, 11, 7, "channels 28 to 43"),
        (4, 16, 14, "predicate control 14"),
        (2, 14, 3, "thread control 3"),
        (4, 24, 7, "condition 7"),
        (2, 35, 2, "register file 2"),
        (2, 35, 3, "register file 3"),
        (2, 41, 2, "register file 2"),
        (4, 37, 11, "register type 11"),
        (4, 43, 15, "register type 15"),
        (2, 61, 0, "stride 0"),
        (2, 61, 3, "spans more registers"),
        (8, 53, 128, "spans more registers"),
        (8, 69, 255, "spans more registers"),
        (8, 69, 127, "spans more registers"),
        (5, 48, 2, "spans more registers"),
        (5, 64, 31, "spans more registers"),
        (3, 82, 5, "region width 5"),
        (4, 85, 7, "vertical stride 7"),
        (4, 85, 15, "vertical stride 15"),
        (4, 85, 6, "spans more registers"),
    ],
)
def test_what_hardware_does_not_define_is_refused_with_its_word(
    bits: int, shift: int, value: int, reason: str
) -> None:
    assert decode_word(MOVE).sources == (grf(2, Type.D),)
    wrong = MOVE & ~(((1 << bits) - 1) << shift) | value << shift
    with pytest.raises(IllegalInstruction, match=reason) as caught:
        decode_word(wrong, 64)
    assert (caught.value.word, caught.value.offset) == (wrong, 64)


def test_an_operand_that_is_not_aligned_to_its_type_is_refused() -> None:
    narrow = MOVE & ~(7 << 21) | 3 << 21
    decode_word(narrow | 4 << 48)
    with pytest.raises(IllegalInstruction, match="aligned"):
        decode_word(narrow | 2 << 48)


def test_code_that_ends_within_an_instruction_is_refused() -> None:
    native = MOVE.to_bytes(16, "little")
    assert decode(native).size == 16
    for length in range(16):
        with pytest.raises(IllegalInstruction, match="ends within"):
            decode(native[:length])
    with pytest.raises(IllegalInstruction, match="ends within"):
        decode(native, 8)
