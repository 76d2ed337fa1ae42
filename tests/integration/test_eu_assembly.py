"""Decoder, encoder and disassembler against Intel's assembler of Debian 12."""

import re
from dataclasses import replace
from random import Random

import pytest

from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.softgpu.eu.isa.compaction import compact, expand
from mediator.softgpu.eu.isa.decoder import COMPACTED_BYTES, NATIVE_BYTES, decode
from mediator.softgpu.eu.isa.disassembler import text
from mediator.softgpu.eu.isa.instruction import Instruction
from mediator.softgpu.eu.isa.program import Program
from tests.eu_corpus import corpus
from tests.eu_corpus.cases import CASES
from tests.eu_random import OPCODES, random_instruction

pytestmark = pytest.mark.modes

_LINE = re.compile(r"/\* \[([0-9A-F]+)\] +\*/(.*)")
STRAIGHT = tuple(opcode for opcode in OPCODES if opcode.form is not Form.BRANCH)


def lines(code: bytes) -> dict[int, str]:
    """What Intel's disassembler says of each offset, without comments and columns."""
    found = {}
    for line in corpus.compiler().disassemble(code, pc=True).splitlines():
        match = _LINE.match(line.split("//")[0])
        if match is not None:
            found[int(match[1], 16)] = " ".join(match[2].split())
    return found


def stripped(instruction: Instruction) -> Instruction:
    return replace(instruction, word=0, offset=0, size=NATIVE_BYTES)


@pytest.mark.parametrize("name", CASES)
def test_a_compiled_kernel_reads_alike(name: str) -> None:
    isa = corpus.kernel(name).isa
    program = Program.of(isa)
    assert {offset: text(each) for offset, each in program.instructions.items()} == lines(isa)
    assert program.ranges == ((0, isa),)


@pytest.mark.parametrize("name", CASES)
def test_the_compiler_compacts_as_we_do(name: str) -> None:
    isa = corpus.kernel(name).isa
    for each in Program.of(isa).instructions.values():
        if each.size == COMPACTED_BYTES:
            compacted = int.from_bytes(isa[each.offset : each.end], "little")
            assert compact(expand(compacted)) == compacted
        else:
            assert compact(each.word) is None


@pytest.mark.parametrize("seed", range(4))
def test_random_instructions_read_alike(seed: int) -> None:
    random = Random(seed)
    made = [random_instruction(random) for _ in range(3000)]
    code = b"".join(each.word.to_bytes(NATIVE_BYTES, "little") for each in made)
    theirs = lines(code)
    ours = {index * NATIVE_BYTES: text(each) for index, each in enumerate(made)}
    assert {each.opcode for each in made} >= set(OPCODES)
    assert ours == theirs


@pytest.mark.parametrize("seed", range(3))
def test_our_text_assembles_to_the_same_instructions(seed: int) -> None:
    random = Random(seed)
    made = [random_instruction(random, STRAIGHT) for _ in range(1500)]
    code = corpus.compiler().assemble("".join(text(each) + "\n" for each in made))
    at = 0
    for each in made:
        found = decode(code, at)
        assert stripped(found) == stripped(each), text(each)
        at = found.end
    assert at == len(code)


def test_branches_that_they_assemble_lead_where_ours_do() -> None:
    source = """
        again:
        (W) jmpi next
        next:
        (f0.0) if (16|M0) else end
        else:
        else (16|M0) end end
        end:
        endif (16|M0) last
        (f0.0) goto.b (16|M0) last again
        (f0.0) while (16|M0) again
        call (16|M0) r9.0 last
        last:
        (W) send (8|M0) null r127 0x27 0x2000010 {EOT}
    """
    program = Program.of(corpus.compiler().assemble(source))
    found = {each.opcode: each for each in program.instructions.values()}
    end = found[Opcode.SEND].offset
    assert found[Opcode.JMPI].jip == NATIVE_BYTES
    assert (found[Opcode.IF].jip, found[Opcode.IF].uip) == (16, 32)
    assert found[Opcode.ENDIF].jip == end - found[Opcode.ENDIF].offset
    assert found[Opcode.GOTO].branch_control
    assert found[Opcode.GOTO].uip == -found[Opcode.GOTO].offset
    assert found[Opcode.WHILE].jip == -found[Opcode.WHILE].offset
    assert found[Opcode.CALL].jip == end - found[Opcode.CALL].offset
