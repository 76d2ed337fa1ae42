"""Masks of channels: of one thread a vector of bits, of several one number with all their bits.

The host has seven registers for vectors of bits, which one thread's masks fill; numbers go through
registers that are free, and one operation on them serves all threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediator.softgpu.eu.translator.text import Text, Value, constants, zero

if TYPE_CHECKING:
    from collections.abc import Sequence


class Masks:
    """Of the ``threads`` threads of a function, which have ``width`` channels each."""

    def __init__(self, text: Text, width: int, threads: int) -> None:
        self._text, self.width, self._threads = text, width, threads
        self._lanes = width * threads
        self._packed = threads > 1

    def room(self) -> str:
        """Memory of the function for a mask."""
        if self._packed:
            return self._text.alloca(f"i{self._lanes}", 1, 8)
        return self._text.alloca("i1", self._lanes, 8)

    def load(self, pointer: str) -> Value:
        """What is there."""
        if self._packed:
            return self._text.load(f"i{self._lanes}", 1, pointer, 8)
        return self._text.load("i1", self._lanes, pointer, 8)

    def store(self, mask: Value, pointer: str) -> None:
        """Put it there."""
        self._text.store(mask, pointer, 8)

    def nothing(self) -> Value:
        """No channel."""
        return zero(f"i{self._lanes}") if self._packed else zero("i1", self._lanes)

    def some(self, first: int, end: int) -> Value:
        """Channels from one up to another, of each thread."""
        lanes = [int(first <= lane < end) for lane in range(self.width)] * self._threads
        if not self._packed:
            return constants("i1", lanes)
        number = sum(bit << lane for lane, bit in enumerate(lanes))
        return Value(str(number), f"i{self._lanes}")

    def of_threads(self, each: Sequence[Value]) -> Value:
        """Of a vector of bits for each thread."""
        if not self._packed:
            return each[0]
        return self._joined([self._text.bitcast(mask, f"i{self.width}", 1) for mask in each])

    def any_of_threads(self, mask: Value) -> list[Value]:
        """Of each thread whether it has a channel there."""
        return [
            self._text.compare("ne", number, zero(number.element)) for number in self._numbers(mask)
        ]

    def channels(self, pointer: str, thread: int, first: int, width: int) -> Value:
        """Some channels of a thread as a vector of bits."""
        text, whole = self._text, self.load(pointer)
        if not self._packed:
            if width not in (8, 16) or width == self.width:
                return text.shuffle(whole, list(range(first, first + width)))
            # As numbers: shuffled, LLVM moves the mask through memory.
            whole = text.bitcast(whole, f"i{self.width}", 1)
        place = thread * self.width + first
        if place:
            whole = text.binary("lshr", whole, Value(str(place), whole.element))
        return text.bitcast(text.cast("trunc", whole, f"i{width}"), "i1", width)

    def words(self, mask: Value) -> list[Value]:
        """An i32 for each thread."""
        return [self._text.cast("zext", number, "i32") for number in self._numbers(mask)]

    def of_words(self, each: Sequence[Value]) -> Value:
        """The mask that `words` has made them of."""
        numbers = [self._text.cast("trunc", word, f"i{self.width}") for word in each]
        if not self._packed:
            return self._text.bitcast(numbers[0], "i1", self.width)
        return self._joined(numbers)

    def _numbers(self, mask: Value) -> list[Value]:
        text = self._text
        if not self._packed:
            return [text.bitcast(mask, f"i{self.width}", 1)]
        found = []
        for thread in range(self._threads):
            moved = mask
            if thread:
                moved = text.binary("lshr", mask, Value(str(thread * self.width), mask.element))
            found.append(text.cast("trunc", moved, f"i{self.width}"))
        return found

    def _joined(self, numbers: Sequence[Value]) -> Value:
        text, whole = self._text, None
        for thread, number in enumerate(numbers):
            moved = text.cast("zext", number, f"i{self._lanes}")
            if thread:
                moved = text.binary("shl", moved, Value(str(thread * self.width), moved.element))
            whole = moved if whole is None else text.binary("or", whole, moved)
        assert whole is not None, "a function has a thread"
        return whole
