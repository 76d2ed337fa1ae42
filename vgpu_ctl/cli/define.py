"""`vgpuctl define`."""

from __future__ import annotations

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.create import existing
from vgpu_ctl.cli.options import output_options, placement_options
from vgpu_ctl.cli.output import emit_one
from vgpu_ctl.cli.vgpu_view import COLUMNS
from vgpu_ctl.client import ApiError, ErrorCode


@click.command("define")
@placement_options
@click.option(
    "--if-not-exists", is_flag=True, help="Where there is one of the name and type, show that."
)
@output_options
def command(
    name: str,
    kind: str,
    uuid: str,
    gpu: str,
    weight: int | None,
    cap: float | None,
    autostart: bool,
    if_not_exists: bool,
    output: str,
    no_headers: bool,
) -> None:
    """Keep the definition of a vGPU.

    It takes nothing of a GPU until it is started. Prints it.
    """
    with connect() as vgpud:
        try:
            vgpu = vgpud.define(
                name=name,
                type=kind,
                uuid=uuid,
                gpu=gpu,
                weight=weight,
                cap=cap,
                autostart=autostart,
            )
        except ApiError as error:
            if not if_not_exists or error.code is not ErrorCode.EXISTS:
                raise
            vgpu = existing(vgpud, name, kind, error)
    emit_one(vgpu, COLUMNS, output, headers=not no_headers)
