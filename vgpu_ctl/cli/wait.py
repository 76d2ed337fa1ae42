"""`vgpuctl wait`."""

from __future__ import annotations

import math

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import Number, vgpu_argument
from vgpu_ctl.cli.watch import CONDITIONS, wait_until


@click.command("wait")
@vgpu_argument
@click.option(
    "--for", "condition", type=click.Choice(list(CONDITIONS)), required=True, help="The state."
)
@click.option(
    "--timeout",
    type=Number(0, endless=True),
    default=math.inf,
    metavar="SECONDS",
    help="End with status 124 after so long.",
)
def command(name: str, condition: str, timeout: float) -> None:
    """Wait until a vGPU is in a state.

    \b
    active    it has a socket             attached  a client is there
    stopped   it has none                 detached  no client is there
    gone      it does not exist           idle      no request is queued or running
    """
    wait_until(connect, name, condition, timeout)
