"""A TOML file that is read into msgspec structs, and errors that say where, what and what else.

tomllib gives values without positions, and msgspec stops at a path of its own: `Document` finds the
line of a key in the text again and the value that does not fit. Nothing here knows vgpud's keys.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

Keys = tuple[str | int, ...]
"""Where a value is: keys of tables and indexes of arrays, from the outermost on."""
T = TypeVar("T", bound=msgspec.Struct)

ALLOWED = "allowed"
"""Key of ``Meta.extra`` for words in place of a pattern."""
_LONGEST_VALUE = 60
"""Characters of a value in a message."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_POSITION = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_TOKEN = re.compile(
    r"""
    (?P<string>"{3}(?:\\.|[^\\])*?"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<comment>\#[^\n]*)
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<equals>=)
    | (?P<newline>\n)
    | (?P<space>[ \t\r]+)
    | (?P<other>[^"'\#\[\]{}=\n\s]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
"""Enough of TOML 1.0 for text that tomllib took: where strings, comments and brackets are."""


class ConfigError(Exception):
    """Something in the configuration is wrong. The text is for the operator, on one line."""


class Document:
    """A TOML text: what it says, and where it says it."""

    def __init__(self, text: str, path: Path) -> None:
        """Raises ConfigError when ``text`` is not TOML; ``path`` is for messages only."""
        self._path = path
        self.values = self._parse(text)
        self._lines = _key_lines(text)

    def error(self, keys: Keys, problem: str) -> ConfigError:
        """The error for the value at ``keys``, with the line of it or of what it is part of."""
        known = (keys[:length] for length in range(len(keys), 0, -1))
        line = next((self._lines[part] for part in known if part in self._lines), 0)
        return self._error(line, f"{key_path(keys)}: {problem}" if keys else problem)

    def convert(self, kind: type[T]) -> T:
        """All of the document as ``kind``. Raises ConfigError at the first value that is wrong."""
        try:
            return msgspec.convert(self.values, kind)
        except msgspec.ValidationError as error:
            for keys, problem in _problems(self.values, kind, ()):
                raise self.error(keys, problem) from None
            raise self.error((), str(error)) from None

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except RecursionError:
            raise self._error(0, "arrays or tables are nested too deeply") from None
        except ValueError as error:  # TOMLDecodeError, and int() of thousands of digits
            reason = str(error)
            place = _POSITION.search(reason)
            if place is None:
                raise self._error(0, f"not TOML: {reason!a}") from None
            line = int(place["line"] or text.count("\n") + 1)
            column = f", column {place['column']}" if place["column"] else ", at the end"
            reason = reason.removesuffix(place[0])
            reason = reason if reason.isprintable() else ascii(reason)
            raise self._error(line, f"not TOML: {reason}{column}") from None

    def _error(self, line: int, problem: str) -> ConfigError:
        return ConfigError(f"{self._path}{f':{line}' if line else ''}: {problem}")


def key_path(keys: Keys) -> str:
    """Keys as TOML would have them, with indexes: `gpu[0].slice_ms`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _BARE_KEY.fullmatch(key) else quoted(key))
    return text


def quoted(text: str) -> str:
    """``text`` in quotes, on one line and in ASCII, shortened where it is long."""
    short = text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
    return json.dumps(short)


def shown(value: Any) -> str:
    """``value``, as TOML gave it, for a message."""
    match value:
        case str():
            return quoted(value)
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() > 64:
            return f"a number of {value.bit_length()} bits"
        case dict():
            return "a table"
        case list():
            return "an array"
        case _:
            return str(value)


def allowed(kind: Any, value: Any = 0) -> str:
    """Which values of type ``kind`` are allowed, in words; ``value`` is one that is not."""
    base, notes = unwrap(kind)
    for note in notes:
        if note.extra is not None and ALLOWED in note.extra:
            return str(note.extra[ALLOWED])
    if get_origin(base) is Literal:
        return one_of([shown(choice) for choice in get_args(base)])
    limits = _limits(notes)
    numbers = (int, float) if base is float else int
    if limits and base in (int, float) and isinstance(value, numbers) and value is not True:
        return limits
    array = "an array" if get_origin(base) is tuple else "a table"
    noun = {bool: "true or false", str: "text", int: "a whole number", float: "a number"}
    return f"{noun.get(base, array)}, {limits}" if limits else noun.get(base, array)


def one_of(choices: Sequence[str]) -> str:
    """The choices as an English list."""
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


def unwrap(kind: Any) -> tuple[Any, list[msgspec.Meta]]:
    """The type within Annotated and `| None`, with what the annotations say of it."""
    notes: list[msgspec.Meta] = []
    while True:
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            notes += [note for note in more if isinstance(note, msgspec.Meta)]
        elif get_origin(kind) in (Union, types.UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        else:
            return kind, notes


def near(name: str, known: Iterable[str]) -> str:
    """What else ``name`` may have meant, as the end of a message."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(names)}" if names else "there are none"


def _limits(notes: Sequence[msgspec.Meta]) -> str:
    for note in notes:
        if note.ge is not None and note.le is not None:
            return f"{note.ge:g} to {note.le:g}"
        if note.max_length is not None:
            return f"at most {note.max_length} long"
    return ""


def _problems(value: Any, kind: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:
    """What does not fit ``kind``, innermost place first."""
    if _fits(value, kind):
        return
    base, _ = unwrap(kind)
    if isinstance(value, dict) and isinstance(base, type) and issubclass(base, msgspec.Struct):
        yield from _problems_of_struct(value, base, keys)
    elif isinstance(value, dict) and get_origin(base) is dict:
        key_kind, item_kind = get_args(base)
        for key, item in value.items():
            if not _fits(key, key_kind):
                yield (*keys, key), f"this name is not allowed: {allowed(key_kind, key)}"
            yield from _problems(item, item_kind, (*keys, key))
    elif isinstance(value, list) and get_origin(base) is tuple:
        for index, item in enumerate(value):
            yield from _problems(item, get_args(base)[0], (*keys, index))
        yield keys, f"{len(value)} elements are not allowed: {allowed(kind, value)}"
    yield keys, f"{shown(value)} is not allowed: {allowed(kind, value)}"


def _problems_of_struct(
    value: dict[str, Any], base: type[msgspec.Struct], keys: Keys
) -> Iterator[tuple[Keys, str]]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(base)}
    unknown = [key for key in value if key not in fields]
    if unknown:
        others = [quoted(key) for key in unknown[1:]]
        more = f" (unknown too: {', '.join(others)})" if others else ""
        yield (*keys, unknown[0]), f"unknown key: {near(unknown[0], fields)}{more}"
    for name, field in fields.items():
        if name in value:
            yield from _problems(value[name], field.type, (*keys, name))
        elif field.required:
            yield (*keys, name), f"is missing: {allowed(field.type)}"


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return not (isinstance(value, float) and math.isnan(value))


def _key_lines(text: str) -> dict[Keys, int]:
    """The line of each key and table header in ``text``, which is TOML.

    What is within an inline table or an array has no line of its own.
    """
    lines: dict[Keys, int] = {}
    counts: dict[Keys, int] = {}
    table: Keys = ()
    for line, left, is_header in _statements(text):
        if not is_header:
            keys = _resolve(table, _names(left), counts)
        elif left.startswith("[["):
            array = _resolve((), _names(left[2:-2]), counts, whole=True)
            counts[array] = counts.get(array, -1) + 1
            keys = table = (*array, counts[array])
        else:
            keys = table = _resolve((), _names(left[1:-1]), counts)
        for length in range(1, len(keys) + 1):
            lines.setdefault(keys[:length], line)
    return lines


def _resolve(
    table: Keys, names: Sequence[str], counts: dict[Keys, int], *, whole: bool = False
) -> Keys:
    """``names`` below ``table``; a name of an array of tables means its last element.

    ``whole``: but the last name means the array.
    """
    keys = table
    for number, name in enumerate(names, 1):
        keys = (*keys, name)
        if keys in counts and not (whole and number == len(names)):
            keys = (*keys, counts[keys])
    return keys


def _names(dotted: str) -> list[str]:
    """The parts of a dotted key; tomllib knows quotes and escapes."""
    names = []
    value: Any = tomllib.loads(f"{dotted.strip()} = 0")
    while isinstance(value, dict):
        ((name, value),) = value.items()
        names.append(name)
    return names


def _statements(text: str) -> Iterator[tuple[int, str, bool]]:
    """Line and left side of each `key = value`, and of each header with its brackets."""
    line, depth = 1, 0
    started, left, in_value = 0, "", False
    for token in _TOKEN.finditer(text):
        kind, word = token.lastgroup, token[0]
        if kind == "newline" and depth == 0:
            if left and not in_value:
                yield started, left.rstrip(), True
            left, in_value = "", False
        elif kind != "comment" and not in_value:
            if kind == "equals":
                yield started, left, False
                in_value = True
            elif left or kind != "space":
                started = started if left else line
                left += word
        if in_value and kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
        line += word.count("\n")
    if left and not in_value:
        yield started, left.rstrip(), True
