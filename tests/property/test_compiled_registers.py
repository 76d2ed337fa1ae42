"""Elements of every type at every place of a register, compiled as the interpreter has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mediator.gen9.eu import registers
from mediator.gen9.eu.control_register import KEEP_DF, KEEP_F, KEEP_HF
from mediator.gen9.eu.types import Kind, Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import Condition
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import acc, address, arf, flag, grf, indirect, null

pytest.importorskip("llvmlite")
pytest.importorskip("mediator.softgpu.eu._native")

from mediator.softgpu.eu.translator import kernel, liveness
from tests.property import compare_executors, eu_programs
from tests.property.compiled_world import link

KEEP_ALL = KEEP_DF.mask | KEEP_F.mask | KEEP_HF.mask
INTEGERS = [kind for kind in Type if kind.kind is not Kind.FLOAT]
BANK = {kind: eu_programs.BANKS[None if kind in INTEGERS else kind][0] for kind in Type}
TARGETS = {
    **{kind: BANK[kind] + 4 + 2 * at for at, kind in enumerate(INTEGERS)},
    **{kind: BANK[kind] + 2 for kind in Type if kind not in INTEGERS},
}
"""Two registers for each type, behind those that are read."""
SUM = BANK[Type.D] + 20


def scalars(asm: Assembler) -> None:
    """From each place to another one, for the first channel and for all threads."""
    for kind in Type:
        count = 32 // kind.size
        for at in range(count):
            source = grf(BANK[kind], kind, at).scalar
            to = (at * 5 + 3) % count
            asm.mov(grf(TARGETS[kind], kind, to), source, width=1, no_mask=True)
            asm.mov(grf(TARGETS[kind] + 1, kind, to), source, width=1)
    for kind in INTEGERS[:6]:
        for at in range(32 // kind.size):
            asm.add(grf(SUM, Type.D), grf(SUM, Type.D), grf(BANK[kind], kind, at).scalar)


def rows(asm: Assembler) -> None:
    """Rows with and without gaps, from the first to the last element that fits two registers."""
    for kind in Type:
        for width in (2, 4, 8):
            for stride in (1, 2, 4):
                room = 64 // kind.size - ((width - 1) * stride + 1)
                if room < 0 or kind.size * stride > 16:
                    continue
                for at in sorted({0, min(1, room), room // 2, room}):
                    asm.mov(
                        grf(TARGETS[kind], kind, at).every(stride),
                        grf(BANK[kind], kind, room - at).by(width * stride, width, stride),
                        width=width,
                        no_mask=bool(at & 1),
                    )


def found_by_address(asm: Assembler) -> None:
    """Places in address registers, those of each channel and one for all."""
    for at, kind in enumerate(INTEGERS):
        for channel in range(8):
            place = 32 * BANK[kind] + kind.size * ((channel * 3 + at) % (32 // kind.size))
            asm.mov(address(channel), place, width=1, no_mask=True)
        asm.mov(grf(TARGETS[kind], kind), indirect(at, 0, kind).scalar, width=8, no_mask=True)
        asm.mov(grf(TARGETS[kind] + 1, Type.UB), indirect(0, 32, Type.UB).by(None, 1, 0), width=8)
        place = 32 * TARGETS[kind]
        asm.mov(address(0), place, width=1, no_mask=True)
        asm.mov(indirect(0, 2 * kind.size, kind), grf(BANK[kind], kind, 1).scalar, width=2)
        asm.mov(indirect(0, 33, Type.UB), grf(BANK[kind], Type.UB), width=4, no_mask=True)


def architecture(asm: Assembler) -> None:
    """Flags, addresses, accumulators and the stack pointer, in parts and as a whole."""
    source = BANK[Type.D]
    for number in (0, 1):
        for kind, count in ((Type.UW, 2), (Type.UD, 1)):
            for at in range(count):
                place = flag(number, kind, at)
                asm.mov(grf(SUM + number, kind, at), place.scalar, width=1, no_mask=True)
                asm.mov(place, grf(source, kind, 3 * number + at + 1).scalar, width=1)
                asm.add(place, place.scalar, 1, width=1, no_mask=True)
    for word in range(16):
        asm.mov(address(word), grf(source, Type.UW, word).scalar, width=1, no_mask=bool(word & 1))
    asm.mov(grf(TARGETS[Type.UW], Type.UW), address(0), width=16, no_mask=True)
    asm.mov(grf(TARGETS[Type.UD], Type.UD), address(0, Type.UD), width=8)
    asm.mov(address(4), grf(source, Type.UW, 3), width=4)
    for number in (0, 1):
        asm.mov(acc(number, Type.D), grf(source + number, Type.D))
        asm.mov(grf(TARGETS[Type.D] + number, Type.D), acc(number, Type.D))
    asm.mov(acc(0, Type.D)[2], grf(source, Type.D, 5).scalar, width=1, no_mask=True)
    asm.mov(grf(TARGETS[Type.Q], Type.D), acc(0, Type.D), width=16, no_mask=True)
    pointer = arf(registers.STACK_POINTER, Type.UD)
    for at in (0, 1):
        asm.mov(pointer[at], grf(source, Type.UD, at).scalar, width=1, no_mask=True)
        asm.mov(grf(TARGETS[Type.UQ], Type.UD, at), pointer[at].scalar, width=1, no_mask=True)
    for at, condition in enumerate((Condition.EQUAL, Condition.LESS, Condition.GREATER)):
        asm.cmp(
            null(Type.D), grf(source, Type.D), grf(source + 1, Type.D),
            condition=condition, flag=16 * (at + 1), no_mask=at == 1,
        )  # fmt: skip


@pytest.mark.parametrize("write", [scalars, rows, found_by_address, architecture])
def test_places_of_registers(write: Callable[[Assembler], None]) -> None:
    asm = Assembler(8)
    write(asm)
    asm.end()
    program = Program.of(asm.code())
    linked = link(kernel.translate(program, 8, kernel.Options(kept=liveness.ALL)))
    for seed, mask in ((1, 0xFF), (2, 0xFE), (3, 0x5B), (4, 0)):
        content = eu_programs.registers(seed)
        _, expected = compare_executors.interpreted(program, content, mask, KEEP_ALL)
        found = compare_executors.compiled(linked, content, mask, KEEP_ALL)
        assert compare_executors.differences(expected, found) == [], (seed, mask)
