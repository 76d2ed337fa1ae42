"""Instructions that compute, made ready for the interpreter: what reads, evaluates and writes one,
for all threads that stand at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.numpy_ops import DTYPES
from mediator.softgpu.eu.interpreter.predication import (
    active_lanes,
    check_predicate,
    predicate_lanes,
)
from mediator.softgpu.eu.interpreter.regions import put
from mediator.softgpu.eu.interpreter.register_access import (
    accumulator_access,
    immediate,
    reader,
    writer,
)
from mediator.softgpu.eu.interpreter.tape import Tape
from mediator.softgpu.eu.isa.execution_type import IllegalOperation, is_float
from mediator.softgpu.eu.isa.instruction import Destination, File, Immediate
from mediator.softgpu.eu.semantics.accumulator import (
    accumulator_offset,
    accumulator_type,
    is_accumulator,
    reads_accumulator,
    writes_accumulator,
)
from mediator.softgpu.eu.semantics.table import (
    computes,
    operands,
    predicate_selects,
    writes_flag,
)

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.architecture_registers import Surroundings
    from mediator.softgpu.eu.interpreter.numpy_ops import NumpyOps
    from mediator.softgpu.eu.interpreter.register_access import Writer
    from mediator.softgpu.eu.interpreter.threads import Rows, Threads
    from mediator.softgpu.eu.isa.instruction import Instruction

Array = NDArray[Any]
Lanes = NDArray[np.bool_]
Action = Callable[["Threads", "Rows", "NumpyOps"], None]
"""Carries an instruction out for threads of one float mode."""


def prepare(instruction: Instruction, surroundings: Surroundings) -> Action:
    """What carries out an instruction that computes.

    Raises:
        IllegalOperation: It means nothing.
    """
    destination = instruction.destination
    if not computes(instruction.opcode) or destination is None:
        raise IllegalOperation(f"{instruction.opcode.mnemonic} cannot be carried out")
    check_predicate(instruction)
    width = instruction.width
    read = [
        reader(operand, width, instruction.offset, surroundings)
        for operand in operands(instruction)
    ]
    write = writer(destination, width)
    second = _second_writer(instruction, destination)
    flag = instruction.flag + instruction.channel if writes_flag(instruction) else None
    before = _accumulator_reader(instruction) if reads_accumulator(instruction) else None
    after = _accumulator_writer(instruction) if writes_accumulator(instruction) else None
    selects = predicate_selects(instruction)
    if is_accumulator(destination) and not is_float(destination.type) and destination.type.size < 8:
        # Its value goes there with all its bits.
        write = None
    elif is_accumulator(destination):
        after = None

    known = [
        immediate(operand, width) if isinstance(operand, Immediate) else None
        for operand in operands(instruction)
    ]
    kind = destination.type
    tapes: dict[NumpyOps, Tape] = {}
    parts = 0 if before is None else 1 if is_float(accumulator_type(instruction)) else 2

    def act(threads: Threads, rows: Rows, ops: NumpyOps) -> None:
        tape = tapes.get(ops)
        if tape is None:
            chosen = selects and instruction.predicate is not None
            tape = Tape(ops, instruction, known, predicate=chosen, accumulator=parts)
            tapes[ops] = tape
        predicate = None
        if instruction.predicate is not None:
            predicate = predicate_lanes(instruction, threads, rows, width)
        inputs = [each(threads, rows) for each in read]
        if selects and predicate is not None:
            inputs.append(predicate)
        if before is not None:
            inputs += before(threads, rows)
        values = tape.play(inputs)
        outcome = tape.outcome
        mask = None if instruction.no_mask else active_lanes(instruction, threads, rows)
        if predicate is not None and not selects:
            mask = predicate if mask is None else mask & predicate
        if write is not None:
            write(threads, rows, _typed(kind, tape.value(outcome.value, values)), mask)
        if second is not None and outcome.second is not None:
            second(threads, rows, _typed(kind, tape.value(outcome.second, values)), mask)
        if after is not None and outcome.accumulator is not None:
            low = tape.value(outcome.accumulator.low, values)
            after(threads, rows, low, tape.value(outcome.accumulator.high, values), mask)
        if flag is not None and outcome.flag is not None:
            threads.write_flag(rows, flag, tape.value(outcome.flag, values), mask, width)

    return act


def _typed(kind: Type, value: Array) -> Array:
    dtype = DTYPES[kind]
    return value if value.dtype == dtype else value.view(dtype)


def _second_writer(instruction: Instruction, destination: object) -> Writer | None:
    """Of `idiv`: where the remainder goes, the registers behind the quotient's."""
    if instruction.function is None or instruction.function.mnemonic != "idiv":
        return None
    if not isinstance(destination, Destination) or destination.file is not File.GRF:
        return None
    size = -(-instruction.width * destination.stride * destination.type.size // 32) * 32
    behind = Destination(
        destination.file, destination.byte + size, destination.type, destination.stride
    )
    return writer(behind, instruction.width)


def _accumulator_reader(
    instruction: Instruction,
) -> Callable[[Threads, Rows], list[Array]]:
    kind, width = accumulator_type(instruction), instruction.width
    place, lanes, upper = accumulator_access(
        instruction.channel * kind.size % 64 if is_float(kind) else 0, kind, width
    )
    dtype = DTYPES[kind]

    def read(threads: Threads, rows: Rows) -> list[Array]:
        low = threads.bytes[:, place].view(dtype)[rows, lanes]
        if is_float(kind):
            return [low]
        return [low.astype(np.uint32), threads.blocks["acc_high"][rows, upper]]

    return read


def _accumulator_writer(
    instruction: Instruction,
) -> Callable[[Threads, Rows, Array, Array | None, Lanes | None], None]:
    kind, width = accumulator_type(instruction), instruction.width
    place, lanes, upper = accumulator_access(accumulator_offset(instruction), kind, width)
    dtype = DTYPES[kind]

    def write(
        threads: Threads, rows: Rows, low: Array, high: Array | None, mask: Lanes | None
    ) -> None:
        if not is_float(kind):
            low = _typed(Type.UD, low).astype(dtype)
        put(threads.bytes[:, place].view(dtype), rows, lanes, low, mask)
        if high is not None:
            put(threads.blocks["acc_high"], rows, upper, _typed(Type.Q, high), mask)

    return write
