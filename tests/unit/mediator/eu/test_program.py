"""Which instructions a program has: those that control reaches, and no others."""

import pytest

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.isa import program as program_module
from mediator.softgpu.eu.isa.instruction import IllegalInstruction
from mediator.softgpu.eu.isa.program import Program, Reached, is_dynamic

MOVE = 0x00000000008D004020200A2800800001
COMPACTED_MOVE = 0x000201072002D601
MOVE_OF_A_MOVE = COMPACTED_MOVE << 64 | 0x202056C800600001
"""mov (8|M0) r1.0<1>:df with an immediate that is an instruction."""
END = 0x8200001006000FE02000020407600031
IF = 0x000000200000004020000E0000610022
ELSE = 0x000000200000002020000E0000600024
ENDIF = 0x000000100E0000002000000000600025
WHILE = 0x000000000E0000002000000000610027
JUMP = 0x000000000E0014003400000400000020
JUMP_BY_REGISTER = 0x000000A00A0014003400000400000020
CALL = 0x000000100E450000212000280060002C
CALL_ABSOLUTE = 0x000000100E450000212000280060002B
RETURN = 0x000000000000012020000A000060002D
PREDICATED = 1 << 16
ILLEGAL = 0


def jump(word: int, jip: int, uip: int | None = None) -> int:
    word = word & ((1 << 96) - 1) | (jip & 0xFFFFFFFF) << 96
    if uip is not None:
        word = word & ~(0xFFFFFFFF << 64) | (uip & 0xFFFFFFFF) << 64
    return word


def code(*words: int) -> bytes:
    return b"".join(word.to_bytes(8 if word >> 29 & 1 else 16, "little") for word in words)


def test_what_lies_behind_the_end_of_the_thread_is_not_decoded() -> None:
    program = Program.of(code(MOVE, MOVE, END, ILLEGAL))
    assert list(program.instructions) == [0, 16, 32]
    assert [block.start for block in program.blocks] == [0]
    assert program.blocks[0].successors == ()
    assert program.ranges == ((0, code(MOVE, MOVE, END)),)
    assert not program.dynamic
    assert program.at(32) is program.instructions[32]
    with pytest.raises(IllegalInstruction, match="no instruction begins"):
        program.at(48)


def test_blocks_of_a_loop_around_a_condition() -> None:
    program = Program.of(
        code(
            MOVE,
            jump(IF, 48, 64),
            MOVE,
            jump(ELSE, 32, 32),
            MOVE,
            ENDIF,
            jump(WHILE, -80),
            END,
        )
    )
    found = {block.start: block.successors for block in program.blocks}
    assert found == {
        0: (16,),
        16: (32, 64, 80),
        32: (64, 80),
        64: (80,),
        80: (96,),
        96: (112, 16),
        112: (),
    }
    assert program.block_of[96].instructions[0].opcode is Opcode.WHILE


def test_compacted_instructions_shift_what_follows() -> None:
    program = Program.of(code(COMPACTED_MOVE, MOVE, COMPACTED_MOVE, END))
    assert [(each.offset, each.size) for each in program.instructions.values()] == [
        (0, 8),
        (8, 16),
        (24, 8),
        (32, 16),
    ]
    assert program.ranges == ((0, code(COMPACTED_MOVE, MOVE, COMPACTED_MOVE, END)),)


def test_several_ends_and_a_gap_between() -> None:
    program = Program.of(code(jump(JUMP, 32) | PREDICATED, END, ILLEGAL, END))
    assert list(program.instructions) == [0, 16, 48]
    assert [run[0] for run in program.ranges] == [0, 48]


def test_an_unconditional_jump_does_not_fall_through() -> None:
    program = Program.of(code(jump(JUMP, 16), ILLEGAL, END))
    assert list(program.instructions) == [0, 32]


def test_a_call_returns_behind_itself() -> None:
    program = Program.of(code(jump(CALL, 32), END, RETURN, ILLEGAL))
    assert list(program.instructions) == [0, 16, 32]
    assert program.dynamic
    assert is_dynamic(program.instructions[32])


def test_an_absolute_call_counts_from_the_heap() -> None:
    words = code(ILLEGAL, MOVE, jump(CALL_ABSOLUTE, 64), END, RETURN)
    program = Program.of(words, entry=16)
    assert list(program.instructions) == [0, 16, 32, 48]
    assert program.instructions[16].jip == 32
    elsewhere = Program.of(code(ILLEGAL, MOVE, MOVE, jump(CALL_ABSOLUTE, 80), END, RETURN), 32)
    assert elsewhere.instructions.keys() == program.instructions.keys()


def test_the_digest_is_of_the_code_and_not_of_its_place() -> None:
    one = Program.of(code(MOVE, END, ILLEGAL))
    same = Program.of(code(ILLEGAL, MOVE, END), entry=16)
    other = Program.of(code(MOVE | 1 << 31, END))
    assert one.digest == same.digest
    assert one.digest != other.digest


def test_a_target_in_a_register_is_decoded_when_it_is_known() -> None:
    words = code(JUMP_BY_REGISTER, ILLEGAL, MOVE, END)
    program = Program.of(words)
    assert list(program.instructions) == [0]
    assert program.dynamic
    reached = Reached(program, lambda at, count: words[at : at + count], 0, len(words))
    assert reached.at(32).opcode is Opcode.MOV
    assert reached.at(48).opcode is Opcode.SEND
    with pytest.raises(IllegalInstruction, match="opcode 0x0"):
        reached.at(16)
    with pytest.raises(IllegalInstruction, match="into an instruction"):
        reached.at(40)
    with pytest.raises(IllegalInstruction, match="leaves the instruction heap"):
        reached.at(64)
    assert list(program.instructions) == [0]


def test_of_what_a_register_leads_to_no_more_is_decoded_than_runs() -> None:
    """All that follows would take seconds, in which nobody can have the kernel stop."""
    words = code(JUMP_BY_REGISTER, *[MOVE] * 2000, END)
    asked: list[int] = []

    def read(at: int, count: int) -> bytes:
        asked.append(at)
        return words[at : at + count]

    reached = Reached(Program.of(words), read, 0, len(words))
    assert reached.at(4096).end == 4112
    assert reached.at(4112).opcode is Opcode.MOV
    assert asked == [4096]
    assert reached.taken == 3 + 10


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((MOVE,), "leaves the instruction heap"),
        ((MOVE, ILLEGAL), "opcode 0x0"),
        ((jump(JUMP, 0) | PREDICATED, jump(JUMP, 4), END), "no instruction can begin"),
        ((jump(JUMP, 8), MOVE, END), r"leaves the instruction heap|opcode|reserved|overlap"),
        ((MOVE, jump(IF, 16, -8), MOVE, END), "into an instruction"),
        ((MOVE, jump(IF, 16, 1 << 20), MOVE, END), "leaves the instruction heap"),
        ((MOVE, jump(IF, 16, -(1 << 31)), MOVE, END), "leaves the instruction heap"),
        ((MOVE, jump(IF, 16, -48), MOVE, END), "leaves the instruction heap"),
    ],
)
def test_control_that_leaves_the_code_is_refused(words: tuple[int, ...], reason: str) -> None:
    with pytest.raises(IllegalInstruction, match=reason):
        Program.of(code(*words))


def test_a_jump_into_an_instruction_is_refused_in_either_order() -> None:
    for words in (
        (jump(JUMP, 8) | PREDICATED, MOVE_OF_A_MOVE, END),
        (jump(IF, 16, 24), MOVE_OF_A_MOVE, END),
        (jump(IF, 24, 16), MOVE_OF_A_MOVE, END),
    ):
        with pytest.raises(IllegalInstruction, match=r"overlap|into an instruction"):
            Program.of(code(*words))


def test_the_number_of_instructions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "MOST_INSTRUCTIONS", 100)
    assert len(Program.of(code(*[MOVE] * 99, END)).instructions) == 100
    with pytest.raises(IllegalInstruction, match="too long"):
        Program.of(code(*[MOVE] * 100, END))


def test_the_number_of_pieces_is_bounded() -> None:
    """Each is compared with memory before each kernel, and nobody stops that."""
    over = code(jump(JUMP, 16), ILLEGAL)
    assert len(Program.of(over * 1023 + code(END)).ranges) == 1024
    with pytest.raises(IllegalInstruction, match="too many pieces"):
        Program.of(over * 1024 + code(END))


def test_the_number_of_pages_is_bounded() -> None:
    """A page of memory may stand at all addresses, and what is read of it there is kept."""
    page = (code(jump(JUMP, 4096 - 16)) + code(MOVE) * 255)[:4096]
    asked: list[int] = []

    def read(at: int, count: int) -> bytes:
        asked.append(at)
        return page

    with pytest.raises(IllegalInstruction, match="too many pieces"):
        Program(read, 0, 1 << 32)
    assert len(asked) == 1024


def test_pages_count_while_a_program_is_decoded() -> None:
    words = code(*[MOVE] * 1023, END)
    program = Program(lambda at, count: words[at : at + count], 0, len(words), whole=False)
    assert list(program.steps)[:8] == [138, 266, 404, 532, 670, 798, 936, 1064]


def test_only_pages_that_control_reaches_are_read() -> None:
    words = code(*[MOVE] * 255, END, *[MOVE] * 256, END)
    asked: list[tuple[int, int]] = []

    def read(at: int, count: int) -> bytes:
        asked.append((at, count))
        return words[at : at + count]

    assert len(Program(read, 0, len(words)).instructions) == 256
    assert asked == [(0, 4096)]
    asked.clear()
    assert len(Program(read, 4096, len(words)).instructions) == 257
    assert asked == [(4096, 4096), (8192, 16)]


def test_what_reading_raises_passes_through() -> None:
    def read(at: int, count: int) -> bytes:
        raise LookupError(at)

    with pytest.raises(LookupError):
        Program(read, 64, 1 << 32)
