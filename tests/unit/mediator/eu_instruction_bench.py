"""One instruction on the interpreter's threads: numbers in, numbers, flags and accumulator out.

Numbers are Python's: ints for integer types, floats for float types. A long list of lanes becomes
as many threads as it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mediator.gen9.eu.control_register import IEEE, FloatMode
from mediator.gen9.eu.opcodes import MathFunction, Opcode
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
from mediator.softgpu.eu.interpreter.execution import prepare
from mediator.softgpu.eu.interpreter.numpy_ops import DTYPES, NumpyOps
from mediator.softgpu.eu.interpreter.threads import ALL, Threads
from mediator.softgpu.eu.isa.instruction import (
    Condition,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    Instruction,
    Operand,
    Region,
    Source,
)

Number = int | float
WIDTH = 8
TARGET = 100
"""The destination's register; sources are in r10, r20, r30."""
CONTIGUOUS = Region(8, 8, 1)
SCALAR = Region(0, 1, 0)
NULL = Destination(File.ARF, 0, Type.D, 1)


def instruction(opcode: Opcode, **fields: Any) -> Instruction:
    """An instruction with everything that is not named at its plainest."""
    plain: dict[str, Any] = {
        "offset": 0,
        "size": 16,
        "word": 0,
        "width": WIDTH,
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
    return Instruction(opcode=opcode, **{**plain, **fields})


def grf(
    register: int, kind: Type, region: Region = CONTIGUOUS, sub: int = 0, **fields: Any
) -> Source:
    """A source in a general register; ``sub`` counts elements."""
    return Source(File.GRF, 32 * register + sub * kind.size, kind, region, **fields)


def to(register: int, kind: Type, stride: int = 1, sub: int = 0) -> Destination:
    """A destination in a general register."""
    return Destination(File.GRF, 32 * register + sub * kind.size, kind, stride)


@dataclass(frozen=True, slots=True)
class Operandum:
    """A source's type, its lanes and its modifiers."""

    kind: Type
    lanes: Sequence[Number] | NDArray[Any]
    negate: bool = False
    absolute: bool = False


@dataclass(slots=True)
class Outcome:
    """What is left, one entry for each lane."""

    values: NDArray[Any]
    flags: NDArray[np.bool_]
    threads: Threads
    second: NDArray[Any] = field(default_factory=lambda: np.zeros(0))

    def flag_list(self) -> list[bool]:
        """The flags as a list."""
        found: list[bool] = self.flags.tolist()
        return found

    def list(self) -> list[Any]:
        """The destination's lanes as Python's numbers."""
        found: list[Any] = self.values.tolist()
        return found


def array_of(kind: Type, lanes: Sequence[Number] | NDArray[Any]) -> NDArray[Any]:
    """Lanes in a type's form; integers wrap, half and single floats must be exact."""
    if isinstance(lanes, np.ndarray):
        return lanes.astype(DTYPES[kind])
    if DTYPES[kind].kind in "iu":
        mask = (1 << 8 * kind.size) - 1
        raw = b"".join((int(lane) & mask).to_bytes(kind.size, "little") for lane in lanes)
        return np.frombuffer(raw, DTYPES[kind]).copy()
    return np.array(lanes, np.float64).astype(DTYPES[kind])


def started(count: int) -> Threads:
    """Threads with all their first eight channels active."""
    threads = Threads(count)
    threads.blocks["dispatch_mask"] = 0xFFFFFFFF
    threads.start()
    return threads


def execute(threads: Threads, what: Instruction, mode: FloatMode = IEEE, base: int = 0) -> None:
    """Carry one instruction out for all threads."""
    with np.errstate(all="ignore"):
        prepare(what, Surroundings(base))(threads, ALL, NumpyOps(mode))


def operate(
    opcode: Opcode,
    target: Type,
    *sources: Operandum | Immediate,
    mode: FloatMode = IEEE,
    condition: Condition = Condition.NONE,
    function: MathFunction | None = None,
    threads: Threads | None = None,
    **fields: Any,
) -> Outcome:
    """Carry out an instruction with lanes as sources; the lists are of one length."""
    lanes = max(len(source.lanes) for source in sources if isinstance(source, Operandum))
    count = -(-lanes // WIDTH)
    threads = threads or started(count)
    operands: list[Operand] = []
    for register, source in zip((10, 20, 30), sources, strict=False):
        if isinstance(source, Immediate):
            operands.append(source)
            continue
        padded = np.zeros(count * WIDTH, DTYPES[source.kind])
        padded[:lanes] = array_of(source.kind, source.lanes)
        first = register * 32 // source.kind.size
        threads.grf[source.kind][:, first : first + WIDTH] = padded.reshape(count, WIDTH)
        operands.append(grf(register, source.kind, negate=source.negate, absolute=source.absolute))
    destination: Destination | IndirectDestination = fields.pop("destination", to(TARGET, target))
    execute(
        threads,
        instruction(
            opcode,
            destination=destination,
            sources=tuple(operands),
            condition=condition,
            function=function,
            **fields,
        ),
        mode,
    )
    first = TARGET * 32 // target.size
    values = threads.grf[target][:, first : first + WIDTH].reshape(-1)[:lanes]
    size = -(-WIDTH * target.size // 32) * 32
    behind = (TARGET * 32 + size) // target.size
    second = threads.grf[target][:, behind : behind + WIDTH].reshape(-1)[:lanes]
    flags = threads.flag_lanes(ALL, 0, WIDTH).reshape(-1)[:lanes]
    return Outcome(values, flags, threads, second)
