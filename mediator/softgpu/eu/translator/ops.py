"""LLVM's answer to `Ops`: each operation is a line or a few of IR text.

Rounding mode and denormals are those of the host's control register (MXCSR), which the kernel's
prologue sets from the thread's cr0 (`mediator/softgpu/eu/translator/modes.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.gen9.eu.types import Kind, Type
from mediator.softgpu.eu.semantics.ops import Ops, Relation
from mediator.softgpu.eu.translator import functions
from mediator.softgpu.eu.translator.text import (
    FLOATS,
    Text,
    Value,
    bits_of,
    float_constant,
    same,
    zero,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLOAT_ELEMENTS = {Type.HF: "half", Type.F: "float", Type.DF: "double"}
FLUSH_HALF = "%flush.half"
"""An i1 of the function's first block: whether denormals of HF are to be zeros."""
_ORDERED = {
    Relation.EQUAL: ("oeq", "eq", "eq"),
    Relation.NOT_EQUAL: ("une", "ne", "ne"),
    Relation.LESS: ("olt", "slt", "ult"),
    Relation.LESS_EQUAL: ("ole", "sle", "ule"),
    Relation.GREATER: ("ogt", "sgt", "ugt"),
    Relation.GREATER_EQUAL: ("oge", "sge", "uge"),
}


def element_of(kind: Type) -> str:
    """LLVM's element type of a register type."""
    return _FLOAT_ELEMENTS.get(kind) or f"i{8 * kind.size}"


def _is_float(kind: Type) -> bool:
    return kind.kind is Kind.FLOAT


def _is_signed(kind: Type) -> bool:
    return kind.kind is Kind.SIGNED


_EXPONENTS = {"half": ("i16", 0x7C00), "float": ("i32", 0x7F80_0000)}


def flushed(text: Text, value: Value, flag: str) -> Value:
    """A float whose denormals are zeros of their sign, if the i1 ``flag`` says so."""
    (element, ones), lanes = _EXPONENTS[value.element], value.lanes
    bits = text.bitcast(value, element, lanes)
    exponent = text.binary("and", bits, same(element, lanes, str(ones)))
    small = text.compare("eq", exponent, zero(element, lanes))
    flush = text.splat(Value(flag, "i1"), lanes)
    sign = -1 << (bits_of(element) - 1)
    signed_zero = text.binary("and", bits, same(element, lanes, str(sign)))
    chosen = text.select(text.binary("and", small, flush), signed_zero, bits)
    return text.bitcast(chosen, value.element, lanes)


class LlvmOps(Ops[Value, Value]):
    """Operations on ``width`` channels written into a text."""

    def __init__(self, text: Text, width: int) -> None:
        self._text = text
        self.lanes = width

    # Values

    def constant(self, kind: Type, value: float) -> Value:
        """The same number in every lane."""
        element = element_of(kind)
        if _is_float(kind):
            return same(element, self.lanes, float_constant(element, value))
        bits = bits_of(element)
        number = int(value) & ((1 << bits) - 1)
        if number >> (bits - 1):
            number -= 1 << bits
        return same(element, self.lanes, str(number))

    def convert(self, source: Type, target: Type, value: Value) -> Value:
        """The same number in another type."""
        text, element = self._text, element_of(target)
        if source is Type.HF:
            value = self._half(value)
        if _is_float(source) and _is_float(target):
            return self._half(self._between_floats(source, target, value))
        if _is_float(source):
            if source is Type.HF:
                value = text.cast("fpext", value, "float")
            sign = "s" if _is_signed(target) else "u"
            return self._saturating(f"fpto{sign}i.sat", value, element)
        if _is_float(target):
            return self._half(self._from_integer(source, target, value))
        if target.size < source.size:
            return text.cast("trunc", value, element)
        return text.cast("sext" if _is_signed(source) else "zext", value, element)

    def _half(self, value: Value) -> Value:
        """A half whose denormals are zeros, if the thread wants that: the host has no such mode.
        Other values as they are."""
        if value.element != "half":
            return value
        return flushed(self._text, value, FLUSH_HALF)

    def _between_floats(self, source: Type, target: Type, value: Value) -> Value:
        if target.size > source.size:
            return self._text.cast("fpext", value, element_of(target))
        if source is Type.DF and target is Type.HF:
            value = self._to_odd(value)
        return self._text.cast("fptrunc", value, element_of(target))

    def _to_odd(self, value: Value) -> Value:
        """A double as a float that rounds to the same half: inexact results get an odd last bit."""
        text, lanes = self._text, value.lanes
        bits = text.bitcast(value, "i64", lanes)
        low = text.binary("and", bits, same("i64", lanes, str((1 << 29) - 1)))
        sticky = text.cast("zext", text.compare("ne", low, zero("i64", lanes)), "i64")
        kept = text.binary("sub", bits, low)
        moved = text.binary("shl", sticky, same("i64", lanes, "29"))
        return text.cast(
            "fptrunc", text.bitcast(text.binary("or", kept, moved), "double", lanes), "float"
        )

    def _saturating(self, name: str, value: Value, element: str) -> Value:
        text, lanes = self._text, value.lanes
        shape = f"v{lanes}" if lanes > 1 else ""
        source = {"float": "f32", "double": "f64"}[value.element]
        return text.call(f"llvm.{name}.{shape}{element}.{shape}{source}", element, lanes, value)

    def _from_integer(self, source: Type, target: Type, value: Value) -> Value:
        name = "sitofp" if _is_signed(source) else "uitofp"
        if target is Type.HF:
            # Exact in double up to 32 bits, and rounded once by way of `_to_odd`.
            wide = self._text.cast(name, value, "double")
            return self._between_floats(Type.DF, Type.HF, wide)
        return self._text.cast(name, value, element_of(target))

    def bitcast(self, source: Type, target: Type, value: Value) -> Value:
        """The same bits as another type of the same size."""
        return self._text.bitcast(value, element_of(target), value.lanes)

    def select(self, kind: Type, mask: Value, if_true: Value, if_false: Value) -> Value:
        """Lane by lane the one or the other."""
        return self._text.select(mask, if_true, if_false)

    def permute(self, kind: Type, value: Value, lanes: Sequence[int]) -> Value:
        """Lane n of the result is lane ``lanes[n]`` of the value."""
        return self._text.shuffle(value, list(lanes))

    # Masks

    def constant_mask(self, value: bool) -> Value:
        """The same bit in every lane."""
        return same("i1", self.lanes, "true" if value else "false")

    def mask_and(self, a: Value, b: Value) -> Value:
        """Both."""
        return self._text.binary("and", a, b)

    def mask_or(self, a: Value, b: Value) -> Value:
        """One of them at least."""
        return self._text.binary("or", a, b)

    def mask_not(self, a: Value) -> Value:
        """Not."""
        return self._text.invert(a)

    def compare(self, relation: Relation, kind: Type, a: Value, b: Value) -> Value:
        """Lane by lane; integers by the type's signedness."""
        column = 0 if _is_float(kind) else 1 if _is_signed(kind) else 2
        return self._text.compare(_ORDERED[relation][column], a, b)

    def is_nan(self, kind: Type, value: Value) -> Value:
        """Whether a float is a NaN."""
        return self._text.compare("uno", value, value)

    # Arithmetic

    def _binary(self, name: str, kind: Type, a: Value, b: Value) -> Value:
        return self._text.binary(f"f{name}" if a.element in FLOATS else name, a, b)

    def add(self, kind: Type, a: Value, b: Value) -> Value:
        """a + b."""
        return self._binary("add", kind, a, b)

    def subtract(self, kind: Type, a: Value, b: Value) -> Value:
        """a - b."""
        return self._binary("sub", kind, a, b)

    def multiply(self, kind: Type, a: Value, b: Value) -> Value:
        """a * b."""
        return self._binary("mul", kind, a, b)

    def negate(self, kind: Type, a: Value) -> Value:
        """-a; of a float the sign bit alone changes."""
        if a.element in FLOATS:
            return self._text.define(a.element, a.lanes, f"fneg {a.typed}")
        return self._text.binary("sub", zero(a.element, a.lanes), a)

    def absolute(self, kind: Type, a: Value) -> Value:
        """|a|."""
        if a.element in FLOATS:
            return self._text.intrinsic("fabs", a)
        return self._text.intrinsic("abs", a, Value("false", "i1"))

    def divide(self, kind: Type, a: Value, b: Value) -> Value:
        """a / b; of 32-bit integers by way of doubles, which is exact."""
        if a.element in FLOATS:
            return self._text.binary("fdiv", a, b)
        if kind.size == 8:
            return self._text.binary("sdiv" if _is_signed(kind) else "udiv", a, b)
        text, sign = self._text, "s" if _is_signed(kind) else "u"
        wide = [text.cast(f"{sign}itofp", value, "double") for value in (a, b)]
        # A quotient that is no integer is at least 1 / b from one: no rounding mode reaches it.
        return text.cast(f"fpto{sign}i", text.binary("fdiv", *wide), "i32")

    def remainder(self, kind: Type, a: Value, b: Value) -> Value:
        """a - b * quotient."""
        product = self._text.binary("mul", self.divide(kind, a, b), b)
        return self._text.binary("sub", a, product)

    def bit_and(self, kind: Type, a: Value, b: Value) -> Value:
        """a AND b."""
        return self._text.binary("and", a, b)

    def bit_or(self, kind: Type, a: Value, b: Value) -> Value:
        """a OR b."""
        return self._text.binary("or", a, b)

    def bit_xor(self, kind: Type, a: Value, b: Value) -> Value:
        """a XOR b."""
        return self._text.binary("xor", a, b)

    def shift_left(self, kind: Type, a: Value, count: Value) -> Value:
        """a << count."""
        return self._text.binary("shl", a, count)

    def shift_right(self, kind: Type, a: Value, count: Value) -> Value:
        """a >> count."""
        return self._text.binary("ashr" if _is_signed(kind) else "lshr", a, count)

    def count_bits(self, kind: Type, a: Value) -> Value:
        """How many bits are set."""
        return self._text.intrinsic("ctpop", a)

    def leading_zeros(self, kind: Type, a: Value) -> Value:
        """Zero bits above the highest set one; 32 of 0."""
        return self._text.intrinsic("ctlz", a, Value("false", "i1"))

    def trailing_zeros(self, kind: Type, a: Value) -> Value:
        """Zero bits below the lowest set one; 32 of 0."""
        return self._text.intrinsic("cttz", a, Value("false", "i1"))

    def reverse_bits(self, kind: Type, a: Value) -> Value:
        """Bit 0 becomes the highest one and so on."""
        return self._text.intrinsic("bitreverse", a)

    # Floats alone

    def fma(self, kind: Type, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        return self._text.intrinsic("fma", a, b, c)

    def square_root(self, kind: Type, a: Value) -> Value:
        """Square root, correctly rounded."""
        return self._text.intrinsic("sqrt", a)

    def round_down(self, kind: Type, a: Value) -> Value:
        """The next integer towards minus infinity."""
        return self._text.intrinsic("floor", a)

    def round_up(self, kind: Type, a: Value) -> Value:
        """The next integer towards plus infinity."""
        return self._text.intrinsic("ceil", a)

    def round_zero(self, kind: Type, a: Value) -> Value:
        """The next integer towards zero."""
        return self._text.intrinsic("trunc", a)

    def round_even(self, kind: Type, a: Value) -> Value:
        """The nearest integer, of two the even one."""
        return self._text.intrinsic("roundeven", a)

    def reciprocal_root(self, kind: Type, a: Value) -> Value:
        """1 / sqrt(a)."""
        one = same(a.element, a.lanes, float_constant(a.element, 1.0))
        return self._text.binary("fdiv", one, self.square_root(kind, a))

    def exp2(self, kind: Type, a: Value) -> Value:
        """2 ** a."""
        return functions.exp2(self._text, a)

    def log2(self, kind: Type, a: Value) -> Value:
        """Logarithm to base 2."""
        return functions.log2(self._text, a)

    def sine(self, kind: Type, a: Value) -> Value:
        """Sine of radians."""
        return functions.sine(self._text, a)

    def cosine(self, kind: Type, a: Value) -> Value:
        """Cosine of radians."""
        return functions.cosine(self._text, a)

    def power(self, kind: Type, a: Value, b: Value) -> Value:
        """a ** b."""
        return functions.power(self._text, a, b)
