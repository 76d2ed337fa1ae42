"""LLVM IR as text: values with a type, and a function's lines being written.

Text, since it is quick to build, can be read and compared, and needs no LLVM in the process that
builds it. Only the subset with opaque pointers is used. Source: the LLVM language reference.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

FLOATS = ("half", "float", "double")
_BITS = {"half": 16, "float": 32, "double": 64}
_MANGLED = {"half": "f16", "float": "f32", "double": "f64"}


def bits_of(element: str) -> int:
    """Width of an element type in bits."""
    return _BITS.get(element) or int(element[1:])


def integer_of(element: str) -> str:
    """The integer type of the same width."""
    return f"i{bits_of(element)}"


def float_constant(element: str, value: float) -> str:
    """How a float is written: exactly, as bits."""
    if element == "half":
        return "0xH" + struct.pack(">e", value).hex()
    if element == "float":
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return "0x" + struct.pack(">d", value).hex()


def float_bits(element: str, bits: int) -> str:
    """How a float is written that is given by its bits; a signalling NaN of float becomes quiet."""
    if element == "half":
        return f"0xH{bits:04x}"
    if element == "double":
        return f"0x{bits:016x}"
    return "0x" + struct.pack(">d", struct.unpack("<f", struct.pack("<I", bits))[0]).hex()


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA name or a constant. ``lanes`` of 1 is a scalar."""

    text: str
    element: str
    lanes: int = 1

    @property
    def type(self) -> str:
        """As LLVM writes it."""
        return self.element if self.lanes == 1 else f"<{self.lanes} x {self.element}>"

    @property
    def typed(self) -> str:
        """Type and name, as an operand."""
        return f"{self.type} {self.text}"


def vector_of(element: str, lanes: int) -> str:
    """The type of so many lanes."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def constants(element: str, values: list[int]) -> Value:
    """Integers of a type, one a lane."""
    if len(values) == 1:
        return Value(str(values[0]), element)
    if len(set(values)) == 1:
        return same(element, len(values), str(values[0]))
    inner = ", ".join(f"{element} {value}" for value in values)
    return Value(f"<{inner}>", element, len(values))


def same(element: str, lanes: int, constant: str) -> Value:
    """One constant in all lanes."""
    if lanes == 1:
        return Value(constant, element)
    return Value(f"splat ({element} {constant})", element, lanes)


def zero(element: str, lanes: int = 1) -> Value:
    """Nought."""
    if lanes == 1:
        return Value("0.0" if element in FLOATS else "0", element)
    return Value("zeroinitializer", element, lanes)


class Text:
    """A function being written: lines in order, and the declarations that they need."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.head: list[str] = []
        """Allocas: they stand in the function's first block."""
        self.declarations: set[str] = set()
        self.block = "entry"
        """Label of the block that is being written."""
        self._count = 0

    def fresh(self) -> str:
        """A name that nobody has."""
        self._count += 1
        return f"%v{self._count}"

    def new_label(self, hint: str) -> str:
        """A label that nobody has."""
        self._count += 1
        return f"{hint}{self._count}"

    def line(self, text: str) -> None:
        """Write an instruction without a result."""
        self.lines.append("  " + text)

    def label(self, name: str) -> None:
        """Begin a block. The one before must have ended."""
        self.lines.append(f"{name}:")
        self.block = name

    def branch(self, label: str) -> None:
        """Go to a block."""
        self.line(f"br label %{label}")

    def branch_if(self, condition: Value, yes: str, no: str, likely: bool | None = None) -> None:
        """Go to one of two blocks; ``likely`` says which is expected."""
        weight = "" if likely is None else f", !prof !{1 if likely else 2}"
        self.line(f"br {condition.typed}, label %{yes}, label %{no}{weight}")

    def define(self, element: str, lanes: int, text: str) -> Value:
        """Write an instruction with a result of a type."""
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return Value(name, element, lanes)

    def alloca(self, element: str, lanes: int = 1, align: int = 64) -> str:
        """Memory of this activation: its pointer."""
        name = self.fresh()
        self.head.append(f"  {name} = alloca {vector_of(element, lanes)}, align {align}")
        return name

    def alloca_bytes(self, size: int) -> str:
        """So many bytes, for pieces of many types."""
        name = self.fresh()
        self.head.append(f"  {name} = alloca [{size} x i8], align 64")
        return name

    def binary(self, name: str, left: Value, right: Value) -> Value:
        """An instruction on two values of one type."""
        return self.define(left.element, left.lanes, f"{name} {left.typed}, {right.text}")

    def cast(self, name: str, value: Value, element: str) -> Value:
        """A conversion of each lane."""
        if value.element == element:
            return value
        target = vector_of(element, value.lanes)
        return self.define(element, value.lanes, f"{name} {value.typed} to {target}")

    def bitcast(self, value: Value, element: str, lanes: int) -> Value:
        """The same bits as another type."""
        if (value.element, value.lanes) == (element, lanes):
            return value
        target = vector_of(element, lanes)
        return self.define(element, lanes, f"bitcast {value.typed} to {target}")

    def compare(self, condition: str, left: Value, right: Value) -> Value:
        """icmp or fcmp, by the element's kind."""
        name = "fcmp" if left.element in FLOATS else "icmp"
        return self.define("i1", left.lanes, f"{name} {condition} {left.typed}, {right.text}")

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        """By lane, or as a whole with a scalar condition."""
        return self.define(
            yes.element, yes.lanes, f"select {condition.typed}, {yes.typed}, {no.typed}"
        )

    def invert(self, value: Value) -> Value:
        """Bitwise NOT."""
        ones = "true" if value.element == "i1" else "-1"
        return self.binary("xor", value, same(value.element, value.lanes, ones))

    def call(self, name: str, element: str, lanes: int, *arguments: Value) -> Value:
        """Call a function that returns a value."""
        result = vector_of(element, lanes)
        types = ", ".join(argument.type for argument in arguments)
        self.declarations.add(f"declare {result} @{name}({types})")
        typed = ", ".join(argument.typed for argument in arguments)
        return self.define(element, lanes, f"call {result} @{name}({typed})")

    def call_void(self, name: str, *arguments: Value) -> None:
        """Call a function that returns nothing."""
        types = ", ".join(argument.type for argument in arguments)
        self.declarations.add(f"declare void @{name}({types})")
        self.line(f"call void @{name}({', '.join(argument.typed for argument in arguments)})")

    def intrinsic(self, name: str, value: Value, *more: Value) -> Value:
        """``llvm.<name>.<type>`` with operands and result of one type (i1 operands apart)."""
        suffix = _MANGLED.get(value.element, value.element)
        if value.lanes > 1:
            suffix = f"v{value.lanes}{suffix}"
        return self.call(f"llvm.{name}.{suffix}", value.element, value.lanes, value, *more)

    def shuffle(self, value: Value, indices: list[int], other: Value | None = None) -> Value:
        """Lanes of one or two vectors in a new order; -1 is any. A scalar is a vector of one."""
        if value.lanes == 1 and other is None:
            return self.splat(value, len(indices))
        if len(indices) == 1:
            chosen = value
            index = indices[0]
            if other is not None and index >= value.lanes:
                chosen, index = other, index - value.lanes
            return self.extract(chosen, index)
        if other is None and indices == list(range(value.lanes)):
            return value
        second = other.text if other is not None else "poison"
        order = ", ".join("i32 poison" if index < 0 else f"i32 {index}" for index in indices)
        return self.define(
            value.element,
            len(indices),
            f"shufflevector {value.typed}, {value.type} {second}, <{len(indices)} x i32> <{order}>",
        )

    def splat(self, value: Value, lanes: int) -> Value:
        """A scalar in all lanes."""
        if lanes == 1 or value.lanes == lanes:
            return value
        if not value.text.startswith("%"):
            return same(value.element, lanes, value.text)
        kind = f"<{lanes} x {value.element}>"
        first = self.define(
            value.element, lanes, f"insertelement {kind} poison, {value.typed}, i64 0"
        )
        return self.define(
            value.element,
            lanes,
            f"shufflevector {first.typed}, {kind} poison, <{lanes} x i32> zeroinitializer",
        )

    def extract(self, value: Value, lane: int) -> Value:
        """One lane as a scalar."""
        if value.lanes == 1:
            return value
        return self.define(value.element, 1, f"extractelement {value.typed}, i64 {lane}")

    def insert(self, value: Value, scalar: Value, lane: int) -> Value:
        """The vector with one lane replaced."""
        if value.lanes == 1:
            return scalar
        return self.define(
            value.element, value.lanes, f"insertelement {value.typed}, {scalar.typed}, i64 {lane}"
        )

    def concat(self, parts: list[Value]) -> Value:
        """Vectors (or scalars) of one element type, one behind the other."""
        if len(parts) == 1:
            return parts[0]
        if all(part.lanes == 1 for part in parts):
            whole = Value("poison", parts[0].element, len(parts))
            for lane, part in enumerate(parts):
                whole = self.insert(whole, part, lane)
            return whole
        if len(parts) > 2:
            half = len(parts) // 2
            return self.concat([self.concat(parts[:half]), self.concat(parts[half:])])
        low, high = parts
        most = max(low.lanes, high.lanes)
        order = [*range(low.lanes), *range(most, most + high.lanes)]
        return self.shuffle(self._padded(low, most), order, self._padded(high, most))

    def _padded(self, value: Value, lanes: int) -> Value:
        """With lanes of any content behind it."""
        if value.lanes == lanes:
            return value
        if value.lanes == 1:
            return self.splat(value, lanes)
        return self.shuffle(value, [*range(value.lanes), *[-1] * (lanes - value.lanes)])

    def address(self, base: str, offset: int) -> str:
        """Pointer so many bytes behind another."""
        if offset == 0:
            return base
        name = self.fresh()
        self.lines.append(f"  {name} = getelementptr i8, ptr {base}, i64 {offset}")
        return name

    def address_of(self, base: str, offset: Value) -> str:
        """The same by a value of i64."""
        name = self.fresh()
        self.lines.append(f"  {name} = getelementptr i8, ptr {base}, {offset.typed}")
        return name

    def load(self, element: str, lanes: int, pointer: str, align: int) -> Value:
        """Read memory."""
        kind = vector_of(element, lanes)
        return self.define(element, lanes, f"load {kind}, ptr {pointer}, align {align}")

    def store(self, value: Value, pointer: str, align: int) -> None:
        """Write memory."""
        self.line(f"store {value.typed}, ptr {pointer}, align {align}")

    def clear(self, pointer: str, size: int) -> None:
        """So many bytes of zeros."""
        self.declarations.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1 immarg)")
        self.line(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {size}, i1 false)")

    def phi(self, arms: list[tuple[Value, str]]) -> Value:
        """One value by the block that led here."""
        first = arms[0][0]
        inner = ", ".join(f"[ {value.text}, %{block} ]" for value, block in arms)
        return self.define(first.element, first.lanes, f"phi {first.type} {inner}")


METADATA = """
!1 = !{!"branch_weights", i32 2000, i32 1}
!2 = !{!"branch_weights", i32 1, i32 2000}
"""
"""What `Text.branch_if` refers to."""
