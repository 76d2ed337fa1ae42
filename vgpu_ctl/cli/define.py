"""`vgpuctl define`."""

from __future__ import annotations

from typing import Any

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.existing import made_or_existing
from vgpu_ctl.cli.options import output_options, placement_options
from vgpu_ctl.cli.output import emit_one
from vgpu_ctl.cli.vgpu_view import COLUMNS


@click.command("define")
@placement_options
@click.option(
    "--if-not-exists", is_flag=True, help="Where there is one of the name and type, show that."
)
@output_options
def command(if_not_exists: bool, output: str, no_headers: bool, **wanted: Any) -> None:
    """Keep the definition of a vGPU.

    It takes nothing of a GPU until it is started. Prints it.
    """
    with connect() as vgpud:
        vgpu = made_or_existing(vgpud, vgpud.define, wanted, if_not_exists=if_not_exists)
    emit_one(vgpu, COLUMNS, output, headers=not no_headers)
