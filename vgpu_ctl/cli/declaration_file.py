"""The file that `apply` and `assert` are given: read, and held against the host."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vgpu_ctl.api.objects import VgpuInfo
from vgpu_ctl.cli.declaration import Declaration, DeclarationError, parse_declaration
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure, report
from vgpu_ctl.client import Client

MAX_BYTES = 4 << 20
_STDIN = Path("-")

file_argument = click.argument(
    "path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True)
)
"""YAML or JSON; - is standard input."""
keep_option = click.option("--keep", is_flag=True, help="Leave vGPUs that are not in the file.")


def read_declaration(path: Path) -> Declaration:
    """What the file says. Raises Failure that names the file and the place in it."""
    name = _title(path)
    try:
        raw = _read(path)
    except OSError as error:
        raise Failure(ExitCode.USAGE, f"cannot read {name}: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise Failure(ExitCode.USAGE, f"{name}: more than {MAX_BYTES} bytes")
    try:
        return parse_declaration(raw.decode())
    except UnicodeDecodeError as error:
        raise Failure(ExitCode.USAGE, f"{name}: byte {error.start}: not UTF-8") from error
    except DeclarationError as error:
        raise Failure(ExitCode.USAGE, f"{name}: {error}") from error


def refuse_impossible(
    path: Path,
    wanted: Declaration,
    vgpud: Client,
    current: Sequence[VgpuInfo],
    *,
    keep: bool,
) -> None:
    """Report all of the file that this vgpud would refuse, and end the program if there is any."""
    from vgpu_ctl.cli.declaration_check import problems  # knows of vgpud's own parts

    found = problems(current, wanted.vgpus, vgpud.types(), vgpud.gpus(), keep=keep)
    for problem in found:
        report(Failure(ExitCode.USAGE, f"{_title(path)}: {problem}"))
    if found:
        raise click.exceptions.Exit(ExitCode.USAGE)


def _title(path: Path) -> str:
    return "standard input" if path == _STDIN else str(path)


def _read(path: Path) -> bytes:
    if path == _STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)
