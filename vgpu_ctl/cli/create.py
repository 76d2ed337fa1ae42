"""`vgpuctl create`."""

from __future__ import annotations

import click

from vgpu_ctl.api.objects import VgpuInfo, VgpuState
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import output_options, placement_options
from vgpu_ctl.cli.output import emit_one
from vgpu_ctl.cli.vgpu_view import COLUMNS
from vgpu_ctl.cli.weight_note import note_idle_weight
from vgpu_ctl.client import ApiError, Client, ErrorCode


@click.command("create")
@placement_options
@click.option("--transient", is_flag=True, help="Keep no definition: gone once it is stopped.")
@click.option(
    "--if-not-exists", is_flag=True, help="Where there is one of the name and type, start that."
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
    transient: bool,
    if_not_exists: bool,
    output: str,
    no_headers: bool,
) -> None:
    """Define and start a vGPU.

    Prints it once its socket is ready for a client.
    """
    if transient and autostart:
        raise click.UsageError(
            "--transient and --autostart: what is not kept cannot be started again.",
            click.get_current_context(),
        )
    with connect() as vgpud:
        try:
            vgpu = vgpud.create(
                name=name,
                type=kind,
                uuid=uuid,
                gpu=gpu,
                weight=weight,
                cap=cap,
                autostart=autostart,
                transient=transient,
            )
        except ApiError as error:
            if not if_not_exists or error.code is not ErrorCode.EXISTS:
                raise
            vgpu = existing(vgpud, name, kind, error)
            if vgpu.state is not VgpuState.ACTIVE:
                vgpu = vgpud.start(vgpu.uuid)
        note_idle_weight(vgpud, vgpu, weight)
    emit_one(vgpu, COLUMNS, output, headers=not no_headers)


def existing(vgpud: Client, name: str, kind: str, refusal: ApiError) -> VgpuInfo:
    """The vGPU that is in the way; raises ``refusal`` unless it is one such as was wanted."""
    found = [vgpu for vgpu in vgpud.vgpus() if vgpu.name == name]
    if not found or found[0].type != kind:
        raise refusal
    return found[0]
