"""`vgpuctl assert`."""

from __future__ import annotations

from pathlib import Path

import click

from vgpu_ctl.cli.connection import connect
from vgpu_ctl.cli.declaration_file import (
    file_argument,
    keep_option,
    read_declaration,
    refuse_impossible,
)
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.options import format_option
from vgpu_ctl.cli.output import emit_data
from vgpu_ctl.cli.plan import differences


@click.command("assert")
@file_argument
@keep_option
@format_option("table", "json", "yaml")
def command(path: Path, keep: bool, output: str) -> None:
    """Check whether this host matches a file.

    Prints what is different and ends with status 1, or prints nothing and ends with 0. A file that
    no host like this one can match is refused, with status 2.
    """
    wanted = read_declaration(path)
    with connect() as vgpud:
        current = vgpud.vgpus()
        refuse_impossible(path, wanted, vgpud, current, keep=keep)
    found = differences(current, wanted.vgpus, keep=keep)
    if output == "table":
        for difference in found:
            click.echo(str(difference))
    else:
        emit_data(found, output)
    if found:
        raise click.exceptions.Exit(ExitCode.FAILED)
