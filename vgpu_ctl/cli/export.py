"""`vgpuctl export`."""

from __future__ import annotations

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.declaration import declared
from vgpu_ctl.cli.options import format_option
from vgpu_ctl.cli.output import emit_data


@click.command("export")
@format_option("yaml", "json")
def command(output: str) -> None:
    """Print this host's vGPUs as such a file.

    `vgpuctl apply` takes it, here with nothing to do but to start what is in its error state. GPUs
    are in it that were asked for, not those that vgpud chose.
    """
    with connect() as vgpud:
        vgpus, types = vgpud.vgpus(), vgpud.types()
    emit_data(declared(vgpus, types), output)
