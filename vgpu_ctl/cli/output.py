"""What a verb found out, in the form that `-o` names.

`table` and `wide` are for people and may change. `json`, `yaml` and `csv` are for programs: names
and units of the fields are those of `vgpu_ctl/api/objects.py`. In CSV a field that is no plain
value is JSON. `name` is a name a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import click
import msgspec

from vgpu_ctl.cli.table import Column, details, table

_INDENT = 2


class _Struct(Protocol):
    """A struct."""

    __struct_fields__: ClassVar[tuple[str, ...]]


class Named(_Struct, Protocol):
    """A struct that has a name."""

    @property
    def name(self) -> str:
        """The name."""


N = TypeVar("N", bound=Named)


def emit(
    kind: type[N],
    objects: Sequence[N],
    columns: Sequence[Column[N]],
    output: str,
    *,
    headers: bool = True,
) -> None:
    """Print several objects of one kind, maybe none."""
    match output:
        case "table" | "wide":
            shown = [column for column in columns if output == "wide" or not column.wide]
            _text(table(shown, objects, headers=headers))
        case "name":
            _text("\n".join(thing.name for thing in objects))
        case "csv":
            _text(csv_text(kind, objects, headers=headers))
        case _:
            emit_data(objects, output)


def emit_one(thing: N, columns: Sequence[Column[N]], output: str, *, headers: bool = True) -> None:
    """Print one object: for people all of it, a line for each field."""
    match output:
        case "table" | "wide":
            _text(details(columns, thing))
        case "name" | "csv":
            emit(type(thing), [thing], columns, output, headers=headers)
        case _:
            emit_data(thing, output)


def emit_data(data: Any, output: str) -> None:
    """Print objects as `json` or `yaml`."""
    if output == "json":
        _text(msgspec.json.format(msgspec.json.encode(data), indent=_INDENT).decode())
    else:
        click.echo(yaml_text(data), nl=False)


def json_line(data: Any) -> str:
    """JSON without a line break."""
    return msgspec.json.encode(data).decode()


def yaml_text(data: Any) -> str:
    """YAML, with a line break at the end."""
    import yaml

    plain = msgspec.to_builtins(data, str_keys=True)
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text


def csv_text(kind: type[_Struct], objects: Iterable[Any], *, headers: bool = True) -> str:
    """A line for each object, below the names of the fields; no line break at the end."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if headers:
        writer.writerow(kind.__struct_fields__)
    for thing in objects:
        writer.writerow(map(_csv_cell, msgspec.structs.astuple(thing)))
    return text.getvalue().rstrip("\n")


def _csv_cell(value: Any) -> str | int | float:
    plain = msgspec.to_builtins(value)
    match plain:
        case None:
            return ""
        case bool():
            return "true" if plain else "false"
        case str() | int() | float():
            return plain
        case _:
            return json_line(value)


def _text(text: str) -> None:
    """Nothing at all, where there is nothing."""
    if text:
        click.echo(text)
