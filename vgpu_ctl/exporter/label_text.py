"""Label values in Prometheus' text format, whatever they are."""

from __future__ import annotations

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(value: str) -> str:
    """``value`` as text that can be sent: no NUL, which ends a text for Prometheus' parser, and no
    lone surrogate, which UTF-8 has not."""
    return value.replace("\0", _REPLACEMENT).encode("utf-8", "replace").decode("utf-8")


def escape(value: str) -> str:
    """A cleaned value as it stands between quotes."""
    return value.translate(_ESCAPES)
