"""A kernel's program: all instructions that control can reach from its entry, and its blocks.

Code is read as hardware would: only where control goes. What lies behind the end of a thread is
padding, or another kernel. Source: PRM SKL vol 7 "Flow Control".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from mediator.gen9.eu.opcodes import Form, Opcode
from mediator.softgpu.eu.isa.decoder import COMPACTED_BYTES, NATIVE_BYTES, decode, size_at
from mediator.softgpu.eu.isa.instruction import IllegalInstruction, Instruction

MOST_INSTRUCTIONS: Final = 1 << 16
MOST_RANGES: Final = 1024
"""Runs of code without a gap: before each kernel all of them are compared with memory."""
_MOST_PAGES: Final = 1024
"""That are read to decode a program, or what its registers lead to: one page of memory may stand at
any number of addresses."""
_PAGE_SIZE: Final = 10
"""What a page takes while it is kept, in instructions."""
_PIECE: Final = 128
"""Instructions of a step."""
_UNIT: Final = 8
"""Instructions begin at multiples of this many bytes."""
_PAGE: Final = 4096
_ALL_LEAVE: Final = frozenset({Opcode.JMPI, Opcode.BRD, Opcode.BRC, Opcode.RET})
"""Without a predicate no channel goes on behind them."""

ReadCode = Callable[[int, int], bytes]
"""Gives code at (offset in the instruction heap, count), never across a page; raises what its
memory raises."""


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions of which control enters only the first and leaves only the last.

    ``successors``: offsets where control may go on, the next instruction first if it is one. Where
    a register says, they are not known.
    """

    instructions: tuple[Instruction, ...]
    successors: tuple[int, ...]

    @property
    def start(self) -> int:
        """Offset of the first instruction."""
        return self.instructions[0].offset


def is_end(instruction: Instruction) -> bool:
    """Whether an instruction ends the thread."""
    return instruction.message is not None and instruction.message.end_of_thread


def is_dynamic(instruction: Instruction) -> bool:
    """Whether an instruction takes its target from a register."""
    return instruction.opcode.form is Form.BRANCH and bool(instruction.sources)


def targets(instruction: Instruction) -> tuple[int, ...]:
    """Offsets that an instruction names, to jump there or for channels to wait there."""
    jumps = (instruction.jip, instruction.uip)
    return tuple(dict.fromkeys(instruction.offset + jump for jump in jumps if jump is not None))


def falls_through(instruction: Instruction) -> bool:
    """Whether control may go on at the next instruction (after a call: once it returns)."""
    leaves = is_end(instruction) or instruction.opcode in _ALL_LEAVE
    return not leaves or instruction.predicate is not None


def successors(instruction: Instruction) -> tuple[int, ...]:
    """Offsets where control may go on, the next instruction first if it is one."""
    following = (instruction.end,) if falls_through(instruction) else ()
    return tuple(dict.fromkeys(following + targets(instruction)))


@dataclass(slots=True)
class _Code:
    """Code as it is fetched, by pages: none is touched that control does not reach."""

    read: ReadCode
    entry: int
    limit: int
    pages: dict[int, bytes] = field(default_factory=dict)

    def instruction(self, offset: int) -> Instruction:
        """The instruction at ``offset`` from the entry."""
        if (self.entry + offset) % _UNIT:
            raise IllegalInstruction("a jump to where no instruction can begin", None, offset)
        code = self._unit(offset)
        if size_at(code) == NATIVE_BYTES:
            code += self._unit(offset + COMPACTED_BYTES)
        found = decode(code, 0, offset)
        if found.opcode is Opcode.CALLA and found.jip is not None:
            return replace(found, jip=found.jip - self.entry - offset)
        return found

    def _unit(self, offset: int) -> bytes:
        at = self.entry + offset
        if at < 0 or at + _UNIT > self.limit:
            raise IllegalInstruction("execution leaves the instruction heap", None, offset)
        page = at & -_PAGE
        if page not in self.pages:
            if len(self.pages) == _MOST_PAGES:
                raise IllegalInstruction("a program in too many pieces", None, offset)
            self.pages[page] = self.read(page, min(_PAGE, self.limit - page))
        return self.pages[page][at - page : at - page + _UNIT]

    def bytes_of(self, instruction: Instruction) -> bytes:
        """The instruction as it stands in memory."""
        units = range(instruction.offset, instruction.end, _UNIT)
        return b"".join(self._unit(unit) for unit in units)


class Program:
    """Instructions by offset from the entry, which is 0, and the blocks that they form.

    ``entry``: the kernel's offset in the instruction heap, whose size is ``limit`` bytes. Raises
    IllegalInstruction if control can reach what is none, and what ``read`` raises. Jumps of the
    instructions are relative to their offsets, those of calla too.
    """

    def __init__(self, read: ReadCode, entry: int, limit: int, *, whole: bool = True) -> None:
        """If it is not to be ``whole`` at once, whoever makes it takes all of `steps` first, which
        raises the same."""
        self.steps = self._decode(_Code(read, entry, limit))
        """Decoding, a piece at a time: what it takes so far, in instructions."""
        if whole:
            for _ in self.steps:
                pass

    def _decode(self, code: _Code) -> Iterator[int]:
        self._found: dict[int, Instruction] = {}
        yield from _follow(self._found, code, 0)
        self.instructions = dict(sorted(self._found.items()))
        """By offset, in ascending order."""
        self.dynamic = any(is_dynamic(each) for each in self.instructions.values())
        """Some target is in a register: `Reached` decodes what control comes to besides."""
        self.blocks = yield from self._blocks(code)
        """In ascending order."""
        self.ranges = yield from self._ranges(code)
        """The code that was decoded, as (offset, bytes) of each run without a gap."""

    @classmethod
    def of(cls, code: bytes, entry: int = 0) -> Program:
        """The program at ``entry`` of ``code``."""
        return cls(lambda at, count: code[at : at + count], entry, len(code))

    def at(self, offset: int) -> Instruction:
        """The instruction at ``offset``. Raises IllegalInstruction where none was decoded; see
        `Reached`."""
        if offset not in self._found:
            raise IllegalInstruction("a jump to where no instruction begins", None, offset)
        return self._found[offset]

    @cached_property
    def block_of(self) -> dict[int, Block]:
        """The blocks by the offsets of their first instructions."""
        return {block.start: block for block in self.blocks}

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all that the program's behaviour depends on; not of where it lies."""
        digest = hashlib.sha256()
        for offset, code in self.ranges:
            digest.update(offset.to_bytes(8, "little", signed=True))
            digest.update(len(code).to_bytes(8, "little") + code)
        for instruction in self.instructions.values():
            if instruction.opcode is Opcode.CALLA and instruction.jip is not None:
                digest.update(instruction.jip.to_bytes(8, "little", signed=True))
        return digest.digest()

    def _ranges(self, code: _Code) -> Generator[int, None, tuple[tuple[int, bytes], ...]]:
        runs: list[tuple[int, bytearray]] = []
        for number, instruction in enumerate(self.instructions.values()):
            if number % _PIECE == 0:
                yield _taken(self._found, code)
            found = code.bytes_of(instruction)
            if runs and runs[-1][0] + len(runs[-1][1]) == instruction.offset:
                runs[-1][1].extend(found)
                continue
            if len(runs) == MOST_RANGES:
                reason = "a program in too many pieces"
                raise IllegalInstruction(reason, instruction.word, instruction.offset)
            runs.append((instruction.offset, bytearray(found)))
        return tuple((offset, bytes(run)) for offset, run in runs)

    def _blocks(self, code: _Code) -> Generator[int, None, tuple[Block, ...]]:
        leaders = {0}
        for each in self.instructions.values():
            leaders.update(targets(each))
        blocks: list[Block] = []
        block: list[Instruction] = []
        for number, each in enumerate(self.instructions.values()):
            if number % _PIECE == 0:
                yield _taken(self._found, code)
            if block and (each.offset in leaders or _ends_block(block[-1])):
                blocks.append(Block(tuple(block), successors(block[-1])))
                block = []
            block.append(each)
        return (*blocks, Block(tuple(block), successors(block[-1])))


class Reached:
    """The instructions of a program at one place, those too to which targets in registers lead:
    each is decoded when control comes to it, and is in no block.

    ``read``, ``entry`` and ``limit`` as for the program.
    """

    def __init__(self, program: Program, read: ReadCode, entry: int, limit: int) -> None:
        self._found = dict(program.instructions)
        self._code = _Code(read, entry, limit)

    @property
    def taken(self) -> int:
        """What is kept, in instructions."""
        return _taken(self._found, self._code)

    def at(self, offset: int) -> Instruction:
        """The instruction at ``offset``. Raises IllegalInstruction where none begins."""
        return self._found.get(offset) or _add(self._found, self._code, offset)


def _follow(found: dict[int, Instruction], code: _Code, start: int) -> Iterator[int]:
    """Decode all that control can reach from ``start`` on and that is not ``found`` yet."""
    pending = [start]
    while pending:
        offset = pending.pop()
        if offset in found:
            continue
        pending += successors(_add(found, code, offset))
        if len(found) % _PIECE == 0:
            yield _taken(found, code)


def _taken(found: dict[int, Instruction], code: _Code) -> int:
    """What is kept while a program is decoded, in instructions."""
    return len(found) + _PAGE_SIZE * len(code.pages)


def _add(found: dict[int, Instruction], code: _Code, offset: int) -> Instruction:
    """Decode the instruction at ``offset``, which is not ``found`` yet."""
    before = found.get(offset - _UNIT)
    if before is not None and before.end > offset:
        raise IllegalInstruction("a jump into an instruction", before.word, offset)
    here = code.instruction(offset)
    if here.size > _UNIT and offset + _UNIT in found:
        raise IllegalInstruction("instructions that overlap", here.word, offset)
    if len(found) == MOST_INSTRUCTIONS:
        raise IllegalInstruction("a program that is too long", here.word, offset)
    found[offset] = here
    return here


def _ends_block(instruction: Instruction) -> bool:
    return instruction.opcode.form is Form.BRANCH or is_end(instruction)
