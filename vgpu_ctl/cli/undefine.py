"""`vgpuctl undefine`."""

from __future__ import annotations

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.failure import for_each
from vgpu_ctl.cli.options import vgpu_arguments


@click.command("undefine")
@vgpu_arguments
def command(names: tuple[str, ...]) -> None:
    """Forget definitions; what is active goes on.

    It is transient from then on: gone once it is stopped.
    """
    with connect() as vgpud:

        def undefine(name: str) -> None:
            vgpud.undefine(name)
            click.echo(f"undefined {name}", err=True)

        for_each(names, undefine)
