"""Which elements of the registers an operand's channels are.

Source: PRM SKL vol 7 "Register Region", "Align16", "Register-Indirect Addressing".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mediator.softgpu.eu.isa.instruction import GRF_BYTES, GRF_COUNT

if TYPE_CHECKING:
    from mediator.softgpu.eu.interpreter.threads import Rows
    from mediator.softgpu.eu.isa.instruction import (
        Destination,
        IndirectDestination,
        IndirectSource,
        Region,
        Source,
    )

_REGISTER_BYTES: Final = GRF_BYTES * GRF_COUNT

Index = slice | NDArray[np.intp]


@lru_cache(1024)
def region_elements(
    region: Region, swizzle: tuple[int, int, int, int] | None, width: int
) -> tuple[int, ...]:
    """The element that each channel reads, counted from the operand's first. Of an indirect region
    with an address for each row the element within its row."""
    if swizzle is not None:
        return tuple(
            n // 4 * (region.vertical or 0) + swizzle[n % 4] * region.horizontal
            for n in range(width)
        )
    return tuple(
        n // region.width * (region.vertical or 0) + n % region.width * region.horizontal
        for n in range(width)
    )


def source_elements(source: Source, width: int) -> tuple[int, ...]:
    """The element of its file (counted in elements of the source's type) of each channel."""
    first = source.byte // source.type.size
    return tuple(first + n for n in region_elements(source.region, source.swizzle, width))


def destination_elements(destination: Destination, width: int) -> tuple[int, ...]:
    """The element of its file that each channel writes."""
    first = destination.byte // destination.type.size
    return tuple(first + n * destination.stride for n in range(width))


def write_mask_lanes(write_mask: int | None, width: int) -> NDArray[np.bool_] | None:
    """The channels that an align16 write mask lets through; None if all."""
    if write_mask is None:
        return None
    return np.array([bool(write_mask >> n % 4 & 1) for n in range(width)])


def as_index(elements: Sequence[int]) -> Index:
    """Elements as the cheapest index of an array: one that stands for all channels if they all read
    the same, a slice if they are evenly spaced."""
    first = elements[0]
    if len(elements) == 1 or len(set(elements)) == 1:
        return slice(first, first + 1)
    step = elements[1] - first
    if step > 0 and all(b - a == step for a, b in pairwise(elements)):
        return slice(first, elements[-1] + 1, step)
    return np.array(elements, np.intp)


def pick(array: NDArray[Any], rows: Rows, index: Index) -> NDArray[Any]:
    """Elements of some threads; a view if they are slices."""
    if isinstance(rows, slice) or isinstance(index, slice):
        return array[rows, index]
    return array[rows[:, None], index]


def put(
    array: NDArray[Any],
    rows: Rows,
    index: Index,
    value: NDArray[Any],
    mask: NDArray[np.bool_] | None,
) -> None:
    """Write elements of some threads where the mask says so."""
    if mask is None:
        if isinstance(rows, slice) or isinstance(index, slice):
            array[rows, index] = value
        else:
            array[rows[:, None], index] = value
        return
    found = pick(array, rows, index)
    np.copyto(found, value, where=mask)
    if not (isinstance(rows, slice) and isinstance(index, slice)):
        put(array, rows, index, found, None)


# Indirect operands


def indirect_source_bytes(
    source: IndirectSource, addresses: NDArray[np.uint16], width: int
) -> NDArray[np.intp]:
    """Byte positions (thread, channel) of an indirect source; ``addresses`` are a0 of each thread.
    Addresses wrap at the end of the register file."""
    elements = np.array(region_elements(source.region, source.swizzle, width), np.intp)
    if source.region.vertical is None:
        numbers = [(source.address + n // source.region.width) % 16 for n in range(width)]
        base = addresses[:, numbers].astype(np.intp)
    else:
        base = addresses[:, source.address, None].astype(np.intp)
    return (base + source.offset + elements * source.type.size) % _REGISTER_BYTES


def indirect_destination_bytes(
    destination: IndirectDestination, addresses: NDArray[np.uint16], width: int
) -> NDArray[np.intp]:
    """The same of an indirect destination."""
    elements = np.arange(width, dtype=np.intp) * destination.stride
    base = addresses[:, destination.address, None].astype(np.intp)
    return (base + destination.offset + elements * destination.type.size) % _REGISTER_BYTES


def element_bytes(first: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """The positions of all bytes (thread, channel, byte) of elements that begin at ``first``."""
    return (first[:, :, None] + np.arange(size, dtype=np.intp)) % _REGISTER_BYTES
