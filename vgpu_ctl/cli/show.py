"""`vgpuctl show`."""

from __future__ import annotations

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import output_options, vgpu_argument
from vgpu_ctl.cli.output import emit_one
from vgpu_ctl.cli.vgpu_view import COLUMNS


@click.command("show")
@vgpu_argument
@output_options
def command(name: str, output: str, no_headers: bool) -> None:
    """Show one vGPU.

    NAME is its name or its UUID.
    """
    with connect() as vgpud:
        vgpu = vgpud.show(name)
    emit_one(vgpu, COLUMNS, output, headers=not no_headers)
