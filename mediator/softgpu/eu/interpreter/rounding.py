"""Float arithmetic that NumPy does not have: directed rounding, narrowing in one step, fused
multiply-add.

Directions come from the C library's ``fesetround``, which NumPy's additions, products, quotients,
roots and conversions between F, DF and integers obey. Source: IEEE 754-2008; for rounding to odd
S. Boldo and G. Melquiond, "Emulation of a FMA and Correctly Rounded Sums".
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mediator.gen9.eu.control_register import Rounding

Array = NDArray[Any]

_LIBM: Final = ctypes.CDLL(None)
_LIBM.fma.argtypes = (ctypes.c_double, ctypes.c_double, ctypes.c_double)
_LIBM.fma.restype = ctypes.c_double

_CODES: Final = {
    "x86_64": {Rounding.EVEN: 0, Rounding.DOWN: 0x400, Rounding.UP: 0x800, Rounding.ZERO: 0xC00},
    "aarch64": {
        Rounding.EVEN: 0,
        Rounding.UP: 0x400000,
        Rounding.DOWN: 0x800000,
        Rounding.ZERO: 0xC00000,
    },
}
"""``fesetround``'s argument, by machine; on others all rounds to the nearest."""


@contextmanager
def rounding_to(rounding: Rounding) -> Iterator[None]:
    """This thread's float arithmetic rounds so inside."""
    code = _CODES.get(platform.machine(), {}).get(rounding, 0)
    if not code:
        yield
        return
    _LIBM.fesetround(code)
    try:
        yield
    finally:
        _LIBM.fesetround(0)


def narrowed(value: Array, dtype: np.dtype[Any], rounding: Rounding) -> Array:
    """A wider float rounded once to ``dtype``."""
    found = value.astype(dtype)
    if rounding is Rounding.EVEN:
        return found
    # The nearest is right, or one step too far.
    back = found.astype(value.dtype)
    low, high = dtype.type(-np.inf), dtype.type(np.inf)
    too_low, too_high = back < value, back > value
    if rounding is Rounding.UP:
        return np.where(too_low, np.nextafter(found, high), found)
    if rounding is Rounding.DOWN:
        return np.where(too_high, np.nextafter(found, low), found)
    outwards = np.where(value < 0, too_low, too_high)
    return np.where(outwards, np.nextafter(found, dtype.type(0)), found)


def fused(a: Array, b: Array, c: Array, rounding: Rounding) -> Array:
    """a * b + c of F or DF, rounded once."""
    if a.dtype == np.float64:
        return _fused_double(a, b, c, rounding)
    # The product has 48 bits and is exact. The sum is rounded to odd with 53, then to 24: that is
    # what rounding once gives, in every direction.
    product = a.astype(np.float64) * b
    addend = c.astype(np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.view(np.int64)
    inexact = (error != 0) & np.isfinite(total) & (bits & 1 == 0)
    if inexact.any():
        outwards = (error > 0) == (total > 0)
        total = np.where(inexact, (bits + np.where(outwards, 1, -1)).view(np.float64), total)
    exact_zero = total == 0
    found = narrowed(total, np.dtype(np.float32), rounding)
    if rounding is Rounding.DOWN and exact_zero.any():
        # x - x is -0 when rounding down, except as a sum of two zeros of one sign.
        opposite = exact_zero & ~(
            (product == 0) & (addend == 0) & (np.signbit(product) == np.signbit(addend))
        )
        found = np.where(opposite, np.float32(-0.0), found)
    return found


def _fused_double(a: Array, b: Array, c: Array, rounding: Rounding) -> Array:
    a, b, c = np.broadcast_arrays(a, b, c)
    with rounding_to(rounding):
        found = [
            _LIBM.fma(x, y, z)
            for x, y, z in zip(
                a.ravel().tolist(), b.ravel().tolist(), c.ravel().tolist(), strict=True
            )
        ]
    return np.array(found, np.float64).reshape(a.shape)
