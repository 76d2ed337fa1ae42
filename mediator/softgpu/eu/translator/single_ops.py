"""Operations on F in a kernel that computes with DF, too.

The host has one mode for the denormals of both, and it is DF's there (`modes.py`). Mesa has F's
flushed and DF's kept, and divides doubles with a first guess in F: where F is to have no denormals,
instructions see to it before and after each operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mediator.gen9.eu.types import Type
from mediator.softgpu.eu.translator.ops import LlvmOps, flushed

if TYPE_CHECKING:
    from mediator.softgpu.eu.semantics.ops import Relation
    from mediator.softgpu.eu.translator.text import Value

FLUSH_SINGLE: Final = "%flush.single"
"""An i1 of the function's first block: whether denormals of F are to be zeros."""


class SingleOps(LlvmOps):
    """`LlvmOps` with a mode for F beside the host's."""

    def _mode(self, kind: Type, value: Value) -> Value:
        return flushed(self._text, value, FLUSH_SINGLE) if kind is Type.F else value

    def convert(self, source: Type, target: Type, value: Value) -> Value:
        """The same number in another type."""
        if source is target:
            return super().convert(source, target, value)
        return self._mode(target, super().convert(source, target, self._mode(source, value)))

    def compare(self, relation: Relation, kind: Type, a: Value, b: Value) -> Value:
        """Lane by lane."""
        return super().compare(relation, kind, self._mode(kind, a), self._mode(kind, b))

    def add(self, kind: Type, a: Value, b: Value) -> Value:
        """a + b."""
        return self._mode(kind, super().add(kind, self._mode(kind, a), self._mode(kind, b)))

    def subtract(self, kind: Type, a: Value, b: Value) -> Value:
        """a - b."""
        return self._mode(kind, super().subtract(kind, self._mode(kind, a), self._mode(kind, b)))

    def multiply(self, kind: Type, a: Value, b: Value) -> Value:
        """a * b."""
        return self._mode(kind, super().multiply(kind, self._mode(kind, a), self._mode(kind, b)))

    def divide(self, kind: Type, a: Value, b: Value) -> Value:
        """a / b."""
        return self._mode(kind, super().divide(kind, self._mode(kind, a), self._mode(kind, b)))

    def fma(self, kind: Type, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        a, b, c = (self._mode(kind, each) for each in (a, b, c))
        return self._mode(kind, super().fma(kind, a, b, c))

    # Results without denormals: of ordinary numbers these functions never give one.

    def square_root(self, kind: Type, a: Value) -> Value:
        """Square root, correctly rounded."""
        return super().square_root(kind, self._mode(kind, a))

    def round_down(self, kind: Type, a: Value) -> Value:
        """The next integer towards minus infinity."""
        return super().round_down(kind, self._mode(kind, a))

    def round_up(self, kind: Type, a: Value) -> Value:
        """The next integer towards plus infinity."""
        return super().round_up(kind, self._mode(kind, a))

    def round_zero(self, kind: Type, a: Value) -> Value:
        """The next integer towards zero."""
        return super().round_zero(kind, self._mode(kind, a))

    def round_even(self, kind: Type, a: Value) -> Value:
        """The nearest integer, of two the even one."""
        return super().round_even(kind, self._mode(kind, a))

    def reciprocal_root(self, kind: Type, a: Value) -> Value:
        """1 / sqrt(a)."""
        return super().reciprocal_root(kind, self._mode(kind, a))

    def log2(self, kind: Type, a: Value) -> Value:
        """Logarithm to base 2."""
        return self._mode(kind, super().log2(kind, self._mode(kind, a)))

    def exp2(self, kind: Type, a: Value) -> Value:
        """2 ** a."""
        return self._mode(kind, super().exp2(kind, self._mode(kind, a)))

    def sine(self, kind: Type, a: Value) -> Value:
        """Sine of radians."""
        return self._mode(kind, super().sine(kind, self._mode(kind, a)))

    def cosine(self, kind: Type, a: Value) -> Value:
        """Cosine of radians."""
        return self._mode(kind, super().cosine(kind, self._mode(kind, a)))

    def power(self, kind: Type, a: Value, b: Value) -> Value:
        """a ** b."""
        return self._mode(kind, super().power(kind, self._mode(kind, a), self._mode(kind, b)))
