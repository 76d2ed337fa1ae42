"""`vgpuctl install-hooks`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from qemu_hooks.hook_script import FOLDER, NAME, is_ours, script
from vgpu_ctl.cli.connection import socket_path
from vgpu_ctl.cli.exit_codes import ExitCode
from vgpu_ctl.cli.failure import Failure
from vgpu_ctl.cli.replaced_file import replaced_file

_PROGRAM = "vgpu-libvirt-hook"
_MODE = 0o755
_RESTART = (
    "libvirt looks for hooks when it starts: run `systemctl restart libvirtd`, or virtqemud where "
    "that runs; domains go on meanwhile"
)


@click.command("install-hooks")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("/etc/libvirt/hooks"),
    show_default=True,
    metavar="DIR",
    help="Where libvirt looks for hooks.",
)
@click.option("--remove", is_flag=True, help="Take the hook away again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def command(directory: Path, remove: bool, yes: bool, dry_run: bool) -> None:
    """Have libvirt ask vgpud when a domain with a vGPU starts.

    Shows the file and asks first. The hook claims the vGPU of a domain that starts, and refuses the
    start if another domain has it; domains without a vGPU are not concerned. Needs root.
    """
    path = directory / FOLDER / NAME
    there = _text_of(path)
    if there is not None and not is_ours(there):
        raise Failure(ExitCode.CONFLICT, f"{path} is there and is not ours", hint="move it away")
    if remove:
        _remove(path, there, ask=not yes, dry_run=dry_run)
    else:
        _install(path, there, ask=not yes, dry_run=dry_run)


def _install(path: Path, there: str | None, *, ask: bool, dry_run: bool) -> None:
    named = socket_path()
    wanted = script(_program(), str(named.absolute()) if named else "")
    if there == wanted and os.access(path, os.X_OK):
        click.echo(f"{path} is installed already", err=True)
        return
    click.echo(f"{'replace' if there is not None else 'make'} {path}:\n")
    click.echo("".join(f"    {line}\n" for line in wanted.splitlines()))
    if dry_run or not _agreed("Install it?", ask=ask):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with replaced_file(path) as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(wanted.encode())
    except OSError as error:
        raise _failure("install", path, error) from error
    click.echo(f"installed {path}\n{_RESTART}", err=True)


def _remove(path: Path, there: str | None, *, ask: bool, dry_run: bool) -> None:
    if there is None:
        click.echo(f"there is no {path}", err=True)
        return
    click.echo(f"remove {path}")
    if dry_run or not _agreed("Remove it?", ask=ask):
        return
    try:
        path.unlink()
    except OSError as error:
        raise _failure("remove", path, error) from error
    click.echo(f"removed {path}", err=True)


def _text_of(path: Path) -> str | None:
    """What is in the file; None: there is none. Raises Failure for one that cannot be read."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failure("read", path, error) from error


def _program() -> str:
    """The hook's program: beside this Python, or on the search path. Raises Failure."""
    beside = Path(sys.executable).with_name(_PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(_PROGRAM)
    if found is None:
        raise Failure(
            ExitCode.FAILED, f"{_PROGRAM} is not found", hint="install vgpud again: it comes along"
        )
    return found


def _agreed(question: str, *, ask: bool) -> bool:
    """Raises Failure where nobody can answer."""
    if not ask:
        return True
    if not sys.stdin.isatty():
        raise Failure(ExitCode.USAGE, "nothing was changed", hint="say --yes to do it unasked")
    return click.confirm(question)


def _failure(verb: str, path: Path, error: OSError) -> Failure:
    denied = isinstance(error, PermissionError)
    return Failure(
        ExitCode.PERMISSION if denied else ExitCode.FAILED,
        f"cannot {verb} {error.filename or path}: {error.strerror}",
        hint="become root" if denied else "",
    )
