"""Text as roff of man(7): paragraphs, lists, examples, with everything escaped. Pure.

Written text has `code` in back quotes and _words_ that stand for a value between underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKUP = re.compile(r"`(?P<code>[^`]+)`|(?<![\w/])_(?P<value>[A-Za-z][A-Za-z .:-]*)_(?!\w)")
_LITERAL = {"-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
"""What a program would read as another character than the one that is meant."""


def plain(text: str) -> str:
    """Prose: nothing in it is a command of roff."""
    escaped = "".join(_ascii(character) for character in text.replace("\\", r"\e"))
    escaped = escaped.replace(" - ", r" \- ")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def literal(text: str) -> str:
    """Text to be typed: every character is itself."""
    escaped = "".join(_LITERAL.get(c, _ascii(c)) for c in text.replace("\\", r"\e"))
    return f"\\&{escaped}" if escaped[:1] == "." else escaped


def bold(text: str) -> str:
    """Literal and bold; its words are not broken."""
    return rf"\fB{_unbroken(text)}\fR"


def italic(text: str) -> str:
    """Literal and in italics: a value to be filled in."""
    return rf"\fI{_unbroken(text)}\fR"


def prose(text: str) -> str:
    """Prose with its markup."""
    parts: list[str] = []
    at = 0
    for match in _MARKUP.finditer(text):
        parts.append(plain(text[at : match.start()]) if at < match.start() else "")
        code = match["code"]
        parts.append(bold(code) if code is not None else italic(match["value"]))
        at = match.end()
    parts.append(plain(text[at:]) if at < len(text) else "")
    line = "".join(parts)
    return f"\\&{line}" if line[:1] in (".", "'") else line


def heading(title: str) -> str:
    """A section."""
    return f".SH {_argument(title)}\n"


def subheading(title: str) -> str:
    """A section within one."""
    return f".SS {_argument(title)}\n"


def paragraphs(text: str) -> str:
    """Blocks between blank lines: paragraphs, indented examples, items that begin with `@ `."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.split("\n")
        if all(line.startswith("    ") for line in lines):
            parts.append(example(line.removeprefix("    ") for line in lines))
        elif block.startswith("@ "):
            parts.append(item(prose(lines[0].removeprefix("@ ")), "\n".join(lines[1:])))
        else:
            parts.append(f".PP\n{prose(' '.join(block.split()))}\n")
    return "".join(parts)


def example(lines: Iterable[str]) -> str:
    """Lines as they are, indented."""
    body = "".join(f"{literal(line)}\n" for line in lines)
    return f".PP\n.RS 4\n.EX\n{body}.EE\n.RE\n"


def item(tag: str, text: str) -> str:
    """A tag that is roff already, and paragraphs about it."""
    first, *more = re.split(r"\n\s*\n", text.strip("\n")) or [""]
    body = prose(" ".join(first.split())) or r"\&"
    rest = "".join(f".IP\n{prose(' '.join(part.split()))}\n" for part in more)
    return f".TP\n{tag}\n{body}\n{rest}"


def nested(body: str) -> str:
    """Everything in ``body`` a step further in."""
    return f".RS\n{body}.RE\n" if body else ""


def _argument(text: str) -> str:
    escaped = plain(text).replace('"', r"\(dq")
    return f'"{escaped}"'


def _unbroken(text: str) -> str:
    return " ".join(f"\\%{literal(word)}" for word in text.split(" "))


def _ascii(character: str) -> str:
    return character if character.isascii() else rf"\[u{ord(character):04X}]"
