"""Numbers, and what is made of them, as `numbers/` writes them.

Hexadecimal without 0x, bit fields as high:low, tuples, tables and rows in brackets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from struct import Struct
from types import FunctionType

from mediator.gen9.field import Field

_LONGEST = 24
"""Characters of a string; what names a number is no number."""


def number_text(value: object) -> str:
    """``value`` without blanks and =, functions as "f", and "?" for what has no numbers."""
    match value:
        case None:
            return "-"
        case bool() | float():
            return repr(value)
        case int():
            return f"{value:X}"
        case Enum():
            return value.name
        case str():
            return "".join(value.split()).replace("=", "")[:_LONGEST] or "''"
        case bytes():
            return value.hex() or "''"
        case Field():
            return f"{value.hi}:{value.lo}"
        case Struct():
            return value.format.replace(" ", "")
        case Mapping():
            pairs = [f"{number_text(key)}:{number_text(each)}" for key, each in value.items()]
            return _joined("{}", pairs)
        case set() | frozenset():
            return _joined("{}", sorted(map(number_text, value)))
        case tuple() | list():
            return _joined("()", map(number_text, value))
        case slice() | range():
            return number_text((value.start, value.stop, value.step))
        case partial():
            return number_text(value.keywords)
        case type():
            return value.__name__
        case FunctionType():
            return "f"
    if is_dataclass(value):
        return _joined("()", [number_text(getattr(value, each.name)) for each in fields(value)])
    return "?"


def _joined(brackets: str, parts: Iterable[str]) -> str:
    return f"{brackets[0]}{','.join(parts)}{brackets[1]}"
