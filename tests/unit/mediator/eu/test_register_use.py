"""What compiled code has to load, keep and mask: read off programs, without any compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mediator.gen9.eu import registers
from mediator.gen9.eu.messages import MESSAGE_LENGTH, PORT_1_TYPE, RESPONSE_LENGTH, Port1
from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.isa.assembler import Assembler
from mediator.softgpu.eu.isa.instruction import Condition, Immediate, IndirectSource, Instruction
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.isa.register import (
    Register,
    acc,
    address,
    arf,
    flag,
    grf,
    immediate,
    indirect,
    null,
)
from mediator.softgpu.eu.translator.early_modes import early_modes
from mediator.softgpu.eu.translator.extent import Extent, everything, extent_of
from mediator.softgpu.eu.translator.kills import unmasked_writes
from mediator.softgpu.eu.translator.liveness import ALL, effects, live_at

Writer = Callable[[Assembler], None]
PORT_1 = 12
OUT = 60
"""A register for results that nobody asks about."""
MARK = 0x5A5A
"""What the writes in question put into their register."""


def program(*write: Writer) -> Program:
    asm = Assembler(8)
    for each in write:
        each(asm)
    asm.end()
    return Program.of(asm.code())


def d(number: int, element: int = 0) -> Register:
    return grf(number, Type.D, element)


def bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


def message(length: int, back: int, number: Port1 = Port1.GLOBAL_READ, more: int = 0) -> int:
    """Eight lanes of one dword."""
    lengths = MESSAGE_LENGTH.put(length) | RESPONSE_LENGTH.put(back)
    return PORT_1_TYPE.put(number) | 2 << 12 | 0xE << 8 | 0xFF | lengths | more


# Writes that need no mask


def _marks(instruction: Instruction) -> bool:
    return any(isinstance(one, Immediate) and one.bits == MARK for one in instruction.sources)


def mark(asm: Assembler, **controls: Any) -> None:
    asm.mov(d(10), MARK, **controls)


def use(asm: Assembler) -> None:
    """By lanes, all of them that run."""
    asm.add(d(OUT), d(10), 1)


def _marked(*rest: Writer) -> list[Writer]:
    return [mark, *rest]


def within_if(*inside: Writer) -> Writer:
    def write(asm: Assembler) -> None:
        asm.branch(Opcode.IF, "end", "end", predicate=True)
        for each in inside:
            each(asm)
        asm.label("end")
        asm.branch(Opcode.ENDIF, 16)

    return write


def within_loop(*inside: Writer) -> Writer:
    def write(asm: Assembler) -> None:
        asm.label("again")
        for each in inside:
            each(asm)
        asm.label("while")
        asm.branch(Opcode.WHILE, "again", predicate=True)
        asm.label("behind")

    return write


def leave(asm: Assembler) -> None:
    """Some channels wait behind the loop."""
    asm.branch(Opcode.BREAK, "while", "while", predicate=True)


def read_by(operand: Register, **controls: Any) -> Writer:
    return lambda asm: asm.add(d(OUT), operand, 1, **controls)


def mark_by(**controls: Any) -> Writer:
    return lambda asm: mark(asm, **controls)


def other(asm: Assembler) -> None:
    asm.mov(d(10), 7)


def load(length: int, back: int, width: int = 8) -> Writer:
    def write(asm: Assembler) -> None:
        asm.send(grf(10, Type.UD), 2, PORT_1, message(length, back), width=width)

    return write


def payload(length: int, more: tuple[int, int] | None = None) -> Writer:
    """Of a message that is not of lanes: its first part begins with r9, or the second does."""
    return lambda asm: asm.send(None, 1 if more else 9, 5, MESSAGE_LENGTH.put(length), more=more)


def scattered(first: int) -> Writer:
    """A write of bytes: header, addresses of eight lanes, data."""
    return lambda asm: asm.send(None, first, 10, MESSAGE_LENGTH.put(3) | 1 << 19 | 12 << 14 | 1)


KILLS: list[tuple[str, list[Writer], bool]] = [
    ("read by the same lanes", _marked(use), True),
    ("never read", _marked(), True),
    ("read by all lanes", _marked(read_by(d(10), no_mask=True)), False),
    ("one lane read by all", _marked(read_by(d(10).scalar)), False),
    ("read by the next lanes", _marked(read_by(d(10, 1))), False),
    ("the last lane read by the first of more", _marked(read_by(d(9, 1))), False),
    ("read beside", _marked(read_by(d(9)), read_by(d(11))), True),
    ("read in other pieces", _marked(read_by(grf(10, Type.W))), False),
    ("read at the same places in pieces", _marked(read_by(grf(10, Type.W).by(16, 8, 2))), True),
    ("read as a message's payload", _marked(lambda asm: asm.send(null(), 10, 5, 1 << 25)), False),
    ("read as addresses by lane", _marked(
        lambda asm: asm.send(None, 10, PORT_1, 1 << 25 | 9 << 14 | 2 << 12 | 14 << 8 | 1,
                             more=(12, 1))), True),
    ("read as data by lane", _marked(
        lambda asm: asm.send(None, 12, PORT_1, 1 << 25 | 9 << 14 | 2 << 12 | 14 << 8 | 1,
                             more=(10, 1))), True),
    ("written by lane, unmasked", _marked(
        lambda asm: asm.send(None, 12, PORT_1, 1 << 25 | 9 << 14 | 2 << 12 | 14 << 8 | 1,
                             more=(10, 1), no_mask=True)), False),
    ("behind a payload", _marked(payload(1)), True),
    ("the last of a payload", _marked(payload(2)), False),
    ("behind a second part", _marked(payload(1, (9, 1))), True),
    ("the last of a second part", _marked(payload(1, (9, 2))), False),
    ("read as addresses of twice the size", _marked(
        lambda asm: asm.send(null(), 10, PORT_1, message(2, 0, more=1 << 20))), False),
    ("read as data of the second channel by lane", _marked(
        lambda asm: asm.send(None, 12, PORT_1, 1 << 25 | 9 << 14 | 2 << 12 | 12 << 8 | 1,
                             more=(9, 2))), True),
    ("read as a header", _marked(scattered(10)), False),
    ("read as addresses behind a header", _marked(scattered(9)), True),
    ("read as data behind a header", _marked(scattered(8)), True),
    ("behind the data", _marked(scattered(7)), True),
    ("found by an address", _marked(lambda asm: asm.mov(d(OUT), indirect(0, 0, Type.D))), False),
    ("overwritten in part", _marked(mark_by(no_mask=True, width=4), read_by(d(10).scalar)), False),
    ("written and read inside an if", [within_if(mark, use)], True),
    ("read behind the if", [within_if(mark), use], False),
    ("read behind an if that comes later", [mark, within_if(), use], True),
    ("overwritten behind the if", [within_if(mark), other, use], True),
    ("read in the next round", [within_loop(use, mark)], False),
    ("read in the same round", [within_loop(mark, use)], True),
    ("read behind the loop, by those that left it earlier", [within_loop(mark), use], False),
    ("read behind a loop that some left before", [within_loop(leave, mark), use], False),
    ("read behind a loop that some left later", [within_loop(mark, leave), use], False),
    ("read inside a loop that some left", [within_loop(leave, mark, use)], True),
    ("written before a loop that some leave", [mark, within_loop(leave, use), use], True),
    ("predicated", [mark_by(predicate=True), use], False),
    ("half a register", [mark_by(width=4), use], False),
    ("unmasked anyway", [mark_by(no_mask=True), use], False),
    ("a stride", [lambda asm: asm.mov(d(10).every(2), MARK), use], False),
    ("not from a register's beginning", [lambda asm: asm.mov(d(10, 1), MARK), use], False),
    ("selected by the predicate",
     [lambda asm: asm.sel(d(10), d(4), MARK, predicate=True), use], True),
    ("answered", [load(2, 1), use], True),
    ("answered by more than its data", [load(2, 2), use], False),
    ("answered to fewer lanes", [load(2, 1, 4), use], False),
    ("answered, and read as a whole", [load(2, 1), read_by(d(10).scalar)], False),
]  # fmt: skip


@pytest.mark.parametrize(("writers", "free"), [row[1:] for row in KILLS], ids=[k[0] for k in KILLS])
def test_a_write_needs_no_mask_where_nobody_misses_what_was_there(
    writers: list[Writer], free: bool
) -> None:
    made = program(*writers)
    asked = next(
        each.offset
        for each in made.instructions.values()
        if (each.message is not None and each.message.sfid == PORT_1 and mark not in writers)
        or _marks(each)
    )
    assert (asked in unmasked_writes(made, 0)) is free
    assert asked not in unmasked_writes(made, bits(10))
    assert (asked in unmasked_writes(made, bits(9, 11))) is free


@pytest.mark.parametrize("again", [{"no_mask": True}, {}])
def test_what_is_overwritten_wholly_is_missed_by_nobody(again: dict[str, bool]) -> None:
    """Also by a write that needs no mask itself."""
    made = program(within_if(mark), mark_by(**again), read_by(d(10)))
    first, second = (each.offset for each in made.instructions.values() if _marks(each))
    expected = {first} if again else {first, second}
    assert unmasked_writes(made, 0) & {first, second} == expected
    assert first not in unmasked_writes(program(within_if(mark), read_by(d(10))), 0)


def test_both_registers_of_a_wide_write_are_looked_at() -> None:
    for number, free in ((9, True), (10, False), (11, False), (12, True)):
        asm = Assembler(16)
        asm.mov(d(10), MARK)
        asm.add(d(OUT), d(number).scalar, 1)
        asm.end()
        assert (0 in unmasked_writes(Program.of(asm.code()), 0)) is free
        assert (0 in unmasked_writes(Program.of(asm.code()), bits(number))) is free


# What instructions read and overwrite


def _add(to: Register, **controls: Any) -> Writer:
    return lambda asm: asm.add(to, d(2), d(4), **controls)


def _send(back: Register | None, length: int, count: int, **controls: Any) -> Writer:
    return lambda asm: asm.send(back, 2, PORT_1, message(length, count), **controls)


def _payload() -> IndirectSource:
    found = indirect(0, 0, Type.UD).source(8, align16=False)
    assert isinstance(found, IndirectSource)
    return found


EFFECTS: list[tuple[Writer, int, int]] = [
    (_add(d(10), no_mask=True), bits(2, 4), bits(10)),
    (_add(d(10)), bits(2, 4, 10), 0),
    (_add(d(10), no_mask=True, predicate=True), bits(2, 4, 10), 0),
    (_add(d(10), no_mask=True, width=16), bits(2, 3, 4, 5), bits(10, 11)),
    (_add(d(10), no_mask=True, width=4), bits(2, 4, 10), 0),
    (_add(d(10, 4), no_mask=True), bits(2, 4, 10, 11), 0),
    (_add(d(10).every(2), no_mask=True), bits(2, 4, 10, 11), 0),
    (_add(null(Type.D), no_mask=True), bits(2, 4), 0),
    (_add(indirect(0, 0, Type.D), no_mask=True), ALL, 0),
    (lambda asm: asm.mov(d(10), d(2, 7).scalar, no_mask=True), bits(2), bits(10)),
    (lambda asm: asm.mov(d(10), d(2, 1), no_mask=True), bits(2, 3), bits(10)),
    (lambda asm: asm.mov(d(10), d(2).by(2, 1, 0), no_mask=True), bits(2, 3), bits(10)),
    (lambda asm: asm.mov(d(10), 5, no_mask=True), 0, bits(10)),
    (lambda asm: asm.mov(d(10), acc(0, Type.D), no_mask=True), 0, bits(10)),
    (lambda asm: asm.mov(d(10), indirect(0, 0, Type.D), no_mask=True), ALL, bits(10)),
    (
        lambda asm: asm.sel(d(10), d(2), d(4), no_mask=True, predicate=True),
        bits(2, 4),
        bits(10),
    ),
    (_send(d(10), 2, 1), bits(2, 3, 10), 0),
    (_send(d(10), 2, 3), bits(2, 3, 10, 11, 12), 0),
    (_send(None, 3, 0, more=(20, 2)), bits(2, 3, 4, 20, 21), 0),
    (_send(None, 1, 4), bits(2), 0),
    (lambda asm: asm.send(None, 2, PORT_1, None), ALL, 0),
    (lambda asm: asm.send(None, _payload(), PORT_1,
                          message(1, 0)), ALL, 0),
]  # fmt: skip


@pytest.mark.parametrize(("write", "read", "overwritten"), EFFECTS)
def test_what_an_instruction_does_to_registers(write: Writer, read: int, overwritten: int) -> None:
    """What is changed in part counts as read."""
    found = effects(program(write).instructions[0])
    assert (found.read & ALL, found.overwritten) == (read, overwritten)


def test_what_is_live_comes_back_through_loops() -> None:
    """r10 is read behind the loop, r4 in each round, r6 only before it."""
    first: Writer = lambda asm: asm.mov(d(10), d(6), no_mask=True)  # noqa: E731
    inside: Writer = lambda asm: asm.add(d(12), d(4), 1, no_mask=True)  # noqa: E731
    last: Writer = lambda asm: asm.mov(d(14), d(10), no_mask=True)  # noqa: E731
    made = program(first, within_loop(inside), last)
    offsets, live = list(made.instructions), live_at(made, bits(14), frozenset())
    end = bits(127)
    assert [live[offset] for offset in offsets] == [
        bits(4, 6) | end,
        bits(4, 10) | end,
        bits(4, 10) | end,
        bits(10) | end,
        bits(14) | end,
    ]


def test_a_masked_write_ends_a_life_where_it_needs_no_mask() -> None:
    made = program(mark, use, read_by(d(0)))
    rest = bits(0, OUT, 127)
    assert live_at(made, 0, frozenset())[0] == bits(10) | rest
    assert live_at(made, 0, frozenset({0}))[0] == rest


# Architecture registers


def _of(write: Writer) -> Extent:
    return extent_of(program(write))


def mov(to: Register, source: Any, **controls: Any) -> Writer:
    return lambda asm: asm.mov(to, source, **controls)


NOTHING = Extent(address=False, accumulator=0, flags=False)
_FLAGS = Extent(address=False, accumulator=0, flags=True)
_ADDRESS = Extent(address=True, accumulator=0, flags=False)
_TWO = Extent(address=False, accumulator=2, flags=False)
EXTENTS: list[tuple[Writer, Extent]] = [
    (mov(d(10), d(2)), NOTHING),
    (mov(d(10), arf(registers.STATE, Type.UD).scalar), NOTHING),
    (mov(null(), d(2)), NOTHING),
    (lambda asm: asm.nop(), NOTHING),
    (mov(d(10), d(2), predicate=True), _FLAGS),
    (mov(d(10), d(2), condition=Condition.EQUAL), _FLAGS),
    *((mov(d(10), flag(number).scalar), _FLAGS) for number in (0, 1)),
    *((mov(flag(number), d(2), width=1), _FLAGS) for number in (0, 1)),
    (mov(address(0), 5, width=1), _ADDRESS),
    (mov(d(10), address(0).scalar), _ADDRESS),
    (mov(d(10), indirect(0, 0, Type.D)), _ADDRESS),
    (mov(indirect(0, 0, Type.D), d(10)), _ADDRESS),
    (lambda asm: asm.send(None, 2, PORT_1, None), _ADDRESS),
    (lambda asm: asm.send(None, 2, PORT_1, 1 << 25, more=(4, 1), extended=None), _ADDRESS),
    (lambda asm: asm.send(None, 2, PORT_1, 1 << 25, more=(4, 1)), NOTHING),
    *(
        (mov(d(10), acc(number, Type.D)), Extent(False, min(number + 2, 10), False))
        for number in range(10)
    ),
    (mov(acc(0, Type.D), d(2)), _TWO),
    (mov(d(10), d(2), write_accumulator=True), _TWO),
    (lambda asm: asm.mach(d(10), d(2), d(4)), _TWO),
    (lambda asm: asm.mac(grf(10, Type.F), grf(2, Type.F), grf(4, Type.F)), _TWO),
]


@pytest.mark.parametrize(("write", "expected"), EXTENTS)
def test_what_a_program_touches_beside_general_registers(write: Writer, expected: Extent) -> None:
    assert registers.ACCUMULATORS == 10
    assert _of(write) == expected
    assert everything() == Extent(address=True, accumulator=10, flags=True)


# Writes of cr0 before anything is computed


def cr0(element: int = 0, kind: Type = Type.UD) -> Register:
    return arf(registers.CONTROL, kind, element).scalar


def write_modes(name: str, *sources: Any, to: Register | None = None, **controls: Any) -> Writer:
    given = {"width": 1, "no_mask": True, "switch": True, **controls}
    return lambda asm: getattr(asm, name)(to or cr0(), *sources, **given)


def number(value: int, kind: Type = Type.UD) -> Any:
    return immediate(value, kind)


EARLY: list[tuple[Writer, int, int]] = [
    (write_modes("mov", number(0x480)), 0, 0x480),
    (write_modes("mov", number(-2, Type.W)), 0, 0xFFFF_FFFE),
    (write_modes("mov", number(0x8000, Type.UW)), 0, 0x8000),
    (write_modes("mov", number(-1, Type.D)), 0, 0xFFFF_FFFF),
    (write_modes("mov", number(0x7FFF, Type.W)), 0, 0x7FFF),
    (write_modes("or_", cr0(), number(0x30)), 0xFFFF_FFFF, 0x30),
    (write_modes("and_", cr0(), number(0x30)), 0x30, 0),
    (write_modes("or_", cr0(0, Type.D), number(3, Type.D), to=cr0(0, Type.D)), 0xFFFF_FFFF, 3),
]
LATE: list[Writer] = [
    write_modes("mov", number(1), to=cr0(1)),
    write_modes("mov", number(1, Type.UW), to=cr0(0, Type.UW)),
    write_modes("mov", number(1), width=2),
    write_modes("mov", number(1), no_mask=False),
    write_modes("mov", number(1), predicate=True),
    write_modes("mov", number(1), condition=Condition.EQUAL),
    write_modes("mov", number(1, Type.D), to=cr0(0, Type.D), saturate=True),
    write_modes("mov", number(1), write_accumulator=True),
    write_modes("mov", immediate(1, Packed.UV)),
    write_modes("mov", d(2).scalar),
    write_modes("add", cr0(), number(1)),
    write_modes("or_", cr0(1), number(1)),
    write_modes("or_", d(2).scalar, number(1)),
    write_modes("or_", -cr0(), number(1)),
]


@pytest.mark.parametrize(("write", "kept", "bits_"), EARLY)
def test_a_plain_write_of_cr0_is_done_before(write: Writer, kept: int, bits_: int) -> None:
    found = early_modes(program(write))
    assert (found.kept, found.set, found.offsets) == (kept, bits_, frozenset({0}))


@pytest.mark.parametrize("write", LATE)
def test_other_writes_of_cr0_stay_where_they_are(write: Writer) -> None:
    """And what comes behind them."""
    assert early_modes(program(write, EARLY[0][0])).offsets == frozenset()


@pytest.mark.parametrize(
    ("between", "both"),
    [
        (mov(d(10), d(2)), True),
        (lambda asm: asm.add(grf(10, Type.UQ), d(2), 5, condition=Condition.EQUAL), True),
        (mov(grf(10, Type.F), d(2)), False),
        (mov(d(10), grf(2, Type.F)), False),
        (mov(d(10), immediate(0, Packed.VF)), False),
        (mov(d(10), immediate(0, Packed.V)), True),
        (mov(d(10), cr0()), False),
        (mov(indirect(0, 0, Type.HF), d(2)), False),
        (_send(None, 1, 0), False),
        (lambda asm: asm.wait(arf(registers.NOTIFICATION, Type.UD).scalar), False),
        (within_if(), False),
    ],
)
def test_writes_of_cr0_are_done_before_until_something_minds(between: Writer, both: bool) -> None:
    made = program(write_modes("or_", cr0(), number(0x30)), between, write_modes(
        "and_", cr0(), number(0xFF10)))  # fmt: skip
    found = early_modes(made)
    if both:
        assert (found.kept, found.set, len(found.offsets)) == (0xFF10, 0x10, 2)
    else:
        assert (found.kept, found.set, len(found.offsets)) == (0xFFFF_FFFF, 0x30, 1)
