"""Regions of registers: element by element, as slices, under masks, and through addresses."""

from __future__ import annotations

from itertools import product
from random import Random

import numpy as np
import pytest

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter import regions
from mediator.softgpu.eu.interpreter.threads import ALL
from mediator.softgpu.eu.isa.instruction import (
    Destination,
    File,
    IndirectDestination,
    IndirectSource,
    Region,
    Source,
)
from mediator.softgpu.eu.isa.operands import last_element

BYTES = 4096
THREADS = 3
REGIONS = [
    Region(vertical, width, horizontal)
    for vertical, width, horizontal in product(
        (0, 1, 2, 4, 8, 16, 32), (1, 2, 4, 8, 16), (0, 1, 2, 4)
    )
]


def _elements(region: Region, width: int) -> list[int]:
    """PRM SKL vol 7 "Register Region": row after row."""
    found: list[int] = []
    row = 0
    while len(found) < width:
        first = row * (region.vertical or 0)
        found += [first + column * region.horizontal for column in range(region.width)]
        row += 1
    return found[:width]


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 32])
def test_channels_go_through_a_region_row_by_row(width: int) -> None:
    for region in REGIONS:
        expected = _elements(region, width)
        assert list(regions.region_elements(region, None, width)) == expected
        assert last_element(region, width) == max(expected)
        source = Source(File.GRF, 96, Type.UD, region)
        assert list(regions.source_elements(source, width)) == [24 + n for n in expected]


@pytest.mark.parametrize("vertical", [0, 4])
def test_a_swizzle_chooses_within_each_four(vertical: int) -> None:
    region = Region(vertical, 4, 1)
    found = regions.region_elements(region, (3, 0, 2, 2), 8)
    assert found == (3, 0, 2, 2, *(vertical + n for n in (3, 0, 2, 2)))
    assert last_element(region, 8, (3, 0, 2, 2)) == vertical + 3
    assert last_element(region, 2, (1, 0, 2, 3)) == 1


def test_destinations_have_a_stride() -> None:
    to = Destination(File.GRF, 64 + 8, Type.UW, 2)
    assert regions.destination_elements(to, 4) == (36, 38, 40, 42)


@pytest.mark.parametrize("mask", range(16))
def test_a_write_mask_is_of_each_four_channels(mask: int) -> None:
    found = regions.write_mask_lanes(mask, 8)
    assert found is not None
    assert found.tolist() == [bool(mask >> n % 4 & 1) for n in range(8)]
    assert regions.write_mask_lanes(None, 8) is None


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_an_index_stands_for_its_elements(width: int) -> None:
    array = np.arange(THREADS * 1024).reshape(THREADS, 1024)
    some = np.array([0, 2])
    for region in REGIONS:
        elements = [5 + n for n in _elements(region, width)]
        index = regions.as_index(elements)
        for rows in (ALL, some):
            found = regions.pick(array, rows, index)
            count = THREADS if rows is ALL else 2
            whole = np.broadcast_to(found, (count, width))
            assert (whole == array[rows][:, elements]).all()
    assert isinstance(regions.as_index([4, 6, 8]), slice)
    assert not isinstance(regions.as_index([4, 6, 9]), slice)
    assert not isinstance(regions.as_index([8, 6, 4]), slice)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rows", [ALL, np.array([0, 2]), np.array([1])], ids=["all", "two", "one"])
@pytest.mark.parametrize("elements", [[3, 4, 5, 6], [3, 5, 7, 9], [9, 2, 4, 5], [7]])
def test_what_is_put_is_there_where_the_mask_says_so(
    elements: list[int], rows: regions.Index, masked: bool
) -> None:
    random = Random(len(elements))
    array = np.zeros((THREADS, 16), np.int64)
    numbers = list(range(THREADS)) if isinstance(rows, slice) else rows.tolist()
    shape = len(numbers), len(elements)
    value = np.arange(1, shape[0] * shape[1] + 1).reshape(shape)
    mask = np.array([random.random() < 0.5 for _ in range(value.size)]).reshape(shape)
    regions.put(array, rows, regions.as_index(elements), value, mask if masked else None)
    expected = np.zeros_like(array)
    for row, thread in enumerate(numbers):
        for lane, element in enumerate(elements):
            if mask[row, lane] or not masked:
                expected[thread, element] = value[row, lane]
    assert (array == expected).all()


ADDRESSES = np.array([[32 * n + thread for n in range(16)] for thread in range(2)], np.uint16)


def test_an_address_is_of_the_first_element_or_of_each_row() -> None:
    one = IndirectSource(3, -16, Type.UD, Region(8, 4, 1))
    expected = [[96 + t - 16 + 4 * (n // 4 * 8 + n % 4) for n in range(8)] for t in range(2)]
    assert regions.indirect_source_bytes(one, ADDRESSES, 8).tolist() == expected
    each = IndirectSource(3, 8, Type.UW, Region(None, 2, 1))
    expected = [[32 * (3 + n // 2) + t + 8 + 2 * (n % 2) for n in range(8)] for t in range(2)]
    assert regions.indirect_source_bytes(each, ADDRESSES, 8).tolist() == expected
    to = IndirectDestination(2, 4, Type.UW, 2)
    expected = [[64 + t + 4 + 4 * n for n in range(4)] for t in range(2)]
    assert regions.indirect_destination_bytes(to, ADDRESSES, 4).tolist() == expected


def test_addresses_wrap_at_the_end_of_the_registers() -> None:
    high = np.full((1, 16), BYTES - 8, np.uint16)
    source = IndirectSource(15, 0, Type.UD, Region(4, 4, 1))
    assert regions.indirect_source_bytes(source, high, 4).tolist() == [[BYTES - 8, BYTES - 4, 0, 4]]
    below = IndirectSource(0, -16, Type.UD, Region(0, 1, 0))
    low = np.zeros((1, 16), np.uint16)
    assert regions.indirect_source_bytes(below, low, 1).tolist() == [[BYTES - 16]]
    to = IndirectDestination(0, 0, Type.UQ, 1)
    assert regions.indirect_destination_bytes(to, high, 2).tolist() == [[BYTES - 8, 0]]
    first = np.array([[BYTES - 2]])
    assert regions.element_bytes(first, 4).tolist() == [[[BYTES - 2, BYTES - 1, 0, 1]]]
