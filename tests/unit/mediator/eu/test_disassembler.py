"""Instructions as text."""

import pytest

from mediator.softgpu.eu.isa.decoder import decode_word
from mediator.softgpu.eu.isa.disassembler import listing, text
from mediator.softgpu.eu.isa.program import Program

END = 0x8200001006000FE02000020407600031


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("006400641e20004020000a2005600010", "cmp (8|M0) (lt)f0.0 null<1>:d r2.0<1;1,0>:d 100:w"),
        (
            "002000601a20004020201a6d00610002",
            "(W&f0.1) sel (8|M0) r1.0<1>:w r2.0<1;1,0>:w r3.0<1;1,0>:w",
        ),
        (
            "410f2606792023c9011f20180060015b",
            "mad (8|M0) r1.0<1>:hf r2.2<0;0>:hf r3.3<0;0>:hf r4.3<0>:hf",
        ),
        (
            "01003806020020020100d8000040015d",
            "madm (4|M0) r1.mme0:df r2.mme1:df r3.nomme:df r4.mme7:df",
        ),
        ("0000000001e08200a5e0bae800600001", "mov (8|M0) r[a0.2,-32]<1>:f r[a0.1]<1,0>:f"),
        ("3ff0000000000000202056c800600001", "mov (8|M0) r1.0<1>:df 1.0:df"),
        ("7fc000000000000020203ee800600001", "mov (8|M0) r1.0<1>:f qnan(0x0):f"),
        ("ff8000000000000020203ee800600001", "mov (8|M0) r1.0<1>:f -inf:f"),
        ("3eaaaaab0000000020203ee800600001", "mov (8|M0) r1.0<1>:f 0x3EAAAAAB:f"),
        ("ffffff900e0000002000000000610027", "(f0.0) while (8|M0) -112"),
        ("000000000e0014003400000400000020", "(W) jmpi 16"),
        ("00000000000220802000501000600033", "sends (8|M0) null:ud r4 r5 a0.2 a0.0"),
        (f"{END:032x}", "(W) send (8|M0) null r127 0x27 0x02000010 {EOT}"),
        ("00000000000012003200000000000030", "wait n0.0<0;1,0>:ud"),
        (
            "010220063b8021dc0118d8000020015b",
            "mad (2|M0) r1.0.yw<1>:df r2.0.yyww<2;1>:df r3.0.yyww<2;1>:df r4.0.xxzz<1>:df",
        ),
    ],
)
def test_one_line(word: str, expected: str) -> None:
    assert text(decode_word(int(word, 16))) == expected


MOVE = 0x00000000008D004020200A2800800001
"""mov (16|M0) r1.0<1>:d r2.0<8;8,1>:d"""
LINE = "mov (16|M0) r1.0<1>:d r2.0<8;8,1>:d"


@pytest.mark.parametrize(
    ("bits", "shift", "value", "expected"),
    [
        (2, 14, 1, f"{LINE} {{Atomic}}"),
        (2, 14, 2, f"{LINE} {{Switch}}"),
        (1, 28, 1, f"{LINE} {{AccWrEn}}"),
        (1, 30, 1, f"{LINE} {{Breakpoint}}"),
        (2, 9, 1, f"{LINE} {{NoDDClr}}"),
        (2, 9, 2, f"{LINE} {{NoDDChk}}"),
        (2, 9, 3, f"{LINE} {{NoDDChk,NoDDClr}}"),
        (1, 34, 1, f"(W) {LINE}"),
        (1, 31, 1, "mov (16|M0) (sat)r1.0<1>:d r2.0<8;8,1>:d"),
        (4, 24, 1, "mov (16|M0) (eq)f0.0 r1.0<1>:d r2.0<8;8,1>:d"),
        (4, 24, 6, "mov (16|M0) (le)f0.0 r1.0<1>:d r2.0<8;8,1>:d"),
        (1, 11, 1, "mov (16|M4) r1.0<1>:d r2.0<8;8,1>:d"),
        (3, 21, 2, "mov (4|M0) r1.0<1>:d r2.0<8;8,1>:d"),
        (1, 78, 1, "mov (16|M0) r1.0<1>:d -r2.0<8;8,1>:d"),
        (1, 77, 1, "mov (16|M0) r1.0<1>:d (abs)r2.0<8;8,1>:d"),
        (2, 77, 3, "mov (16|M0) r1.0<1>:d -(abs)r2.0<8;8,1>:d"),
        (4, 37, 4, "mov (16|M0) r1.0<1>:ub r2.0<8;8,1>:d"),
        (4, 85, 0, "mov (16|M0) r1.0<1>:d r2.0<0;8,1>:d"),
        (3, 82, 4, "mov (16|M0) r1.0<1>:d r2.0<8;16,1>:d"),
        (2, 80, 0, "mov (16|M0) r1.0<1>:d r2.0<8;8,0>:d"),
        (7, 0, 4, "not (16|M0) r1.0<1>:d r2.0<8;8,1>:d"),
    ],
)
def test_each_part_of_a_line(bits: int, shift: int, value: int, expected: str) -> None:
    assert text(decode_word(MOVE)) == LINE
    assert text(decode_word(MOVE & ~(((1 << bits) - 1) << shift) | value << shift)) == expected


@pytest.mark.parametrize(
    ("control", "inverse", "flag", "expected"),
    [
        (1, 0, 0, "f0.0"),
        (1, 1, 0, "~f0.0"),
        (1, 0, 1, "f0.1"),
        (1, 0, 2, "f1.0"),
        (1, 1, 3, "~f1.1"),
        (2, 0, 0, "f0.0.anyv"),
        (3, 0, 0, "f0.0.allv"),
        (4, 0, 0, "f0.0.any2h"),
        (5, 0, 0, "f0.0.all2h"),
        (12, 1, 3, "~f1.1.any32h"),
        (13, 0, 0, "f0.0.all32h"),
    ],
)
def test_predicates_and_their_flags(control: int, inverse: int, flag: int, expected: str) -> None:
    word = MOVE | control << 16 | inverse << 20 | (flag & 1) << 32 | (flag >> 1) << 33
    assert text(decode_word(word)) == f"({expected}) {LINE}"
    assert text(decode_word(word | 1 << 34)) == f"(W&{expected}) {LINE}"


@pytest.mark.parametrize(
    ("kind", "bits", "expected"),
    [
        (1, 0xFFFF_FFFF, "-1:d"),
        (1, 0x7FFF_FFFF, "2147483647:d"),
        (1, 0x8000_0000, "-2147483648:d"),
        (0, 0xFFFF_FFFF, "0xFFFFFFFF:ud"),
        (3, 0x8000_8000, "-32768:w"),
        (2, 0x8000_8000, "0x8000:uw"),
        (7, 0x0000_0000, "0.0:f"),
        (7, 0x8000_0000, "-0.0:f"),
        (7, 0x7F80_0000, "inf:f"),
        (7, 0xFFC0_0005, "-qnan(0x5):f"),
        (7, 0x7F80_0005, "snan(0x5):f"),
        (7, 0x3FC0_0000, "1.5:f"),
        (7, 0x501502F9, "1e+10:f"),
    ],
)
def test_immediates_are_signed_or_hexadecimal_or_decimal(
    kind: int, bits: int, expected: str
) -> None:
    word = MOVE & ((1 << 64) - 1) | bits << 96
    word = word & ~(0x3F << 41) | 3 << 41 | kind << 43
    assert text(decode_word(word)) == f"mov (16|M0) r1.0<1>:d {expected}"


@pytest.mark.parametrize(
    ("register", "expected"),
    [
        (0x10, "a0.0"),
        (0x20, "acc0.0"),
        (0x21, "acc1.0"),
        (0x30, "f0.0"),
        (0x31, "f1.0"),
        (0x40, "ce"),
        (0x70, "sr0.0"),
        (0x80, "cr0.0"),
        (0x90, "n0.0"),
        (0xA0, "ip"),
        (0xC0, "tm0.0"),
        (0x00, "null"),
    ],
)
def test_architecture_registers_have_names(register: int, expected: str) -> None:
    """A scalar of the register file 0."""
    word = MOVE & ~(3 << 41) & ~(0xFF << 69) | register << 69
    word = word & ~(0x1FF << 80) & ~(3 << 87)
    assert text(decode_word(word)) == f"mov (16|M0) r1.0<1>:d {expected}<0;1,0>:d"


def test_a_listing_has_offsets_and_blocks() -> None:
    jump = 0x000000000E0014003400000400000020 | 1 << 16
    code = jump.to_bytes(16, "little") + END.to_bytes(16, "little")
    assert listing(Program.of(code)).splitlines() == [
        "     0: (W&f0.0) jmpi 16",
        "",
        "    10: (W) send (8|M0) null r127 0x27 0x02000010 {EOT}",
    ]
