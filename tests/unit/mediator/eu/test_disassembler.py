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


def test_a_listing_has_offsets_and_blocks() -> None:
    jump = 0x000000000E0014003400000400000020 | 1 << 16
    code = jump.to_bytes(16, "little") + END.to_bytes(16, "little")
    assert listing(Program.of(code)).splitlines() == [
        "     0: (W&f0.0) jmpi 16",
        "",
        "    10: (W) send (8|M0) null r127 0x27 0x02000010 {EOT}",
    ]
