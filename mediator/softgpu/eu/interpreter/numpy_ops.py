"""The operations of `mediator/softgpu/eu/semantics/ops.py` in NumPy: the interpreter's arithmetic.

Values are arrays whose last axis is the lanes. All is exact: where NumPy would round twice, or in
another direction than the thread's mode asks for, `rounding` does it.

Callers run under ``numpy.errstate(all="ignore")``: infinities and NaNs are ordinary results here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mediator.gen9.eu.control_register import IEEE, FloatMode, Rounding
from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.interpreter.rounding import fused, narrowed, rounding_to
from mediator.softgpu.eu.isa.execution_type import integers_of, is_float, limits
from mediator.softgpu.eu.semantics.ops import Ops, Relation

Array = NDArray[Any]
Mask = NDArray[np.bool_]

DTYPES: Final[MappingProxyType[Type, np.dtype[Any]]] = MappingProxyType(
    {
        Type.UB: np.dtype(np.uint8),
        Type.B: np.dtype(np.int8),
        Type.UW: np.dtype(np.uint16),
        Type.W: np.dtype(np.int16),
        Type.UD: np.dtype(np.uint32),
        Type.D: np.dtype(np.int32),
        Type.UQ: np.dtype(np.uint64),
        Type.Q: np.dtype(np.int64),
        Type.HF: np.dtype(np.float16),
        Type.F: np.dtype(np.float32),
        Type.DF: np.dtype(np.float64),
    }
)
_RELATIONS: Final[MappingProxyType[Relation, Callable[[Array, Array], Mask]]] = MappingProxyType(
    {
        Relation.EQUAL: np.equal,
        Relation.NOT_EQUAL: np.not_equal,
        Relation.LESS: np.less,
        Relation.LESS_EQUAL: np.less_equal,
        Relation.GREATER: np.greater,
        Relation.GREATER_EQUAL: np.greater_equal,
    }
)


@lru_cache(4096)
def _constant(kind: Type, value: float) -> Array:
    if not is_float(kind):
        value = int(value) & ((1 << 8 * kind.size) - 1)
        found = np.array([[value]], DTYPES[integers_of(kind.size, signed=False)])
        found = found.view(DTYPES[kind])
    else:
        found = np.array([[value]], DTYPES[kind])
    found.flags.writeable = False
    return found


class NumpyOps(Ops[Array, Mask]):
    """The operations under one float mode."""

    def __init__(self, mode: FloatMode = IEEE) -> None:
        self.mode = mode
        self._nearest = mode.rounding is Rounding.EVEN
        self._flushes = {kind: not mode.keeps(kind) for kind in (Type.HF, Type.F, Type.DF)}

    # Values

    def constant(self, kind: Type, value: float) -> Array:
        return _constant(kind, value)

    def convert(self, source: Type, target: Type, value: Array) -> Array:
        value = _as(source, value)
        if source is target:
            return value
        if is_float(source):
            value = self._taken(source, value)
            if is_float(target):
                return self._float_to_float(source, target, value)
            return _float_to_integer(target, value)
        if not is_float(target):
            return value.astype(DTYPES[target])
        return self._integer_to_float(source, target, value)

    def bitcast(self, source: Type, target: Type, value: Array) -> Array:
        return _as(source, value).view(DTYPES[target])

    def select(self, kind: Type, mask: Mask, if_true: Array, if_false: Array) -> Array:
        return np.where(mask, _as(kind, if_true), _as(kind, if_false))

    def permute(self, kind: Type, value: Array, lanes: Sequence[int]) -> Array:
        value = _as(kind, value)
        if value.shape[-1] == 1:
            return value
        return value[..., list(lanes)]

    # Masks

    def constant_mask(self, value: bool) -> Mask:
        return np.array([[value]])

    def mask_and(self, a: Mask, b: Mask) -> Mask:
        return a & b

    def mask_or(self, a: Mask, b: Mask) -> Mask:
        return a | b

    def mask_not(self, a: Mask) -> Mask:
        return ~a

    def compare(self, relation: Relation, kind: Type, a: Array, b: Array) -> Mask:
        a, b = self._taken(kind, _as(kind, a)), self._taken(kind, _as(kind, b))
        return _RELATIONS[relation](a, b)

    def is_nan(self, kind: Type, value: Array) -> Mask:
        return np.isnan(_as(kind, value))

    # Arithmetic

    def add(self, kind: Type, a: Array, b: Array) -> Array:
        return self._arithmetic(np.add, kind, a, b)

    def subtract(self, kind: Type, a: Array, b: Array) -> Array:
        return self._arithmetic(np.subtract, kind, a, b)

    def multiply(self, kind: Type, a: Array, b: Array) -> Array:
        return self._arithmetic(np.multiply, kind, a, b)

    def divide(self, kind: Type, a: Array, b: Array) -> Array:
        if is_float(kind):
            return self._arithmetic(np.divide, kind, a, b)
        return _divide(_as(kind, a), _as(kind, b)).astype(DTYPES[kind])

    def remainder(self, kind: Type, a: Array, b: Array) -> Array:
        a, b = _as(kind, a), _as(kind, b)
        rest = a.astype(np.int64) - b.astype(np.int64) * _divide(a, b)
        return rest.astype(DTYPES[kind])

    def negate(self, kind: Type, a: Array) -> Array:
        return np.negative(_as(kind, a))

    def absolute(self, kind: Type, a: Array) -> Array:
        return np.absolute(_as(kind, a))

    # Integers

    def bit_and(self, kind: Type, a: Array, b: Array) -> Array:
        return _as(kind, a) & _as(kind, b)

    def bit_or(self, kind: Type, a: Array, b: Array) -> Array:
        return _as(kind, a) | _as(kind, b)

    def bit_xor(self, kind: Type, a: Array, b: Array) -> Array:
        return _as(kind, a) ^ _as(kind, b)

    def shift_left(self, kind: Type, a: Array, count: Array) -> Array:
        return _as(kind, a) << _as(kind, count)

    def shift_right(self, kind: Type, a: Array, count: Array) -> Array:
        return _as(kind, a) >> _as(kind, count)

    def count_bits(self, kind: Type, a: Array) -> Array:
        value = _as(Type.UD, a)
        value = value - ((value >> np.uint32(1)) & np.uint32(0x55555555))
        value = (value & np.uint32(0x33333333)) + ((value >> np.uint32(2)) & np.uint32(0x33333333))
        value = (value + (value >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
        return _as(kind, (value * np.uint32(0x01010101)) >> np.uint32(24))

    def leading_zeros(self, kind: Type, a: Array) -> Array:
        _, length = np.frexp(_as(Type.UD, a).astype(np.float64))
        return (32 - length).astype(DTYPES[kind])

    def trailing_zeros(self, kind: Type, a: Array) -> Array:
        value = _as(Type.UD, a)
        _, length = np.frexp((value & (~value + np.uint32(1))).astype(np.float64))
        return np.where(value == 0, 32, length - 1).astype(DTYPES[kind])

    def reverse_bits(self, kind: Type, a: Array) -> Array:
        value = _as(Type.UD, a)
        for distance, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F)):
            low, by = np.uint32(mask), np.uint32(distance)
            value = (value >> by & low) | ((value & low) << by)
        return _as(kind, value.byteswap())

    # Floats

    def fma(self, kind: Type, a: Array, b: Array, c: Array) -> Array:
        a, b, c = (self._taken(kind, _as(kind, each)) for each in (a, b, c))
        return self._given(kind, fused(a, b, c, self.mode.rounding))

    def square_root(self, kind: Type, a: Array) -> Array:
        value = self._taken(kind, _as(kind, a))
        with rounding_to(self.mode.rounding):
            return self._given(kind, np.sqrt(value))

    def round_down(self, kind: Type, a: Array) -> Array:
        return np.floor(self._taken(kind, _as(kind, a)))

    def round_up(self, kind: Type, a: Array) -> Array:
        return np.ceil(self._taken(kind, _as(kind, a)))

    def round_zero(self, kind: Type, a: Array) -> Array:
        return np.trunc(self._taken(kind, _as(kind, a)))

    def round_even(self, kind: Type, a: Array) -> Array:
        return np.rint(self._taken(kind, _as(kind, a)))

    # Functions: computed with 53 bits, then rounded to 24

    def reciprocal_root(self, kind: Type, a: Array) -> Array:
        return self._function(lambda x: 1.0 / np.sqrt(x), kind, a)

    def exp2(self, kind: Type, a: Array) -> Array:
        return self._function(np.exp2, kind, a)

    def log2(self, kind: Type, a: Array) -> Array:
        return self._function(np.log2, kind, a)

    def sine(self, kind: Type, a: Array) -> Array:
        return self._function(np.sin, kind, a)

    def cosine(self, kind: Type, a: Array) -> Array:
        return self._function(np.cos, kind, a)

    def power(self, kind: Type, a: Array, b: Array) -> Array:
        return self._function(np.power, kind, a, b)

    # What the mode does

    def _taken(self, kind: Type, value: Array) -> Array:
        """A float as arithmetic takes it: no denormals if they are not kept."""
        if kind not in self._flushes or not self._flushes[kind]:
            return value
        return _flushed(value)

    def _given(self, kind: Type, value: Array) -> Array:
        """A result as arithmetic gives it."""
        value = self._taken(kind, value)
        if self.mode.alternate and kind is Type.F:
            largest = np.finfo(np.float32).max
            value = np.clip(np.where(np.isnan(value), np.float32(0), value), -largest, largest)
        return value

    def _arithmetic(
        self, function: Callable[[Array, Array], Array], kind: Type, a: Array, b: Array
    ) -> Array:
        a, b = _as(kind, a), _as(kind, b)
        if not is_float(kind):
            return function(a, b)
        a, b = self._taken(kind, a), self._taken(kind, b)
        if self._nearest:
            return self._given(kind, function(a, b))
        with rounding_to(self.mode.rounding):
            value = function(a, b)
        return self._given(kind, value)

    def _function(self, function: Callable[..., Array], kind: Type, *sources: Array) -> Array:
        wide = (self._taken(kind, _as(kind, each)).astype(np.float64) for each in sources)
        value = narrowed(function(*wide), DTYPES[kind], self.mode.rounding)
        return self._given(kind, value)

    def _float_to_float(self, source: Type, target: Type, value: Array) -> Array:
        if target.size > source.size:
            return value.astype(DTYPES[target])
        return self._given(target, narrowed(value, DTYPES[target], self.mode.rounding))

    def _integer_to_float(self, source: Type, target: Type, value: Array) -> Array:
        dtype = DTYPES[target]
        if target is Type.HF:
            # Integers of more than 53 bits are beyond the range whichever way they are rounded.
            return narrowed(value.astype(np.float64), dtype, self.mode.rounding)
        if self._nearest or source.size < target.size:
            return value.astype(dtype)
        with rounding_to(self.mode.rounding):
            return value.astype(dtype)


@lru_cache(64)
def ops_of(mode: FloatMode) -> NumpyOps:
    """The operations under a mode, the same object each time."""
    return NumpyOps(mode)


def _as(kind: Type, value: Array) -> Array:
    """The same bits as the type's own."""
    dtype = DTYPES[kind]
    return value if value.dtype == dtype else value.view(dtype)


def _flushed(value: Array) -> Array:
    least = np.finfo(value.dtype).smallest_normal
    return np.where(np.absolute(value) < least, np.copysign(value.dtype.type(0), value), value)


def _divide(a: Array, b: Array) -> NDArray[np.int64]:
    wide, divisor = a.astype(np.int64), b.astype(np.int64)
    quotient = np.absolute(wide) // np.absolute(divisor)
    return np.where((wide < 0) != (divisor < 0), -quotient, quotient)


def _float_to_integer(target: Type, value: Array) -> Array:
    dtype = DTYPES[target]
    wide = np.trunc(value.astype(np.float64))
    low, high = limits(target)
    below, above = wide < low, wide >= float(high + 1)
    odd = np.isnan(wide) | below | above
    found = np.where(odd, 0.0, wide).astype(dtype)
    if odd.any():
        found[below] = low
        found[above] = high
    return found
