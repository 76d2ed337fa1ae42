"""Aligned columns of text. Pure, and without a library: those cost more than all the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import click

from vgpu_ctl.printable import escaped

T = TypeVar("T")
_GAP = "  "
_EMPTY = "-"


class Column(NamedTuple, Generic[T]):
    """One column: a title, and what an object has in it."""

    title: str
    cell: Callable[[T], str]
    """An empty text is shown as a dash, what would steer a terminal as an escape."""
    wide: bool = False
    """Only for those who asked for more."""
    right: bool = False
    """Numbers stand at the right."""
    colour: Callable[[T], str | None] = lambda _: None
    """Colour of the cell, where the terminal has any."""


def table(columns: Sequence[Column[T]], objects: Sequence[T], *, headers: bool = True) -> str:
    """One line for each object, below a line of titles; empty without either."""
    rows = [[_cell(column, thing) or _EMPTY for column in columns] for thing in objects]
    titles = [[column.title for column in columns]] if headers else []
    widths = [max(map(len, cells)) for cells in zip(*titles, *rows, strict=True)]
    lines = [_line(columns, cells, widths, ["bright_black"] * len(columns)) for cells in titles]
    for thing, cells in zip(objects, rows, strict=True):
        lines.append(_line(columns, cells, widths, [column.colour(thing) for column in columns]))
    return "\n".join(lines)


def details(columns: Sequence[Column[T]], thing: T) -> str:
    """One object, a line for each column that has something to say."""
    cells = [(column, _cell(column, thing)) for column in columns]
    shown = [(column, cell) for column, cell in cells if cell]
    width = max((len(column.title) for column, _ in shown), default=0)
    return "\n".join(
        click.style(column.title.lower().ljust(width), fg="bright_black")
        + _GAP
        + _painted(cell, column.colour(thing))
        for column, cell in shown
    )


def _cell(column: Column[T], thing: T) -> str:
    return escaped(column.cell(thing))


def _line(
    columns: Sequence[Column[Any]],
    cells: Sequence[str],
    widths: Sequence[int],
    colours: Sequence[str | None],
) -> str:
    padded = [
        cell.rjust(width) if column.right else cell.ljust(width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    ]
    if not columns[-1].right:
        padded[-1] = cells[-1]
    return _GAP.join(map(_painted, padded, colours))


def _painted(text: str, colour: str | None) -> str:
    return click.style(text, fg=colour) if colour else text
