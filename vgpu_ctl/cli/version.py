"""`vgpuctl version`."""

from __future__ import annotations

import time
from importlib import metadata

import click

from vgpu_ctl.api.messages import API_VERSION
from vgpu_ctl.api.objects import DaemonInfo
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.options import format_option
from vgpu_ctl.cli.output import emit_data
from vgpu_ctl.cli.table import Column, details
from vgpu_ctl.cli.units import age

_COLUMNS: tuple[Column[DaemonInfo], ...] = (
    Column("VGPUD", lambda vgpud: vgpud.version),
    Column("API", lambda vgpud: str(vgpud.api)),
    Column("PROCESS", lambda vgpud: f"{vgpud.pid}, for {age(time.time() - vgpud.started)}"),
    Column("ROUTINES", lambda vgpud: "C" if vgpud.native_hotpath else "Python (slow)"),
    Column(
        "KERNELS",
        lambda vgpud: "interpreted (slow)" if vgpud.kernels_interpreted else "compiled",
    ),
    Column("SOCKET", lambda vgpud: vgpud.socket),
    Column("METRICS", lambda vgpud: vgpud.metrics or "not served"),
    Column("CONFIG", lambda vgpud: vgpud.config or "none"),
    Column("STATE", lambda vgpud: vgpud.state_dir),
    Column("RUNTIME", lambda vgpud: vgpud.runtime_dir),
)


@click.command("version")
@format_option("table", "json", "yaml")
def command(output: str) -> None:
    """Print the versions of vgpuctl and of vgpud.

    Also how vgpud runs. `vgpuctl --version` prints its own alone and needs no vgpud.
    """
    own = metadata.version("vgpu-mediator")
    if output == "table":
        click.echo(f"{click.style('vgpuctl ', fg='bright_black')}  {own} (API {API_VERSION})")
    with connect() as vgpud:
        daemon = vgpud.version()
    if output == "table":
        click.echo(details(_COLUMNS, daemon))
    else:
        emit_data({"vgpuctl": own, "vgpud": daemon}, output)
