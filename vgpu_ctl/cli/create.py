"""`vgpuctl create`."""

from __future__ import annotations

from typing import Any

import click

from vgpu_ctl.api.objects import VgpuState
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.existing import made_or_existing
from vgpu_ctl.cli.options import output_options, placement_options
from vgpu_ctl.cli.output import emit_one
from vgpu_ctl.cli.vgpu_view import COLUMNS
from vgpu_ctl.cli.weight_note import note_idle_weight


@click.command("create")
@placement_options
@click.option("--transient", is_flag=True, help="Keep no definition: gone once it is stopped.")
@click.option(
    "--if-not-exists", is_flag=True, help="Where there is one of the name and type, start that."
)
@output_options
def command(if_not_exists: bool, output: str, no_headers: bool, **wanted: Any) -> None:
    """Define and start a vGPU.

    Prints it once its socket is ready for a client.
    """
    if wanted["transient"] and wanted["autostart"]:
        raise click.UsageError(
            "--transient and --autostart: what is not kept cannot be started again.",
            click.get_current_context(),
        )
    with connect() as vgpud:
        vgpu = made_or_existing(vgpud, vgpud.create, wanted, if_not_exists=if_not_exists)
        if vgpu.state is not VgpuState.ACTIVE:
            vgpu = vgpud.start(vgpu.uuid)
        note_idle_weight(vgpud, vgpu, wanted["weight"])
    emit_one(vgpu, COLUMNS, output, headers=not no_headers)
