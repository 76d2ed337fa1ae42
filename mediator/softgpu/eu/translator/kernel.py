"""A program as a function that can leave and come back: its text.

The function loads what registers the program reads, runs, and returns EU_ENDED; at a `wait`, at a
back edge once the budget is spent, and where the floating-point modes change it stores what is
live into the thread block and returns the number of the place to go on. What two threads of a group
do in one function is in `pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.control_register import KEEP_F, KEEP_HF
from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.isa.instruction import GRF_BYTES, GRF_COUNT
from mediator.softgpu.eu.translator import layout, liveness
from mediator.softgpu.eu.translator.compute import compute, enabled
from mediator.softgpu.eu.translator.control import ControlFlow, Ways
from mediator.softgpu.eu.translator.costs import Costs, is_long
from mediator.softgpu.eu.translator.early_modes import changes_modes, early_modes
from mediator.softgpu.eu.translator.extent import everything, extent_of
from mediator.softgpu.eu.translator.kills import unmasked_writes
from mediator.softgpu.eu.translator.lane_memory import lanes_of_pair
from mediator.softgpu.eu.translator.masks import Masks
from mediator.softgpu.eu.translator.memory import access
from mediator.softgpu.eu.translator.message_shape import LaneAccess, shape_of
from mediator.softgpu.eu.translator.modes import AGAIN, DECLARATION, wrapper
from mediator.softgpu.eu.translator.ops import FLUSH_HALF
from mediator.softgpu.eu.translator.pieces import beginnings
from mediator.softgpu.eu.translator.registers import Memory, Untranslatable
from mediator.softgpu.eu.translator.resuming import BEGINNING, Kind, Places
from mediator.softgpu.eu.translator.sends import mask_number, send
from mediator.softgpu.eu.translator.single_ops import FLUSH_SINGLE
from mediator.softgpu.eu.translator.state import FLAG_CHUNK, State
from mediator.softgpu.eu.translator.text import METADATA, Text, Value, zero
from mediator.softgpu.eu.translator.waiting import may_wait, waiting_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Block, Program
    from mediator.softgpu.eu.translator.early_modes import EarlyModes
    from mediator.softgpu.eu.translator.extent import Extent

ENDED: Final = 0
FAULT: Final = -1
MOST_INSTRUCTIONS: Final = 16384
MOST_MESSAGES: Final = 2048
MOST_BLOCKS: Final = 4096
_LONG: Final = 4
"""Messages that one counts as that takes up to a tenth of a millisecond: between two jumps back a
thread does not stop."""
_FRUGAL_FROM: Final = 128
"""Messages: LLVM takes some 20 ms for all the code of one."""
_MASKS: Final = 64
# A program decides how large its frame is: one that is larger than the stack must come to the page
# behind the stack, and not past it to what else is in the process.
_ATTRIBUTES: Final = """
attributes #0 = {
  noinline nounwind "prefer-vector-width"="512" "denormal-fp-math"="dynamic,dynamic"
  "probe-stack"="inline-asm"
}
attributes #1 = { nounwind }
"""


@dataclass(frozen=True, slots=True)
class Options:
    """``kept``: bits of the registers that count as read at the end of the thread, and are then in
    its block, for comparisons. With all of them the architecture's registers are there, too."""

    kept: int = 0


def translate(program: Program, simd: int, options: Options | None = None) -> str:
    """The module of a program.

    Raises:
        Untranslatable: The interpreter is to run it.
    """
    check_size(program)
    return module([Function("kernel", program, simd, options or Options())])


def module(functions: Sequence[Function]) -> str:
    """A text of functions, with what they need."""
    declarations = {line for each in functions for line in each.declarations}
    return "\n".join(
        [
            'target triple = "x86_64-unknown-linux-gnu"',
            *(line for each in functions for line in each.lines),
            *sorted(declarations | {DECLARATION}),
            _ATTRIBUTES,
            METADATA,
        ]
    )


def check_size(program: Program) -> None:
    """Raise Untranslatable for programs that would make LLVM slow."""
    if program.dynamic:
        raise Untranslatable("targets in registers")
    if len(program.instructions) > MOST_INSTRUCTIONS:
        raise Untranslatable("too many instructions")
    if len(program.blocks) > MOST_BLOCKS:
        raise Untranslatable("too many blocks")
    messages = [each.message for each in program.instructions.values() if each.message is not None]
    if sum(_LONG if is_long(each) else 1 for each in messages) > MOST_MESSAGES:
        raise Untranslatable("too many messages")


def mask_width(program: Program, simd: int) -> int:
    """Channels that masks need: the thread's, or more if masked instructions are wider."""
    wide = [each.channel + each.width for each in program.instructions.values() if not each.no_mask]
    return next(width for width in (8, 16, 32) if width >= max([simd, *wide]))


Entry = tuple[int, str, int, tuple[int, ...]]
"""Number, label, offset, and for which places channels may wait then."""


def label_of(offset: int) -> str:
    """Of the block that begins there."""
    return f"B{offset}" if offset >= 0 else f"Bm{-offset}"


@dataclass(frozen=True, slots=True)
class _Suspension:
    """Code that leaves: its label, before which instruction the thread then stands, its number, and
    bits that are returned beside it."""

    leave: str
    offset: int
    number: int
    bits: int
    waiting: tuple[int, ...]
    """Places for which channels may wait then."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of a program before anything is written. ``places``: where channels may wait;
    ``may_wait``: for which of them, by a block's start; ``live``: registers, by offset."""

    width: int
    places: tuple[int, ...]
    may_wait: dict[int, frozenset[int]]
    unmasked: frozenset[int]
    live: dict[int, int]
    doubles: bool
    early: EarlyModes
    extent: Extent


def _facts_of(program: Program, simd: int, options: Options) -> _Facts:
    unmasked = unmasked_writes(program, options.kept)
    return _Facts(
        width=mask_width(program, simd),
        places=tuple(waiting_places(program)),
        may_wait=may_wait(program),
        unmasked=unmasked,
        live=liveness.live_at(program, options.kept, unmasked),
        doubles=_uses_doubles(program),
        early=early_modes(program),
        extent=everything() if options.kept == liveness.ALL else extent_of(program),
    )


class Function:
    """The text of a program's function ``name``: a body, and what is called and calls that."""

    def __init__(self, name: str, program: Program, simd: int, options: Options) -> None:
        self._name, self._program, self._options = name, program, options
        self._facts = _facts_of(program, simd, options)
        self._text = Text()
        self._states = self._make_states()
        facts = self._facts
        self._flow = ControlFlow(self._states, program, facts.places, facts.may_wait)
        self._suspensions: dict[str, _Suspension] = {}
        """By the label where to go on."""
        self._numbers = Places(program)
        self._start = 0
        """Of the block that is being written."""
        self._costs = Costs(program)
        self.lines = self._write()

    def _make_states(self) -> list[State]:
        """Those of the threads that the function runs."""
        return [self._make_state(Masks(self._text, self._facts.width, 1))]

    def _make_state(self, masks: Masks, shared: State | None = None) -> State:
        program, facts = self._program, self._facts
        state = State(self._text, masks, beginnings(program), shared)
        messages = sum(each.message is not None for each in program.instructions.values())
        state.frugal = messages > _FRUGAL_FROM
        state.unmasked = facts.unmasked
        state.doubles = facts.doubles
        return state

    @property
    def declarations(self) -> set[str]:
        """Of what is called."""
        return self._text.declarations

    @property
    def block_numbers(self) -> frozenset[int]:
        """Of the blocks to which a thread that has left comes back."""
        return frozenset(
            each.number
            for label, each in self._suspensions.items()
            if label == label_of(each.offset)
        )

    # The whole

    def _write(self) -> list[str]:
        for block in self._program.blocks:
            self._block(block)
        self._leaving()
        body = self._text.lines
        self._text.lines = []
        self._entering()
        entry = self._text.lines
        doubles, early = self._facts.doubles, self._facts.early
        arguments = "ptr noalias %thread0, ptr %group, ptr %worker"
        return [
            f"define internal i32 @{self._name}_body({arguments}) #0 {{",
            "entry:",
            *self._text.head,
            *entry,
            *body,
            "}",
            wrapper(self._name, pair=len(self._states) > 1, doubles=doubles, early=early),
        ]

    def _block(self, block: Block) -> None:
        text = self._text
        self._start = block.start
        text.label(label_of(block.start))
        self._flow.join(block.start)
        last = block.instructions[-1]
        for instruction in block.instructions:
            if instruction.opcode.form is Form.BRANCH:
                self._branch(instruction, self._flow.branch(instruction))
                return
            self._one(instruction)
        if last.message is not None and last.message.end_of_thread:
            self._end(last)
            return
        self._go(last.offset, last.end)

    def _one(self, instruction: Instruction) -> None:
        if instruction.opcode is Opcode.NOP or instruction.offset in self._facts.early.offsets:
            return
        if instruction.opcode is Opcode.WAIT:
            self._wait(instruction)
            return
        shape = shape_of(instruction)
        if len(self._states) > 1 and isinstance(shape, LaneAccess):
            lanes_of_pair(self._states, instruction, shape)
            return
        for state in self._states:
            if instruction.message is None:
                compute(state, instruction)
            elif shape is not None:
                access(state, instruction, shape)
            else:
                send(state, instruction)
        if instruction.message is None and changes_modes(instruction):
            self._leave_for_modes(instruction)

    def _branch(self, instruction: Instruction, ways: Ways) -> None:
        """Jump as the masks say, those of the function's one thread."""
        if not ways.conditions:
            self._go(instruction.offset, ways.yes)
            return
        text = self._text
        first, second = text.new_label("yes"), text.new_label("no")
        text.branch_if(ways.conditions[0], first, second)
        text.label(first)
        self._go(instruction.offset, ways.yes)
        text.label(second)
        self._go(instruction.offset, ways.no)

    def _go(self, origin: int, target: int) -> None:
        """Jump; backwards only while there is no fault and the budget lasts."""
        if target > origin:
            self._text.branch(label_of(target))
            return
        text = self._text
        cost = self._costs.of_jump(origin, target) * len(self._states)
        spent = text.compare("slt", self._pay(cost), zero("i64"))
        stop = text.binary("or", spent, self._faulted())
        leave = self._suspension(label_of(target), Kind.BLOCK, target)
        text.branch_if(stop, leave, label_of(target), likely=False)

    def _pay(self, units: int) -> Value:
        """Take so much from the budget: what is left."""
        text = self._text
        budget = text.address("%worker", layout.offset("eu_worker", "budget"))
        before = text.load("i64", 1, budget, 8)
        after = text.binary("sub", before, Value(str(units), "i64"))
        text.store(after, budget, 8)
        return after

    def _faulted(self) -> Value:
        pointer = self._text.address("%worker", layout.offset("eu_worker", "fault"))
        return self._text.compare("ne", self._text.load("i32", 1, pointer, 4), zero("i32"))

    # Leaving

    def _suspension(self, label: str, kind: Kind, offset: int, bits: int = 0) -> str:
        """Label of the code that leaves the function, to go on at a label, before an offset."""
        if label not in self._suspensions:
            waiting = self._facts.may_wait[offset if kind is Kind.BLOCK else self._start]
            if kind is not Kind.BLOCK:
                waiting -= {self._start}
            if len(waiting) >= _MASKS:
                raise Untranslatable("channels wait for too many places")
            leave, number = self._text.new_label("leave"), self._numbers.number(kind, offset)
            self._suspensions[label] = _Suspension(
                leave, offset, number, bits, tuple(sorted(waiting))
            )
        return self._suspensions[label].leave

    def _end(self, instruction: Instruction) -> None:
        """The thread ends, of a predicated message if it was sent."""
        text = self._text
        if instruction.predicate is not None:
            (state,) = self._states  # pairs.check has refused others
            mask = enabled(state, instruction)
            sent = text.compare("ne", mask_number(state, mask, instruction.width), zero("i32"))
            end, on = text.new_label("end"), text.new_label("on")
            text.branch_if(sent, end, on)
            text.label(on)
            self._go(instruction.offset, instruction.end)
            text.label(end)
        if self._options.kept:
            self._store(self._options.kept, ())
        self._pay(self._costs.of_end(instruction.offset) * len(self._states))
        result = text.select(self._faulted(), Value(str(FAULT), "i32"), Value(str(ENDED), "i32"))
        text.line(f"ret {result.typed}")

    def _wait(self, instruction: Instruction) -> None:
        """Take one notification from n0.0; leave while there is none."""
        text = self._text
        again = f"W{label_of(instruction.offset)}"
        text.branch(again)
        text.label(again)
        pointers = [state.thread.member(text, "n0") for state in self._states]
        counts = [text.load("i32", 1, pointer, 4) for pointer in pointers]
        none = text.compare("eq", counts[0], zero("i32"))
        for count in counts[1:]:
            none = text.binary("or", none, text.compare("eq", count, zero("i32")))
        on = text.new_label("on")
        text.branch_if(none, self._suspension(again, Kind.WAIT, instruction.offset), on)
        text.label(on)
        for count, pointer in zip(counts, pointers, strict=True):
            text.store(text.binary("sub", count, Value("1", "i32")), pointer, 4)

    def _leave_for_modes(self, instruction: Instruction) -> None:
        label = f"M{label_of(instruction.end)}"
        self._text.branch(self._suspension(label, Kind.MODES, instruction.end, AGAIN))
        self._text.label(label)

    def _leaving(self) -> None:
        """The code of all suspensions."""
        text = self._text
        for suspension in self._suspensions.values():
            text.label(suspension.leave)
            stop, keep = text.new_label("stop"), text.new_label("keep")
            text.branch_if(self._faulted(), stop, keep, likely=False)
            text.label(stop)
            text.line(f"ret i32 {FAULT}")
            text.label(keep)
            self._store(self._facts.live[suspension.offset], suspension.waiting)
            text.line(f"ret i32 {suspension.number | suspension.bits}")

    def _store(self, live: int, waiting: tuple[int, ...]) -> None:
        """Everything that is live to the thread blocks."""
        for state in self._states:
            thread = state.thread
            block = Memory(thread.pointer, 4096, 4)
            for number in _bits(live):
                value = state.access.load(thread.grf, number, 1)
                state.access.store(block, number, value)
            self._copy_files(state, out=True)
        masks = self._states[0].masks
        for at, pointer in self._kept_masks(waiting):
            words = masks.words(masks.load(pointer))
            for state, word in zip(self._states, words, strict=True):
                self._text.store(word, self._text.address(state.thread.pointer, at), 4)

    def _copy_files(self, state: State, *, out: bool) -> None:
        text, access, extent = self._text, state.access, self._facts.extent
        thread = state.thread
        highs = thread.acc_high.size // GRF_BYTES if extent.accumulator else 0
        for name, memory, count in (
            ("a0", thread.a0, int(extent.address)),
            ("acc", thread.acc, extent.accumulator),
            ("acc_high", thread.acc_high, highs),
        ):
            block = Memory(thread.member(text, name), memory.size, 4)
            for at in range(count):
                if out:
                    access.store(block, at, access.load(memory, at, 1))
                else:
                    access.store(memory, at, access.load(block, at, 1))
        for chunk, pointer in enumerate(thread.flags if extent.flags else ()):
            place = text.address(thread.member(text, "flags"), 2 * chunk)
            if out:
                mask = text.load("i1", FLAG_CHUNK, pointer, 2)
                text.store(text.bitcast(mask, "i16", 1), place, 2)
            else:
                bits = text.load("i16", 1, place, 2)
                text.store(text.bitcast(bits, "i1", FLAG_CHUNK), pointer, 2)

    def _kept_masks(self, waiting: tuple[int, ...]) -> list[tuple[int, str]]:
        """(offset in thread blocks, pointer) of the masks of control flow. Each place has a mask of
        its own there; if there are too many of them only those that are meant have."""
        start = layout.offset("eu_thread", "masks")
        places = self._facts.places if len(self._facts.places) < _MASKS else waiting
        order = {place: start + 4 * at for at, place in enumerate(places, 1)}
        rest = [(order[place], self._flow.waiting[place]) for place in waiting]
        return [(start, self._flow.current), *rest]

    # Entering

    def _entering(self) -> None:
        text = self._text
        thread = self._states[0].thread
        for state in self._states:
            state.thread.clear(text)
        control = text.load("i32", 1, thread.member(text, "cr0"), 4)
        for name, field in ((FLUSH_HALF, KEEP_HF), (FLUSH_SINGLE, KEEP_F)):
            kept = text.binary("and", control, Value(str(field.mask), "i32"))
            text.line(f"{name} = icmp eq {kept.typed}, 0")
        resume = text.load("i32", 1, thread.member(text, "resume"), 4)
        every = self._entries()
        known = [BEGINNING, *(number for number, _, _, _ in every)]
        arms = " ".join(f"i32 {number}, label %enter{number}" for number in known)
        text.line(f"switch {resume.typed}, label %nowhere [{arms}]")
        text.label("nowhere")
        text.line(f"ret i32 {FAULT}")
        text.label(f"enter{BEGINNING}")
        self._load(self._facts.live[0])
        self._load_mask(layout.offset("eu_thread", "dispatch_mask"), self._flow.current)
        text.branch(label_of(0))
        for number, label, offset, waiting in every:
            text.label(f"enter{number}")
            self._load(self._facts.live[offset])
            for at, pointer in self._kept_masks(waiting):
                self._load_mask(at, pointer)
            text.branch(label)

    def _entries(self) -> list[Entry]:
        """Where a thread may come back to."""
        return [
            (each.number, label, each.offset, each.waiting)
            for label, each in self._suspensions.items()
        ]

    def _load_mask(self, at: int, pointer: str) -> None:
        """A mask from the words at an offset in the thread blocks."""
        text, masks = self._text, self._states[0].masks
        places = [text.address(state.thread.pointer, at) for state in self._states]
        words = [text.load("i32", 1, place, 4) for place in places]
        masks.store(masks.of_words(words), pointer)

    def _load(self, live: int) -> None:
        """Registers from the thread blocks; nobody waits for anything."""
        for state in self._states:
            thread = state.thread
            block = Memory(thread.pointer, 4096, 4)
            for number in _bits(live):
                state.access.store(thread.grf, number, state.access.load(block, number, 1))
            self._copy_files(state, out=False)
        masks = self._states[0].masks
        for pointer in self._flow.waiting.values():
            masks.store(masks.nothing(), pointer)


def _bits(mask: int) -> list[int]:
    return [number for number in range(GRF_COUNT) if mask >> number & 1]


def _uses_doubles(program: Program) -> bool:
    """Whether DF is computed with, alone or beside F."""
    return any(
        each.type is Type.DF
        for instruction in program.instructions.values()
        if instruction.message is None
        for each in (instruction.destination, *instruction.sources)
        if each is not None
    )
