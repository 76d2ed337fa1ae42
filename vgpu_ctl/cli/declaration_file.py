"""Reading the file that `apply` and `assert` are given."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vgpu_ctl.cli.declaration import Declaration, DeclarationError, parse_declaration
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure

MAX_BYTES = 4 << 20
_STDIN = Path("-")

file_argument = click.argument(
    "path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True)
)
"""YAML or JSON; - is standard input."""
keep_option = click.option("--keep", is_flag=True, help="Leave vGPUs that are not in the file.")


def read_declaration(path: Path) -> Declaration:
    """What the file says. Raises Failure that names the file and the place in it."""
    name = "standard input" if path == _STDIN else str(path)
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


def _read(path: Path) -> bytes:
    if path == _STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)
