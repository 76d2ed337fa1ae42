"""Reading and writing operands: made once for each operand of an instruction, called for each
execution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mediator.gen9.eu.types import Packed, Type
from mediator.softgpu.eu.interpreter.architecture_registers import (
    Surroundings,
    computed,
    stored_at,
    writable,
)
from mediator.softgpu.eu.interpreter.numpy_ops import DTYPES
from mediator.softgpu.eu.interpreter.regions import (
    as_index,
    destination_elements,
    element_bytes,
    indirect_destination_bytes,
    indirect_source_bytes,
    pick,
    put,
    source_elements,
    write_mask_lanes,
)
from mediator.softgpu.eu.isa.execution_type import IllegalOperation
from mediator.softgpu.eu.isa.instruction import (
    GRF_BYTES,
    GRF_COUNT,
    Destination,
    File,
    Immediate,
    IndirectDestination,
    IndirectSource,
)
from mediator.softgpu.eu.semantics.accumulator import ACCUMULATOR_BYTE

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.threads import Rows, Threads
    from mediator.softgpu.eu.isa.instruction import Operand

Array = NDArray[Any]
Lanes = NDArray[np.bool_]
Reader = Callable[["Threads", "Rows"], Array]
Writer = Callable[["Threads", "Rows", Array, Lanes | None], None]

_GRF: Final = GRF_BYTES * GRF_COUNT


# Sources


def reader(operand: Operand, width: int, ip: int, surroundings: Surroundings) -> Reader:
    """What gives an operand's lanes (thread, channel) in its own type; one lane may stand for all.

    Raises:
        IllegalOperation: It is not within the registers.
    """
    if isinstance(operand, Immediate):
        value = immediate(operand, width)
        return lambda threads, rows: value
    if isinstance(operand, IndirectSource):
        return _indirect_reader(operand, width)
    elements = source_elements(operand, width)
    dtype, size = DTYPES[operand.type], operand.type.size
    if operand.byte % size:
        raise IllegalOperation("an operand that is not aligned to its type")
    if operand.file is File.GRF:
        if max(elements) * size >= _GRF:
            raise IllegalOperation("an operand beyond the registers")
        kind, index = operand.type, as_index(elements)
        return lambda threads, rows: pick(threads.grf[kind], rows, index)
    first, end = operand.byte, (max(elements) + 1) * size
    at = stored_at(first, end - first)
    inside = as_index([element - first // size for element in elements])
    if at is None:
        start = first % GRF_BYTES
        if start + end - first > GRF_BYTES and first >= GRF_BYTES:
            raise IllegalOperation("an operand beyond its register")
        if first < GRF_BYTES:
            zeros = np.zeros((1, 1), dtype)
            return lambda threads, rows: zeros
        return lambda threads, rows: pick(
            computed(threads, rows, first, ip, surroundings)[:, start:].view(dtype),
            slice(None),
            inside,
        )
    return lambda threads, rows: pick(
        threads.bytes[:, at : at + end - first].view(dtype), rows, inside
    )


def _indirect_reader(operand: IndirectSource, width: int) -> Reader:
    dtype, size = DTYPES[operand.type], operand.type.size

    def read(threads: Threads, rows: Rows) -> Array:
        first = indirect_source_bytes(operand, threads.blocks["a0"][rows], width)
        positions = element_bytes(first, size).reshape(len(first), width * size)
        registers = threads.bytes[rows]
        return np.take_along_axis(registers, positions, axis=1).view(dtype)

    return read


def immediate(operand: Immediate, width: int) -> Array:
    """An immediate's lanes; of a packed one its elements over and over."""
    if not isinstance(operand.type, Packed):
        size = operand.type.size
        raw = (operand.bits & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        return np.frombuffer(raw, DTYPES[operand.type]).reshape(1, 1)
    elements = [_packed_element(operand, n) for n in range(operand.type.elements)]
    dtype = DTYPES[operand.type.element]
    return np.array([[elements[n % len(elements)] for n in range(width)]]).astype(dtype)


def _packed_element(operand: Immediate, index: int) -> float:
    if operand.type is Packed.VF:
        bits = operand.bits >> 8 * index & 0xFF
        sign, exponent, fraction = -1.0 if bits & 0x80 else 1.0, bits >> 4 & 7, bits & 15
        if not bits & 0x7F:
            return sign * 0.0
        return float(sign * 2.0 ** (exponent - 3) * (1 + fraction / 16))
    nibble = operand.bits >> 4 * index & 0xF
    return nibble - 16 if operand.type is Packed.V and nibble & 8 else nibble


# Destinations


def writer(destination: Destination | IndirectDestination, width: int) -> Writer | None:
    """What writes lanes, in the destination's type, of the channels that a mask enables (None: of
    all). None if nothing takes them: the null register, or one that is read only.

    Raises:
        IllegalOperation: It is not within the registers.
    """
    if isinstance(destination, IndirectDestination):
        return _indirect_writer(destination, width)
    kind, size = destination.type, destination.type.size
    if destination.file is File.ARF and not writable(destination.byte):
        return None
    if destination.byte % size:
        raise IllegalOperation("a destination that is not aligned to its type")
    elements = destination_elements(destination, width)
    through = write_mask_lanes(destination.write_mask, width)
    if destination.file is File.GRF:
        if max(elements) * size >= _GRF:
            raise IllegalOperation("a destination beyond the registers")
        index = as_index(elements)

        def write(threads: Threads, rows: Rows, value: Array, mask: Lanes | None) -> None:
            put(threads.grf[kind], rows, index, value, _both(mask, through))

        return write
    first, end = destination.byte, (max(elements) + 1) * size
    at = stored_at(first, end - first)
    if at is None:
        return None
    inside = as_index([element - first // size for element in elements])
    start, length, dtype = at, end - first, DTYPES[kind]

    def write_stored(threads: Threads, rows: Rows, value: Array, mask: Lanes | None) -> None:
        array = threads.bytes[:, start : start + length].view(dtype)
        put(array, rows, inside, value, _both(mask, through))

    return write_stored


def _indirect_writer(destination: IndirectDestination, width: int) -> Writer:
    size, dtype = destination.type.size, DTYPES[destination.type]
    through = write_mask_lanes(destination.write_mask, width)

    def write(threads: Threads, rows: Rows, value: Array, mask: Lanes | None) -> None:
        first = indirect_destination_bytes(destination, threads.blocks["a0"][rows], width)
        count = len(first)
        positions = element_bytes(first, size)
        lanes = np.ascontiguousarray(np.broadcast_to(value, (count, width)).astype(dtype))
        raw = lanes.view(np.uint8).reshape(count, width, size)
        enabled = np.broadcast_to(
            np.ones((1, 1), np.bool_) if (both := _both(mask, through)) is None else both,
            (count, width),
        )
        thread = np.arange(threads.count)[rows]
        chosen = np.broadcast_to(thread[:, None], (count, width))[enabled]
        threads.bytes[chosen[:, None], positions[enabled]] = raw[enabled]

    return write


def _both(mask: Lanes | None, through: Lanes | None) -> Lanes | None:
    if mask is None or through is None:
        return through if mask is None else mask
    return mask & through


# The accumulator


def accumulator_access(offset: int, kind: Type, width: int) -> tuple[slice, slice, slice]:
    """Of an accumulator that begins ``offset`` bytes into acc0: its bytes in `Threads.bytes`, its
    elements among them, its elements of ``acc_high``.

    Raises:
        IllegalOperation: It reaches beyond acc1.
    """
    if offset % kind.size or offset + width * kind.size > 64:
        raise IllegalOperation("more channels than the accumulator has")
    at = stored_at(ACCUMULATOR_BYTE, 64)
    assert at is not None
    first = offset // kind.size
    return slice(at, at + 64), slice(first, first + width), slice(first, first + width)
