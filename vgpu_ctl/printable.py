"""Text of others on its way to a terminal or a log. Pure."""

from __future__ import annotations


def escaped(text: str, kept: str | None = "") -> str:
    """``text`` with backslash escapes for what is not printable, less what is in ``kept``.

    None keeps all.
    """
    if kept is None or text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in kept
        else character.encode("unicode_escape").decode()
        for character in text
    )
