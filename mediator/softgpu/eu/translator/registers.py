"""Register files in compiled code: regions read as vectors of lanes, and lanes written back.

A file is memory of 32-bit elements, of the activation (an alloca, which LLVM turns into host
registers) or of the thread block. Everything is read and written as 32-bit elements or vectors of
them, whatever the operand's type: mixed types in one piece of memory would keep it from becoming
registers. Source of the regions: PRM SKL vol 7 "Register Region".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediator.softgpu.eu.isa.instruction import GRF_BYTES
from mediator.softgpu.eu.translator.ops import element_of
from mediator.softgpu.eu.translator.text import Value, bits_of, constants, same

if TYPE_CHECKING:
    from mediator.gen9.eu.types import Type
    from mediator.softgpu.eu.isa.instruction import Region
    from mediator.softgpu.eu.translator.text import Text


class Untranslatable(Exception):
    """A program that only the interpreter runs: it says why."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A register file of one thread: pointer and size. ``beginnings``: the GRF-sized pieces with
    which others begin that no access crosses (`pieces`); None: there are no such limits."""

    pointer: str
    size: int
    align: int = 32
    beginnings: frozenset[int] | None = None

    def cut(self, first: int, count: int) -> list[tuple[int, int]]:
        """A run of pieces, as runs that cross no limit."""
        if self.beginnings is None:
            return [(first, count)]
        found: list[tuple[int, int]] = []
        for piece in range(first, first + count):
            if piece in self.beginnings or not found:
                found.append((piece, 1))
            else:
                begin, length = found[-1]
                found[-1] = begin, length + 1
        return found


def positions(byte: int, region: Region, size: int, width: int) -> list[int]:
    """Byte of each channel's element."""
    if region.vertical is None:
        raise Untranslatable("a direct region with the vertical stride of an indirect one")
    return [
        byte
        + size
        * ((lane // region.width) * region.vertical + (lane % region.width) * region.horizontal)
        for lane in range(width)
    ]


def _span(places: list[int], size: int, memory: Memory) -> tuple[int, int]:
    """First GRF-sized piece and the number of them that the elements touch."""
    first, last = min(places) // GRF_BYTES, (max(places) + size - 1) // GRF_BYTES
    if min(places) < 0 or max(places) + size > memory.size:
        raise Untranslatable("a region beyond the register file")
    if any(place % size for place in places):
        raise Untranslatable("an operand that is not aligned to its type")
    return first, last - first + 1


class RegisterAccess:
    """Reads and writes regions of files in a text."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def load(self, memory: Memory, first: int, count: int) -> Value:
        """Whole GRF-sized pieces as i32."""
        if (first + count) * GRF_BYTES > memory.size:
            raise Untranslatable("a vector of a register that is smaller")
        runs = memory.cut(first, count)
        if len({length for _, length in runs}) > 1:
            runs = [(piece, 1) for piece in range(first, first + count)]
        return self._text.concat([self._load(memory, *run) for run in runs])

    def _load(self, memory: Memory, first: int, count: int) -> Value:
        pointer = self._text.address(memory.pointer, first * GRF_BYTES)
        return self._text.load("i32", 8 * count, pointer, memory.align)

    def store(self, memory: Memory, first: int, value: Value) -> None:
        """The same written: any vector of whole pieces."""
        whole = self._text.bitcast(value, "i32", value.lanes * bits_of(value.element) // 32)
        for begin, count in memory.cut(first, whole.lanes // 8):
            lanes = list(range(8 * (begin - first), 8 * (begin - first + count)))
            pointer = self._text.address(memory.pointer, begin * GRF_BYTES)
            self._text.store(self._text.shuffle(whole, lanes), pointer, memory.align)

    def words(self, memory: Memory, byte: int, count: int) -> Value:
        """Some dwords as i32."""
        return self._text.load("i32", count, self._text.address(memory.pointer, byte), 4)

    def read(self, memory: Memory, places: list[int], kind: Type) -> Value:
        """The elements at these bytes, one a lane, in the operand's own type."""
        text, element = self._text, element_of(kind)
        if len(set(places)) == 1:
            return text.splat(self._read_scalar(memory, places[0], kind), len(places))
        first, count = _span(places, kind.size, memory)
        pieces = text.bitcast(
            self.load(memory, first, count), element, count * GRF_BYTES // kind.size
        )
        return text.shuffle(pieces, [(place - first * GRF_BYTES) // kind.size for place in places])

    def _read_scalar(self, memory: Memory, place: int, kind: Type) -> Value:
        text, element = self._text, element_of(kind)
        _span([place], kind.size, memory)
        pointer = text.address(memory.pointer, place & ~3)
        if kind.size == 8:
            return text.bitcast(text.load("i32", 2, pointer, 4), element, 1)
        word = text.load("i32", 1, pointer, 4)
        if kind.size < 4:
            if place & 3:
                word = text.binary("lshr", word, Value(str(8 * (place & 3)), "i32"))
            word = text.cast("trunc", word, f"i{8 * kind.size}")
        return text.bitcast(word, element, 1)

    def write(
        self, memory: Memory, places: list[int], size: int, value: Value, mask: Value | None
    ) -> None:
        """Lanes to the elements at these bytes; where the mask is false the old ones stay."""
        text = self._text
        value = text.bitcast(value, f"i{8 * size}", value.lanes)
        if len(places) == 1:
            self._write_scalar(memory, places[0], size, value, mask)
            return
        first, count = _span(places, size, memory)
        elements = count * GRF_BYTES // size
        targets = [(place - first * GRF_BYTES) // size for place in places]
        whole = targets == list(range(elements))
        if whole and mask is None:
            self.store(memory, first, value)
            return
        old = text.bitcast(self.load(memory, first, count), value.element, elements)
        if mask is not None:
            value = text.select(mask, value, text.shuffle(old, targets))
        if not whole:
            value = self._placed(old, value, targets)
        self.store(memory, first, value)

    def _placed(self, old: Value, value: Value, targets: list[int]) -> Value:
        """The old elements with the lanes put in their places, the last of those that meet."""
        lane_of = {target: lane for lane, target in enumerate(targets)}
        text = self._text
        spread = text.shuffle(value, [lane_of.get(place, -1) for place in range(old.lanes)])
        return text.shuffle(
            old,
            [place + (old.lanes if place in lane_of else 0) for place in range(old.lanes)],
            spread,
        )

    def _write_scalar(
        self, memory: Memory, place: int, size: int, value: Value, mask: Value | None
    ) -> None:
        text = self._text
        _span([place], size, memory)
        pointer = text.address(memory.pointer, place & ~3)
        if size == 8:
            value = text.bitcast(value, "i32", 2)
        elif size < 4:
            word = text.load("i32", 1, pointer, 4)
            shift, ones = 8 * (place & 3), (1 << 8 * size) - 1
            moved = text.cast("zext", value, "i32")
            if shift:
                moved = text.binary("shl", moved, Value(str(shift), "i32"))
            kept = text.binary("and", word, same("i32", 1, str(~(ones << shift))))
            value = text.binary("or", kept, moved)
        if mask is not None:
            old = text.load("i32", value.lanes, pointer, 4)
            value = text.select(mask, value, old)
        text.store(value, pointer, 4)

    # Indirect: the file stays in memory

    def read_at(self, memory: Memory, addresses: Value, kind: Type) -> Value:
        """The elements at byte addresses (i32), which wrap within the file. Behind the file there
        must be room for one element."""
        text = self._text
        lanes = []
        behind = text.address(memory.pointer, memory.size)
        text.store(text.load("i64", 1, memory.pointer, 8), behind, 8)
        for lane in range(addresses.lanes):
            pointer = self._pointer_at(memory, text.extract(addresses, lane))
            lanes.append(text.load(element_of(kind), 1, pointer, 1))
        return text.concat(lanes)

    def write_at(
        self, memory: Memory, addresses: Value, size: int, value: Value, mask: Value | None
    ) -> None:
        """Lanes to the elements at byte addresses (i32), lowest lane first."""
        text = self._text
        value = text.bitcast(value, f"i{8 * size}", value.lanes)
        for lane in range(addresses.lanes):
            pointer = self._pointer_at(memory, text.extract(addresses, lane))
            scalar = text.extract(value, lane)
            if mask is not None:
                old = text.load(scalar.element, 1, pointer, 1)
                scalar = text.select(text.extract(mask, lane), scalar, old)
            text.store(scalar, pointer, 1)

    def _pointer_at(self, memory: Memory, address: Value) -> str:
        text = self._text
        inside = text.binary("and", address, Value(str(memory.size - 1), "i32"))
        return text.address_of(memory.pointer, text.cast("zext", inside, "i64"))


def iota(element: str, lanes: int, step: int) -> Value:
    """0, step, 2 * step and so on."""
    return constants(element, [step * lane for lane in range(lanes)])
