"""The page of error texts quotes what the code says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.style.tree import PACKAGES, ROOT, modules, name, syntax, text

PAGE = ROOT / "docs" / "troubleshooting.md"
_QUOTED = re.compile(r"^### (?P<message>.+)$", re.M)
_OTHERS = "QEMU: "
"""Begins a message that another program prints."""
_VARIABLE = "..."
_GAP = "\0"
_PERCENT = re.compile(r"%[#0-9.]*[sdrxg]")
_LEAST = 6
"""Characters of a quotation that are fixed: with fewer anything would match."""

MESSAGES = [m for m in _QUOTED.findall(text(PAGE)) if not m.startswith(_OTHERS)]


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_in_the_code(message: str) -> None:
    parts = [part.strip() for part in message.split(_VARIABLE)]
    assert max(map(len, parts)) >= _LEAST, "too little of it is fixed"
    pattern = re.compile(".*".join(map(re.escape, parts)), re.S)
    assert any(pattern.search(found) for found in _texts()), f"nobody says {message!r}"


def test_messages_are_there_once() -> None:
    assert len(set(MESSAGES)) == len(MESSAGES)


@cache
def _texts() -> tuple[str, ...]:
    """Every string in the packages; what is filled in is a gap."""
    ours = (path for path in modules() if name(path).split("/")[0] in PACKAGES)
    return tuple(found for path in ours for found in _strings(syntax(path)))


def _strings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else _GAP for part in values
                )
            case ast.Constant(value=str(value)):
                yield _PERCENT.sub(_GAP, value)
