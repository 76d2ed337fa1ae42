"""`vgpuctl reset`."""

from __future__ import annotations

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.failure import for_each
from vgpu_ctl.cli.options import vgpu_arguments


@click.command("reset")
@vgpu_arguments
@click.option(
    "--level",
    type=click.Choice(["engines", "function"]),
    default="engines",
    show_default=True,
    help="engines: what runs is lost, the guest's driver recovers as after a hang; "
    "function: a function-level reset, after which a guest probes its GPU anew.",
)
def command(names: tuple[str, ...], level: str) -> None:
    """Reset vGPUs."""
    with connect() as vgpud:

        def reset(name: str) -> None:
            vgpu = vgpud.reset(name, level)
            click.echo(f"reset {vgpu.name} ({level})", err=True)

        for_each(names, reset)
