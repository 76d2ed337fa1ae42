"""`vgpuctl apply`."""

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
from vgpu_ctl.cli.failure import Failure, report
from vgpu_ctl.cli.options import force_option
from vgpu_ctl.cli.plan import Step, plan
from vgpu_ctl.cli.vgpu_view import client_text
from vgpu_ctl.client import ApiError, Client


@click.command("apply")
@file_argument
@click.option("--dry-run", is_flag=True, help="Print the steps and change nothing.")
@force_option
@keep_option
def command(path: Path, dry_run: bool, force: bool, keep: bool) -> None:
    """Make this host match a file.

    FILE is YAML or JSON, - standard input; `vgpuctl export` prints one. Nothing is done where vgpud
    would refuse something of it, with status 2. Each step is printed. A step that fails is
    reported, and the other vGPUs are seen to. vGPUs that are not in FILE are destroyed.
    """
    wanted = read_declaration(path)
    with connect() as vgpud:
        current = vgpud.vgpus()
        refuse_impossible(path, wanted, vgpud, current, keep=keep)
        steps = plan(current, wanted.vgpus, keep=keep)
        if not steps:
            click.echo("nothing to do", err=True)
        status = _carry_out(vgpud, steps, dry_run=dry_run, force=force)
    if status:
        raise click.exceptions.Exit(status)


def _carry_out(vgpud: Client, steps: list[Step], *, dry_run: bool, force: bool) -> ExitCode:
    """Do the steps; once one failed, none more of its vGPU. The first failure's status.

    But what was stopped for a change that failed is started again.
    """
    first = ExitCode.OK
    failed: set[str] = set()
    stopped: set[str] = set()
    for step in steps:
        if step.name in failed and not (step.action == "start" and step.name in stopped):
            continue
        try:
            _refuse_attached(step, force=force)
            click.echo(f"would {step}" if dry_run else str(step))
            if not dry_run:
                _do(vgpud, step)
            if step.action == "stop":
                stopped.add(step.name)
        except (ApiError, Failure) as error:
            failed.add(step.name)
            code = report(error, f"{step.action} {step.name}")
            first = first or code
    return first


def _refuse_attached(step: Step, *, force: bool) -> None:
    """Nobody loses its GPU by a file alone."""
    if step.client is not None and not force:
        raise Failure(
            ExitCode.CONFLICT,
            f"{client_text(step.client)} is attached and would lose its GPU",
            hint="stop the machine first, or say --force",
        )


def _do(vgpud: Client, step: Step) -> None:
    force = step.client is not None
    match step.action:
        case "create":
            vgpud.create(**step.params)
        case "define":
            vgpud.define(**step.params)
        case "modify":
            vgpud.modify(step.vgpu, **step.params)
        case "start":
            vgpud.start(step.vgpu)
        case "stop":
            vgpud.stop(step.vgpu, force=force)
        case "destroy":
            vgpud.destroy(step.vgpu, force=force)
        case _:
            raise AssertionError(step.action)
