"""`vgpuctl destroy`."""

from __future__ import annotations

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.failure import for_each
from vgpu_ctl.cli.options import force_option, vgpu_arguments
from vgpu_ctl.cli.waiting_option import WaitingCommand, wait_option
from vgpu_ctl.cli.watch import wait_until


@click.command("destroy", cls=WaitingCommand)
@vgpu_arguments
@force_option
@wait_option("Wait until the client is gone, so long at most.")
def command(names: tuple[str, ...], force: bool, wait: float | None) -> None:
    """Stop vGPUs and forget their definitions.

    A vGPU that has a client is refused, without --force or --wait.
    """
    with connect() as vgpud:

        def destroy(name: str) -> None:
            if wait is not None:
                wait_until(connect, name, "detached", wait)
            vgpud.destroy(name, force=force)
            click.echo(f"destroyed {name}", err=True)

        for_each(names, destroy)
