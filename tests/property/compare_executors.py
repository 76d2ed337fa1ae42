"""One thread through the interpreter and through compiled code: what differs afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.bases import Bases
from mediator.softgpu.eu.interpreter.interpreter import Interpreter, Kernel, State
from mediator.softgpu.eu.interpreter.threads import BLOCK, Threads
from mediator.softgpu.eu.isa.program import Program
from mediator.softgpu.eu.message_port import Call, MessageFault
from mediator.softgpu.eu.native.worker import ffi
from mediator.softgpu.eu.translator.linker import Linked
from tests.property.compiled_world import ENDED, PLENTY, CompiledWorld, PagedMemory
from tests.property.eu_programs import BANKS

_FLOATS = {Type.HF: "<f2", Type.F: "<f4", Type.DF: "<f8"}
_COMPARED = ("flags", "a0", "sp")


class NoMessages:
    """Takes the end of the thread, and nothing else."""

    def send(self, call: Call) -> MessageFault | None:
        """Carry out a message."""
        assert call.sfid == 7
        return None


def interpreted(
    program: Program,
    registers: bytes,
    mask: int,
    cr0: int,
    flags: int = 0,
    budget: int = 1_000_000,
) -> tuple[State, Any]:
    """The thread's block after the interpreter, or after ``budget`` instructions of it."""
    threads = Threads(1)
    threads.bytes[0, : len(registers)] = np.frombuffer(registers, np.uint8)
    threads.blocks["dispatch_mask"] = mask
    threads.blocks["cr0"][0, 0] = cr0
    threads.blocks["flags"] = flags
    interpreter = Interpreter(Kernel(program.at), threads, NoMessages())
    state = interpreter.run(budget)
    return state, threads.blocks[0]


@dataclass(frozen=True, slots=True)
class Begin:
    """What a thread begins with."""

    registers: bytes
    mask: int
    flags: int = 0


def compiled(linked: Linked, registers: bytes, mask: int, cr0: int, flags: int = 0) -> Any:
    """The thread's block after compiled code."""
    return together(linked, [Begin(registers, mask, flags)], cr0)[0]


def together(
    linked: Linked,
    threads: Sequence[Begin],
    cr0: int,
    pair: Linked | None = None,
    budget: int = PLENTY,
) -> Any:
    """The blocks of a group's threads after compiled code, with ``pair`` two at a time."""
    space = PagedMemory([])
    world = CompiledWorld(space, Bases(), len(threads), 0)
    with world.attached():
        for number, each in enumerate(threads):
            world.begin(number, each.registers, each.mask, cr0)
            world.threads[number].flags = each.flags
        assert world.run(linked, budget, pair=pair) == ENDED
    assert pair is None or len(threads) < 2 or world.pairs
    space.close()
    return np.frombuffer(bytes(ffi.buffer(world.threads)), BLOCK)


def differences(expected: Any, found: Any) -> list[str]:
    """Where the blocks differ: any NaN is as good as another."""
    complaints = [
        f"{name}: {found[name]} instead of {expected[name]}"
        for name in _COMPARED
        if not np.array_equal(expected[name], found[name])
    ]
    covered = np.zeros(4096, np.bool_)
    for kind, (first, last) in BANKS.items():
        if kind is None:
            continue
        part = slice(32 * first, 32 * last)
        covered[part] = True
        one = expected["grf"][part].view(_FLOATS[kind])
        other = found["grf"][part].view(_FLOATS[kind])
        same = (one.view(f"<u{kind.size}") == other.view(f"<u{kind.size}")) | (
            np.isnan(one) & np.isnan(other)
        )
        for at in np.flatnonzero(~same)[:3]:
            place = 32 * first + int(at) * kind.size
            complaints.append(f"r{place // 32}.{place % 32}: {other[at]!r} instead of {one[at]!r}")
    wrong = np.flatnonzero((expected["grf"] != found["grf"]) & ~covered)
    complaints += [
        f"r{at // 32}.{at % 32}: {found['grf'][at]:#x} instead of {expected['grf'][at]:#x}"
        for at in wrong[:6]
    ]
    return complaints
