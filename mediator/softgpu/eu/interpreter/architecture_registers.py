"""The architecture registers of the interpreter's threads: where each stands in a thread's block,
and those that are computed when they are read.

Source: PRM SKL vol 7 "ARF Registers".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mediator.gen9.eu import registers
from mediator.softgpu.eu.interpreter.threads import BLOCK
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import GRF_BYTES

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.threads import Rows, Threads


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What registers tell that no block holds.

    ``base``: what `ip` reads at the kernel's entry, in bytes from Instruction base. ``clock``: what
    the timestamp register (tm0) counts, which may be anything that never goes back.
    """

    base: int = 0
    clock: Callable[[], int] = lambda: 0


def _offset(name: str) -> int:
    assert BLOCK.fields is not None
    return int(BLOCK.fields[name][1])


def _size(name: str) -> int:
    assert BLOCK.fields is not None
    return BLOCK.fields[name][0].itemsize


_STORED: Final = {
    registers.ADDRESS: "a0",
    registers.STACK_POINTER: "sp",
    registers.STATE: "sr0",
    registers.CONTROL: "cr0",
    registers.NOTIFICATION: "n0",
}
_READ_ONLY: Final = frozenset(
    {
        registers.CHANNEL_ENABLE,
        registers.STATE,
        registers.STATE + 1,
        registers.TIMESTAMP,
    }
)
_FLAG_BYTES: Final = 4


def stored_at(byte: int, size: int) -> int | None:
    """Where ``size`` bytes at an ARF position stand in a thread's block; None if nowhere: they are
    computed.

    Raises:
        IllegalOperation: They reach beyond the register.
    """
    number, inside = byte // GRF_BYTES, byte % GRF_BYTES
    if registers.ACCUMULATOR <= number < registers.ACCUMULATOR + registers.ACCUMULATORS:
        start = byte - registers.ACCUMULATOR * GRF_BYTES
        at, room = _offset("acc") + start, _size("acc") - start
    elif registers.FLAG <= number < registers.FLAG + registers.FLAGS:
        at = _offset("flags") + _FLAG_BYTES * (number - registers.FLAG) + inside
        room = _FLAG_BYTES * (registers.FLAG + registers.FLAGS - number) - inside
    elif number in _STORED:
        name = _STORED[number]
        at, room = _offset(name) + inside, _size(name) - inside
    else:
        return None
    if size > room:
        raise IllegalOperation(f"beyond architecture register {number:#x}")
    return at


def writable(byte: int) -> bool:
    """Whether an ARF takes writes; those to others are ignored.

    Raises:
        IllegalOperation: A write to `ip`: jumps are made by branches.
    """
    number = byte // GRF_BYTES
    if number == registers.INSTRUCTION_POINTER:
        raise IllegalOperation("a write to ip")
    return number not in _READ_ONLY and number != registers.NULL


def computed(
    threads: Threads, rows: Rows, byte: int, ip: int, surroundings: Surroundings
) -> NDArray[np.uint8]:
    """The 32 bytes of a register that no block holds, of each thread."""
    number = byte // GRF_BYTES
    count = len(threads.ip[rows])
    found = np.zeros((count, GRF_BYTES // 4), np.uint32)
    if number == registers.CHANNEL_ENABLE:
        found[:, 0] = threads.channel_mask(rows)
    elif number == registers.INSTRUCTION_POINTER:
        found[:, 0] = (surroundings.base + ip) & 0xFFFFFFFF
    elif number == registers.TIMESTAMP:
        ticks = surroundings.clock()
        found[:, 0], found[:, 1] = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFFFFFF
    return found.view(np.uint8)
