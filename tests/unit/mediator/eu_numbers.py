"""Edge values of the EU's types, and exact arithmetic to judge its results by.

Nothing here uses NumPy's arithmetic: integers are Python's, floats are rounded from fractions by
the text of IEEE 754.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction

from mediator.gen9.eu.control_register import Rounding
from mediator.gen9.eu.types import Kind, Type

_FORMATS = {Type.HF: (11, -14, "<e"), Type.F: (24, -126, "<f"), Type.DF: (53, -1022, "<d")}
"""Significant bits, least exponent of a normal number, how to pack."""

INTEGERS = (Type.UB, Type.B, Type.UW, Type.W, Type.UD, Type.D, Type.UQ, Type.Q)
FLOATS = (Type.HF, Type.F, Type.DF)


def limits(kind: Type) -> tuple[int, int]:
    """Least and greatest value of an integer type."""
    bits = 8 * kind.size
    if kind.kind is Kind.SIGNED:
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def edges(kind: Type) -> list[int]:
    """Integers where things go wrong."""
    low, high = limits(kind)
    some = [low, low + 1, high, high - 1, high // 2, high // 2 + 1, 0, 1, 2, 3, 7, 100]
    return sorted({value for value in [*some, -1, -2, -100] if low <= value <= high})


def wrapped(value: int, kind: Type) -> int:
    """The low bits of an integer as a type understands them."""
    bits = 8 * kind.size
    value &= (1 << bits) - 1
    if kind.kind is Kind.SIGNED and value >> (bits - 1):
        value -= 1 << bits
    return value


def clamped(value: int, kind: Type) -> int:
    """An integer brought into a type's range."""
    low, high = limits(kind)
    return max(low, min(high, value))


def float_edges(kind: Type) -> list[float]:
    """Floats where things go wrong: ends, denormals, zeros, halves, infinities, a NaN."""
    precision, least, _ = _FORMATS[kind]
    normal = 2.0**least
    denormal = math.ldexp(1.0, least - precision + 1)
    greatest = (2 - 2.0 ** (1 - precision)) * 2.0 ** (1 - least)
    one = [1.0, 1 + 2.0 ** (1 - precision), 1 - 2.0**-precision]
    some = [0.0, *one, 0.5, 1.5, 2.5, 3.0, 1 / 3, 100.25, normal, denormal, normal - denormal]
    some += [3 * denormal, greatest, greatest / 2, math.inf]
    exact = [to_float(Fraction(x), kind) if math.isfinite(x) else x for x in some]
    return [*exact, *(-x for x in exact), math.nan]


def to_float(
    value: Fraction, kind: Type, rounding: Rounding = Rounding.EVEN, zero: float = 0.0
) -> float:
    """A number rounded to a float type; ``zero`` is what an exact zero becomes."""
    if value == 0:
        return zero
    precision, least, _ = _FORMATS[kind]
    size = abs(value)
    exponent = max(_exponent(size), least)
    unit = Fraction(2) ** (exponent - precision + 1)
    whole, rest = divmod(size, unit)
    if rounding is Rounding.EVEN:
        up = rest > unit / 2 or (rest == unit / 2 and whole % 2 == 1)
    else:
        outwards = Rounding.UP if value > 0 else Rounding.DOWN
        up = rest != 0 and rounding is outwards
    found = (whole + up) * unit
    most = (2 - Fraction(2) ** (1 - precision)) * Fraction(2) ** (1 - least)
    if found > most:
        away = rounding is Rounding.EVEN or rounding is (
            Rounding.UP if value > 0 else Rounding.DOWN
        )
        return math.copysign(math.inf if away else float(most), -1 if value < 0 else 1)
    return math.copysign(float(found), -1 if value < 0 else 1)


def _exponent(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > value:
        exponent -= 1
    return exponent


def is_denormal(value: float, kind: Type) -> bool:
    """Whether a float is not zero and below the least normal number."""
    return value != 0 and abs(value) < 2.0 ** _FORMATS[kind][1]


def bits_of(value: float, kind: Type) -> int:
    """A float's bits."""
    return int.from_bytes(struct.pack(_FORMATS[kind][2], value), "little")


def same(got: float, expected: float) -> bool:
    """The same float: a NaN is a NaN, and zeros have signs."""
    if math.isnan(expected):
        return math.isnan(got)
    return got == expected and math.copysign(1, got) == math.copysign(1, expected)
