"""Every fault that can be put into a C file, found by its tokens: behaviour only.

What the compiler does not take, or makes the same machine code of, is left out when a fault is
tried (`native_build.py`), so that this file need not know C better than its tokens tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.mutation.fault import Fault

_TOKEN = re.compile(
    rb"""(?P<skip>/\*.*?\*/ | \#\s*(?:include|if|ifdef|ifndef|else|endif)[^\n]* | //[^\n]*)
    | (?P<string>"(?:\\.|[^"\\])*")
    | (?P<real>[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?[fF]?
        | [0-9]+[eE][-+]?[0-9]+[fF]? | 0x[0-9a-fA-F.]+p[-+]?[0-9]+[fF]?)
    | (?P<number>0x[0-9a-fA-F]+[uUlL]* | [0-9]+[uUlL]*)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<mark><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[^\s\w])
    """,
    re.DOTALL | re.VERBOSE,
)
_SWAPS: dict[str, tuple[str, ...]] = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "&&": ("||",),
    "||": ("&&",),
    "<<": (">>",),
    ">>": ("<<",),
    "|": ("&",),
    "^": ("&",),
    "/": ("*",),
    "%": ("/",),
    "+=": ("-=",),
    "-=": ("+=",),
    "|=": ("&=", "="),
    "&=": ("|=", "="),
    "++": ("--",),
}
_BOTH_WAYS = {"+": "-", "-": "+", "&": "|", "*": "/"}
"""Operators of two operands; with one they mean something else."""
_TYPES = {
    "double",
    "float",
    "uint8_t",
    "uint32_t",
    "uint64_t",
    "int32_t",
    "int64_t",
    "size_t",
    "uintptr_t",
}
_DECLARES = _TYPES | {
    "struct",
    "const",
    "unsigned",
    "int",
    "static",
    "enum",
    "void",
    "bool",
    "__m128i",
}
_KEEPS = {"return", "if", "for", "while", "else", "do", "switch", "case", "default", "goto"}
_LEAVES = {"return", "break", "continue", "goto"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def c_faults(file: str, source: bytes) -> list[Fault]:
    """The faults of the C file ``source``, in order of their places."""
    tokens = [
        _Token(found.lastgroup or "", found[0].decode(), found.start(), found.end())
        for found in _TOKEN.finditer(source)
        if found.lastgroup != "skip"
    ]
    owners = _functions(tokens)
    faults = [
        Fault(
            *(file, source.count(b"\n", 0, start) + 1, start, end, source[start:end].decode(), now),
            within=next((name for first, last, name in owners if first <= start < last), ""),
        )
        for start, end, now in _changes(tokens, source, owners)
    ]
    return sorted(set(faults), key=lambda fault: (fault.start, fault.end, fault.now))


def _changes(
    tokens: Sequence[_Token], source: bytes, owners: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[int, int, str]]:
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.kind == "number":
            larger, *smaller = _numbers(token.text)
            local = any(first <= token.start < last for first, last, _ in owners)
            if not local or not _is_room(tokens, index):  # more than is used changes nothing
                yield token.start, token.end, larger
            for now in smaller:
                yield token.start, token.end, now
        elif token.kind == "mark":
            for now in _SWAPS.get(token.text, ()):
                yield token.start, token.end, now
            declared = index > 1 and tokens[index - 2].text in {"struct", "enum"}
            if token.text in _BOTH_WAYS and not declared and _has_two_operands(before, after):
                yield token.start, token.end, _BOTH_WAYS[token.text]
            if token.text in {"~", "!"} or (token.text == "-" and _opens(before)):
                yield token.start, token.end, ""
        elif token.text in {"if", "while"} and after is not None and after.text == "(":
            close = _closing(tokens, index + 1)
            start, end = after.end, tokens[close].start
            inside = source[start:end].decode()
            yield start, end, f"!({inside})"
            if token.text == "if" and _leaves(tokens, close + 1):
                yield start, end, f"0 && ({inside})"
        elif token.text in {"break", "continue"}:
            yield token.start, token.end, ""
    for first, last in _statements(tokens):
        yield tokens[first].start, tokens[last].start, "(void)0"


def _numbers(text: str) -> list[str]:
    digits = text.rstrip("uUlL")
    suffix = text[len(digits) :]
    value = int(digits, 0)
    form = hex if digits.startswith("0x") else str
    return [f"{form(near)}{suffix}" for near in (value + 1, value - 1) if near >= 0]


def _is_room(tokens: Sequence[_Token], at: int) -> bool:
    """Whether the number at ``at`` is the length of an array that is declared."""
    if at < 4 or tokens[at - 1].text != "[" or tokens[at - 2].kind != "word":
        return False
    return tokens[at - 3].text in _DECLARES or tokens[at - 4].text == "struct"


def _opens(before: _Token | None) -> bool:
    """Whether an operator after ``before`` has no left operand."""
    if before is None or before.text in {"return", "case"}:
        return True
    return before.kind == "mark" and before.text not in {")", "]"}


def _has_two_operands(before: _Token | None, after: _Token | None) -> bool:
    if _opens(before) or before is None or after is None:
        return False
    if before.text in _DECLARES or after.text in {")", ",", "*", "const"}:
        return False
    return after.text != "="


def _closing(tokens: Sequence[_Token], at: int) -> int:
    """The index of the parenthesis that closes the one at ``at``."""
    depth = 0
    for index in range(at, len(tokens)):
        depth += (tokens[index].text == "(") - (tokens[index].text == ")")
        if not depth:
            return index
    return len(tokens) - 1


def _leaves(tokens: Sequence[_Token], at: int) -> bool:
    """Whether the branch that begins at ``at`` begins with a statement that leaves."""
    if tokens[at].text == "{":
        at += 1
    return tokens[at].text in _LEAVES


def _statements(tokens: Sequence[_Token]) -> Iterator[tuple[int, int]]:
    """(first token, semicolon) of each assignment and each call that is a statement."""
    depth = 0
    heads: list[int] = []
    begins = -1
    for index, (token, following) in enumerate(pairwise(tokens)):
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            depth -= 1
        starts = token.text in {";", "{", "}", "else"} or index in heads
        if token.text in {"if", "for", "while"} and following.text == "(":
            heads.append(_closing(tokens, index + 1))
        if token.text == ";" and begins >= 0 and not _inside_head(tokens, index, heads):
            yield begins, index
            begins = -1
        if starts:
            fits = depth and following.kind in {"word", "mark"} and following.text not in ";{}"
            words = following.text not in _DECLARES | _KEEPS | _LEAVES
            begins = index + 1 if fits and words and _acts(tokens, index + 1) else -1


def _inside_head(tokens: Sequence[_Token], at: int, heads: Sequence[int]) -> bool:
    """Whether the semicolon at ``at`` stands in the head of a `for`."""
    return bool(heads) and at < heads[-1] and any(t.text == "for" for t in tokens[:at])


def _acts(tokens: Sequence[_Token], at: int) -> bool:
    """Whether the statement at ``at`` assigns or calls; initialisers do not."""
    depth = 0
    acts = False
    for token in tokens[at:]:
        depth += (token.text in "([{") - (token.text in ")]}")
        if depth < 0 or (token.text == "," and not depth):
            return False
        if token.text == ";":
            return acts
        acts |= token.text == "(" or token.text in {"++", "--"} or token.text.endswith("=")
    return False


def _functions(tokens: Sequence[_Token]) -> list[tuple[int, int, str]]:
    """(start, end, name) of each function with a body."""
    found = []
    depth = 0
    start, name = 0, ""
    for index, token in enumerate(tokens):
        if token.text == "{":
            if not depth and index and tokens[index - 1].text == ")":
                name = _called(tokens, index - 1)
                start = token.start
            depth += 1
        elif token.text == "}":
            depth -= 1
            if not depth and name:
                found.append((start, token.end, name))
                name = ""
    return found


def _called(tokens: Sequence[_Token], close: int) -> str:
    """The word before the parenthesis that the one at ``close`` closes."""
    depth = 0
    for index in range(close, 0, -1):
        depth += (tokens[index].text == ")") - (tokens[index].text == "(")
        if not depth:
            return tokens[index - 1].text
    return ""
