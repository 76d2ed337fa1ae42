"""Objects of the compiler link wherever their parts lie: no distance of 32 bits is in them."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("llvmlite")

from mediator.softgpu.eu.translator.compiler import compile_text

_R_X86_64_64, _R_X86_64_PC64 = 1, 24
_RELA = 4
_TEXT = """
declare void @routine(ptr)

define <4 x float> @kernel(<4 x float> %a, ptr %p) {
  call void @routine(ptr %p)
  %b = fadd <4 x float> %a, <float 1.0, float 2.5, float 3.0, float 4.0>
  ret <4 x float> %b
}
"""


def relocations(image: bytes) -> set[int]:
    """Types of all relocations of an ELF object (System V ABI, "Relocation")."""
    table = struct.unpack_from("<Q", image, 40)[0]
    size, count = struct.unpack_from("<HH", image, 58)
    found = set()
    for number in range(count):
        fields = struct.unpack_from("<IIQQQQIIQQ", image, table + number * size)
        if fields[1] == _RELA:
            for at in range(fields[4], fields[4] + fields[5], 24):
                found.add(struct.unpack_from("<Q", image, at + 8)[0] & 0xFFFFFFFF)
    return found


def test_code_reaches_constants_and_routines_by_whole_addresses() -> None:
    assert _R_X86_64_64 in relocations(compile_text(_TEXT))
    assert relocations(compile_text(_TEXT)) <= {_R_X86_64_64, _R_X86_64_PC64}
