"""`vgpuctl start`."""

from __future__ import annotations

import click

from vgpu_ctl.api.objects import VgpuInfo
from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.failure import for_each
from vgpu_ctl.cli.options import output_options, vgpu_arguments
from vgpu_ctl.cli.output import emit
from vgpu_ctl.cli.vgpu_view import COLUMNS


@click.command("start")
@vgpu_arguments
@output_options
def command(names: tuple[str, ...], output: str, no_headers: bool) -> None:
    """Start defined vGPUs.

    Each gets its part of a GPU and its socket. Prints those that were started.
    """
    started: list[VgpuInfo] = []
    try:
        with connect() as vgpud:
            for_each(names, lambda name: started.append(vgpud.start(name)))
    finally:
        if started:
            emit(VgpuInfo, started, COLUMNS, output, headers=not no_headers)
