"""Bit fields."""

from __future__ import annotations

import pytest

from mediator.gen9.field import Field


@pytest.mark.parametrize(("hi", "lo"), [(0, 0), (3, 0), (7, 4), (15, 15), (31, 12), (63, 32)])
def test_a_field_is_its_bits(hi: int, lo: int) -> None:
    field, ones = Field(hi, lo), (1 << 64) - 1
    assert field.mask == sum(1 << bit for bit in range(lo, hi + 1))
    assert field.limit == 2 ** (hi - lo + 1) - 1
    assert field.get(ones) == field.limit
    assert field.get(ones ^ field.mask) == 0
    assert field.put(field.limit) == field.mask
    assert field.put(0, ones) == ones ^ field.mask
    assert field.put(1, ones ^ field.mask) == ones ^ field.mask | 1 << lo
    for value in (-1, field.limit + 1):
        with pytest.raises(ValueError, match=f"bits {hi}:{lo}"):
            field.put(value)


@pytest.mark.parametrize(("value", "signed"), [(0, 0), (1, 1), (7, 7), (8, -8), (9, -7), (15, -1)])
def test_twos_complement(value: int, signed: int) -> None:
    assert Field(7, 4).signed(value << 4) == signed
    assert Field(7, 4).signed(0xF0F ^ 0xF00 | value << 4) == signed
