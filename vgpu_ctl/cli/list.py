"""`vgpuctl list`."""

from __future__ import annotations

import click

from vgpu_ctl.api.objects import VgpuInfo
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import output_options
from vgpu_ctl.cli.output import emit
from vgpu_ctl.cli.vgpu_view import COLUMNS


@click.command("list")
@click.option("--active", is_flag=True, help="Only those that are active.")
@output_options
def command(active: bool, output: str, no_headers: bool) -> None:
    """List the vGPUs of this host."""
    with connect() as vgpud:
        vgpus = vgpud.vgpus()
    if active:
        vgpus = [vgpu for vgpu in vgpus if vgpu.socket]
        none = "no active vGPUs"
    else:
        none = "no vGPUs: `vgpuctl create NAME --type TYPE` makes one"
    if not vgpus and output == "table":
        click.echo(none, err=True)
        return
    emit(VgpuInfo, vgpus, COLUMNS, output, headers=not no_headers)
