"""Random divergent programs: as a tree, as instructions, and what one lane does by itself.

Each statement changes the lane's number so that the order and the number of executions show.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from mediator.gen9.eu.opcodes import Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Destination,
    File,
    Immediate,
    Instruction,
    Message,
    Predicate,
    Region,
    Source,
)

STATE, TEMPORARY, LIMIT = 20, 24, 28
"""First registers of: a lane's number, a scratch value, how often its loops run at most."""
_COUNTERS = 40
_RETURN = 120
_MASK = 0xFFFFFFFF
_CONTIGUOUS = Region(8, 8, 1)


# The tree


@dataclass(frozen=True, slots=True)
class Change:
    """x = x * 31 + number."""

    number: int


@dataclass(frozen=True, slots=True)
class Test:
    """Bits ``shift`` + 1 and ``shift`` of x are ``value``."""

    shift: int
    value: int

    def holds(self, x: int) -> bool:
        """For a lane."""
        return x >> self.shift & 3 == self.value


@dataclass(frozen=True, slots=True)
class If:
    """``jumps``: made of gotos and joins."""

    test: Test
    yes: tuple[Statement, ...]
    no: tuple[Statement, ...]
    jumps: bool


@dataclass(frozen=True, slots=True)
class Loop:
    """At most the lane's limit of times, left by `Break`."""

    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Once, and again while the count is below the lane's limit. ``jumps``: with goto.b."""

    body: tuple[Statement, ...]
    jumps: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """Where the test holds: out of the loop, to its next round, out of the subroutine, or to the
    end."""

    kind: str
    test: Test


@dataclass(frozen=True, slots=True)
class Call:
    """Statements in a subroutine of their own."""

    body: tuple[Statement, ...]


Statement = Change | If | Loop | Repeat | Leave | Call

_tests = st.builds(Test, st.integers(0, 12), st.integers(0, 3))
_changes = st.builds(Change, st.integers(1, 1000))


def statements(
    depth: int, loop: str = "", inside_call: bool = False
) -> st.SearchStrategy[tuple[Statement, ...]]:
    """Blocks. ``loop``: what surrounds: "" nothing, "loop" a `Loop`, "repeat" a `Repeat`."""
    choices: list[st.SearchStrategy[Statement]] = [_changes, _changes]
    leaves = []
    if loop == "loop":
        leaves = ["break", "cont"]
    elif loop == "repeat":
        leaves = ["break"]
    if inside_call and not loop:
        leaves.append("ret")
    if not inside_call:
        leaves.append("halt")
    if leaves:
        choices.append(st.builds(Leave, st.sampled_from(leaves), _tests))
    if depth:
        below = statements(depth - 1, loop, inside_call)
        choices.append(st.builds(If, _tests, below, below | st.just(()), st.booleans()))
        choices.append(st.builds(Loop, statements(depth - 1, "loop", inside_call)))
        # Its jump back is no `while`: break has nothing to name.
        choices.append(
            st.builds(Repeat, statements(depth - 1, "jumps", inside_call), st.just(True))
        )
        choices.append(
            st.builds(Repeat, statements(depth - 1, "repeat", inside_call), st.just(False))
        )
        if not inside_call:
            choices.append(st.builds(Call, statements(depth - 1, "", True)))
    return st.lists(st.one_of(choices), min_size=1, max_size=4).map(tuple)


# One lane


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class _Return(Exception):
    pass


class _Halt(Exception):
    pass


_LEAVES = {"break": _Break, "cont": _Continue, "ret": _Return, "halt": _Halt}


@dataclass(slots=True)
class Lane:
    """A lane by itself."""

    x: int
    limit: int

    def run(self, program: Sequence[Statement]) -> int:
        """All of a program; the number at the end."""
        with contextlib.suppress(_Halt):
            self._block(program)
        return self.x

    def _block(self, block: Sequence[Statement]) -> None:
        for each in block:
            self._one(each)

    def _one(self, statement: Statement) -> None:
        match statement:
            case Change(number):
                self.x = (self.x * 31 + number) & _MASK
            case If(test, yes, no):
                self._block(yes if test.holds(self.x) else no)
            case Loop(body):
                try:
                    for _ in range(self.limit):
                        with contextlib.suppress(_Continue):
                            self._block(body)
                except _Break:
                    pass
            case Repeat(body):
                try:
                    for _ in range(max(1, self.limit)):
                        self._block(body)
                except _Break:
                    pass
            case Leave(kind, test):
                if test.holds(self.x):
                    raise _LEAVES[kind]
            case Call(body):
                with contextlib.suppress(_Return):
                    self._block(body)


# Instructions


@dataclass(slots=True)
class Assembler:
    """Instructions of 16 bytes, labels, and jumps to be filled in once all is placed."""

    width: int
    code: list[Instruction] = field(default_factory=list)
    ends: list[tuple[int, Callable[[], tuple[int | None, int | None]]]] = field(
        default_factory=list
    )
    subroutines: list[tuple[dict[str, int], tuple[Statement, ...], int]] = field(
        default_factory=list
    )
    depth: int = 0

    @property
    def here(self) -> int:
        """The offset of the next instruction."""
        return 16 * len(self.code)

    def assemble(self, program: Sequence[Statement]) -> dict[int, Instruction]:
        """The program by offset."""
        finish: dict[str, int] = {}
        self._block(program, {}, finish, {})
        finish["at"] = self.here
        self._emit(Opcode.JOIN, lambda: (16, None))
        self._end()
        while self.subroutines:
            label, body, self.depth = self.subroutines.pop()
            label["at"] = self.here
            leave: dict[str, int] = {}
            self._block(body, {}, finish, leave)
            self._emit(Opcode.RET, None, sources=(_source(_RETURN, Type.UD),))
        for index, jumps in self.ends:
            jip, uip = jumps()
            self.code[index] = replace(self.code[index], jip=jip, uip=uip)
        return {each.offset: each for each in self.code}

    def _emit(
        self,
        opcode: Opcode,
        jumps: Callable[[], tuple[int | None, int | None]] | None = None,
        **fields: object,
    ) -> int:
        offset = self.here
        plain: dict[str, object] = {
            "offset": offset,
            "size": 16,
            "word": 0,
            "opcode": opcode,
            "width": self.width,
            "channel": 0,
            "align16": False,
            "predicate": None,
            "flag": 0,
            "no_mask": False,
            "saturate": False,
            "condition": Condition.NONE,
            "write_accumulator": False,
            "destination": None,
            "sources": (),
        }
        if jumps is not None:
            self.ends.append((len(self.code), jumps))
        self.code.append(Instruction(**{**plain, **fields}))  # type: ignore[arg-type]
        return offset

    def _end(self) -> None:
        message = Message(7, 0x02000010, 0, 127, None, None, True)
        self._emit(Opcode.SEND, message=message, destination=_target(0), no_mask=True)

    def _meeting(self, offset: int) -> int:
        """From an instruction to the next place where channels may wait for their thread."""
        kinds = (Opcode.ELSE, Opcode.ENDIF, Opcode.WHILE, Opcode.JOIN, Opcode.RET)
        behind = self.code[offset // 16 + 1 :]
        return next(each.offset - offset for each in behind if each.opcode in kinds)

    def _flag(self, test: Test) -> None:
        self._emit(
            Opcode.SHR,
            destination=_target(TEMPORARY),
            sources=(_source(STATE, Type.UD), _word(test.shift)),
        )
        self._emit(
            Opcode.AND,
            destination=_target(TEMPORARY),
            sources=(_source(TEMPORARY, Type.UD), _word(3)),
        )
        self._compare(TEMPORARY, _word(test.value), Condition.EQUAL)

    def _compare(self, register: int, other: Source | Immediate, condition: Condition) -> None:
        self._emit(
            Opcode.CMP,
            destination=Destination(File.ARF, 0, Type.D, 1),
            sources=(_source(register, Type.D), other),
            condition=condition,
        )

    def _block(
        self,
        block: Sequence[Statement],
        loop: dict[str, int],
        finish: dict[str, int],
        leave: dict[str, int],
    ) -> None:
        for each in block:
            self._one(each, loop, finish, leave)

    def _one(
        self,
        statement: Statement,
        loop: dict[str, int],
        finish: dict[str, int],
        leave: dict[str, int],
    ) -> None:
        match statement:
            case Change(number):
                self._emit(
                    Opcode.MUL,
                    destination=_target(STATE),
                    sources=(_source(STATE, Type.UD), _word(31)),
                )
                self._emit(
                    Opcode.ADD,
                    destination=_target(STATE),
                    sources=(_source(STATE, Type.UD), _word(number)),
                )
            case If(test, yes, no, jumps):
                self._flag(test)
                lower = self._if_by_jumps if jumps else self._if
                lower(yes, no, loop, finish, leave)
            case Loop(body):
                self._loop(body, finish, leave)
            case Repeat(body, jumps):
                self._repeat(body, jumps, finish, leave)
            case Leave(kind, test):
                self._flag(test)
                self._leave(kind, loop, finish)
            case Call(body):
                label: dict[str, int] = {}
                self.subroutines.append((label, body, self.depth))
                at = self.here
                self._emit(
                    Opcode.CALL,
                    lambda: (label["at"] - at, None),
                    destination=_target(_RETURN),
                )

    def _leave(self, kind: str, loop: dict[str, int], finish: dict[str, int]) -> None:
        at = self.here
        predicate = Predicate(1, False)
        if kind == "ret":
            self._emit(Opcode.RET, None, predicate=predicate, sources=(_source(_RETURN, Type.UD),))
        elif kind == "halt":
            self._emit(
                Opcode.HALT,
                lambda: (self._meeting(at), finish["at"] - at),
                predicate=predicate,
            )
        else:
            self._emit(
                Opcode.BREAK if kind == "break" else Opcode.CONT,
                lambda: (self._meeting(at), loop["while"] - at),
                predicate=predicate,
            )

    def _if(
        self,
        yes: Sequence[Statement],
        no: Sequence[Statement],
        loop: dict[str, int],
        finish: dict[str, int],
        leave: dict[str, int],
    ) -> None:
        place: dict[str, int] = {}
        at = self.here
        self._emit(
            Opcode.IF,
            lambda: (place.get("no", place["end"]) - at, place["end"] - at),
            predicate=Predicate(1, False),
        )
        self._block(yes, loop, finish, leave)
        if no:
            other = self.here
            self._emit(Opcode.ELSE, lambda: (place["end"] - other, place["end"] - other))
            place["no"] = self.here
            self._block(no, loop, finish, leave)
        place["end"] = self.here
        self._emit(Opcode.ENDIF, lambda: (16, None))

    def _if_by_jumps(
        self,
        yes: Sequence[Statement],
        no: Sequence[Statement],
        loop: dict[str, int],
        finish: dict[str, int],
        leave: dict[str, int],
    ) -> None:
        place: dict[str, int] = {}
        at = self.here
        predicate = Predicate(1, False)
        self._emit(Opcode.GOTO, lambda: (self._meeting(at), place["no"] - at), predicate=predicate)
        self._block(yes, loop, finish, leave)
        # False for every lane: all go.
        self._compare(STATE, _source(STATE, Type.D), Condition.NOT_EQUAL)
        over = self.here
        self._emit(
            Opcode.GOTO, lambda: (self._meeting(over), place["end"] - over), predicate=predicate
        )
        place["no"] = self.here
        join = self.here
        self._emit(Opcode.JOIN, lambda: (self._meeting(join), None))
        self._block(no, loop, finish, leave)
        place["end"] = self.here
        self._emit(Opcode.JOIN, lambda: (16, None))

    def _counter(self) -> int:
        self.depth += 1
        register = _COUNTERS + 4 * self.depth
        self._emit(Opcode.MOV, destination=_target(register), sources=(_word(0),))
        return register

    def _count(self, register: int) -> None:
        self._emit(
            Opcode.ADD,
            destination=_target(register),
            sources=(_source(register, Type.UD), _word(1)),
        )

    def _loop(
        self, body: Sequence[Statement], finish: dict[str, int], leave: dict[str, int]
    ) -> None:
        counter = self._counter()
        loop: dict[str, int] = {}
        head = self.here
        self._count(counter)
        self._compare(counter, _source(LIMIT, Type.D), Condition.GREATER)
        self._leave("break", loop, finish)
        self._block(body, loop, finish, leave)
        loop["while"] = self.here
        at = self.here
        self._emit(Opcode.WHILE, lambda: (head - at, None))
        self.depth -= 1

    def _repeat(
        self,
        body: Sequence[Statement],
        jumps: bool,
        finish: dict[str, int],
        leave: dict[str, int],
    ) -> None:
        counter = self._counter()
        loop: dict[str, int] = {}
        head = self.here
        self._count(counter)
        self._block(body, loop, finish, leave)
        self._compare(counter, _source(LIMIT, Type.D), Condition.LESS)
        at = self.here
        loop["while"] = at
        predicate = Predicate(1, False)
        if jumps:
            self._emit(
                Opcode.GOTO, lambda: (16, head - at), predicate=predicate, branch_control=True
            )
            self._emit(Opcode.JOIN, lambda: (16, None))
        else:
            self._emit(Opcode.WHILE, lambda: (head - at, None), predicate=predicate)
        self.depth -= 1


def _source(register: int, kind: Type) -> Source:
    return Source(File.GRF, 32 * register, kind, _CONTIGUOUS)


def _target(register: int) -> Destination:
    return Destination(File.GRF, 32 * register, Type.UD, 1)


def _word(value: int) -> Immediate:
    return Immediate(Type.UW, value)
