"""Two threads of a group as one function, while they go the same way.

Threads of eight or sixteen channels leave half of the host's vector units idle: each instruction
waits for the last one. Done in turns, an instruction of one and the same one of the other, they
overlap. Where the threads part, one having channels left for a block and the other not, both are
stored as two functions of one thread would, and `APART` goes on with each: it is the program once
more, with an entry wherever threads may part. At a barrier and at the end of a slice they stand
where any function of the program may take them up, so two that stand at one place are a pair again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.softgpu.eu.translator import layout
from mediator.softgpu.eu.translator.detours import may_pass
from mediator.softgpu.eu.translator.kernel import Function, Options, check_size, label_of, module
from mediator.softgpu.eu.translator.kernel import mask_width as width_of
from mediator.softgpu.eu.translator.masks import Masks
from mediator.softgpu.eu.translator.registers import Untranslatable
from mediator.softgpu.eu.translator.resuming import PARTED, Kind
from mediator.softgpu.eu.translator.text import Value
from mediator.softgpu.eu.translator.waiting import waiting_places

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Program
    from mediator.softgpu.eu.translator.control import Ways
    from mediator.softgpu.eu.translator.kernel import Entry
    from mediator.softgpu.eu.translator.state import State

PAIR: Final = "kernel"
"""The function of two threads that follow each other in memory, by the first one's block."""
APART: Final = "apart"
"""The function of a thread that has parted from another."""
MOST_INSTRUCTIONS: Final = 2048
MOST_MESSAGES: Final = 64
_MOST_CHANNELS: Final = 16
"""Of a thread; two of them fill the vector units."""
_MOST_PLACES: Final = 63


def translate_pair(program: Program, simd: int, options: Options | None = None) -> str:
    """The module of a program's `PAIR` and `APART`.

    Raises:
        Untranslatable: Its threads run one by one.
    """
    check_size(program)
    reason = misfit(program, simd)
    if reason is not None:
        raise Untranslatable(reason)
    options = options or Options()
    apart = _Apart(APART, program, simd, options)
    return module([_Pair(program, simd, options, apart.block_numbers), apart])


def misfit(program: Program, simd: int) -> str | None:
    """Why threads of a program are not run in pairs; None if they can be."""
    instructions = program.instructions.values()
    if program.dynamic or len(instructions) > MOST_INSTRUCTIONS:
        return "too large for pairs"  # first of all: nothing takes long then
    messages = [each for each in instructions if each.message is not None]
    if len(messages) > MOST_MESSAGES:
        return "too large for pairs"
    if width_of(program, simd) > _MOST_CHANNELS:
        return "threads that fill the vector units"
    if len(waiting_places(program)) > _MOST_PLACES:
        return "channels of pairs wait for too many places"
    ends = [each for each in messages if each.message and each.message.end_of_thread]
    if any(each.predicate is not None for each in ends):
        return "a thread of a pair may end"
    return None


class _Apart(Function):
    """Of one thread. Wherever a branch may lead it can be entered."""

    def __init__(self, name: str, program: Program, simd: int, options: Options) -> None:
        self._targets: set[int] = set()
        super().__init__(name, program, simd, options)

    def _branch(self, instruction: Instruction, ways: Ways) -> None:
        if ways.conditions:
            self._targets |= {ways.yes, ways.no}
        super()._branch(instruction, ways)

    def _entries(self) -> list[Entry]:
        known, found = self.block_numbers, super()._entries()
        for place in sorted(self._targets):
            if self._numbers.number(Kind.BLOCK, place) not in known:
                number = self._numbers.number(Kind.APART, place)
                waiting = tuple(sorted(self._facts.may_wait[place]))
                found.append((number, label_of(place), place, waiting))
        return found


class _Pair(Function):
    """Of two threads. ``known``: numbers of blocks to which those that part may go on as others
    that have left do."""

    def __init__(
        self, program: Program, simd: int, options: Options, known: frozenset[int]
    ) -> None:
        self._known = known
        super().__init__(PAIR, program, simd, options)

    def _make_states(self) -> list[State]:
        masks, size = Masks(self._text, self._facts.width, 2), layout.size("eu_thread")
        self._text.head.append(f"  %thread1 = getelementptr i8, ptr %thread0, i64 {size}")
        first = self._make_state(masks)
        return [first, self._make_state(masks, first)]

    def _branch(self, instruction: Instruction, ways: Ways) -> None:
        if not ways.conditions:
            self._go(instruction.offset, ways.yes)
            return
        text = self._text
        both, not_both = text.new_label("both"), text.new_label("not_both")
        one, none = text.new_label("one"), text.new_label("none")
        text.branch_if(text.binary("and", *ways.conditions), both, not_both)
        text.label(both)
        self._go(instruction.offset, ways.yes)
        text.label(not_both)
        text.branch_if(text.binary("or", *ways.conditions), one, none)
        text.label(none)
        self._go(instruction.offset, ways.no)
        text.label(one)
        if ways.yes == instruction.end and may_pass(
            self._program, instruction, ways.no, self._facts.may_wait
        ):
            self._go(instruction.offset, ways.yes)
            return
        self._part(ways.yes, ways.no, ways.conditions)

    def _part(self, yes: int, no: int, conditions: tuple[Value, ...]) -> None:
        """Leave both threads, each where its condition leads it."""
        text, live, may_wait = self._text, self._facts.live, self._facts.may_wait
        self._store(live[yes] | live[no], tuple(sorted(may_wait[yes] | may_wait[no])))
        numbers = [Value(str(self._number(place)), "i32") for place in (yes, no)]
        for state, condition in zip(self._states, conditions, strict=True):
            place = state.thread.member(text, "resume")
            text.store(text.select(condition, *numbers), place, 4)
        text.line(f"ret i32 {PARTED}")

    def _number(self, place: int) -> int:
        number = self._numbers.number(Kind.BLOCK, place)
        return number if number in self._known else self._numbers.number(Kind.APART, place)
