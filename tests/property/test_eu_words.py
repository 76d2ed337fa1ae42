"""Any bytes decode or are refused; compaction and expansion undo each other."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediator.gen9.eu import fields
from mediator.gen9.eu.opcodes import OPCODES
from mediator.softgpu.eu.isa.compaction import compact, expand
from mediator.softgpu.eu.isa.decoder import decode, decode_word, size_at
from mediator.softgpu.eu.isa.disassembler import text
from mediator.softgpu.eu.isa.encoder import encode
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    GRF_COUNT,
    Destination,
    File,
    IllegalInstruction,
    Instruction,
    Source,
)
from mediator.softgpu.eu.isa.program import Program
from tests.eu_random import random_instruction

OPCODE_BYTES = st.sampled_from(sorted(OPCODES))
COMPACTED = st.builds(
    lambda rest, opcode: rest & ~0xFF | fields.COMPACT.mask | opcode,
    st.integers(0, (1 << 64) - 1),
    OPCODE_BYTES,
)
NATIVE = st.builds(
    lambda rest, thinner, opcode: rest & thinner & ~(0xFF | fields.COMPACT.mask) | opcode,
    st.integers(0, (1 << 128) - 1),
    st.integers(0, (1 << 128) - 1),
    OPCODE_BYTES,
)


def decoded(word: int) -> Instruction | None:
    """The instruction of a native word, checked for what all that read it rely on, or None."""
    try:
        found = decode_word(word)
    except IllegalInstruction as illegal:
        refused = illegal
    else:
        check(found, word)
        return found
    assert refused.word == word
    return None


def check(found: Instruction, word: int) -> None:
    assert found.word == word
    assert found.channel + found.width <= 32
    for operand in (found.destination, *found.sources):
        if isinstance(operand, Source | Destination) and operand.file is File.GRF:
            assert 0 <= operand.byte < GRF_BYTES * GRF_COUNT
            assert operand.byte % operand.type.size == 0


@given(st.binary(min_size=16, max_size=16))
def test_any_bytes_decode_or_are_refused(code: bytes) -> None:
    word = int.from_bytes(code[: size_at(code)], "little")
    found = decoded(word if size_at(code) == 16 else expand(word))
    if found is None:
        with pytest.raises(IllegalInstruction):
            decode(code)
    else:
        assert decode(code).sources == found.sources


@given(NATIVE)
def test_what_decodes_encodes_to_the_same_instruction(word: int) -> None:
    found = decoded(word)
    if found is not None:
        again = encode(found)
        assert replace(decode_word(again), word=word) == found


@given(COMPACTED)
def test_a_compacted_word_survives_expansion(compacted: int) -> None:
    native = expand(compacted)
    again = compact(native)
    assert again is not None
    assert expand(again) == native


@given(NATIVE)
def test_what_compacts_expands_to_itself(word: int) -> None:
    compacted = compact(word)
    if compacted is not None:
        assert compacted >> 64 == 0
        assert fields.COMPACT.get(compacted)
        assert expand(compacted) == word


@given(st.binary(max_size=400))
def test_any_code_is_a_program_or_refused(code: bytes) -> None:
    try:
        program = Program.of(code)
    except IllegalInstruction:
        return
    assert program.blocks[0].start <= 0
    starts = set(program.instructions)
    for block in program.blocks:
        assert starts.issuperset(block.successors)


@given(st.randoms(use_true_random=False))
def test_a_random_instruction_is_what_its_word_says(random: Random) -> None:
    made = random_instruction(random)
    check(made, made.word)
    assert encode(made) == made.word
    assert text(made)
