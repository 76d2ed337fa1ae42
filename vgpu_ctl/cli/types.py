"""`vgpuctl types`."""

from __future__ import annotations

import click

from vgpu_ctl.api.objects import TypeInfo
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import output_options
from vgpu_ctl.cli.output import emit
from vgpu_ctl.cli.table import Column
from vgpu_ctl.cli.units import size


def _each(kind: TypeInfo) -> str:
    """`gpu0: 3, gpu1: 0`."""
    return ", ".join(f"{gpu}: {count}" for gpu, count in kind.available.items())


def _available(kind: TypeInfo) -> int:
    return sum(kind.available.values())


_COLUMNS: tuple[Column[TypeInfo], ...] = (
    Column("NAME", lambda kind: kind.name),
    Column("KIND", lambda kind: kind.kind),
    Column("LOW", lambda kind: size(kind.low_bytes) if kind.low_bytes else "", right=True),
    Column("HIGH", lambda kind: size(kind.high_bytes) if kind.high_bytes else "", right=True),
    Column("FENCES", lambda kind: str(kind.fences), right=True),
    Column("WEIGHT", lambda kind: str(kind.weight), right=True),
    Column(
        "MEMORY",
        lambda kind: size(kind.memory_limit_bytes) if kind.memory_limit_bytes else "",
        wide=True,
        right=True,
    ),
    Column(
        "AVAILABLE",
        lambda kind: str(_available(kind)),
        right=True,
        colour=lambda kind: None if _available(kind) else "yellow",
    ),
    Column("ON", _each, wide=True),
)


@click.command("types")
@output_options
def command(output: str, no_headers: bool) -> None:
    """List what can be created, and how many more of each.

    LOW is graphics memory in the aperture, HIGH the rest of a vGPU's part of the global GTT. MEMORY
    (wide) is where the guest addresses end that the GPU can reach.
    """
    with connect() as vgpud:
        found = vgpud.types()
    emit(TypeInfo, found, _COLUMNS, output, headers=not no_headers)
