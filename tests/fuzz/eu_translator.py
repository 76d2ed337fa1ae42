"""Fuzz target over the EU's translator: random programs, compiled and interpreted.

Invariant: whatever the program (instructions in a row, structured or any other control flow, bits
flipped, noise), it is refused, by both or by the compiler alone, or both leave the same registers
behind; one without an end comes back with its budget; and the compiler process has not died, but
for what LLVM aborts on.

``python -m tests.fuzz.eu_translator SECONDS [SEED]`` runs for longer.
"""

from __future__ import annotations

import faulthandler
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from mediator.gen9.eu.opcodes import Opcode
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.interpreter.interpreter import State
from mediator.softgpu.eu.interpreter.threads import BLOCK
from mediator.softgpu.eu.isa.assembler import Assembler, Controls
from mediator.softgpu.eu.isa.instruction import IllegalInstruction
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.native.worker import ffi, routine_addresses
from mediator.softgpu.eu.translator.linker import Linked, Linker
from mediator.softgpu.eu.translator.process import CompilerProcess, ProcessDied
from mediator.softgpu.eu.translator.wire import Status
from tests.eu_random import OPCODES, random_instruction
from tests.property import compare_executors, eu_programs
from tests.property.compare_executors import Begin
from tests.property.compiled_world import ENDED, SPENT, CompiledWorld, PagedMemory

KEEP_ALL = 1 << 6 | 1 << 7 | 1 << 10
"""cr0: no denormal is a zero."""
_INTERPRETED = 5_000
"""Instructions after which a program is taken to be endless."""
_RETURNS = 2 * _INTERPRETED
"""Budgets that an endless program gets of compiled code, each of a jump back or some."""
_BUDGET = 400
_THREAD_SPAWNER = 7
_FLAGS = (1 << 64) - 1
_MOST_OF_PAIRS = 16
"""Channels of threads that may run in pairs."""
_STUCK_S = 120
"""So long no program takes: the stack is shown and the process ends."""
_FORWARD = (Opcode.IF, Opcode.GOTO, Opcode.BREAK, Opcode.CONT, Opcode.HALT, Opcode.ELSE)
_ONE_TARGET = (Opcode.ENDIF, Opcode.JOIN, Opcode.JMPI)
_NO_PREDICATE = (Opcode.ELSE, Opcode.ENDIF, Opcode.JOIN)


class Disagreement(AssertionError):
    """Compiled code and interpreter part ways; says how, and the seed."""


def straight(random: Random, simd: int) -> bytes:
    """Instructions that compute, one after another."""
    return eu_programs.Writer(random.getrandbits(32), simd).code(random.choice((1, 10, 40)))


def branching(random: Random, simd: int) -> bytes:
    """Branches to anywhere, most of them forward, between instructions that compute."""
    asm = Assembler(simd, compacting=False)
    count = random.choice((4, 12, 30))
    writer = eu_programs.Writer(random.getrandbits(32), simd, floats=False)
    for number, instruction in enumerate(writer.program(count)):
        asm.label(f"{number}")
        asm.instruction(instruction)
        if random.random() < 0.4:
            _branch(asm, random, number, count)
    asm.label(f"{count}")
    asm.join(16)
    asm.end()
    return asm.code()


def _branch(asm: Assembler, random: Random, number: int, count: int) -> None:
    ahead = sorted(random.randrange(number + 1, count + 1) for _ in range(2))
    near, far = (f"{place}" for place in ahead)
    back = f"{random.randrange(number + 1)}"
    match random.randrange(6):
        case 0 | 1:
            opcode = random.choice(_FORWARD)
            asm.branch(opcode, near, far, **_controls(opcode, random))
        case 2:
            opcode = random.choice(_ONE_TARGET)
            asm.branch(opcode, near, **_controls(opcode, random))
        case 3:
            asm.branch(Opcode.WHILE, back, **_controls(Opcode.WHILE, random))
        case 4:
            controls = _controls(Opcode.GOTO, random)
            controls["branch_control"] = True
            asm.branch(Opcode.GOTO, 16, back, **controls)
        case _:
            asm.branch(Opcode.JMPI, back, **_controls(Opcode.JMPI, random))


def _controls(opcode: Opcode, random: Random) -> Controls:
    """A predicate, for those that may have one."""
    if opcode in _NO_PREDICATE:
        return {}
    return {"predicate": random.random() < 0.5, "flag": random.choice((0, 16, 32))}


def flipped(random: Random, simd: int) -> bytes:
    """A program of either kind with some bits wrong."""
    code = bytearray(random.choice((straight, branching))(random, simd))
    for _ in range(random.choice((1, 1, 3, 10))):
        at = random.randrange(8 * len(code))
        code[at // 8] ^= 1 << at % 8
    return bytes(code)


def anything(random: Random, _simd: int) -> bytes:
    """Any instructions that have an encoding, or noise."""
    if random.random() < 0.2:
        return random.randbytes(random.choice((8, 16, 400)))
    words = [encode_any(random) for _ in range(random.choice((1, 3, 20)))]
    return b"".join(words) + eu_programs.END


def encode_any(random: Random) -> bytes:
    """One instruction's bytes."""
    return random_instruction(random, OPCODES).word.to_bytes(16, "little")


KINDS: tuple[Callable[[Random, int], bytes], ...] = (
    straight,
    branching,
    branching,
    flipped,
    anything,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A program and what threads of it begin with."""

    code: bytes
    simd: int
    threads: tuple[Begin, Begin]
    """The first is run alone, too."""


def case(seed: int) -> Case:
    """Drawn from ``seed`` alone."""
    random = Random(seed)
    simd = random.choice((8, 16, 32))
    mask = random.choice(((1 << simd) - 1, random.getrandbits(simd) | 1))
    flags = random.getrandbits(64)
    code = random.choice(KINDS)(random, simd)
    other = random.choice((mask, (1 << simd) - 1, random.getrandbits(simd)))
    threads = (
        Begin(eu_programs.registers(seed), mask, flags),
        Begin(eu_programs.registers(seed + 1), other, random.choice((flags, ~flags & _FLAGS))),
    )
    return Case(code, simd, threads)


class Judge:
    """A compiler process with all its limits, and what became of programs."""

    def __init__(self) -> None:
        self.compiler = CompilerProcess()
        self.linker = Linker(routine_addresses())
        self.found: Counter[str] = Counter()

    def close(self) -> None:
        """End the process."""
        self.compiler.stop()

    def judge(self, seed: int) -> str:
        """What became of the program of ``seed``, in a word. Raises Disagreement."""
        made = case(seed)
        try:
            became = self._judge(made)
        except AssertionError as error:
            raise Disagreement(f"seed {seed}: {error}") from error
        self.found[became] += 1
        return became

    def _judge(self, made: Case) -> str:
        try:
            program: Program | None = Program.of(made.code)
        except IllegalInstruction:
            program = None
        before = self.compiler.pid
        try:
            reply = self.compiler.compile(made.code, 0, made.simd, keep_all=True)
        except ProcessDied as death:
            if program is None:
                raise Disagreement(f"a program that is none ended the compiler: {death}") from death
            # LLVM aborts on one program in some hundreds: such a kernel stays interpreted.
            return "died"
        assert before in (None, self.compiler.pid) or self.compiler.pid is None
        if program is None:
            assert reply.status is Status.REFUSED, "compiled what is no program"
            return "no program"
        if reply.status is Status.REFUSED:
            return "refused"
        messages = (each.message for each in program.instructions.values())
        if any(message is not None and message.sfid != _THREAD_SPAWNER for message in messages):
            return "with messages"
        linked = self.linker.link(reply.content)
        became = self._compare(made.threads[:1], program, linked)
        if made.simd > _MOST_OF_PAIRS:
            return became
        try:
            reply = self.compiler.compile(made.code, 0, made.simd, keep_all=True, pair=True)
        except ProcessDied:
            return f"{became}, died as a pair"
        if reply.status is Status.REFUSED:
            return f"{became}, refused as a pair"
        pair = self.linker.link(reply.content, pair=True)
        return f"{became}, as a pair {self._compare(made.threads, program, linked, pair)}"

    def _compare(
        self,
        threads: tuple[Begin, ...],
        program: Program,
        linked: Linked,
        pair: Linked | None = None,
    ) -> str:
        expected = [
            compare_executors.interpreted(
                program, each.registers, each.mask, KEEP_ALL, each.flags, _INTERPRETED
            )
            for each in threads
        ]
        space = PagedMemory([])
        world = CompiledWorld(space, Bases(), len(threads), 0)
        with world.attached():
            for number, each in enumerate(threads):
                world.begin(number, each.registers, each.mask, KEEP_ALL)
                world.threads[number].flags = each.flags
            outcome = world.run(linked, _BUDGET, most=_RETURNS, pair=pair)
        space.close()
        if any(state is not State.ENDED for state, _ in expected):
            endless = any(state is State.SPENT for state, _ in expected)
            return "endless" if endless else "faulted"
        assert outcome == ENDED, "compiled code does not end" if outcome == SPENT else "a fault"
        after = np.frombuffer(bytes(ffi.buffer(world.threads)), BLOCK)
        for number, (_, block) in enumerate(expected):
            wrong = compare_executors.differences(block, after[number])
            assert not wrong, f"thread {number}: " + "; ".join(wrong)
        return "parted" if world.parted else "the same"


def fuzz(seed: int, seconds: float = 0, programs: int = 0) -> Counter[str]:
    """Judge ``programs`` from ``seed`` on, or for ``seconds``; how many became what."""
    judge = Judge()
    end, done = time.monotonic() + seconds, 0
    try:
        while done < programs or time.monotonic() < end:
            faulthandler.dump_traceback_later(_STUCK_S, exit=True)
            judge.judge(seed + done)
            done += 1
    finally:
        faulthandler.cancel_dump_traceback_later()
        judge.close()
    return judge.found


def main(arguments: list[str]) -> int:
    """The command line's part."""
    seconds = float(arguments[0]) if arguments else 60
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns() & 0xFFFFFFFF
    print(f"seed {seed}", flush=True)
    for became, count in fuzz(seed, seconds).most_common():
        print(f"{count:8} {became}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
