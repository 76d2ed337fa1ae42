"""A program as one function that can leave and come back: the text of its module.

The function loads what registers the program reads, runs, and returns EU_ENDED; at a `wait`, at a
back edge once the budget is spent, and where the floating-point modes change it stores what is
live into the thread block and returns the number of the place to go on.
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
from mediator.softgpu.eu.translator.control import ControlFlow
from mediator.softgpu.eu.translator.costs import Costs, is_long
from mediator.softgpu.eu.translator.early_modes import changes_modes, early_modes
from mediator.softgpu.eu.translator.extent import everything, extent_of
from mediator.softgpu.eu.translator.kills import unmasked_writes
from mediator.softgpu.eu.translator.memory import access
from mediator.softgpu.eu.translator.message_shape import shape_of
from mediator.softgpu.eu.translator.modes import AGAIN, wrapper
from mediator.softgpu.eu.translator.ops import FLUSH_HALF
from mediator.softgpu.eu.translator.pieces import beginnings
from mediator.softgpu.eu.translator.registers import Memory, Untranslatable
from mediator.softgpu.eu.translator.sends import mask_number, send
from mediator.softgpu.eu.translator.single_ops import FLUSH_SINGLE
from mediator.softgpu.eu.translator.state import FLAG_CHUNK, State
from mediator.softgpu.eu.translator.text import METADATA, Text, Value, zero

if TYPE_CHECKING:
    from mediator.softgpu.eu.isa.instruction import Instruction
    from mediator.softgpu.eu.isa.program import Block, Program
    from mediator.softgpu.eu.translator.state import Thread

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
    return _Kernel(program, simd, options or Options()).module()


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


def _width(program: Program, simd: int) -> int:
    """Channels that masks need: the thread's, or more if masked instructions are wider."""
    wide = [each.channel + each.width for each in program.instructions.values() if not each.no_mask]
    return next(width for width in (8, 16, 32) if width >= max([simd, *wide]))


def _label(offset: int) -> str:
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


class _Kernel:
    def __init__(self, program: Program, simd: int, options: Options) -> None:
        self._program, self._options = program, options
        self._text = Text()
        self._state = State(self._text, 1, _width(program, simd), beginnings(program))
        self._flow = ControlFlow(self._state, program, self._go)
        messages = sum(each.message is not None for each in program.instructions.values())
        self._state.frugal = messages > _FRUGAL_FROM
        self._state.unmasked = unmasked_writes(program, options.kept)
        self._live = liveness.live_at(program, options.kept, self._state.unmasked)
        self._suspensions: dict[str, _Suspension] = {}
        """By the label where to go on."""
        self._start = 0
        """Of the block that is being written."""
        self._state.doubles = _uses_doubles(program)
        self._early = early_modes(program)
        self._costs = Costs(program)
        self._extent = everything() if options.kept == liveness.ALL else extent_of(program)

    # The module

    def module(self) -> str:
        """The whole text."""
        for block in self._program.blocks:
            self._block(block)
        self._leaving()
        body = self._text.lines
        self._text.lines = []
        self._entering()
        entry = self._text.lines
        return "\n".join(
            [
                'target triple = "x86_64-unknown-linux-gnu"',
                "define internal i32 @body(ptr noalias %thread0, ptr %group, ptr %worker) #0 {",
                "entry:",
                *self._text.head,
                *entry,
                *body,
                "}",
                wrapper(doubles=self._state.doubles, early=self._early),
                *sorted(self._text.declarations),
                _ATTRIBUTES,
                METADATA,
            ]
        )

    def _block(self, block: Block) -> None:
        text = self._text
        self._start = block.start
        text.label(_label(block.start))
        self._flow.join(block.start)
        last = block.instructions[-1]
        for instruction in block.instructions:
            if instruction.opcode.form is Form.BRANCH:
                self._flow.branch(instruction)
                return
            self._one(instruction)
        if last.message is not None and last.message.end_of_thread:
            self._end(last)
            return
        self._go(last.offset, last.end)

    def _one(self, instruction: Instruction) -> None:
        if instruction.opcode is Opcode.NOP or instruction.offset in self._early.offsets:
            return
        if instruction.opcode is Opcode.WAIT:
            self._wait(instruction)
        elif instruction.message is not None:
            shape = shape_of(instruction)
            if shape is not None:
                access(self._state, instruction, shape)
            else:
                send(self._state, instruction)
        else:
            compute(self._state, instruction)
            if changes_modes(instruction):
                self._leave_for_modes(instruction)

    def _go(self, origin: int, target: int) -> None:
        """Jump; backwards only while there is no fault and the budget lasts."""
        if target > origin:
            self._text.branch(_label(target))
            return
        text = self._text
        spent = text.compare("slt", self._pay(self._costs.of_jump(origin, target)), zero("i64"))
        stop = text.binary("or", spent, self._faulted())
        text.branch_if(stop, self._suspension(_label(target), target), _label(target), likely=False)

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

    def _suspension(self, label: str, offset: int, bits: int = 0) -> str:
        """Label of the code that leaves the function, to go on at a label, before an offset."""
        if label not in self._suspensions:
            waiting = self._flow.may_wait[offset if label == _label(offset) else self._start]
            if label != _label(offset):
                waiting -= {self._start}
            if len(waiting) >= _MASKS:
                raise Untranslatable("channels wait for too many places")
            leave, number = self._text.new_label("leave"), len(self._suspensions) + 1
            self._suspensions[label] = _Suspension(
                leave, offset, number, bits, tuple(sorted(waiting))
            )
        return self._suspensions[label].leave

    def _end(self, instruction: Instruction) -> None:
        """The thread ends, of a predicated message if it was sent."""
        text = self._text
        if instruction.predicate is not None:
            mask = enabled(self._state, instruction, self._state.threads)
            sent = text.compare(
                "ne", mask_number(self._state, mask, instruction.width), zero("i32")
            )
            end, on = text.new_label("end"), text.new_label("on")
            text.branch_if(sent, end, on)
            text.label(on)
            self._go(instruction.offset, instruction.end)
            text.label(end)
        if self._options.kept:
            self._store(self._options.kept, ())
        self._pay(self._costs.of_end(instruction.offset))
        result = text.select(self._faulted(), Value(str(FAULT), "i32"), Value(str(ENDED), "i32"))
        text.line(f"ret {result.typed}")

    def _wait(self, instruction: Instruction) -> None:
        """Take one notification from n0.0; leave while there is none."""
        text, state = self._text, self._state
        again = f"W{_label(instruction.offset)}"
        text.branch(again)
        text.label(again)
        pointer = state.threads[0].member(text, "n0")
        count = text.load("i32", 1, pointer, 4)
        none = text.compare("eq", count, zero("i32"))
        on = text.new_label("on")
        text.branch_if(none, self._suspension(again, instruction.offset), on)
        text.label(on)
        text.store(text.binary("sub", count, Value("1", "i32")), pointer, 4)

    def _leave_for_modes(self, instruction: Instruction) -> None:
        label = f"M{_label(instruction.end)}"
        self._text.branch(self._suspension(label, instruction.end, AGAIN))
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
            self._store(self._live[suspension.offset], suspension.waiting)
            text.line(f"ret i32 {suspension.number | suspension.bits}")

    def _store(self, live: int, waiting: tuple[int, ...]) -> None:
        """Everything that is live to the thread block."""
        text, state = self._text, self._state
        for thread in state.threads:
            block = Memory(thread.pointer, 4096, 4)
            for number in _bits(live):
                value = state.access.load(thread.grf, number, 1)
                state.access.store(block, number, value)
            self._copy_files(thread, out=True)
            for place, pointer in self._kept_masks(thread, waiting):
                mask = text.load("i1", state.width * len(state.threads), pointer, 8)
                mine = state.part(mask, thread.number, state.width)
                number_ = text.cast("zext", text.bitcast(mine, f"i{state.width}", 1), "i32")
                text.store(number_, place, 4)

    def _copy_files(self, thread: Thread, *, out: bool) -> None:
        text, access = self._text, self._state.access
        extent = self._extent
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

    def _kept_masks(self, thread: Thread, waiting: tuple[int, ...]) -> list[tuple[str, str]]:
        """(place in the thread block, mask) of the masks of control flow."""
        start = layout.offset("eu_thread", "masks")
        pointers = [self._state.current, *(self._flow.waiting[place] for place in waiting)]
        return [
            (self._text.address(thread.pointer, start + 4 * at), pointer)
            for at, pointer in enumerate(pointers)
        ]

    # Entering

    def _entering(self) -> None:
        text, state = self._text, self._state
        thread = state.threads[0]
        thread.clear(text)
        control = text.load("i32", 1, thread.member(text, "cr0"), 4)
        for name, field in ((FLUSH_HALF, KEEP_HF), (FLUSH_SINGLE, KEEP_F)):
            kept = text.binary("and", control, Value(str(field.mask), "i32"))
            text.line(f"{name} = icmp eq {kept.typed}, 0")
        resume = text.load("i32", 1, thread.member(text, "resume"), 4)
        every = self._suspensions.items()
        arms = " ".join(f"i32 {each.number}, label %enter{each.number}" for _, each in every)
        text.line(f"switch {resume.typed}, label %begin [{arms}]")
        text.label("begin")
        self._load(self._live[0])
        bits = text.load("i32", 1, thread.member(text, "dispatch_mask"), 4)
        number = text.cast("trunc", bits, f"i{state.width}")
        text.store(text.bitcast(number, "i1", state.width), state.current, 8)
        for pointer in self._flow.waiting.values():
            text.store(zero("i1", state.width), pointer, 8)
        text.branch(_label(0))
        for label, suspension in every:
            text.label(f"enter{suspension.number}")
            self._load(self._live[suspension.offset])
            for other in self._flow.waiting.values():
                text.store(zero("i1", state.width), other, 8)
            for place, pointer in self._kept_masks(thread, suspension.waiting):
                bits = text.load("i32", 1, place, 4)
                narrow = text.cast("trunc", bits, f"i{state.width}")
                text.store(text.bitcast(narrow, "i1", state.width), pointer, 8)
            text.branch(label)

    def _load(self, live: int) -> None:
        state = self._state
        for thread in state.threads:
            block = Memory(thread.pointer, 4096, 4)
            for number in _bits(live):
                state.access.store(thread.grf, number, state.access.load(block, number, 1))
            self._copy_files(thread, out=False)


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
