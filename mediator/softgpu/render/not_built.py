"""Draws that this GPU does not carry out."""

from __future__ import annotations


class NotBuilt(Exception):
    """The draw asks for a part of the pipeline that is not there: it has no effect."""
