"""Fuzz target over the decoder of the execution units.

Invariant: any code is a program or an `IllegalInstruction`. Of a program every successor begins an
instruction, instructions do not overlap and lie in the code, and each is what its word says: the
encoder gives it back, and it has a text.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from mediator.gen9.eu.opcodes import Form
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.compaction import compact
from mediator.softgpu.eu.isa.decoder import decode_word
from mediator.softgpu.eu.isa.disassembler import listing
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.instruction import IllegalInstruction
from mediator.softgpu.eu.isa.program import Program
from tests.eu_random import OPCODES, random_instruction

pytestmark = pytest.mark.modes
"""Long: they come after the quick tests, in `make test`."""
ROUNDS = 150
"""Each takes some milliseconds; the target runs for longer when this is raised."""
STRAIGHT = tuple(opcode for opcode in OPCODES if opcode.form is not Form.BRANCH)
BRANCHES = ("if_", "else_", "endif", "while_", "break_", "cont", "halt", "goto", "join", "jmpi")
WITH_UIP = ("if_", "else_", "break_", "cont", "halt", "goto")


def plausible(rng: random.Random) -> bytes:
    """A program that is legal, or nearly: branches lead to labels."""
    asm = Assembler(width=16)
    count = rng.randrange(4, 24)
    for index in range(count):
        asm.label(f"{index}")
        if rng.random() < 0.3:
            name = rng.choice(BRANCHES)
            targets = [str(rng.randrange(count)) for _ in range(2 if name in WITH_UIP else 1)]
            getattr(asm, name)(*targets, predicate=rng.random() < 0.5)
        else:
            asm.instruction(random_instruction(rng, STRAIGHT))
    asm.end()
    return asm.code()


def damaged(code: bytes, rng: random.Random) -> bytes:
    """Some bits turned, some bytes moved, or the end cut off."""
    result = bytearray(code)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        result[rng.randrange(len(result))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.2:
        at = rng.randrange(0, len(result), 4)
        del result[at : at + 4 * rng.randrange(1, 5)]
    if rng.random() < 0.2:
        del result[rng.randrange(8, len(result) + 1) :]
    return bytes(result)


def check(code: bytes, entry: int) -> bool:
    """Hold the invariant for the program at ``entry``; whether it is one."""
    try:
        program = Program.of(code, entry)
    except IllegalInstruction:
        return False
    owned: set[int] = set()
    for offset, each in program.instructions.items():
        units = set(range(offset, each.end, 8))
        assert owned.isdisjoint(units)
        owned |= units
        assert entry + offset >= 0
        assert entry + each.end <= len(code)
        again = decode_word(encode(each), each.offset, each.size)
        assert replace(again, word=each.word) == each
        if each.size == 8:
            assert compact(each.word) is not None
    for block in program.blocks:
        assert set(block.successors) <= set(program.instructions)
    assert sum(len(block.instructions) for block in program.blocks) == len(program.instructions)
    assert sum(len(run) for _, run in program.ranges) == 8 * len(owned)
    assert listing(program)
    return True


@pytest.mark.parametrize("seed", range(4))
def test_damaged_programs(seed: int) -> None:
    rng = random.Random(seed)
    legal = 0
    for _ in range(ROUNDS):
        code = damaged(plausible(rng), rng)
        legal += check(code, rng.choice((0, 0, 0, 8 * rng.randrange(len(code) // 8 + 2))))
    assert 0 < legal < ROUNDS


@pytest.mark.parametrize("seed", range(2))
def test_noise(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        check(rng.randbytes(rng.randrange(256)), 0)
