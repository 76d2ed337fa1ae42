"""What a back end must be able to do with vectors of lanes for the semantics to be written once.

`mediator/softgpu/eu/semantics/table.py` says what each instruction means in these operations and in
nothing else. NumPy's answer to them makes the interpreter, LLVM's the translator. A value is opaque
to the semantics: one lane per channel of the instruction, all of one `Type`. Integers are two's
complement bits: an operation's type says how they are understood, and a value of type D may be
handed to an operation of type UD as it is (`bitcast` only matters between integers and floats).
A mask is one bit a lane.

Arithmetic is done at D, UD, Q, UQ, F and DF only; the narrow types are converted to these before
and from these after. `convert` and `bitcast` take all types.

Source of what the operations have to give: PRM SKL vol 7 "EU Instruction Set", "Floating Point
Modes"; the rest is IEEE 754-2008.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediator.gen9.eu.types import Type

Value = TypeVar("Value")
Mask = TypeVar("Mask")


class Relation(Enum):
    """How two numbers compare. With a NaN all but NOT_EQUAL are false."""

    EQUAL = "eq"
    NOT_EQUAL = "ne"
    LESS = "lt"
    LESS_EQUAL = "le"
    GREATER = "gt"
    GREATER_EQUAL = "ge"


class Ops(ABC, Generic[Value, Mask]):
    """Operations on vectors of lanes.

    Float arithmetic (add to round_even, compare, convert, and the functions) obeys the thread's
    control register: rounding mode, and whether denormals of F, DF and HF are kept or taken and
    given as zeros of the same sign. `bitcast`, `select`, `negate` and `absolute` only move bits.
    """

    # Values

    @abstractmethod
    def constant(self, kind: Type, value: float) -> Value:
        """The same number in every lane. Integers are taken modulo the type's size."""

    @abstractmethod
    def convert(self, source: Type, target: Type, value: Value) -> Value:
        """The same number in another type.

        Integers to integers: the low bits, or extended by the source's sign. Integers to floats and
        floats to narrower floats: rounded by the mode. Floats to integers: towards zero, clamped to
        the target's range, a NaN becomes 0. A NaN stays a NaN (quiet, sign and high bits kept).
        """

    @abstractmethod
    def bitcast(self, source: Type, target: Type, value: Value) -> Value:
        """The same bits as another type of the same size."""

    @abstractmethod
    def select(self, kind: Type, mask: Mask, if_true: Value, if_false: Value) -> Value:
        """Lane by lane the one or the other. Takes all types."""

    @abstractmethod
    def permute(self, kind: Type, value: Value, lanes: Sequence[int]) -> Value:
        """Lane n of the result is lane ``lanes[n]`` of the value."""

    # Masks

    @abstractmethod
    def constant_mask(self, value: bool) -> Mask:
        """The same bit in every lane."""

    @abstractmethod
    def mask_and(self, a: Mask, b: Mask) -> Mask:
        """Both."""

    @abstractmethod
    def mask_or(self, a: Mask, b: Mask) -> Mask:
        """One of them at least."""

    @abstractmethod
    def mask_not(self, a: Mask) -> Mask:
        """Not."""

    @abstractmethod
    def compare(self, relation: Relation, kind: Type, a: Value, b: Value) -> Mask:
        """Lane by lane; integers by the type's signedness."""

    @abstractmethod
    def is_nan(self, kind: Type, value: Value) -> Mask:
        """Whether a float is a NaN."""

    # Arithmetic of integers (D, UD, Q, UQ: modulo their size) and floats (F, DF)

    @abstractmethod
    def add(self, kind: Type, a: Value, b: Value) -> Value:
        """a + b."""

    @abstractmethod
    def subtract(self, kind: Type, a: Value, b: Value) -> Value:
        """a - b."""

    @abstractmethod
    def multiply(self, kind: Type, a: Value, b: Value) -> Value:
        """a * b."""

    @abstractmethod
    def negate(self, kind: Type, a: Value) -> Value:
        """-a; of a float (HF too) the sign bit alone changes."""

    @abstractmethod
    def absolute(self, kind: Type, a: Value) -> Value:
        """|a|; of a float (HF too) the sign bit is cleared, the least integer stays as it is."""

    @abstractmethod
    def divide(self, kind: Type, a: Value, b: Value) -> Value:
        """a / b. Of integers (D, UD) towards zero; then no lane of ``b`` is 0, and none divides the
        least integer by -1."""

    # Integers alone

    @abstractmethod
    def remainder(self, kind: Type, a: Value, b: Value) -> Value:
        """a - b * quotient, under the same conditions."""

    @abstractmethod
    def bit_and(self, kind: Type, a: Value, b: Value) -> Value:
        """a AND b."""

    @abstractmethod
    def bit_or(self, kind: Type, a: Value, b: Value) -> Value:
        """a OR b."""

    @abstractmethod
    def bit_xor(self, kind: Type, a: Value, b: Value) -> Value:
        """a XOR b."""

    @abstractmethod
    def shift_left(self, kind: Type, a: Value, count: Value) -> Value:
        """a << count; the count is of the same type and less than its bits."""

    @abstractmethod
    def shift_right(self, kind: Type, a: Value, count: Value) -> Value:
        """a >> count, of a signed type with copies of its sign; the count as above."""

    @abstractmethod
    def count_bits(self, kind: Type, a: Value) -> Value:
        """How many bits are set (D, UD)."""

    @abstractmethod
    def leading_zeros(self, kind: Type, a: Value) -> Value:
        """Zero bits above the highest set one; 32 of 0 (D, UD)."""

    @abstractmethod
    def trailing_zeros(self, kind: Type, a: Value) -> Value:
        """Zero bits below the lowest set one; 32 of 0 (D, UD)."""

    @abstractmethod
    def reverse_bits(self, kind: Type, a: Value) -> Value:
        """Bit 0 becomes the highest one and so on (D, UD)."""

    # Floats alone (F, DF)

    @abstractmethod
    def fma(self, kind: Type, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""

    @abstractmethod
    def square_root(self, kind: Type, a: Value) -> Value:
        """Square root, correctly rounded."""

    @abstractmethod
    def round_down(self, kind: Type, a: Value) -> Value:
        """The next integer towards minus infinity."""

    @abstractmethod
    def round_up(self, kind: Type, a: Value) -> Value:
        """The next integer towards plus infinity."""

    @abstractmethod
    def round_zero(self, kind: Type, a: Value) -> Value:
        """The next integer towards zero."""

    @abstractmethod
    def round_even(self, kind: Type, a: Value) -> Value:
        """The nearest integer, of two the even one."""

    # Functions of the math box, of F. The interpreter gives the rounded exact value; another back
    # end may differ by what the PRM allows: 1 ulp (reciprocal root), 2 (exp2, log2), 16 (power),
    # an absolute 2^-11 (sine, cosine, up to 32767 pi). Zeros, infinities, NaNs are as in C.

    @abstractmethod
    def reciprocal_root(self, kind: Type, a: Value) -> Value:
        """1 / sqrt(a); of -0 and 0 an infinity of that sign, of negative numbers a NaN."""

    @abstractmethod
    def exp2(self, kind: Type, a: Value) -> Value:
        """2 ** a."""

    @abstractmethod
    def log2(self, kind: Type, a: Value) -> Value:
        """Logarithm to base 2; of zeros minus infinity, of negative numbers a NaN."""

    @abstractmethod
    def sine(self, kind: Type, a: Value) -> Value:
        """Sine of radians; of infinities a NaN."""

    @abstractmethod
    def cosine(self, kind: Type, a: Value) -> Value:
        """Cosine of radians; of infinities a NaN."""

    @abstractmethod
    def power(self, kind: Type, a: Value, b: Value) -> Value:
        """a ** b as C's pow."""
