"""Functions of the math box as vectors of doubles: range reduction and a polynomial.

Working in double and rounding once at the end leaves the float results well within what the PRM
allows (vol 7 "math"), makes overflow and denormals come out right by the last conversion, and needs
no library call for each lane. The coefficients are Taylor series': atanh, exp, sine and cosine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mediator.softgpu.eu.translator.text import float_constant, same, zero

if TYPE_CHECKING:
    from mediator.softgpu.eu.translator.text import Text, Value

_EXP2 = [math.log(2) ** n / math.factorial(n) for n in range(9)]
_SINE = [(-1) ** n / math.factorial(2 * n + 1) for n in range(6)]
_COSINE = [(-1) ** n / math.factorial(2 * n) for n in range(6)]
_LOG2 = [2 / math.log(2) / (2 * n + 1) for n in range(7)]
_HALF_PI_HIGH = float.fromhex("0x1.921fb54400000p+0")
_HALF_PI_LOW = float.fromhex("0x1.0b4611a626331p-34")


def _number(value: float, lanes: int) -> Value:
    return same("double", lanes, float_constant("double", value))


def _fma(text: Text, a: Value, b: Value, c: Value) -> Value:
    return text.intrinsic("fma", a, b, c)


def _polynomial(text: Text, x: Value, coefficients: list[float]) -> Value:
    total = _number(coefficients[-1], x.lanes)
    for coefficient in reversed(coefficients[:-1]):
        total = _fma(text, total, x, _number(coefficient, x.lanes))
    return total


def _clamp(text: Text, x: Value, low: float, high: float) -> Value:
    """NaN becomes ``low``; the callers put NaNs back."""
    above = text.compare("ogt", x, _number(low, x.lanes))
    x = text.select(above, x, _number(low, x.lanes))
    below = text.compare("olt", x, _number(high, x.lanes))
    return text.select(below, x, _number(high, x.lanes))


def _exp2(text: Text, x: Value) -> Value:
    """2 ** x of doubles that are not NaN, far enough out that a float overflows or vanishes."""
    x = _clamp(text, x, -400.0, 400.0)
    whole = text.intrinsic("rint", x)
    mantissa = _polynomial(text, text.binary("fsub", x, whole), _EXP2)
    exponent = text.cast("sext", text.cast("fptosi", whole, "i32"), "i64")
    shifted = text.binary("shl", exponent, same("i64", x.lanes, "52"))
    bits = text.binary("add", text.bitcast(mantissa, "i64", x.lanes), shifted)
    return text.bitcast(bits, "double", x.lanes)


def _log2(text: Text, x: Value) -> Value:
    """Logarithm of positive finite doubles."""
    lanes = x.lanes
    bits = text.bitcast(x, "i64", lanes)
    # Offset so that the mantissa lies within [sqrt(1/2), sqrt(2)).
    offset = same("i64", lanes, str(0x3FE6A09E667F3BCD))
    exponent = text.binary("ashr", text.binary("sub", bits, offset), same("i64", lanes, "52"))
    scaled = text.binary("shl", exponent, same("i64", lanes, "52"))
    mantissa = text.bitcast(text.binary("sub", bits, scaled), "double", lanes)
    one = _number(1.0, lanes)
    ratio = text.binary(
        "fdiv", text.binary("fsub", mantissa, one), text.binary("fadd", mantissa, one)
    )
    series = _polynomial(text, text.binary("fmul", ratio, ratio), _LOG2)
    whole = text.cast("sitofp", text.cast("trunc", exponent, "i32"), "double")
    return _fma(text, series, ratio, whole)


def _wide(text: Text, value: Value) -> Value:
    return text.cast("fpext", value, "double")


def _narrow(text: Text, value: Value) -> Value:
    return text.cast("fptrunc", value, "float")


def _nan_of(text: Text, value: Value) -> Value:
    """Which lanes are NaN."""
    return text.compare("uno", value, value)


def _float(value: float, lanes: int) -> Value:
    return same("float", lanes, float_constant("float", value))


def exp2(text: Text, x: Value) -> Value:
    """2 ** x of floats."""
    result = _narrow(text, _exp2(text, _wide(text, x)))
    return text.select(_nan_of(text, x), x, result)


def log2(text: Text, x: Value) -> Value:
    """Logarithm of floats to base 2."""
    lanes = x.lanes
    nothing = zero("float", lanes)
    result = _narrow(text, _log2(text, _wide(text, x)))
    ordinary = text.compare("olt", x, _float(math.inf, lanes))
    result = text.select(ordinary, result, x)  # infinity, NaN
    result = text.select(text.compare("oeq", x, nothing), _float(-math.inf, lanes), result)
    negative = text.compare("olt", x, nothing)
    return text.select(negative, _float(math.nan, lanes), result)


def _circular(text: Text, x: Value, quarter: int) -> Value:
    """Sine of x + quarter * pi / 2."""
    lanes = x.lanes
    wide = _clamp(text, _wide(text, x), -1e9, 1e9)
    turns = text.intrinsic("rint", text.binary("fmul", wide, _number(2 / math.pi, lanes)))
    rest = _fma(text, turns, _number(-_HALF_PI_HIGH, lanes), wide)
    rest = _fma(text, turns, _number(-_HALF_PI_LOW, lanes), rest)
    square = text.binary("fmul", rest, rest)
    sine = text.binary("fmul", rest, _polynomial(text, square, _SINE))
    cosine = _polynomial(text, square, _COSINE)
    whole = text.cast("fptosi", turns, "i32")
    count = text.binary("add", whole, same("i32", lanes, str(quarter)))
    odd = text.cast("trunc", count, "i1")
    result = text.select(odd, cosine, sine)
    second = text.binary("and", count, same("i32", lanes, "2"))
    flip = text.compare("ne", second, zero("i32", lanes))
    negated = text.define("double", lanes, f"fneg {result.typed}")
    narrow = _narrow(text, text.select(flip, negated, result))
    finite = text.compare("olt", text.intrinsic("fabs", x), _float(math.inf, lanes))
    return text.select(finite, narrow, _float(math.nan, lanes))


def sine(text: Text, x: Value) -> Value:
    """Sine of floats. Zeros keep their sign."""
    result = _circular(text, x, 0)
    return text.select(text.compare("oeq", x, zero("float", x.lanes)), x, result)


def cosine(text: Text, x: Value) -> Value:
    """Cosine of floats."""
    return _circular(text, x, 1)


def power(text: Text, x: Value, y: Value) -> Value:
    """x ** y of floats, with C's special values."""
    lanes = x.lanes
    nothing, one = zero("float", lanes), _float(1.0, lanes)
    infinity = _float(math.inf, lanes)
    size = text.intrinsic("fabs", x)
    exponent = text.binary("fmul", _log2(text, _wide(text, size)), _wide(text, y))
    result = _narrow(text, _exp2(text, exponent))
    # |x| of 0, infinity: 0 or infinity by the sign of y.
    rising = text.compare("ogt", y, nothing)
    for edge, up, down in ((nothing, nothing, infinity), (infinity, infinity, nothing)):
        at_edge = text.select(rising, up, down)
        result = text.select(text.compare("oeq", size, edge), at_edge, result)
    # y infinite: as |x| is above or below 1.
    y_infinite = text.compare("oeq", text.intrinsic("fabs", y), infinity)
    above = text.compare("ogt", size, one)
    grows = text.binary("xor", above, text.invert(rising))
    result = text.select(y_infinite, text.select(grows, infinity, nothing), result)
    # |x| is 1: 1, of infinite y too.
    result = text.select(text.compare("oeq", size, one), one, result)
    # Negative x: the sign of odd y; NaN of y that is no integer.
    whole = text.compare("oeq", text.intrinsic("trunc", y), y)
    half = text.binary("fmul", y, _float(0.5, lanes))
    odd = text.binary("and", whole, text.compare("one", text.intrinsic("trunc", half), half))
    negative = text.compare("slt", text.bitcast(x, "i32", lanes), zero("i32", lanes))
    flipped = text.define("float", lanes, f"fneg {result.typed}")
    result = text.select(text.binary("and", negative, odd), flipped, result)
    below = text.binary("and", text.compare("olt", x, nothing), text.invert(whole))
    finite = text.compare("olt", size, infinity)
    result = text.select(text.binary("and", below, finite), _float(math.nan, lanes), result)
    # NaNs, and the two values that win over them.
    unordered = text.compare("uno", x, y)
    result = text.select(unordered, _float(math.nan, lanes), result)
    settled = text.binary("or", text.compare("oeq", x, one), text.compare("oeq", y, nothing))
    return text.select(settled, one, result)
