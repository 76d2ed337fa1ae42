"""`vgpuctl modify`."""

from __future__ import annotations

from typing import Any

import click

from vgpu_ctl.cli import candidates
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import cap_option, output_options, vgpu_argument
from vgpu_ctl.cli.output import emit_one
from vgpu_ctl.cli.vgpu_view import COLUMNS
from vgpu_ctl.cli.weight_note import note_idle_weight


class _Weight(click.types.IntParamType):
    """A whole number, or the word that stands for the weight of the vGPU's type."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does, but for the word."""
        return value if value == "type" else super().convert(value, param, ctx)


@click.command("modify")
@vgpu_argument
@click.option(
    "--weight",
    type=_Weight(),
    metavar="N|type",
    help="Share of contended GPU time against the others'; `type`: that of its type again.",
)
@cap_option
@click.option(
    "--autostart/--manual", default=None, help="Whether it is started whenever vgpud starts."
)
@click.option("-t", "--type", metavar="TYPE", shell_complete=candidates.types, help="Its type.")
@click.option(
    "--gpu", metavar="GPU", shell_complete=candidates.gpus, help="Its GPU; '' is any with room."
)
@click.option("--name", "new_name", metavar="NEW", help="Its name.")
@output_options
def command(name: str, new_name: str | None, output: str, no_headers: bool, **given: Any) -> None:
    """Change a vGPU.

    Weight, cap and autostart change also while it is active, at once; the rest while it is stopped.
    Prints it.
    """
    changes = {field: value for field, value in given.items() if value is not None}
    if new_name is not None:
        changes["name"] = new_name
    if not changes:
        raise click.UsageError("Nothing to change.", click.get_current_context())
    with connect() as vgpud:
        vgpu = vgpud.modify(name, **changes)
        note_idle_weight(vgpud, vgpu, changes.get("weight"))
    emit_one(vgpu, COLUMNS, output, headers=not no_headers)
